"""A client's month without what the client is not shown: what the provider typed, and its people's names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.history.declared import SUPERVISION, Alarm, AlarmAction, Declared, Outage, Request

if TYPE_CHECKING:
    from orchestrator.history.records import Recorded
    from orchestrator.reports.client_month import ClientMonth
    from orchestrator.reports.discretion import Discretion
    from orchestrator.reports.monthly import Monthly

AnyDeclared = TypeVar("AnyDeclared", bound=Declared)

_NOT_PEOPLE = (SUPERVISION, "client", "Client", "automatic", "recovery")


def discreet_month(
    month: ClientMonth, discretion: Discretion, *, people: Collection[str], provider: str
) -> ClientMonth:
    """A client's service level.

    Args:
        month: as it was computed.
        discretion: what the client may be shown.
        people: its own.
        provider: what the provider's people are called instead of their names.
    """
    hide = _Hiding(discretion, people, provider)
    return replace(month, records={number: hide.record(one) for number, one in month.records.items()})


def discreet_monthly(
    monthly: Monthly, discretion: Discretion, *, people: Collection[str], provider: str
) -> Monthly:
    """A client's monthly report. Arguments as of :func:`discreet_month`."""
    hide = _Hiding(discretion, people, provider)
    changes = tuple(
        replace(one, what=discretion.shown(one.what), reference=discretion.shown(one.reference))
        for one in monthly.facts.changes
    )
    return replace(
        monthly,
        level=discreet_month(monthly.level, discretion, people=people, provider=provider),
        facts=replace(monthly.facts, changes=changes),
        alarms=tuple(
            replace(
                one,
                recorded=hide.record(one.recorded),
                actions=tuple(hide.record(act) for act in one.actions),
            )
            for one in monthly.alarms
        ),
        requests=tuple(hide.said(one) for one in monthly.requests),
        no_graphs="",
    )


class _Hiding:
    """What is left out of records."""

    def __init__(self, discretion: Discretion, people: Collection[str], provider: str) -> None:
        self._discretion = discretion
        self._people = frozenset((*people, *_NOT_PEOPLE))
        self._provider = provider

    def record(self, one: Recorded[AnyDeclared]) -> Recorded[AnyDeclared]:
        return replace(
            one,
            said=self.said(one.said),
            why=self._discretion.shown(one.why),
            who=self._person(one.who),
            before=tuple(self.record(earlier) for earlier in one.before),
        )

    def said(self, said: AnyDeclared) -> AnyDeclared:
        changed: dict[str, Any] = {"reference": self._discretion.shown(said.reference or "") or None}
        if not (isinstance(said, Request) and said.asked_by in self._people):
            changed["text"] = self._discretion.shown(said.text)
        if isinstance(said, Outage):
            changed["notified_by"] = said.notified_by and self._person(said.notified_by)
            changed["cause"] = ""
        if isinstance(said, Alarm):
            changed["acknowledged_by"] = said.acknowledged_by and self._person(said.acknowledged_by)
            changed["rule"] = self._discretion.shown(said.rule) or self._provider
        if isinstance(said, AlarmAction):
            changed["by"] = self._person(said.by)
        return said.model_copy(update=changed)

    def _person(self, name: str) -> str:
        return name if name in self._people else self._provider
