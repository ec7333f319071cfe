"""What could not be read at a site: shown, left as it is, and nothing of its name or address is made beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A machine, a node or a storage that could not be read, or a machine that only claims to be ours.

    The rest of its site goes on.

    Attributes:
        site: where it is.
        kind: what it is.
        name: of the node or the storage; of the VM as the cluster's list has it.
        reason: why it could not be read, and what to do, for people.
        node: where a machine is; None for others.
        vmid: a machine's number; None for others.
        client, machine: whose it seems to be, by its pool, its tag, or what can still be read of its mark; None if
            nothing tells. A claim: good for a warning and for making nothing twice, never for a change.
        also: the client whose it is by its pool and tags, whatever its mark says; None if they do not tell.
        guessed: whether ``machine`` is only the VM's name, for want of anything better.
        copy: whether the machine that it claims to be is there and is ours: then it holds nothing up.
        addresses: the static IPv4 addresses that it is configured with; None if they are not known.
    """

    site: str
    kind: Literal["machine", "node", "storage"]
    name: str
    reason: str
    node: str | None = None
    vmid: int | None = None
    client: str | None = None
    machine: str | None = None
    also: str | None = None
    guessed: bool = False
    copy: bool = False
    addresses: tuple[IPv4Address, ...] | None = None

    @property
    def subject(self) -> str:
        """What it is, for people: ``VM 105 web-1 on pve2``, ``node pve2``."""
        if self.kind != "machine":
            return f"{self.kind} {self.name}"
        name = "" if self.name == f"VM {self.vmid}" else f" {self.name}"
        return f"VM {self.vmid}{name} on {self.node}"

    @property
    def claims(self) -> bool:
        """Whether somebody has to look at it: all but strangers, of whom only the address is not known."""
        return self.kind != "machine" or self.client is not None

    @property
    def holds_up(self) -> bool:
        """Whether something that a file asks for may be left undone because of it."""
        return self.claims and not self.copy


def holding_up(
    items: Iterable[Unreadable],
    client: str,
    machine: str,
    *,
    vmid: int | None = None,
    known: Collection[str] = (),
    elsewhere: bool = False,
) -> Unreadable | None:
    """What is, or could be, a machine that was not found among those that are ours: it is not made beside it.

    Args:
        items: what could not be read at the machine's site.
        client: whose machine is looked for.
        machine: its name in the client's file.
        vmid: the number that its file gives it (``adopt``), if it does.
        known: the names of all machines of the client that are in its file, or ours: whatever bears one of them is
            that one.
        elsewhere: whether the items are of another site than the file's: then only what says itself that it is this
            machine is in its way.

    Returns:
        What is surely it, if anything is; else what could be it; None if nothing could.
    """
    machines = [item for item in items if item.kind == "machine" and not item.copy]
    surely = [
        item
        for item in machines
        if (item.client, item.machine) == (client, machine)
        or (item.also, item.name) == (client, machine)
        or (vmid is not None and item.vmid == vmid)
    ]
    perhaps = [
        item
        for item in (() if elsewhere else machines)
        if (item.client is None and item.machine in (None, machine))
        or (item.client == client and (item.machine is None or (item.guessed and item.machine not in known)))
        or (item.also == client != item.client and item.name not in known)
    ]
    return next(iter([*surely, *perhaps]), None)
