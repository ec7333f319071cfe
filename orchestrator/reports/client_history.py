"""A client's history, as the client reads it: who, when, why, what and with what result (article 3.8.1).

Without names of nodes and storages, addresses of the provider, numbers of VMs, other clients, and the provider's
people. What an entry's message says is never shown: it is Proxmox's. What was done becomes a word of ours, by a table;
of the details only what the client named or decided itself; a reason is shown if :mod:`discretion` lets it pass.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.history.chain import BEGUN
from orchestrator.history.changes import CHANGE
from orchestrator.reports.reasons import reason_name
from orchestrator.shown import visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from orchestrator.history.chain import Entry
    from orchestrator.reports.discretion import Discretion

Side = Literal["client", "provider", "automatic"]
Outcome = Literal["ok", "failed", "refused", "unknown", "begun"]

_NIGHT = "night of "
"""How the reason of what a night does begins."""

_LONGEST = 300
_MOST_CHANGES = 50

ACTS: dict[str, str] = {
    "clone": "act_created",
    "adopt": "act_taken_over",
    "import": "act_taken_over",
    "taking over": "act_taking_over",
    CHANGE: "act_change",
    "configure": "act_configured",
    "grow disk": "act_resized",
    "start": "act_started",
    "shutdown": "act_stopped",
    "stop": "act_stopped",
    "switch off": "act_forced",
    "restart": "act_restarted",
    "restart in window": "act_restarted",
    "backup": "act_backup",
    "backup, begun by an earlier run": "act_backup",
    "remove archive": "act_backup_expired",
    "restore": "act_restored",
    "restore test": "act_restore_test",
    "copy files": "act_files",
    "export": "act_export",
    "snapshot": "act_snapshot",
    "expire snapshot": "act_snapshot_expired",
    "delete snapshot": "act_snapshot_deleted",
    "roll back": "act_rolled_back",
    "update": "act_updated",
    "updates due": "act_updates_looked",
    "firewall": "act_firewall",
    "firewall alerts": "act_firewall_read",
    "keys": "act_keys",
    "node exporter": "act_monitoring",
    "rename": "act_renamed",
    "erase": "act_erased",
    "end of contract noted": "act_notice",
    "end of contract": "act_ended",
    "fail over": "act_failed_over",
    "migrate back": "act_failed_back",
    "outage": "act_outage",
    "excusable event": "act_excuse",
    "maintenance": "act_maintenance",
    "request": "act_request",
    "approval": "act_approval",
    "credit request": "act_credit_asked",
    "credit": "act_credit",
    "alarm": "act_alarm",
    "alarm action": "act_alarm_action",
    "console": "act_console",
    "look at client": "act_looked",
    "login": "act_signed_in",
    "logout": "act_signed_out",
    "session ended": "act_signed_out",
    "sessions ended": "act_signed_out",
    "password changed": "act_access",
    "account added": "act_access",
    "account disabled": "act_access",
    "account enabled": "act_access",
    "account reset": "act_access",
}
"""What was done, by the action of an entry: the name of its words. Others are technical, and are said to be."""

OTHER = "act_other"

_WHYS = {
    "subscription change": "why_change",
    "updates on request": "why_updates",
    "restart in the maintenance window": "why_window",
    "a client's request (art. 3.8.3)": "why_request",
    "export of disks on request": "why_export",
    "credit": "why_credit",
    "credit issued": "why_credit",
    "taking over (art. 4.2)": "why_taking_over",
    "declared": "why_declared",
    "access": "why_access",
    "look in the Interface": "why_looked",
    "fail-over": "why_failed_over",
    **dict.fromkeys(
        (
            "backup on demand",
            "files out of an archive",
            "rescue",
            "restore on demand",
            "restore test on demand",
            "rollback on demand",
            "snapshot on demand",
            "snapshot removed on demand",
        ),
        "why_on_demand",
    ),
    "console in the Interface": "why_console",
    "approval of the reversibility plan (art. 10)": "why_reversibility",
}
"""Reasons of ours, by the name of their words in the client's language."""


@dataclass(frozen=True, kw_only=True)
class ClientEntry:
    """One action.

    Attributes:
        number: of the entry.
        at: when it was recorded (aware).
        machine: empty for what concerns all of them.
        side, who: whose act it was; the name only of the client's own people.
        act: the name of the words for what was done.
        changes: what changed: the name of the words, and what its name is (a disk's, a snapshot's), or empty.
        about: what the client named or decided: a snapshot, the reference of an order.
        result: ``begun``: no end was recorded.
        reason: the name of the words for why it failed; empty if it did not.
        why: the name of the words for the reason; empty if ``text`` is the reason, or it is not for the client.
        text: the reason as it was typed.
    """

    number: int
    at: dt.datetime
    machine: str
    side: Side
    who: str
    act: str
    changes: tuple[tuple[str, str], ...]
    about: str
    result: Outcome
    reason: str
    why: str
    text: str


def client_entry(entry: Entry, *, people: Collection[str], discretion: Discretion) -> ClientEntry:
    """What a client reads of an entry of its own.

    Args:
        entry: of the client: whose it is was decided when it was read.
        people: the names of the client's own accounts.
        discretion: what it may be shown.
    """
    details = _details(entry)
    side: Side = (
        "client" if entry.who in people else "automatic" if entry.why.startswith(_NIGHT) else "provider"
    )
    why = "why_night" if side == "automatic" else _WHYS.get(entry.why, "")
    bad = entry.result in ("failed", "refused") and entry.action not in _OF_ACCOUNTS
    return ClientEntry(
        number=entry.sequence,
        at=entry.at,
        machine=entry.machine or "",
        side=side,
        who=visible(entry.who, longest=_LONGEST) if side == "client" else "",
        act=ACTS.get(entry.action, OTHER),
        changes=tuple(_changes(details, discretion)) if entry.action == CHANGE else (),
        about=visible(discretion.shown(_about(entry, details)), longest=_LONGEST),
        result=_outcome(entry.result),
        reason=reason_name(entry.message) if bad and entry.message else "",
        why=why,
        text="" if why else visible(discretion.shown(entry.why), longest=_LONGEST),
    )


def _about(entry: Entry, details: dict[str, Any]) -> str:
    if entry.action == CHANGE:
        references = (details.get(name) for name in ("order", "catalogue", "quote"))
        return ", ".join(one for one in references if isinstance(one, str))
    named = details.get("snapshot")
    return named if isinstance(named, str) and entry.action in _OF_SNAPSHOTS else ""


def _changes(details: dict[str, Any], discretion: Discretion) -> Iterator[tuple[str, str]]:
    """What changed, each word once; what has no word is another setting."""
    told = details.get("changes")
    listed = told[:_MOST_CHANGES] if isinstance(told, list) else []
    for word, part in dict.fromkeys(_changed(one) for one in listed if isinstance(one, str)):
        yield word, visible(discretion.shown(part), longest=_LONGEST)


def _changed(what: str) -> tuple[str, str]:
    kind, _, part = what.partition(" ")
    named = _CHANGED_PART.get(kind)
    return (named, part) if named and part else (_CHANGED.get(what, "changed_other"), "")


_CHANGED = {
    "memory": "changed_memory",
    "vCPU": "changed_vcpu",
    "network": "changed_network",
    "address": "changed_address",
    "firewall": "changed_firewall",
    "keys": "changed_keys",
    "SSH keys": "changed_keys",
    "backup": "changed_backup",
    "retention": "changed_backup",
    "updates": "changed_updates",
    "machine": "changed_machine",
    "power": "changed_power",
}
_CHANGED_PART = {"disk": "changed_disk", "snapshot": "changed_snapshot"}
"""What changed, by the attribute of a plan's change."""

_OF_ACCOUNTS = ("console", "login")
"""What is refused there is no incident."""

_OF_SNAPSHOTS = ("snapshot", "expire snapshot", "delete snapshot", "roll back")


def _outcome(result: str) -> Outcome:
    if result == "ok":
        return "ok"
    if result == "failed":
        return "failed"
    if result == "refused":
        return "refused"
    return "begun" if result == BEGUN else "unknown"


def _details(entry: Entry) -> dict[str, Any]:
    try:
        details = json.loads(entry.details)
    except (ValueError, RecursionError):  # altered by somebody: `history verify` says so
        return {}
    return details if isinstance(details, dict) else {}
