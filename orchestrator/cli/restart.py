"""``orchestrator restart``: one machine, on its client's request (article 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import BootTimeout, Files, Reason, Target, Yes, confirmed


def restart(
    target: Target,
    files: Files = None,
    inventory: session.Inventory = None,
    yes: Yes = False,
    force: Annotated[
        bool, typer.Option("--force", help="Switch it off if the guest ignores the power button.")
    ] = False,
    reason: Reason = "restart on the client's request",
    boot_timeout: BootTimeout = 600.0,
    history: session.HistoryPath = None,
) -> None:
    """Restart a machine on the client's request (article 3.2).

    Shuts the guest down, starts it, and waits until it answers. Settings that wait for a start take effect. Not for
    Cloud VM Essentiel (article 3.3).
    """
    from orchestrator.operations import (
        restart as restarting,
    )  # neither for `--help` nor for a shell that completes
    from orchestrator.operations.restart import RestartRequest

    request = RestartRequest(
        target=target,
        inventory=inventory,
        reason=reason,
        history=history,
        files=tuple(files or ()),
        force=force,
        boot_seconds=boot_timeout,
    )

    def agree(waiting: Mapping[str, str]) -> bool:
        for setting, value in waiting.items():
            session.console().print(f"takes effect with the restart: {setting} {value}")
        return confirmed(f"Restart {target}?", yes=yes)

    found = restarting.restart(request, agree, EVENTS)
    if found is None:
        return
    how = "restarted, switched off by force" if found.forced else "restarted"
    if found.problem:
        session.fail(f"{target} was {how}: {found.problem}")
    session.console().print(f"{how}; it runs and its guest answers")
