"""The state of a machine in trouble, for people and for programs."""

from __future__ import annotations

from typing import Any

from orchestrator.cli import session
from orchestrator.contract.calendar import paris_time
from orchestrator.operations.rescue_choices import age_words, choices, lock_words, test_words
from orchestrator.operations.rescue_state import RescueState

_GIB = 1024**3
_ARCHIVES = 10
_MESSAGE = 120

_NOT_KEPT = "Proxmox keeps no output of consoles"


def show_state(state: RescueState, volid: str | None) -> None:
    """Print everything that is known of a machine, and what can be done."""
    out = session.console()
    out.print(state.target, style="bold", end="")
    out.print(f"   {_contract(state)}")
    for name, value in _facts(state):
        out.print(f"  {name:<10} {value}")
    for text in state.unread:
        out.print(f"not read: {text}", style="red")
    out.print("What can be done:")
    for choice in choices(state, volid):
        value = f" {choice.value}" if choice.name == "rollback" else ""
        out.print(f"  {choice.name}{value}", style="bold", end="")
        out.print(f"   {choice.words}")
        if choice.refused:
            out.print(f"      not possible: {choice.refused}")
        for kind, what in choice.loses.items() if not choice.refused else ():
            out.print(f"      loses {kind}: {what}")


def _contract(state: RescueState) -> str:
    if state.says.life and (why := state.says.life.why(state.now)):
        return why
    if state.found:
        return f"contract {state.found.mark.contract}   {state.found.mark.offer}"
    return "no site that could be read has a machine that is surely it"


def _facts(state: RescueState) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    if state.found is not None:
        facts += _of_machine(state)
    if (lost := state.lost_node) is not None:
        facts.append(("where", f"VM {lost.vmid} on {lost.node}, {lost.site}: the node is off"))
    facts += [("may be it", f"{item.subject}, {item.site}: {item.reason}") for item in state.seeming]
    if state.says.problem:
        facts.append(("file", state.says.problem))
    for label, rows in (
        ("snapshot", _snapshots(state)),
        ("archive", _archives(state)),
        ("replica", _replicas(state)),
        (
            "history",
            [
                f"{paris_time(entry.at, seconds=True)}  {entry.action}  {entry.result}  by {entry.who}"
                + (f"  {entry.message[:_MESSAGE]}" if entry.result != "ok" and entry.message else "")
                for entry in state.entries
            ],
        ),
    ):
        facts += [(label if index == 0 else "", row) for index, row in enumerate(rows)]
    return facts


def _of_machine(state: RescueState) -> list[tuple[str, str]]:
    assert state.found is not None  # noqa: S101
    machine, mark = state.found.machine, state.found.mark
    summary = machine.summary
    power = summary.status
    if state.running:
        answers = {True: "its guest agent answers", False: "its guest agent does not answer", None: ""}
        power += f" {_up(summary.uptime)}" if summary.uptime else ""
        power += f", {answers[state.answers]}" if answers[state.answers] else ""
    if mark.retired:
        power += f", retired {mark.retired}"
    if mark.suspended:
        power += f", stopped by the suspension of {mark.suspended}"
    facts = [
        ("state", power),
        ("where", f"VM {summary.vmid} on {summary.node}, {machine.site}"),
        ("address", str(machine.address or "none")),
    ]
    facts += _console(state)
    if lock := lock_words(state):
        facts.append(("lock", lock))
    facts += [
        ("task", f"{task.kind} since {paris_time(task.since)} by {task.user}: {task.upid}")
        for task in state.tasks or ()
    ]
    facts += [("waiting", f"{key} {value}, until its next start") for key, value in state.waiting.items()]
    if mark.update is not None:
        facts.append(
            ("update", f"{mark.update.state} since {paris_time(mark.update.since)}: {mark.update.reason}")
        )
    if state.half_restored:
        facts.append(("restore", f"of {state.half_restored} into it was interrupted"))
    return facts


def _console(state: RescueState) -> list[tuple[str, str]]:
    """What the console printed just now, each line marked as the guest's; else why there is nothing to read."""
    if state.console is None or state.found is None:
        return []
    summary = state.found.machine.summary
    rows = [("console" if index == 0 else "", f"| {line}") for index, line in enumerate(state.console.lines)]
    how = f"open it in Proxmox, or `qm terminal {summary.vmid}` on {summary.node} as root"
    return rows or [("console", f"{_NOT_KEPT}, and {state.console.why}: {how}")]


def _up(seconds: int) -> str:
    import datetime as dt

    return f"for {age_words(dt.timedelta(seconds=seconds))}"


def _snapshots(state: RescueState) -> list[str]:
    if state.found is None:
        return []
    return [
        f"{item.name}   {paris_time(item.taken_at)}, {age_words(state.now - item.taken_at)} old"
        for item in reversed(state.found.machine.snapshots)
    ] or ["none"]


def _replicas(state: RescueState) -> list[str]:
    if state.lost_node is None:
        return [f"on {job.target}, {job.schedule}" for job in state.replicas]
    replica = state.lost_node.replica
    if replica is None:
        return []
    age = age_words(state.now - replica.synced_at)
    return [f"on {replica.node}, last replicated {paris_time(replica.synced_at)}, {age} ago"]


def _archives(state: RescueState) -> list[str]:
    rows = [
        f"{paris_time(item.taken_at)}, {age_words(state.now - item.taken_at)} old   "
        f"{item.stored.size / _GIB:.2f} GiB   {test_words(item)}   {item.stored.volid}, seen from {item.site}"
        for item in reversed(state.archives)
    ]
    more = len(rows) - _ARCHIVES
    if more > 0:
        return [*rows[:_ARCHIVES], f"and {more} older: orchestrator backup list {state.target}"]
    return rows or ["none"]


def state_document(state: RescueState, volid: str | None) -> dict[str, Any]:
    """The state as values, for programs."""
    machine = state.found.machine if state.found else None
    return {
        "target": state.target,
        "read_at": state.now.isoformat(),
        "machine": None
        if machine is None
        else {
            "site": machine.site,
            "node": machine.summary.node,
            "vmid": machine.summary.vmid,
            "status": machine.summary.status,
            "uptime_seconds": machine.summary.uptime,
            "guest_answers": state.answers,
            "lock": machine.summary.lock,
            "stale_lock": state.stale_lock,
            "address": str(machine.address) if machine.address else None,
            "waiting": dict(state.waiting),
            "console": list(state.console.lines) if state.console else [],
            "no_console": state.console.why or None if state.console else None,
        },
        "tasks": None
        if state.tasks is None
        else [
            {"upid": task.upid, "kind": task.kind, "since": task.since.isoformat(), "user": task.user}
            for task in state.tasks
        ],
        "snapshots": [
            {"name": item.name, "taken_at": item.taken_at.isoformat()}
            for item in (machine.snapshots if machine else ())
        ],
        "archives": [
            {
                "volid": item.stored.volid,
                "site": item.site,
                "taken_at": item.taken_at.isoformat(),
                "bytes": item.stored.size,
                "good": item.good,
                "restore_test": item.mark.test.sound if item.mark.test else None,
            }
            for item in state.archives
        ],
        "replicas": [{"node": job.target, "schedule": job.schedule} for job in state.replicas],
        "lost_node": _lost_node(state),
        "history": [
            {
                "at": entry.at.isoformat(),
                "action": entry.action,
                "result": entry.result,
                "who": entry.who,
                "message": entry.message,
            }
            for entry in state.entries
        ],
        "file_problem": state.says.problem or None,
        "seeming": [
            {"site": item.site, "subject": item.subject, "reason": item.reason} for item in state.seeming
        ],
        "half_restored": state.half_restored or None,
        "unread": list(state.unread),
        "choices": [
            {
                "name": choice.name,
                "value": choice.value or None,
                "loses": dict(choice.loses),
                "refused": choice.refused or None,
            }
            for choice in choices(state, volid)
        ],
    }


def _lost_node(state: RescueState) -> dict[str, Any] | None:
    lost = state.lost_node
    if lost is None:
        return None
    replica = lost.replica
    return {
        "site": lost.site,
        "node": lost.node,
        "vmid": lost.vmid,
        "replica": {"node": replica.node, "replicated_at": replica.synced_at.isoformat()}
        if replica
        else None,
        "why_no_replica": lost.why or None,
    }
