"""Executing a whole plan: machines in parallel, one failed machine never stops the others."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.applying.guests_stage import configure_guests
from orchestrator.applying.host_keys import EveryHolder
from orchestrator.applying.journal import Journal
from orchestrator.applying.limits import Limits
from orchestrator.applying.machine_run import run_machine
from orchestrator.applying.machine_work import MachineWork, Surroundings, Waiting
from orchestrator.applying.numbers import Numbers
from orchestrator.applying.placement import Placement
from orchestrator.applying.renaming import remove_empty_pools
from orchestrator.applying.reserving import reserve_addresses
from orchestrator.applying.shared_run import Problems, bring_shared, lacking
from orchestrator.applying.stopping import Interrupted
from orchestrator.errors import told
from orchestrator.history import HistoryUnavailable
from orchestrator.history.changes import CHANGE
from orchestrator.planning.charges import Needed
from orchestrator.planning.plan import MachinePlan, Plan
from orchestrator.progress import End
from orchestrator.proxmox import TaskLeft
from orchestrator.resources.change import ChangeClass, Effect

if TYPE_CHECKING:
    from orchestrator.applying.lock import RunLocks
    from orchestrator.guests import SshSettings
    from orchestrator.planning.shared import SharedChange
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.observed import ObservedSite

_INSIDE = frozenset({Effect.FIREWALL, Effect.GUEST})
"""Changes that are made inside the guest."""

_WORKERS = 32
"""Machines at a time. Most of a worker's time is waiting; what Proxmox is asked for is limited elsewhere."""


Result = Literal["done", "partly", "failed", "refused", "interrupted"]


@dataclass(frozen=True)
class Outcome:
    """How one machine's part of the run ended.

    Attributes:
        result: ``done``; ``partly`` (the hypervisor's part only, as asked); ``failed``; ``refused``; ``interrupted``
            (somebody ended the run first).
        message: the reason and the remedy; empty when done.
    """

    client: str
    machine: str
    result: Result
    message: str = ""


def apply_plan(
    plan: Plan,
    clusters: Mapping[str, Cluster],
    observed: Mapping[str, ObservedSite],
    journal: Journal,
    *,
    ssh: SshSettings | None,
    restart_now: bool = False,
    boot_seconds: float = 600.0,
    backup_storages: Mapping[str, Mapping[str, str]] | None = None,
    locks: RunLocks | None = None,
    clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    pause: Callable[[float], None] | None = None,
) -> list[Outcome]:
    """Make every effective change of a plan.

    Args:
        plan: what to do.
        clusters: the API of each site.
        observed: what the plan was made from.
        journal: where steps are shown and recorded.
        ssh: how to reach the guests; None leaves them alone (the hypervisor's part only).
        restart_now: as when the plan was made.
        boot_seconds: how long to wait for a guest to boot.
        locks: of this run: addresses are taken from other runs by them. None: nobody else runs.
        backup_storages: where last backups of machines that are retired go, by site: the data centres by
            storages.
        clock: the time, aware: a window that was open when the plan was made may have closed.
        pause: waits that many seconds; None: as long as nobody asks for the run's end.

    Returns:
        One outcome for each machine that had a change or a refusal.
    """
    around = Surroundings(
        clusters=dict(clusters),
        states={name: site.state for name, site in observed.items()},
        limits=Limits(),
        placement=Placement(),
        numbers={name: Numbers(cluster) for name, cluster in clusters.items()},
        journal=journal,
        now=plan.made_at,
        restart_now=restart_now,
        clock=clock,
        pause=pause or journal.stopping.pause,
        backup_storages=backup_storages or {},
        templates={name: site.templates for name, site in observed.items() if site.templates is not None},
        key_holders=EveryHolder(clusters, observed),
    )
    todo = [machine for machine in plan.machines if machine.effective and not machine.lacks_reference]
    journal.progress.expect(machine.key for machine in todo)
    begun = _announce(todo, plan, journal)
    barred = reserve_addresses(todo, clusters, observed, locks) if locks else {}
    going = {(item.site, item.client) for item in todo if item.key not in barred}
    shared = [item for item in plan.shared if item.by_itself or (item.site, item.client) in going]
    found = {name: site.kinds for name, site in observed.items()}
    problems = bring_shared(shared, around, found, last=False)
    outcomes = [outcome for machine in plan.machines for outcome in _refused(machine)]
    waiting: list[Waiting] = []
    if todo:
        with ThreadPoolExecutor(min(_WORKERS, len(todo)), thread_name_prefix="machine") as pool:
            results = pool.map(lambda machine: _hypervisor_part(machine, around, problems, barred), todo)
            for result in results:
                if isinstance(result, Outcome):
                    outcomes.append(result)
                else:
                    waiting.append(result)
    problems |= bring_shared(shared, around, {}, last=True)
    outcomes += _shared_part(shared, problems)
    outcomes += _guests_part(waiting, ssh, boot_seconds)
    _close(begun, outcomes, journal)
    remove_empty_pools(todo, around)
    return outcomes


@dataclass(frozen=True, kw_only=True)
class _Begun:
    """An intervention that was announced in the history."""

    site: str
    sequence: int
    details: dict[str, Any]


def _announce(todo: list[MachinePlan], plan: Plan, journal: Journal) -> dict[tuple[str, str], _Begun]:
    """Write down what the machines' changes are to the contract (article 3.8.4), before the first of them.

    Raises:
        HistoryUnavailable: it cannot be written; then nothing may be changed.
    """
    begun = {}
    allowed = sorted(risk.name for risk in plan.risks if risk.allowed)
    for machine in todo:
        held = machine.intervention
        if held is None:
            continue
        details = {
            "class": str(held.change_class),
            "charge": str(held.charge),
            "order": held.order,
            "catalogue": held.catalogue,
            "quote": held.quote,
            "changes": [change.what for change in machine.effective],
        }
        if held.by_rule:
            details["class by the rules"] = str(held.by_rule)
        if allowed:
            details["allowed"] = allowed
        sequence = journal.record(
            *machine.key, machine.site, CHANGE, result="begun", message="", seconds=0.0, details=details
        )
        begun[machine.key] = _Begun(site=machine.site, sequence=sequence, details=details)
    return begun


def _close(begun: dict[tuple[str, str], _Begun], outcomes: list[Outcome], journal: Journal) -> None:
    ended = {
        (outcome.client, outcome.machine): outcome for outcome in outcomes if outcome.result != "refused"
    }
    for key, item in begun.items():
        outcome = ended[key]
        with suppress(HistoryUnavailable):  # then it stays as begun: the steps have told it already
            journal.record(
                *key,
                item.site,
                CHANGE,
                result="failed" if outcome.result in ("failed", "interrupted") else "ok",
                message=outcome.message,
                seconds=0.0,
                details=item.details,
                began=item.sequence,
            )


def _refused(machine: MachinePlan) -> Iterator[Outcome]:
    """What of a machine is not done as planned: all of it, or by themselves what it is unable to get."""
    if machine.lacks_reference:
        held = machine.intervention
        assert held is not None  # noqa: S101  (it lacks a reference)
        message = "; ".join(_needs(held.change_class, needed) for needed in held.lacks)
        yield Outcome(*machine.key, "refused", message)
    if machine.refused:
        change = next(change for change in machine.changes if change.effect is Effect.REFUSED)
        yield Outcome(*machine.key, "refused", f"{change.what}: {change.why}")
        return
    for change in machine.changes:
        if change.effect is Effect.UNABLE:
            yield Outcome(*machine.key, "refused", f"{change.what}: {change.why}")


def _needs(change_class: ChangeClass, needed: Needed) -> str:
    if needed is Needed.ORDER:
        return (
            "more, fewer or larger machines are an order: name the order or amendment, --order REFERENCE, or put it "
            "into the file, contract.orders"
        )
    if needed is Needed.CATALOGUE:
        return (
            f"a {change_class} change is charged by the catalogue of services (art. 3.8.4): name its reference, "
            "--catalogue REFERENCE, or put it into the file, contract.catalogue"
        )
    return (
        f"a {change_class} change needs a quote accepted before (art. 3.8.4): put the accepted quote into the file, "
        "contract.quotes"
    )


def _hypervisor_part(
    machine: MachinePlan,
    around: Surroundings,
    problems: Problems,
    barred: Mapping[tuple[str, str], str],
) -> Outcome | Waiting:
    if around.journal.stopping.asked:
        return _interrupted(machine, around, str(Interrupted()))
    if problem := barred.get(machine.key):
        return _failed(machine, around, problem)
    if problem := lacking(machine, problems):
        return _failed(machine, around, problem)
    work = MachineWork(machine, around)
    try:
        observed = run_machine(work)
    except (Interrupted, TaskLeft) as error:
        return _interrupted(machine, around, str(error))
    except Exception as error:  # whatever one machine stumbles over, the others go on
        return _failed(machine, around, told(error))
    effects = {change.effect for change in machine.effective}
    if machine.desired and effects & {*_INSIDE, Effect.START, Effect.RESTART}:
        return Waiting(work=work, desired=machine.desired, observed=observed, inside=bool(effects & _INSIDE))
    around.journal.progress.ended(*machine.key, "done")
    return Outcome(*machine.key, "done")


def _shared_part(shared: Iterable[SharedChange], problems: Problems) -> Iterator[Outcome]:
    """How the changes of what clients have for all their machines ended."""
    for address, items in groupby((item for item in shared if item.by_itself), key=lambda item: item.address):
        name = f"{address.kind}/{address.name}"
        changes = [item.change for item in items]
        refused = next(
            (change for change in changes if change.effect in (Effect.REFUSED, Effect.UNABLE)), None
        )
        error = problems.get(address)
        if refused:
            yield Outcome(address.client, name, "refused", refused.why or "")
        elif error:
            interrupted = isinstance(error, (Interrupted, TaskLeft))
            yield Outcome(address.client, name, "interrupted" if interrupted else "failed", str(error))
        elif any(change.effective for change in changes):
            yield Outcome(address.client, name, "done")


def _failed(machine: MachinePlan, around: Surroundings, message: str) -> Outcome:
    around.journal.progress.ended(*machine.key, "failed", message)
    return Outcome(*machine.key, "failed", message)


def _interrupted(machine: MachinePlan, around: Surroundings, message: str) -> Outcome:
    around.journal.progress.ended(*machine.key, "interrupted", message)
    return Outcome(*machine.key, "interrupted", message)


def _left_alone(machine: Waiting) -> Outcome:
    if not machine.inside:
        return Outcome(*machine.key, "done")
    return Outcome(*machine.key, "partly", "the guest was skipped, as requested: nothing in it was changed")


def _guests_part(waiting: list[Waiting], ssh: SshSettings | None, boot_seconds: float) -> list[Outcome]:
    if not waiting:
        return []
    if ssh is None:
        for machine in waiting:
            machine.work.around.journal.progress.ended(*machine.key, "done")
        return [_left_alone(machine) for machine in waiting]
    problems = configure_guests(waiting, ssh, boot_seconds=boot_seconds)
    outcomes = []
    for machine in waiting:
        problem = problems[machine.key]
        journal = machine.work.around.journal
        result: End = ("interrupted" if journal.stopping.asked else "failed") if problem else "done"
        journal.progress.ended(*machine.key, result, problem or "")
        outcomes.append(Outcome(*machine.key, result, problem or ""))
    return outcomes
