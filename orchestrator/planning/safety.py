"""Plans that are too much for one run refuse themselves, until somebody names what may happen all the same.

Four dangers: too large a share of a client's or a site's machines changed, restarted or retired at once; data that
goes; a restart outside an agreed window. Each names the words that allow exactly it: ``--allow restart:dupont``.
Creating machines is no danger to those that are there, and a snapshot that expires after its seven days is what
the contract says (article 3.2): neither needs to be allowed.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from orchestrator.counting import counted
from orchestrator.errors import OrchestratorError
from orchestrator.planning.window import is_open
from orchestrator.resources.change import Kind
from orchestrator.resources.desired import RETIRED_TAG
from orchestrator.resources.ownership import client_of

if TYPE_CHECKING:
    from orchestrator.planning.plan import MachinePlan, Plan
    from orchestrator.resources.observed import ObservedSite
    from orchestrator.sites.model import Limit, Safety


class Risk(StrEnum):
    """What a plan may do too much of."""

    CHANGE = "change"
    RESTART = "restart"
    RETIRE = "retire"
    ERASE = "erase"
    OUTSIDE_WINDOW = "outside-window"


@dataclass(frozen=True, kw_only=True)
class Danger:
    """One reason why a plan refuses itself.

    Attributes:
        risk: what it is.
        where: ``CLIENT``, ``CLIENT/MACHINE`` or ``site=SITE``.
        words: how many of how many, or which data.
        allowed: whether somebody allowed it.
    """

    risk: Risk
    where: str
    words: str
    allowed: bool = False

    @property
    def name(self) -> str:
        """What ``--allow`` has to name."""
        return f"{self.risk}:{self.where}"


class NoSuchRisk(OrchestratorError):
    """``--allow`` names something that is no danger. The text says what there is."""


def read_allowed(texts: Iterable[str]) -> frozenset[str]:
    """Read what ``--allow`` names.

    Raises:
        NoSuchRisk: it is not ``RISK:WHERE``.
    """
    allowed = set()
    for text in texts:
        risk, _, where = text.partition(":")
        if risk not in set(Risk) or not where:
            raise NoSuchRisk(
                f"--allow {text} says nothing: name RISK:WHERE, RISK one of {', '.join(Risk)}, WHERE a CLIENT, a "
                "CLIENT/MACHINE or site=SITE, as the plan shows it"
            )
        allowed.add(f"{Risk(risk)}:{where}")
    return frozenset(allowed)


def with_dangers(
    plan: Plan, observed: Mapping[str, ObservedSite], limits: Safety, allowed: Collection[str] = ()
) -> Plan:
    """Say of a plan what is dangerous about it.

    Args:
        plan: the plan.
        observed: what it was made from: shares are those of the machines that are there.
        limits: the provider's limits.
        allowed: what somebody allows (:func:`read_allowed`).
    """
    found = [*_shares(plan, observed, limits), *_single(plan)]
    return replace(plan, dangers=tuple(replace(item, allowed=_allows(allowed, item)) for item in found))


def _allows(allowed: Collection[str], danger: Danger) -> bool:
    client, _, machine = danger.where.partition("/")
    return danger.name in allowed or bool(machine and f"{danger.risk}:{client}" in allowed)


_SHARED: tuple[tuple[Risk, str, frozenset[Kind]], ...] = (
    (Risk.RETIRE, "retired", frozenset({Kind.RETIRE})),
    (Risk.RESTART, "restarted or stopped", frozenset({Kind.RESTART, Kind.STOP})),
    (Risk.CHANGE, "changed", frozenset(Kind) - {Kind.CREATE, Kind.EXPIRE, Kind.SNAPSHOT}),
)


def _shares(plan: Plan, observed: Mapping[str, ObservedSite], limits: Safety) -> Iterator[Danger]:
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
    for risk, verb, kinds in _SHARED:
        limit: Limit = getattr(limits, risk)
        touched = Counter(
            where
            for machine in plan.machines
            if machine.vmid is not None
            and not machine.unfinished
            and kinds & {change.kind for change in machine.effective}
            for where in (machine.client, f"site={machine.site}")
        )
        for where, count in sorted(touched.items()):
            total = max(there[where], count)
            if count > limit.machines and count * 100 > limit.percent * total:
                share = f"{count} of {counted(total, 'machine')} would be {verb} at once"
                limited = f"the limit is {limit.percent} %, and at least {limit.machines}"
                yield Danger(risk=risk, where=where, words=f"{share}; {limited}")


def _single(plan: Plan) -> Iterator[Danger]:
    for machine in plan.machines:
        where = f"{machine.client}/{machine.machine}"
        for change in machine.effective:
            if change.erases:
                words = f"{change.what}: {change.why}"
                yield Danger(risk=Risk.ERASE, where=where, words=words)
            if change.kind is Kind.RESTART and (words := _outside(machine, plan.made_at)):
                yield Danger(risk=Risk.OUTSIDE_WINDOW, where=where, words=words)


def _outside(machine: MachinePlan, now: dt.datetime) -> str:
    window = machine.desired.window if machine.desired else None
    if window is None or is_open(window, now):
        return ""
    days = ", ".join(window.days)
    return (
        f"restarts now, outside the window agreed with the client ({days}, {window.starts} to {window.ends})"
    )
