"""What one machine's file says, where that can be known: an emergency does not wait until every file is right."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.contract.calendar import day_in_paris
from orchestrator.errors import Reason
from orchestrator.operations.inputs import Tell, open_desired
from orchestrator.operations.inventory import DEFAULT_FOLDER
from orchestrator.operations.named_machine import wanted
from orchestrator.resources.desired import desired_machines, life_of
from orchestrator.subscriptions.loading import load

if TYPE_CHECKING:
    from orchestrator.contract.life import ContractLife
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.sites.model import Provider
    from orchestrator.subscriptions.model import Subscription


@dataclass(frozen=True, kw_only=True)
class FileSays:
    """A client's file, as far as it could be read.

    Attributes:
        subscription: the client's sound file; None if there is none.
        machine: what it asks for of the machine; None if it does not have it.
        problem: why the machine's wish is not known, human-readable; empty if it is.
    """

    subscription: Subscription | None = None
    machine: DesiredMachine | None = None
    problem: Reason = ""

    @property
    def life(self) -> ContractLife | None:
        """Of the client's contract; None: no file says."""
        return life_of(self.subscription) if self.subscription else None


def file_says(target: str, paths: Iterable[Path], provider: Provider) -> FileSays:
    """Read what the client's file says of a machine. Errors of other files are nobody's trouble here.

    Args:
        target: ``CLIENT/MACHINE``.
        paths: files or folders; ./subscriptions if there are none.
        provider: the sites.
    """
    chosen = list(paths) or [DEFAULT_FOLDER]
    if missing := [path for path in chosen if not path.exists()]:
        return FileSays(problem=f"{missing[0]} does not exist (--files)")
    client, _, name = target.partition("/")
    loaded = load(chosen, provider, today=day_in_paris(dt.datetime.now(dt.UTC)))
    subscription = next(
        (item.subscription for item in loaded.subscriptions if item.subscription.client == client), None
    )
    if subscription is None:
        errors = [problem for problem in loaded.problems if problem.severity == "error"]
        broken = "; ".join(f"{item.file}:{item.line}: {item.message}" for item in errors[:3])
        return FileSays(
            problem=f"no file of {client} without errors was found" + (f" ({broken})" if broken else "")
        )
    machine = next(
        (item for item in desired_machines([subscription], provider) if item.name == name),
        None,
    )
    if machine is None:
        return FileSays(subscription=subscription, problem=f"the file of {client} has no machine {name}")
    return FileSays(subscription=subscription, machine=machine)


def at_site(says: FileSays, site: str, provider: Provider) -> tuple[DesiredMachine | None, Reason]:
    """What a machine's file would ask for if it said another site; None, and why, if that site cannot have it.

    Args:
        says: the file.
        site: the other site.
        provider: the sites.
    """
    if says.subscription is None or says.machine is None:
        return None, says.problem
    there, name = provider.sites[site], says.machine.name
    if says.machine.image not in there.images:
        return None, f"{site} has no image {says.machine.image}: add it to the site in the site file"
    wanted = says.machine.file.network
    if wanted is not None and wanted not in {network.name for network in there.networks}:
        return (
            None,
            f"{site} has no network {wanted}: name one of its networks in the machine's file, or add it",
        )
    second = says.machine.redundancy.second_site
    if second is not None and second not in there.second_sites:
        return None, f"{site} has no second site {second}: change redundancy in the machine's file"
    contract = says.subscription.contract.model_copy(update={"site": site})
    moved = says.subscription.model_copy(update={"contract": contract})
    return next(item for item in desired_machines([moved], provider) if item.name == name), ""


def wanted_as_known(
    target: str, paths: Iterable[Path], provider: Provider, tell: Tell, *, lenient: bool
) -> DesiredMachine | None:
    """What the files ask for of a machine.

    Args:
        target: ``CLIENT/MACHINE``.
        paths: files or folders.
        provider: the sites.
        tell: called with the problems of all files, unless lenient.
        lenient: errors of files, and a file that does not have the machine, stop nothing: an emergency.

    Returns:
        None if no sound file has it, and that stops nothing.

    Raises:
        RequestRefused: a file has an error, or none has the machine.
    """
    if lenient:
        return file_says(target, paths, provider).machine
    return wanted(target, open_desired(paths, provider, tell))


UNKNOWN_WISH = (
    "no sound file says what its firewall and its keys are to be, so they are those of that day: orchestrator apply "
    "--guests sets them when its file is right again"
)
"""What is not as it should be in a guest whose file could not be read."""
