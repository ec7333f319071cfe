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
from orchestrator.resources.kinds import CLIENT_KINDS, GUEST_KINDS, needs_of_kinds

if TYPE_CHECKING:
    from orchestrator.proxmox import ClusterState
    from orchestrator.resources.desired import DesiredMachine

_EIGHT, _NINE = frozenset({8}), frozenset({9})


def _need(privilege: str, path: str, *features: str, releases: frozenset[int] = _EIGHT | _NINE) -> Need:
    return Need(privilege=privilege, path=path, features=features, releases=releases)


_BESIDE = (
    _need("VM.Audit", "/vms", "seeing machines: every command"),
    _need("VM.Allocate", "/vms", "creating machines", "restoring", "erasing after a contract"),
    _need("VM.Clone", "/vms", "creating machines"),
    _need("VM.Config.CDROM", "/vms", "the cloud-init drive"),
    _need("VM.Config.Disk", "/vms", "disks", "restoring into the original"),
    _need("VM.Config.HWType", "/vms", "restoring"),
    _need("VM.Config.Network", "/vms", "restoring"),
    _need("VM.Config.Options", "/vms", "tags", "notes: whose a machine is"),
    _need(
        "VM.Monitor",
        "/vms",
        "waiting for a boot",
        "trusting a guest's SSH key",
        "restore tests",
        releases=_EIGHT,
    ),
    _need("VM.GuestAgent.Audit", "/vms", "waiting for a boot", "restore tests", releases=_NINE),
    _need("VM.GuestAgent.FileRead", "/vms", "trusting a guest's SSH key", "restore tests", releases=_NINE),
    _need("VM.PowerMgmt", "/vms", "starting, stopping and restarting machines"),
    _need("VM.Snapshot", "/vms", "snapshots, and going back to them", "updates, and undoing them"),
    _need("VM.Backup", "/vms", "backups", "restoring"),
    _need("Datastore.AllocateSpace", "/storage", "disks", "backups", "retention"),
    _need("Datastore.Audit", "/storage", "seeing storages", "retention", "restoring"),
    _need("Sys.Audit", "/nodes", "seeing nodes and tasks"),
    _need("SDN.Use", "/sdn", "attaching machines to a bridge"),
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
        *(_need(row.privilege, "/vms", row.name) for row in ATTRIBUTES),
        *(need for kind in CLIENT_KINDS if not kind.by_itself for need in kind.needs),
        *(need for kind in GUEST_KINDS for need in kind.needs),
    )
)
"""Every privilege that every plan may need; what only some files need is asked for where they do."""


_CHECKS = (
    _need(
        "VM.GuestAgent.Unrestricted", "/vms", "the check of a restored copy (backup.check)", releases=_NINE
    ),
)
"""What is needed besides where a file has a check: to run a command in the copy. VM.Monitor covers it on 8.x."""


CONSOLE = _need(
    "VM.Console",
    "/vms",
    "consoles in the Interface",
    "a picture of the console in the report of a restore test",
    "consoles in a rescue",
)
"""In the role where consoles are wanted, and not required: without it there are no consoles and no pictures, and a
rescue does not listen. It opens the console of every machine.
"""


def may_look(held: Held) -> bool:
    """Whether the token may look at consoles."""
    return holds(held, CONSOLE)


def needs_of_files(desired: Collection[DesiredMachine]) -> tuple[Need, ...]:
    """The privileges that are needed besides :data:`TABLE` for what files ask for."""
    checks = _CHECKS if any(machine.backup_check is not None for machine in desired) else ()
    return (*needs_of_kinds(desired), *checks)


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


def role_privileges(release: int, extra: Collection[Need] = (), *, consoles: bool = True) -> list[str]:
    """The privileges of the role, in the order of the alphabet.

    Args:
        release: the major version.
        extra: what is needed besides, for what files ask.
        consoles: whether consoles are wanted.
    """
    wanted = (*extra, CONSOLE) if consoles else extra
    return sorted({need.privilege for need in needs(release, wanted)})


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
