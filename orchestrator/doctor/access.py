"""What the token may do, and what each missing privilege is needed for."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from orchestrator.doctor.findings import Finding, Place
from orchestrator.proxmox.privileges import Held, Need
from orchestrator.resources.privileges import CONSOLE, may_look, missing, needs, role_privileges


def judge_privileges(
    place: Place, held: Held, release: int, extra: Collection[Need], *, token_id: str, consoles: bool
) -> Iterator[Finding]:
    """Name each privilege that is missing, and by what it is needed.

    Args:
        place: the site.
        held: what the token may do.
        release: the major version of Proxmox VE.
        extra: what is needed besides, for what files ask here.
        token_id: ``USER@REALM!TOKEN``.
        consoles: whether consoles are wanted here.
    """
    absent = missing(held, release, extra)
    for need in absent:
        yield place.error(
            f"privilege {need.privilege}",
            f"the token lacks it on {need.path}: {', '.join(need.features)}",
            _remedy(need, token_id),
        )
    if consoles and not may_look(held):
        yield place.warning(
            f"privilege {CONSOLE.privilege}",
            f"the token lacks it on {CONSOLE.path}: {', '.join(CONSOLE.features)}",
            f"{_remedy(CONSOLE, token_id)}. If consoles are not wanted, say `consoles: false` at the site in the site "
            "file",
        )
    if not absent:
        count = len({need.privilege for need in needs(release, extra)})
        yield place.ok(
            "privileges",
            f"all {count} that are needed ({len(role_privileges(release, extra, consoles=consoles))} in the role)",
        )


def _remedy(need: Need, token_id: str) -> str:
    user = token_id.partition("!")[0]
    if need.path.startswith("/vms/"):
        return f"a narrower grant hides this machine: take it away (`pveum acl delete {need.path} …`), or widen it"
    return (
        f"`pveum role modify Orchestrator --privs {need.privilege} --append 1` if {user} has that role on /; "
        "`orchestrator bootstrap` prints all the lines. A token with privilege separation needs the role too"
    )
