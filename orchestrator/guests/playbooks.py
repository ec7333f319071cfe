"""The one place that runs Ansible: a playbook over a set of machines, and what each task said on each.

Results come over a pipe that Ansible's own process alone writes to (``playbooks/plugins/callback``). Nothing is read
out of what is printed: a guest has a say in that. Values of files, marks and guests go to Ansible marked as unsafe, see
:mod:`orchestrator.guests.inventory`.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.errors import Reason
from orchestrator.guests import limits
from orchestrator.guests.guest import Guest, SshSettings
from orchestrator.guests.inventory import (
    InventoryHost,
    dynamic_inventory,
    host_name,
    unsafe,
    write_known_hosts,
)
from orchestrator.guests.run_folder import run_folder
from orchestrator.shipped_files import playbook_folder

MACHINES_AT_ONCE = 20
"""How many machines a playbook works on at the same time: each is a process of some 60 MB here."""

KINDS = ("start", "ok", "failed", "unreachable", "skipped")

_LOG = logging.getLogger("orchestrator.guests")


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """What one task said on one machine.

    Attributes:
        host: the machine's name in the inventory.
        task: the task's name in the playbook.
        kind: ``start``, ``ok``, ``failed``, ``unreachable`` or ``skipped``.
        result: of the task's own answer ``stdout``, ``stderr``, ``msg`` (texts of limited length), ``rc``, ``changed``,
            ``rebooted``; and ``timed_out`` if Ansible gave up waiting for it.
        began, ended: when Ansible began the task on it and had its result, in seconds of our monotonic clock.
    """

    host: str
    task: str
    kind: str
    result: dict[str, Any]
    began: float = field(default=0.0, compare=False)
    ended: float = field(default=0.0, compare=False)


@dataclass(frozen=True, kw_only=True)
class PlaybookRun:
    """What a playbook said.

    Attributes:
        results: in the order in which they came. A task that began and was never reported on is ``unreachable``.
        output: why nothing is known of a machine that no task reported on. Holds no guest's words.
        dropped: results that were not used, because they were no results or of a machine that was not asked.
    """

    results: tuple[TaskResult, ...]
    output: str
    dropped: tuple[str, ...] = ()

    def of(self, host: str) -> dict[str, TaskResult]:
        """The last result of each task on a machine by the task's name, without starts and skipped ones."""
        return {r.task: r for r in self.results if r.host == host and r.kind not in ("start", "skipped")}


def run_playbook(
    name: str,
    guests: Sequence[Guest],
    ssh: SshSettings,
    *,
    check: bool = False,
    variables: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
    on_result: Callable[[TaskResult], None] | None = None,
    run_seconds: float | None = None,
) -> PlaybookRun:
    """Run a playbook of ours over all machines at once.

    Args:
        name: the file's name in ``playbooks/``.
        guests: the machines.
        ssh: how they are reached.
        check: only look what would change (Ansible's check mode).
        variables: more variables for some of the machines, by client and machine.
        on_result: called for each result as it comes.
        run_seconds: how long all may take; what was reported until then counts. At most what the limits of the tasks
            come to (:mod:`orchestrator.guests.limits`).
    """
    guests = taking_turns(guests)
    more = variables or {}
    each = max(limits.machine_seconds(name, len(guest.asked), more.get(guest.key, {})) for guest in guests)
    at_once = min(len(guests), MACHINES_AT_ONCE)
    seconds: float = limits.run_seconds(len(guests), at_once, each)
    if run_seconds is not None:
        seconds = min(seconds, run_seconds)
    try:
        with run_folder() as folder:
            known_hosts, inventory = folder / "known_hosts", folder / "inventory.json"
            write_known_hosts(known_hosts, guests)
            inventory.write_text(json.dumps(_inventory(guests, ssh, known_hosts, more)), encoding="utf-8")
            command = ["ansible-playbook", "-i", str(inventory), "--forks", str(at_once)]
            command += ["--check"] if check else []
            reading = _Reading({host_name(guest) for guest in guests}, on_result)
            with _ansible([*command, str(playbook_folder() / name)], folder) as (process, results, printed):
                in_time = reading.follow(process, results, printed, time.monotonic() + seconds)
    except OSError as error:
        return PlaybookRun(results=(), output=f"Ansible could not be started: {error}")
    reason = _reason(reading, process.returncode, None if in_time else seconds)
    reading.end(reason)
    for line in reading.dropped:
        _LOG.warning("result dropped", extra={"fields": {"playbook": name, "reason": line}})
    return PlaybookRun(
        results=tuple(reading.results),
        output=reason,
        dropped=tuple(reading.dropped),
    )


def taking_turns(guests: Sequence[Guest]) -> list[Guest]:
    """Return machines in the order in which they are begun: each client's first one before anybody's second one.

    Only so many are worked on at once. If a client's machines hang, those of others are not behind all of them.
    """
    count: dict[str, int] = {}
    turns = []
    for guest in guests:
        count[guest.client] = count.get(guest.client, 0) + 1
        turns.append(count[guest.client])
    return [guest for _, guest in sorted(zip(turns, guests, strict=True), key=lambda item: item[0])]


class _Reading:
    """What was read of a run."""

    def __init__(self, hosts: set[str], on_result: Callable[[TaskResult], None] | None) -> None:
        self.results: list[TaskResult] = []
        self.dropped: list[str] = []
        self.printed = b""
        self._hosts = hosts
        self._tell = on_result or (lambda result: None)
        self._begun: dict[tuple[str, str], float] = {}
        self._line = b""
        self._too_long = False

    def follow(self, process: subprocess.Popen[bytes], results: int, printed: int, deadline: float) -> bool:
        """Read results and output until Ansible ends; false if it had not by the deadline."""
        with selectors.DefaultSelector() as waiting:
            for source, use in ((results, self._take), (printed, self._keep)):
                os.set_blocking(source, False)
                waiting.register(source, selectors.EVENT_READ, use)
            while True:
                ended = process.poll() is not None
                left = deadline - time.monotonic()
                events = waiting.select(0 if ended else min(max(left, 0), 0.5))
                for key, _ in events:
                    data = os.read(key.fd, 65536)
                    if data:
                        key.data(data)
                    else:
                        waiting.unregister(key.fd)
                if ended and not events:
                    return True
                if left <= 0 and not ended:
                    return False
                if not waiting.get_map():
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(min(max(left, 0), 0.5))

    def end(self, reason: str) -> None:
        """Count what began and was never reported on as out of reach: what became of it is not known."""
        last = {result.host: result for result in self.results}
        for host, result in last.items():
            if result.kind == "start":
                self._use(TaskResult(host=host, task=result.task, kind="unreachable", result={"msg": reason}))

    def _keep(self, data: bytes) -> None:
        self.printed = (self.printed + data)[-limits.ANSIBLE_OUTPUT_BYTES :]

    def _take(self, data: bytes) -> None:
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._append(end)
            if self._too_long:
                self._drop(f"a line of more than {limits.RESULT_LINE_BYTES} bytes")
            else:
                self._read(self._line)
            self._line, self._too_long = b"", False
        self._append(rest)

    def _append(self, data: bytes) -> None:
        self._too_long = self._too_long or len(self._line) + len(data) > limits.RESULT_LINE_BYTES
        self._line = b"" if self._too_long else self._line + data

    def _read(self, line: bytes) -> None:
        result = parse_result(line)
        if result is None:
            self._drop(f"what is not a result: {line[:100]!r}")
        elif result.host not in self._hosts:
            self._drop(f"a result of {result.host[:100]!r}, which was not asked")
        else:
            if result.kind == "start":
                self._begun[result.host, result.task] = result.ended
            self._use(replace(result, began=self._begun.get((result.host, result.task), result.ended)))

    def _use(self, result: TaskResult) -> None:
        self.results.append(result)
        self._tell(result)

    def _drop(self, reason: str) -> None:
        if len(self.dropped) < 100:
            self.dropped.append(reason)


def parse_result(line: bytes) -> TaskResult | None:
    """Read a line of the callback; None if it is something else."""
    try:
        data = json.loads(line)
        host, task, kind, said = data["host"], data["task"], data["kind"], data["result"]
        at = float(data.get("at", 0.0))
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None
    if not (isinstance(host, str) and isinstance(task, str) and kind in KINDS and isinstance(said, dict)):
        return None
    for name, sort in _ANSWER.items():
        if name in said and type(said[name]) is not sort:
            return None
    # Half a character (a surrogate) can be in a text of Python and in no file and no database.
    answer = {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in said.items()
        if name in _ANSWER
    }
    return TaskResult(host=host, task=task, kind=kind, result=answer, ended=at)


_ANSWER: Mapping[str, type] = {
    "stdout": str,
    "stderr": str,
    "msg": str,
    "rc": int,
    "changed": bool,
    "rebooted": bool,
    "timed_out": bool,
}


def _reason(reading: _Reading, returncode: int | None, gave_up_after: float | None) -> Reason:
    """Why a machine was not reported on. What Ansible printed counts only if no machine could have a say in it."""
    if gave_up_after is not None:
        return (
            f"the run took longer than {gave_up_after:.0f} s, so Ansible was ended before it came to this: some "
            "machine hangs; run it again"
        )
    if reading.results:
        return "Ansible ended without reporting on it: run it again"
    said = reading.printed.decode(errors="replace")[-2000:].strip()
    return said or f"Ansible ended without a word (exit status {returncode})"


@contextmanager
def _ansible(command: list[str], folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """Ansible at work, in a session of its own; the pipe that its results come from, and that of what it prints."""
    results, end_of_results = os.pipe()
    printed, end_of_printed = os.pipe()
    try:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=_environment(folder, end_of_results),
                stdin=subprocess.DEVNULL,
                stdout=end_of_printed,
                stderr=subprocess.STDOUT,
                pass_fds=(end_of_results,),
                start_new_session=True,
            )
        finally:
            os.close(end_of_results)
            os.close(end_of_printed)
        try:
            yield process, results, printed
        finally:
            if process.poll() is None:  # its workers end with the run's folder
                process.kill()
                process.wait()
    finally:
        os.close(results)
        os.close(printed)


def _inventory(
    guests: Iterable[Guest],
    ssh: SshSettings,
    known_hosts: Path,
    more: Mapping[tuple[str, str], Mapping[str, Any]],
) -> dict[str, Any]:
    """The dynamic inventory's variables in the form of a static one, a file."""
    hosts = [InventoryHost(guest=guest, site="", offer="") for guest in guests]
    variables = dynamic_inventory(hosts, ssh=ssh, known_hosts=known_hosts)["_meta"]["hostvars"]
    return {
        "all": {
            "hosts": {
                host_name(guest): {**variables[host_name(guest)], **unsafe(more.get(guest.key, {}))}
                for guest in guests
            }
        }
    }


def _environment(folder: Path, results: int) -> dict[str, str]:
    """What Ansible finds in its environment: of its own settings those below and nobody else's."""
    others = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "_ANSIBLE_"))
    }
    return others | {
        # Ansible's programs are those beside this Python.
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "ORCHESTRATOR_PYTHON": sys.executable,
        "ORCHESTRATOR_RESULTS": str(results),
        "ANSIBLE_CONFIG": str(playbook_folder() / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(playbook_folder() / "plugins" / "callback"),
        "ANSIBLE_STDOUT_CALLBACK": "orchestrator_results",
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "cp"),
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",  # Ansible refuses to start under LC_ALL=C
    }
