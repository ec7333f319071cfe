"""The mark of ownership: a short machine-readable part of a machine's notes in Proxmox.

Proxmox itself is the register of what belongs to whom; there is no state file. The mark names client and
machine and records what the hypervisor's own configuration cannot: the image it was cloned from, which
disk of the file sits in which slot, the firewall rules last loaded, the guest's SSH host keys. Text that
people write around it is kept. Proxmox shows notes as Markdown, where an HTML comment is invisible.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal

MAXIMUM_LENGTH = 8192
"""Longest ``description`` that Proxmox accepts, in characters."""

_VERSION = 1
_MARK = re.compile(r"<!-- orchestrator (\{.*?\}) -->", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class UpdateNote:
    """What is known of a machine's update that did not end well, or has not ended.

    Attributes:
        state: ``running`` (an update began; whoever finds this without a run goes on with it), ``going-back`` (it is
            being brought back to the snapshot), ``held`` (no automatic update before somebody has looked).
        since: when that began (UTC, whole seconds).
        snapshot: the snapshot taken before it; None if there was no room for one.
        reason: why it goes back, or is held.
        packages: the versions that were tried: ``openssl 3.0.11``.
    """

    state: Literal["running", "going-back", "held"]
    since: dt.datetime
    snapshot: str | None = None
    reason: str = ""
    packages: tuple[str, ...] = ()

    def to_data(self) -> dict[str, Any]:
        """As it stands in the mark."""
        since = int(self.since.timestamp())
        data: dict[str, Any] = {"state": self.state, "since": since, "snapshot": self.snapshot}
        return data | {"reason": self.reason, "packages": list(self.packages)}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> UpdateNote:
        """Read what :meth:`to_data` gave.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        if data["state"] not in ("running", "going-back", "held"):
            raise ValueError(f"unknown state {data['state']}")
        return cls(
            state=data["state"],
            since=dt.datetime.fromtimestamp(data["since"], dt.UTC),
            snapshot=data["snapshot"],
            reason=data["reason"],
            packages=tuple(data["packages"]),
        )


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What we wrote into a machine's notes.

    Attributes:
        client: whose machine it is.
        machine: its name in the subscription file.
        contract: the contract's reference.
        offer: the offer it was made under.
        image: the image it was cloned from.
        ready: true once the machine has booted and its firewall was loaded for the first time.
        slots: which disk of the file (by name) sits in which slot (``scsi0``).
        firewall: the policy last loaded in the guest, as data; None if none was.
        host_keys: the guest's public SSH host keys, learnt through the guest agent.
        applied: what the file asked for when it was last applied, in words, by attribute: tells drift
            (the hypervisor was changed) from an edit (the file was changed).
        restart_due: when (seconds since the epoch) settings were last written that the running guest takes up at
            its next start only; None if there never were any. Proxmox does not keep those of cloud-init as pending.
        snapshots: declared snapshots that were taken, with the day they were declared for: not taken again.
        keys: fingerprints (``SHA256:…``) of the file's SSH keys that were put into the guest; None if none were.
        supervised: whether the node exporter was installed there by us.
        update: an update that is under way, or because of which the machine is held back from automatic ones
            (:class:`UpdateNote`).
        tested: the day a backup of it was last restored and found sound; None: never.
        suspended: the day its contract's suspension stopped it while it ran: it is started when that is over.
        adopted: the address of a machine that was there before us and was taken over as it is (article 4.2): its
            delivery settings (cloud-init, guest agent, name) are left alone. None: it was made by us.
        redundant: whether there is, or may be, something of ours in HA or replication for it (article 3.2).
        retired: the day it was taken out of its file; None while it is in service.
    """

    client: str
    machine: str
    contract: str
    offer: str
    image: str
    ready: bool = False
    slots: dict[str, str] = field(default_factory=dict)
    firewall: dict[str, Any] | None = None
    host_keys: tuple[str, ...] = ()
    applied: dict[str, str] = field(default_factory=dict)
    restart_due: int | None = None
    snapshots: dict[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] | None = None
    supervised: bool = False
    update: UpdateNote | None = None
    tested: dt.date | None = None
    suspended: dt.date | None = None
    adopted: str | None = None
    redundant: bool = False
    retired: dt.date | None = None

    def with_(self, **changes: Any) -> Mark:
        """Return a copy with some attributes changed."""
        return replace(self, **changes)


def _encode(mark: Mark) -> str:
    data: dict[str, Any] = {
        "v": _VERSION,
        "client": mark.client,
        "machine": mark.machine,
        "contract": mark.contract,
        "offer": mark.offer,
        "image": mark.image,
        "ready": mark.ready,
        "slots": mark.slots,
        "firewall": mark.firewall,
        "host_keys": list(mark.host_keys),
        "applied": mark.applied,
        "restart_due": mark.restart_due,
        "snapshots": mark.snapshots,
        "keys": list(mark.keys) if mark.keys is not None else None,
        "supervised": mark.supervised,
        "update": mark.update.to_data() if mark.update else None,
        "tested": mark.tested.isoformat() if mark.tested else None,
        "suspended": mark.suspended.isoformat() if mark.suspended else None,
        "adopted": mark.adopted,
        "redundant": mark.redundant,
        "retired": mark.retired.isoformat() if mark.retired else None,
    }
    # "--" and ">" would end the comment early; JSON may escape any character.
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return text.replace("--", "-\\u002d").replace(">", "\\u003e")


def read_mark(notes: str) -> Mark | None:
    """Return the mark in a machine's notes, or None if there is none that this version can read."""
    match = _MARK.search(notes)
    if match is None:
        return None
    try:
        data = json.loads(match[1])
        if data["v"] != _VERSION:
            return None
        return Mark(
            client=data["client"],
            machine=data["machine"],
            contract=data["contract"],
            offer=data["offer"],
            image=data["image"],
            ready=data["ready"],
            slots=dict(data["slots"]),
            firewall=data["firewall"],
            host_keys=tuple(data["host_keys"]),
            applied=dict(data["applied"]),
            restart_due=data["restart_due"],
            snapshots=dict(data.get("snapshots") or {}),
            keys=tuple(data["keys"]) if data.get("keys") is not None else None,
            supervised=bool(data.get("supervised")),
            update=UpdateNote.from_data(data["update"]) if data.get("update") else None,
            tested=dt.date.fromisoformat(data["tested"]) if data.get("tested") else None,
            suspended=dt.date.fromisoformat(data["suspended"]) if data.get("suspended") else None,
            adopted=data.get("adopted"),
            redundant=bool(data.get("redundant")),
            retired=dt.date.fromisoformat(data["retired"]) if data["retired"] else None,
        )
    except (ValueError, KeyError, TypeError):
        return None


def write_mark(mark: Mark, notes: str = "") -> str:
    """Return the notes with the mark in them, other people's text kept.

    Raises:
        ValueError: mark and text together exceed what Proxmox stores.
    """
    comment = f"<!-- orchestrator {_encode(mark)} -->"
    if _MARK.search(notes):
        text = _MARK.sub(lambda _: comment, notes, count=1)
    else:
        heading = f"{mark.client} / {mark.machine}, contract {mark.contract} ({mark.offer}). Managed by orchestrator."
        text = "\n\n".join(part for part in (heading, notes.strip(), comment) if part)
    if len(text) > MAXIMUM_LENGTH:
        raise ValueError(
            f"the notes of {mark.client}/{mark.machine} would be {len(text)} characters long; Proxmox stores "
            f"{MAXIMUM_LENGTH}: shorten the text beside the mark, or the list of open ports"
        )
    return text
