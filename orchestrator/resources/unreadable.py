"""What could not be read at a site: shown, left as it is, and nothing of its name or address is made beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A machine, a node or a storage that could not be read. The rest of its site goes on.

    Attributes:
        site: where it is.
        kind: what it is.
        name: of the node or the storage; of the VM as the cluster's list has it.
        reason: why it could not be read, and what to do, for people.
        node: where a machine is; None for others.
        vmid: a machine's number; None for others.
        client, machine: whose it seems to be, by its pool, its tag, or what can still be read of its mark; None if
            nothing tells. A claim: good for a warning and for making nothing twice, never for a change.
    """

    site: str
    kind: Literal["machine", "node", "storage"]
    name: str
    reason: str
    node: str | None = None
    vmid: int | None = None
    client: str | None = None
    machine: str | None = None
