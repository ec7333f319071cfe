"""Plans that exceed the safety limits are not applied, until somebody names what may happen all the same.

Too large a share of a client's or a site's machines changed, restarted or retired at once; data that would be deleted;
a restart outside an agreed window: each is one row of :data:`RISKS`. Each names the words that allow exactly it:
``--allow restart:dupont``. Creating machines is no risk to those that are there, and a snapshot that expires after
its seven days is what the contract says (article 3.2): neither needs to be allowed.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.counting import counted
from orchestrator.errors import OrchestratorError
from orchestrator.planning.risk import Risk
from orchestrator.planning.window import is_open
from orchestrator.resources.change import Effect
from orchestrator.resources.desired import RETIRED_TAG
from orchestrator.resources.ownership import client_of

if TYPE_CHECKING:
    from orchestrator.planning.plan import MachinePlan, Plan
    from orchestrator.resources.observed import ObservedSite
    from orchestrator.sites.model import Limit, Safety

There = Counter[str]
"""How many machines there are, by ``CLIENT`` and by ``site=SITE``."""

Found = Iterator[tuple[str, str]]
"""Where a risk is, and in words how large."""


class NoSuchRisk(OrchestratorError):
    """``--allow`` names something that is no risk. The text says what there is."""


def read_allowed(texts: Iterable[str]) -> frozenset[str]:
    """Read what ``--allow`` names.

    Raises:
        NoSuchRisk: it is not ``RISK:WHERE``.
    """
    allowed = set()
    for text in texts:
        risk, _, where = text.partition(":")
        if risk not in RISKS or not where:
            raise NoSuchRisk(
                f"--allow {text} says nothing: name RISK:WHERE, RISK one of {', '.join(RISKS)}, WHERE a CLIENT, a "
                "CLIENT/MACHINE or site=SITE, as the plan shows it"
            )
        allowed.add(text)
    return frozenset(allowed)


def with_risks(
    plan: Plan, observed: Mapping[str, ObservedSite], limits: Safety, allowed: Collection[str] = ()
) -> Plan:
    """Say of a plan where it exceeds the safety limits.

    Args:
        plan: the plan.
        observed: what it was made from: shares are those of the machines that are there.
        limits: the provider's limits.
        allowed: what somebody allows (:func:`read_allowed`).
    """
    there = _machines_there(observed)
    found = [
        Risk(risk=name, where=where, words=words)
        for name, find in RISKS.items()
        for where, words in find(plan, there, limits)
    ]
    return replace(plan, risks=tuple(replace(risk, allowed=_allows(allowed, risk)) for risk in found))


def _allows(allowed: Collection[str], risk: Risk) -> bool:
    client, _, machine = risk.where.partition("/")
    return risk.name in allowed or bool(machine and f"{risk.risk}:{client}" in allowed)


def _machines_there(observed: Mapping[str, ObservedSite]) -> There:
    there = Counter(
        where
        for site in observed.values()
        for machine in site.machines
        if machine.mark and not machine.mark.retired
        for where in (machine.mark.client, f"site={site.site}")
    )
    there.update(
        where
        for site in observed.values()
        for vm in site.others  # not read, for nobody asked for them; the cluster's list has whose they are
        if RETIRED_TAG not in vm.tags
        for where in (client_of(vm), f"site={site.site}")
        if where
    )
    return there


def _share_of(
    limit_of: Callable[[Safety], Limit], verb: str, effects: Collection[Effect]
) -> Callable[[Plan, There, Safety], Found]:
    """A rule that counts the machines with changes of some effects, of those of a client and of a site.

    A suspension or the end of a contract is the file's own word, with its letter (articles 9, 10): it stops all of a
    client's machines, however many those are.
    """

    def find(plan: Plan, there: There, limits: Safety) -> Found:
        limit = limit_of(limits)
        touched = Counter(
            where
            for machine in plan.machines
            if machine.vmid is not None
            and not machine.unfinished
            and not _by_contract(machine, plan.made_at)
            and any(change.effect in effects for change in machine.effective)
            for where in (machine.client, f"site={machine.site}")
        )
        for where, count in sorted(touched.items()):
            total = max(there[where], count)
            if count > limit.machines and count * 100 > limit.percent * total:
                share = f"{count} of {counted(total, 'machine')} would be {verb} at once"
                yield where, f"{share}; the limit is {limit.percent} %, and at least {limit.machines}"

    return find


def _by_contract(machine: MachinePlan, now: dt.datetime) -> bool:
    if machine.desired is None:  # taking it out of its file is counted all the same
        retires = any(change.effect is Effect.RETIRE for change in machine.effective)
        return bool(machine.stopped_by_contract) and not retires
    return bool(machine.desired.life.why(now))


def _deleted_data(plan: Plan, _there: There, _limits: Safety) -> Found:
    for machine in plan.machines:
        for change in machine.effective:
            if change.erases:
                yield f"{machine.client}/{machine.machine}", f"{change.what}: {change.why}"
    for item in plan.shared:
        if item.own_effect and item.change.erases:
            yield str(item.address), f"{item.change.what}: {item.change.why}"


def _restarts_outside_windows(plan: Plan, _there: There, _limits: Safety) -> Found:
    for machine in plan.machines:
        restarts = any(change.effect is Effect.RESTART for change in machine.effective)
        if restarts and (words := _outside(machine, plan.made_at)):
            yield f"{machine.client}/{machine.machine}", words


def _outside(machine: MachinePlan, now: dt.datetime) -> str:
    window = machine.desired.window if machine.desired else None
    if window is None or is_open(window, now):
        return ""
    days = ", ".join(window.days)
    return (
        f"restarts now, outside the window agreed with the client ({days}, {window.starts} to {window.ends})"
    )


RISKS: Mapping[str, Callable[[Plan, There, Safety], Found]] = {
    "change": _share_of(
        lambda limits: limits.change, "changed", set(Effect) - {Effect.CREATE, Effect.EXPIRE, Effect.SNAPSHOT}
    ),
    "restart": _share_of(
        lambda limits: limits.restart, "restarted or stopped", {Effect.RESTART, Effect.STOP}
    ),
    "retire": _share_of(lambda limits: limits.retire, "retired", {Effect.RETIRE}),
    "erase": _deleted_data,
    "outside-window": _restarts_outside_windows,
}
"""What ``--allow`` names, and where a plan has it."""
