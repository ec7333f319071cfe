"""The privileges that the orchestrator's token needs in Proxmox VE, and what each of them is for: one table.

Read off the permission checks of Proxmox's own API (``permissions`` of each method, and VM.Config.* by option in
PVE::API2::Qemu). 8.x has VM.Monitor for everything with the guest agent; 9.x has VM.GuestAgent.* and VM.Replicate.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.proxmox.errors import PermissionDenied

if TYPE_CHECKING:
    from orchestrator.proxmox.calls import Calls

Held = Mapping[str, Mapping[str, Any]]
"""Privileges by path, as ``GET /access/permissions`` tells them; 0: only at the path itself, not below."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """One privilege.

    Attributes:
        path: where it is needed, with all that lies below.
        features: what cannot be done without it.
        releases: the major versions of Proxmox VE that it is needed on.
    """

    privilege: str
    path: str
    features: tuple[str, ...]
    releases: frozenset[int] = frozenset({8, 9})


_EIGHT, _NINE = frozenset({8}), frozenset({9})

TABLE = (
    Need(privilege="VM.Audit", path="/vms", features=("seeing machines: every command",)),
    Need(
        privilege="VM.Allocate",
        path="/vms",
        features=("creating machines", "restoring", "erasing after a contract"),
    ),
    Need(privilege="VM.Clone", path="/vms", features=("creating machines",)),
    Need(privilege="VM.Config.CDROM", path="/vms", features=("the cloud-init drive",)),
    Need(privilege="VM.Config.CPU", path="/vms", features=("vCPUs",)),
    Need(
        privilege="VM.Config.Cloudinit",
        path="/vms",
        features=("addresses", "SSH keys", "the provider's user"),
    ),
    Need(privilege="VM.Config.Disk", path="/vms", features=("disks", "restoring into the original")),
    Need(privilege="VM.Config.HWType", path="/vms", features=("restoring",)),
    Need(privilege="VM.Config.Memory", path="/vms", features=("memory",)),
    Need(privilege="VM.Config.Network", path="/vms", features=("networks", "restoring")),
    Need(privilege="VM.Config.Options", path="/vms", features=("names", "tags", "notes: whose a machine is")),
    Need(
        privilege="VM.Monitor",
        path="/vms",
        features=("waiting for a boot", "trusting a guest's SSH key", "restore tests"),
        releases=_EIGHT,
    ),
    Need(
        privilege="VM.GuestAgent.Audit",
        path="/vms",
        features=("waiting for a boot", "restore tests"),
        releases=_NINE,
    ),
    Need(
        privilege="VM.GuestAgent.FileRead",
        path="/vms",
        features=("trusting a guest's SSH key", "restore tests"),
        releases=_NINE,
    ),
    Need(privilege="VM.PowerMgmt", path="/vms", features=("starting, stopping and restarting machines",)),
    Need(
        privilege="VM.Snapshot",
        path="/vms",
        features=("snapshots, and going back to them", "updates, and undoing them"),
    ),
    Need(privilege="VM.Backup", path="/vms", features=("backups", "restoring")),
    Need(privilege="Datastore.AllocateSpace", path="/storage", features=("disks", "backups", "retention")),
    Need(
        privilege="Datastore.Audit", path="/storage", features=("seeing storages", "retention", "restoring")
    ),
    Need(privilege="Pool.Allocate", path="/pool", features=("clients' pools", "freeze and thaw")),
    Need(privilege="Pool.Audit", path="/pool", features=("seeing whose a machine is", "seeing a freeze")),
    Need(privilege="Sys.Audit", path="/nodes", features=("seeing nodes and tasks",)),
    Need(privilege="SDN.Use", path="/sdn", features=("attaching machines to a bridge",)),
)
"""Every privilege that every plan may need; kinds of things name theirs (:mod:`orchestrator.resources.kinds`)."""


def major(version: str) -> int:
    """The major version of ``8.4.1``; 0 if it says none."""
    found = re.match(r"[0-9]{1,4}", version)
    return int(found[0]) if found else 0


def read_version(cluster: Calls) -> str:
    """The version of Proxmox VE, such as ``8.4.1``: one call.

    Raises:
        ProxmoxError: it could not be read.
    """
    return str(cluster.get("/version")["version"])


def needs(release: int, extra: Collection[Need] = ()) -> Iterator[Need]:
    """Yield what a major version of Proxmox VE needs; releases after the last known one count as that.

    Args:
        release: the major version.
        extra: what is needed besides, for what files ask.
    """
    known = max(8, min(9, release))
    for need in (*TABLE, *extra):
        if known in need.releases:
            yield need


def role_privileges(release: int, extra: Collection[Need] = ()) -> list[str]:
    """The privileges of the role, in the order of the alphabet."""
    return sorted({need.privilege for need in needs(release, extra)})


def holds(held: Held, need: Need) -> bool:
    """Whether a privilege holds at its path and below.

    A grant at a path replaces the wider ones above it, whatever it says; so a narrower grant is looked at as well.
    """
    here = held[need.path] if need.path in held else held.get("/", {})
    return bool(int(here.get(need.privilege) or 0))


def missing(held: Held, release: int, extra: Collection[Need] = ()) -> list[Need]:
    """What of the needed privileges is not held."""
    absent = [need for need in needs(release, extra) if not holds(held, need)]
    # A narrower grant replaces the wider one below its path: it can hide single machines.
    hidden = sorted(
        path for path, names in held.items() if path.startswith("/vms/") and "VM.Audit" not in names
    )
    return absent + [
        Need(privilege="VM.Audit", path=path, features=("seeing this machine",)) for path in hidden
    ]


def read_held(cluster: Calls) -> Held:
    """What the token may do, by path: one call.

    Raises:
        ProxmoxError: it could not be read.
    """
    held: Held = cluster.get("/access/permissions")
    return held


def check_privileges(cluster: Calls) -> str:
    """Make sure that the token sees everything and may do what plans ask for: two calls. Return Proxmox VE's version.

    Without VM.Audit a missing VM and a forbidden one look the same and lists are silently shortened: a plan must
    never trust an absence it cannot see.

    Raises:
        PermissionDenied: naming every missing privilege and where it is missing.
        ProxmoxError: the privileges could not be read.
    """
    version = read_version(cluster)
    absent = missing(read_held(cluster), major(version))
    if not absent:
        return version
    paths = dict.fromkeys(need.path for need in absent)
    told = "; ".join(
        f"{', '.join(sorted(need.privilege for need in absent if need.path == path))} on {path}"
        for path in paths
    )
    error = PermissionDenied(
        f"the token lacks {told}",
        site=cluster.site,
        call="GET /access/permissions",
        remedy="what it cannot see would look as if it were not there, so nothing is planned: give the token and "
        "its user the role of docs/proxmox.md on /; `orchestrator doctor` says what each is for",
    )
    error.privilege = ", ".join(sorted({need.privilege for need in absent}))
    error.path = ", ".join(paths)
    raise error
