"""Which faults there are, at which calls of a run each can happen, and the table of what became of it.

The calls are those of a recorded run without faults. Of calls that repeat the same form (method and path) for the
same machine with nothing written to that machine in between, the first stands for all. A fault that a call cannot
have is left out by what the call is: only a write can have been carried out when its answer is lost, only a call that
names the configuration it is about can name a stale one, only one that starts a task can start a failing one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.api.fault_runs import EDIT, LONG, Limits

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
CONVERGED = "converged"
NEXT_RUN = "error, next run finishes"
LEFT_OUT = "–"
_NODE = "/nodes/pve1"
_HANG_SECONDS = 5.0
_NO_ANSWER = Limits(answer=0.25)
_NO_END_OF_IT = Limits(answer=0.1)
_NO_END = Limits(task=0.4)
_NO_NODE = Limits(task=0.4)

Column = dict[str, str]
"""Cells by row."""


@dataclass(frozen=True, kw_only=True)
class FaultKind:
    """A column of the table.

    Attributes:
        options: of ``fakepve_faults.Fault``; ``after`` is added for writes where ``carried_out`` says so.
        carried_out: whether a write is carried out although its answer is lost.
        only: ``writes``, ``tasks``, ``digests`` or ``looks at notes``: the calls that can have it; ``first``: one call
            of each form, where the state in which it happens makes no difference to what is answered; empty for all.
        limits: how long the run waits before it gives up: short where what it waits for never comes.
    """

    name: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    carried_out: bool = False
    only: str = ""
    limits: Limits = LONG

    @property
    def hurried(self) -> bool:
        """Whether a busy machine can make the run give up where it should not."""
        return self.limits != LONG

    def unhurried(self) -> FaultKind:
        """The same with more patience."""
        limits = Limits(answer=self.limits.answer * 4, task=self.limits.task * 4)
        return replace(self, limits=limits)


FAULTS = (
    FaultKind(name="500", kind="error", options={"status": 500, "text": "unexpected failure"}),
    FaultKind(name="503", kind="error", options={"status": 503, "text": "Service Unavailable"}),
    FaultKind(name="595", kind="error", options={"status": 595, "text": "Connection refused"}),
    FaultKind(name="401", kind="error", options={"status": 401, "text": "permission denied - invalid token"}),
    FaultKind(name="timeout before", kind="hang", options={"seconds": _HANG_SECONDS}, limits=_NO_ANSWER),
    FaultKind(
        name="timeout after",
        kind="hang",
        options={"seconds": _HANG_SECONDS},
        carried_out=True,
        only="writes",
        limits=_NO_ANSWER,
    ),
    FaultKind(name="reset", kind="reset", carried_out=True),
    FaultKind(
        name="task fails", kind="task", options={"text": "unable to write: Input/output error"}, only="tasks"
    ),
    FaultKind(name="endless task", kind="endless", options={"text": ""}, only="tasks", limits=_NO_END),
    FaultKind(name="malformed JSON", kind="malformed", carried_out=True),
    FaultKind(name="slow body", kind="drip", carried_out=True, only="first", limits=_NO_END_OF_IT),
    FaultKind(name="endless body", kind="pour", carried_out=True, only="first"),
    FaultKind(
        name="null data",
        kind="answer",
        options={"text": '{"data": null}'},
        carried_out=True,
        only="first",
    ),
    FaultKind(name="gone from here on", kind="reset", options={"lasting": True}, limits=_NO_NODE),
    FaultKind(name="one node off", kind="node-off", options={"text": "pve1"}, only="first", limits=_NO_NODE),
    FaultKind(name="bad mark", kind="bad-mark", only="looks at notes"),
    FaultKind(name="stale digest", kind="edit", options={"text": EDIT}, only="digests"),
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A call of a run that stands for all of its form and state: a row of the table.

    Attributes:
        path: a regular expression for it.
        nth: how many calls match the same method and path before it.
        row: how the table names it.
        first: whether it is the one of its form that stands for all, whichever machine they are about.
    """

    method: str
    path: str
    nth: int
    row: str
    digest: bool
    task: bool
    first: bool

    def can_have(self, fault: FaultKind) -> bool:
        """Whether a fault can happen to this call at all."""
        able = {
            "writes": self.method != "GET",
            "tasks": self.task,
            "digests": self.digest,
            "first": self.first,
            "looks at notes": self.row.startswith("GET /qemu/")
            and self.path.endswith(("/pending", "/config"))
            and "/IMAGE/" not in self.row,
        }
        return able.get(fault.only, True)

    def options(self, fault: FaultKind) -> dict[str, Any]:
        """The fault at this call, for ``FakePve.fault``."""
        after = fault.carried_out and self.method != "GET"
        return {
            "method": self.method,
            "path": self.path,
            "kind": fault.kind,
            "skip": self.nth,
            "after": after,
            **fault.options,
        }


def places(trace: Iterable[Mapping[str, Any]], names: Mapping[int, str]) -> list[Place]:
    """The calls of a recorded run that stand for all.

    Args:
        trace: the calls in their order, as ``fakepve_process`` writes them down.
        names: the machines' names by number; others are copies.
    """
    found: dict[str, dict[str, Place]] = {}
    passed: Counter[tuple[str, str]] = Counter()
    last_write: dict[str, str] = {}
    for call in trace:
        method, pattern = str(call["method"]), _pattern(str(call["path"]))
        subject, form = _read(str(call["path"]), names)
        after = last_write.get(subject, "")
        row = f"{method} {form}" + (f" after {after}" if after else "")
        place = Place(
            method=method,
            path=pattern,
            nth=passed[method, pattern],
            row=row,
            digest=bool(call["digest"]),
            task=bool(call["task"]),
            first=False,
        )
        found.setdefault(subject, {}).setdefault(row, place)
        passed[method, pattern] += 1
        if method != "GET" and not form.endswith("agent/ping"):
            last_write[subject] = f"{method} {form.rpartition(f'{subject}/')[2] or form}"
    # Machines are worked on side by side: the order of their calls among each other says nothing.
    firsts: dict[str, Place] = {}
    for subject in sorted(found, reverse=True):
        for place in found[subject].values():
            firsts.setdefault(_form(place.method, place.path), place)
    first = {id(place) for place in firsts.values()}
    return [
        replace(place, first=id(place) in first)
        for subject in sorted(found)
        for place in found[subject].values()
    ]


def _pattern(path: str) -> str:
    """The path, but what is another in every run: of a task all but its kind and subject, an archive's time."""
    found = re.match(r"(.*/tasks/)UPID:(?:[^:]*:){4}([^:]*:[^:]*):[^/]*(/.*)", path)
    if found:
        return f"{re.escape(found[1])}UPID:([^:]*:){{4}}{re.escape(found[2])}:[^/]*{found[3]}"
    return re.sub(r"\\-\d{4}_\d\d_\d\d\\-\d\d_\d\d_\d\d", r"-[\\d_-]+", re.escape(path))


def _form(method: str, pattern: str) -> str:
    """A call without the numbers of machines."""
    return f"{method} {re.sub(r'[0-9]+', 'N', pattern)}"


def _read(path: str, names: Mapping[int, str]) -> tuple[str, str]:
    """Whom a call is about, and its form: the path with names instead of numbers."""

    def name(vmid: str) -> str:
        return names.get(int(vmid), "COPY")

    path = path.removeprefix(_NODE)
    if found := re.match(r"/tasks/UPID:(?:[^:]*:){4}([^:]*):([^:]*):[^/]*(/.*)", path):
        kind, subject, rest = found.groups()
        who = name(subject) if subject.isdigit() else ""
        return _subject(who), f"/tasks/{' '.join(filter(None, (kind, who)))}{rest}"
    if found := re.match(r"/qemu/(\d+)(.*)", path):
        who = name(found[1])
        return _subject(who), f"/qemu/{who}{found[2]}"
    return "", re.sub(r"(/content/).*", r"\1ARCHIVE", path)


def _subject(name: str) -> str:
    return "" if name == "IMAGE" else name


def in_order(columns: Iterable[tuple[str, str, Column]]) -> dict[str, dict[str, Column]]:
    """Columns, each with its run and its fault, as they came from several processes: in the table's order."""
    found = {(run, fault): cells for run, fault, cells in columns}
    order = [fault.name for fault in FAULTS]
    return {
        run: {name: found[run, name] for name in order if (run, name) in found}
        for run in sorted({run for run, _ in found})
    }


def render(results: Mapping[str, Mapping[str, Column]]) -> str:
    """The page: a table a run. ``results``: cells by run, fault and row, the rows in the order of the calls."""
    lines = [_OPENING]
    for run, columns in results.items():
        lines += [f"## {run}", "", *_table(columns), ""]
    return "\n".join(lines).rstrip() + "\n"


_OPENING = """# What happens when a call fails

Every call that a run makes to Proxmox was made to fail in every way it can: each cell is a run of its own against a
modelled cluster, with one fault at one call. `make faults` writes this page; a test fails when a cell is no longer
true.

- `converged`: the run itself got over it, and the cluster is exactly as without the fault.
- `error, next run finishes`: the run said what failed and what to do; the same command again, without the fault, led to
  exactly the same cluster.
- `–`: this call cannot have this fault.

After every cell the whole cluster is compared with that of a run without faults: machines with their configuration,
pools, snapshots and volumes, archives and their notes, how often a machine was cloned or restarted. So the test fails
with a second machine, a lost disk, or something that belongs to nobody.

The faults: an answer with this status; silence until the client gives up, before or after the call was carried out; a
connection that breaks, or an answer that is no JSON, after the call was carried out if it writes; an answer that comes
a byte at a time without end (slow body), that never ends (endless body), or that holds nothing (null data), of one call
of each form, after the call was carried out if it writes; a hypervisor that is gone from that call on for the rest of
the run; a node that is off while the rest of the cluster answers; a machine whose mark somebody broke; a task that
fails, or that never ends until somebody stops it; a configuration that somebody else edits between the look and the
write.
"""


def _table(columns: Mapping[str, Column]) -> list[str]:
    faults = [fault.name for fault in FAULTS if fault.name in columns]
    rows = list(dict.fromkeys(row for column in columns.values() for row in column))
    head = ["call", *faults]
    lines = [_line(head), _line(["---"] * len(head))]
    return lines + [
        _line([f"`{row}`", *(columns[name].get(row, LEFT_OUT) for name in faults)]) for row in rows
    ]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def read_page(text: str) -> dict[str, dict[str, Column]]:
    """The tables of a page, as :func:`render` takes them."""
    results: dict[str, dict[str, Column]] = {}
    head: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("## "):
            columns = results[line.removeprefix("## ")] = {}
        elif line.startswith("| call"):
            head = cells[1:]
            columns.update({name: {} for name in head})
        elif line.startswith("| `"):
            for name, cell in zip(head, cells[1:], strict=True):
                columns[name][cells[0].strip("`")] = cell
    return results


def summary(results: Mapping[str, Mapping[str, Column]]) -> list[str]:
    """The tables for a terminal: ``ok`` for what converged, ``next`` for what the next run finishes."""
    words = {CONVERGED: "ok", NEXT_RUN: "next", LEFT_OUT: "-"}
    lines = []
    for run, columns in results.items():
        rows = list(dict.fromkeys(row for column in columns.values() for row in column))
        widths = [max(len(name), 4) for name in columns]
        wide = max(map(len, rows), default=0)
        lines.append(
            f"{run:{wide}}  " + "  ".join(name.ljust(w) for name, w in zip(columns, widths, strict=True))
        )
        for row in rows:
            cells = [words.get(column.get(row, LEFT_OUT), "FAILED") for column in columns.values()]
            lines.append(
                f"{row:{wide}}  " + "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True))
            )
        lines.append("")
    return lines
