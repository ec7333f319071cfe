"""The privileges that the orchestrator's token needs in Proxmox VE, and what each of them is for.

Attributes of machines and kinds of things name theirs; the rest stands here. Read off the permission checks of
Proxmox's own API (``permissions`` of each method, and VM.Config.* by option in PVE::API2::Qemu). 8.x has VM.Monitor for
everything with the guest agent; 9.x has VM.GuestAgent.* and VM.Replicate.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.proxmox import Need, PermissionDenied
from orchestrator.proxmox.privileges import Held, holds, major
from orchestrator.resources.attributes import ATTRIBUTES
from orchestrator.resources.kinds import CLIENT_KINDS, GUEST_KINDS

if TYPE_CHECKING:
    from orchestrator.proxmox import ClusterState

_EIGHT, _NINE = frozenset({8}), frozenset({9})

_BESIDE = (
    Need(privilege="VM.Audit", path="/vms", features=("seeing machines: every command",)),
    Need(
        privilege="VM.Allocate",
        path="/vms",
        features=("creating machines", "restoring", "erasing after a contract"),
    ),
    Need(privilege="VM.Clone", path="/vms", features=("creating machines",)),
    Need(privilege="VM.Config.CDROM", path="/vms", features=("the cloud-init drive",)),
    Need(privilege="VM.Config.Disk", path="/vms", features=("disks", "restoring into the original")),
    Need(privilege="VM.Config.HWType", path="/vms", features=("restoring",)),
    Need(privilege="VM.Config.Network", path="/vms", features=("restoring",)),
    Need(privilege="VM.Config.Options", path="/vms", features=("tags", "notes: whose a machine is")),
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
    Need(privilege="Sys.Audit", path="/nodes", features=("seeing nodes and tasks",)),
    Need(privilege="SDN.Use", path="/sdn", features=("attaching machines to a bridge",)),
)
"""What is needed for neither an attribute nor a kind."""


def _merged(every: Iterable[Need]) -> tuple[Need, ...]:
    """Each privilege once at each path, with all that it is for."""
    found: dict[tuple[str, str, frozenset[int]], Need] = {}
    for need in every:
        key = (need.privilege, need.path, need.releases)
        before = found[key].features if key in found else ()
        found[key] = replace(need, features=tuple(dict.fromkeys((*before, *need.features))))
    return tuple(found.values())


TABLE = _merged(
    (
        *_BESIDE,
        *(Need(privilege=row.privilege, path="/vms", features=(row.name,)) for row in ATTRIBUTES),
        *(need for kind in (*CLIENT_KINDS, *GUEST_KINDS) for need in kind.needs),
    )
)
"""Every privilege that every plan may need; what only some files need is asked for where they do."""


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


def check_privileges(state: ClusterState, *, site: str) -> None:
    """Make sure that the token of a cluster's lists sees everything and may do what plans ask for.

    Without VM.Audit a missing VM and a forbidden one look the same and lists are silently shortened: a plan must
    never trust an absence it cannot see.

    Args:
        state: the lists.
        site: whose.

    Raises:
        PermissionDenied: naming every missing privilege and where it is missing.
    """
    absent = missing(state.held, major(state.version))
    if not absent:
        return
    paths = dict.fromkeys(need.path for need in absent)
    told = "; ".join(
        f"{', '.join(sorted(need.privilege for need in absent if need.path == path))} on {path}"
        for path in paths
    )
    error = PermissionDenied(
        f"the token lacks {told}",
        site=site,
        call="GET /access/permissions",
        remedy="what it cannot see would look as if it were not there, so nothing is planned: give the token and "
        "its user the role of docs/proxmox.md on /; `orchestrator doctor` says what each is for",
    )
    error.privilege = ", ".join(sorted({need.privilege for need in absent}))
    error.path = ", ".join(paths)
    raise error
