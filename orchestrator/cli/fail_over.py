"""``orchestrator fail-over``: a replica brought into service, and back again (article 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import BootTimeout, Files, Reason, Target, confirmed, named_again
from orchestrator.contract.calendar import paris_time

if TYPE_CHECKING:
    from orchestrator.operations.fail_over import Replica, WayBack


def fail_over(
    target: Target,
    back: Annotated[
        bool, typer.Option("--back", help="The lost node is back: migrate the machine to it again.")
    ] = False,
    lost_node: Annotated[
        str | None,
        typer.Option(metavar="NODE", help="The lost node, which is surely switched off."),
    ] = None,
    confirm: Annotated[
        str | None,
        typer.Option(
            metavar="CLIENT/MACHINE", help="When not running interactively: the machine's name again."
        ),
    ] = None,
    files: Files = None,
    inventory: session.Inventory = None,
    reason: Reason = "fail-over",
    boot_timeout: BootTimeout = 600.0,
    history: session.HistoryPath = None,
) -> None:
    """Start a machine from its replica after its node is lost.

    What was written since the last replication is lost, which is told first. Needs node_access of the site file.
    """
    from orchestrator.operations import fail_over as operation  # not for `--help`
    from orchestrator.operations.fail_over import FailOverRequest

    request = FailOverRequest(
        target=target,
        inventory=inventory,
        reason=reason,
        history=history,
        lost_node=lost_node,
        files=tuple(files or ()),
        boot_seconds=boot_timeout,
    )
    if back:
        way = operation.back(request, lambda found: _agree_back(target, found, confirm), EVENTS)
        if way is not None:
            session.console().print(f"VM {way.vmid} is on {way.target} again")
        return
    done = operation.fail_over(request, lambda replica: _agree(target, replica, confirm), EVENTS)
    if done is None:
        return
    session.console().print(
        f"VM {done.vmid} runs on {done.node}. When the lost node is back, Proxmox replicates to it; then: orchestrator "
        f"fail-over {target} --back"
    )
    if done.problem:
        session.fail(f"{target}: {done.problem}")


def _agree(target: str, replica: Replica, confirm: str | None) -> bool:
    session.console().print(
        f"{target} was on {replica.lost}, which is off. {replica.node} has its disks as they were at "
        f"{paris_time(replica.synced_at)}: everything written since is lost as soon as {replica.lost} is back and "
        "replicated to. It is moved to that node and started."
    )
    return named_again(target, confirm)


def _agree_back(target: str, way: WayBack, confirm: str | None) -> bool:
    session.console().print(
        f"{target} goes from {way.node} to {way.target}, where its disks were last sent at "
        f"{paris_time(way.synced_at)}{', while it runs' if way.running else ''}. What {way.target} had that was "
        "never replicated is gone already."
    )
    return named_again(target, confirm) if confirm is not None else confirmed("Migrate it?", yes=False)
