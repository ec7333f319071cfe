"""The plan for a merge request: a table that is read in ten seconds, the details folded. Markdown and HTML.

Both are made of the published document (:mod:`orchestrator.planning.document`) by a template in ``templates/plan``.
Markdown has to fit into a comment: what does not is left out, the largest first, and the comment says what.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from orchestrator.contract.calendar import paris_time
from orchestrator.counting import counted
from orchestrator.pages import fill
from orchestrator.planning.charges import Charge, Needed
from orchestrator.planning.document import restart_words, restarts, restarts_counted
from orchestrator.planning.words import BETWEEN_RULES, rules_of
from orchestrator.resources.change import QUIET, Effect
from orchestrator.shown import markdown, quoted, shortened, visible

if TYPE_CHECKING:
    from orchestrator.planning.document import ChangeDocument, MachineDocument, PlanDocument

MARKDOWN_ROOM = 60_000
"""Characters of a plan in Markdown: GitHub takes comments of 65,536."""

WORST = ("bad", "warn", "plain")
"""How much a client's row needs a look, most first."""

_LOST_NAMED = 3
"""How many losses a client's line names."""

_LONGEST = 400
"""Characters of one value where not all of the plan fits."""


@dataclass(frozen=True, kw_only=True)
class ClientRow:
    """One client's line of the table, and what is folded below it.

    Attributes:
        restart: how many machines restart when, and how many are stopped, in words.
        refused: how many changes are refused, and how many others are not done for it, in words.
        lost: what data goes that would have stayed, in words.
        charge: what the client pays for, in words.
        worst: ``bad`` (refused, or data goes), ``warn`` (restarts, retires, lacks a reference) or ``plain``.
    """

    client: str
    contract: str
    create: int
    change: int
    restart: str
    retire: int
    refused: str
    lost: str
    charge: str
    worst: str
    machines: tuple[MachineDocument, ...]


def render_markdown(document: PlanDocument) -> str:
    """The plan as Markdown, as merge requests of GitLab and GitHub show it, of at most ``MARKDOWN_ROOM`` characters."""
    text = fill("plan", "plan", "md", **content_of(document))
    if len(text) <= MARKDOWN_ROOM:
        return text
    rows = _rows(document)
    plain = fill("plan", "plan", "md", **content_of(document, longest=_LONGEST, left_out=rows))
    room = MARKDOWN_ROOM - len(plain)
    left_out = []
    for row in sorted(rows, key=lambda row: (WORST.index(row.worst), _detail_characters(row))):
        room -= _detail_characters(row)
        if room < 0:
            left_out.append(row)
    text = fill("plan", "plan", "md", **content_of(document, longest=_LONGEST, left_out=left_out))
    if len(text) <= MARKDOWN_ROOM:
        return text
    # At the top: what is cut may end inside something folded.
    first, _, rest = text.partition("\n")
    note = "> **Not all of it fits here:** the end is missing. `orchestrator plan --format html` shows it."
    return f"{first}\n\n{note}\n{rest}"[:MARKDOWN_ROOM].rpartition("\n")[0] + "\n"


def _detail_characters(row: ClientRow) -> int:
    """About how many characters a client's details take."""
    return 200 + sum(
        100 + len(markdown(machine.machine + _difference(change, _LONGEST) + _reason(change, _LONGEST)))
        for machine in row.machines
        for change in (*machine.changes, *machine.not_done)
    )


def render_html(document: PlanDocument) -> str:
    """The plan as one HTML page without anything from elsewhere."""
    return fill("plan", "plan", "html", **content_of(document))


def first_words(document: PlanDocument) -> str:
    """The plan in one line: how much is created, changed, restarted, refused."""
    return ", ".join(words for words, _ in _head(document))


def content_of(
    document: PlanDocument, *, longest: int | None = None, left_out: Sequence[ClientRow] = ()
) -> dict[str, Any]:
    """What a template shows of a plan.

    Args:
        document: the plan.
        longest: characters of one value; None: as many as anywhere.
        left_out: clients whose details do not fit.
    """
    clients = {row.client for row in left_out}
    return {
        "plan": document,
        "head": _head(document),
        "difference": partial(_difference, longest=longest),
        "reason": partial(_reason, longest=longest),
        "short": partial(_in_one_line, longest=longest),
        "made": paris_time(document.made_at),
        "untold": [item for item in document.unreadable if not item.refuses],
        "counted": counted,
        "quoted": quoted,
        "rows": _rows(document),
        "left_out": clients,
        "left_out_machines": sum(len(row.machines) for row in left_out),
        "quiet": [row.client for row in _all_rows(document) if not row.machines],
        "unmanaged": len(document.unmanaged),
        "refusing": [risk for risk in document.dangers if not risk.allowed],
        "allowed": [risk for risk in document.dangers if risk.allowed],
    }


def _head(document: PlanDocument) -> list[tuple[str, str]]:
    """The first line: each part with ``bad``, ``warn`` or nothing. What was not seen is not "no changes"."""
    s = document.summary
    held = sum(not item.copy_of_ours for item in document.unreadable)
    untold = sum(not item.copy_of_ours and not item.refuses for item in document.unreadable)
    found = [
        (f"{len(document.frozen)} frozen", "bad", len(document.frozen)),
        (f"{counted(len(document.failures), 'site')} not read", "bad", len(document.failures)),
        (f"{untold} not touched", "bad", untold),
        (f"{s.shared} shared", "", s.shared),
        (restarts_counted(s.restarts), "", len(s.restarts)),
        (f"{s.quotes_missing} without a reference", "warn", s.quotes_missing),
        (f"{s.refused} refused", "bad", s.refused),
        (f"{s.not_done} not done", "bad", s.not_done),
    ]
    changes = f"{s.create} to create, {s.update} to change, {s.retire} to retire, {s.erase} to erase"
    seen = "No changes in what could be read" if document.failures or held else "No changes"
    first = (changes if document.has_changes else seen, "")
    return [first, *((words, tone) for words, tone, count in found if count)]


def _all_rows(document: PlanDocument) -> list[ClientRow]:
    return [
        _row(client, list(machines), document.made_at)
        for client, machines in groupby(document.machines, key=lambda machine: machine.client)
    ]


def _rows(document: PlanDocument) -> list[ClientRow]:
    """The clients for whom there is something to read."""
    return [row for row in _all_rows(document) if row.machines]


def _row(client: str, machines: list[MachineDocument], made_at: dt.datetime) -> ClientRow:
    changing = tuple(machine for machine in machines if machine.changes)

    def having(*effects: Effect) -> int:
        return sum(any(change.effect in effects for change in machine.changes) for machine in going)

    going = [machine for machine in changing if not machine.refused]
    refused = sum(
        change.effect in (Effect.REFUSED, Effect.UNABLE) for machine in changing for change in machine.changes
    )
    not_done = sum(len(machine.not_done) for machine in changing)
    create, retire, stop = having(Effect.CREATE), having(Effect.RETIRE), having(Effect.STOP)
    restarting = restart_words(list(restarts((machine.changes for machine in machines), made_at)))
    touched = having(*(set(Effect) - QUIET))
    lost = _lost(going)
    unpaid = any(_charge_of(machine) is Charge.MISSING for machine in going)
    return ClientRow(
        client=client,
        contract=quoted(machines[0].contract),
        create=create,
        change=touched - create - retire,
        restart=", ".join(filter(None, [restarting, f"{stop} stopped" if stop else ""])),
        retire=retire,
        refused=", ".join(filter(None, [str(refused or ""), f"{not_done} not done" if not_done else ""])),
        lost=lost,
        charge=_charge_words(going),
        worst="bad" if refused or lost else "warn" if restarting or stop or retire or unpaid else "plain",
        machines=changing,
    )


def _lost(machines: Sequence[MachineDocument]) -> str:
    """What data goes with these changes that would have stayed, or whose days are over: what, and whose."""
    words = [
        f"{change.what} of {machine.machine}"
        for machine in machines
        for change in machine.changes
        if change.erases
    ]
    expired = sum(change.effect is Effect.EXPIRE for machine in machines for change in machine.changes)
    named = words[:_LOST_NAMED]
    if more := len(words) - len(named):
        named.append(f"{more} more")
    if expired:
        named.append(counted(expired, "expired snapshot"))
    return ", ".join(named)


def _charge_of(machine: MachineDocument) -> Charge | None:
    return machine.intervention.charge if machine.intervention else None


def _charge_words(machines: list[MachineDocument]) -> str:
    held = [machine.intervention for machine in machines if machine.intervention]
    words = []
    if free := sum(item.charge is Charge.FREE for item in held):
        words.append(f"{free} free")
    for order in dict.fromkeys(item.order for item in held if item.order):
        words.append(f"{sum(item.order == order for item in held)} ordered by {quoted(order)}")
    for line in dict.fromkeys(item.catalogue for item in held if item.catalogue):
        words.append(f"{sum(item.catalogue == line for item in held)} by the catalogue, {quoted(line)}")
    for quote in dict.fromkeys(item.quote for item in held if item.quote):
        words.append(f"{sum(item.quote == quote for item in held)} on quote {quoted(quote)}")
    for needed, name in _NEEDED.items():
        if missing := sum(needed in item.lacks for item in held):
            words.append(f"{missing} without {name}")
    return ", ".join(words)


_NEEDED = {
    Needed.ORDER: "an order",
    Needed.CATALOGUE: "a catalogue reference",
    Needed.QUOTE: "a quote",
}


def _difference(change: ChangeDocument, longest: int | None = None, *, done: bool = True) -> str:
    """Both sides; each rule of a firewall on a line of its own. No value makes a line of its own."""
    sides = [_in_one_line(text, longest) for text in (change.before, change.after) if text]
    words = " → ".join(sides)
    if len(rules_of(change.what, change.before, change.after)) > 1:
        words = "\n→ ".join(side.replace(BETWEEN_RULES, "\n") for side in sides)
    return words + (f"; restart {change.restart}" if change.restart and done else "")


def _reason(change: ChangeDocument, longest: int | None = None) -> str:
    return _in_one_line(change.why or change.class_reason or "", longest)


def _in_one_line(text: str, longest: int | None = None) -> str:
    """A value as it stands among our words: its line ends are shown, and end no line."""
    return visible(shortened(text, longest), longest=None)
