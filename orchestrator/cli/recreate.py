"""``orchestrator backup restore --recreate``: a machine that no site has any more, from its archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import named_again
from orchestrator.contract.calendar import paris_time

if TYPE_CHECKING:
    from orchestrator.operations.recreate import Proposal

RecreateSite = Annotated[
    str | None,
    typer.Option(metavar="SITE", help="With --recreate: where.  [default: the site of its file]"),
]
RecreateNetwork = Annotated[
    str | None, typer.Option(metavar="NAME", help="With --recreate: a network of that site.")
]
RecreateAddress = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS|auto", help="With --recreate: another address than it had."),
]
LostSites = Annotated[
    list[str] | None,
    typer.Option(
        "--lost-site",
        metavar="SITE",
        help="With --recreate: this site does not answer, and the machine is not to run there again.",
    ),
]
RecreateStart = Annotated[
    bool, typer.Option("--start/--no-start", help="With --recreate: start it if its file says so.")
]


def recreate_lost(target: str, confirm: str | None, **request: Any) -> None:
    """Make a machine again, and say what there is now.

    Args:
        target: ``CLIENT/MACHINE``.
        confirm: the same again; None: ask.
        request: of :class:`orchestrator.operations.recreate.RecreateRequest`.
    """
    from orchestrator.operations import recreate  # not for `--help`
    from orchestrator.operations.recreate import RecreateRequest

    def agree(proposal: Proposal) -> bool:
        tell_proposal(target, proposal)
        return named_again(target, confirm)

    made = recreate.recreate(RecreateRequest(target=target, **request), agree, EVENTS)
    if made is None:
        return
    where = f"restored as VM {made.vmid} on {made.node}, {made.site}"
    if made.problem:
        session.fail(f"{target} is {where}; {made.problem}")
    session.console().print(f"{where}; {'it runs' if made.running else 'it is stopped'}")
    session.console().print(f"what still differs from its file: orchestrator plan --only {target}")


def tell_proposal(target: str, proposal: Proposal) -> None:
    """Print what is about to be done, and what is lost."""
    out, archive = session.console(), proposal.archive
    number = f"as VM {proposal.number}" if proposal.number else "under a new number"
    out.print(
        f"{target} is made again {number} on {proposal.node}, {proposal.site}, from {paris_time(archive.taken_at)} "
        f"({archive.stored.volid}). Everything written since then is lost."
    )
    if proposal.address is not None:
        out.print(f"its address: {proposal.address}")
    for remark in proposal.remarks:
        out.print(f"note: {remark}")
    if not proposal.starts:
        out.print("it stays stopped")
