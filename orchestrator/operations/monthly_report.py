"""A client's monthly report: its file, the history and the month's figures of its machines. Changes nothing."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from orchestrator.alarms.recorded import known_alarms
from orchestrator.errors import RequestRefused, local_reason
from orchestrator.history.declared import Request
from orchestrator.history.delays import delays
from orchestrator.history.requests import asked
from orchestrator.operations.computer import replace_file
from orchestrator.operations.run import SILENT, Events, open_clusters, open_history
from orchestrator.operations.service_level import ServiceLevelRequest, month_of, opened
from orchestrator.proxmox import ProxmoxError
from orchestrator.proxmox.measurements import read_measurements
from orchestrator.reports.monthly import Monthly, render_monthly
from orchestrator.reports.monthly_facts import READ, month_facts
from orchestrator.reports.pdf import pdf_of
from orchestrator.reports.series import MachineGraphs, graphs_of, within
from orchestrator.resources.scope import Selection
from orchestrator.resources.survey import Asked, observe_sites

if TYPE_CHECKING:
    from orchestrator.contract.months import Month
    from orchestrator.sites.model import Provider
    from orchestrator.subscriptions.model import Subscription

_FINEST_YEAR = 21_600
"""Seconds of a row of a year on 9.x: such rows never change once they are over. 8.x has a week: a month has four."""


@dataclass(frozen=True, kw_only=True)
class MonthlyRequest(ServiceLevelRequest):
    """Whose month.

    Attributes:
        graphs: whether the hypervisors are asked for the machines' figures.
    """

    graphs: bool = True


def monthly_report(
    request: MonthlyRequest, events: Events = SILENT, *, now: dt.datetime | None = None
) -> Monthly:
    """Gather a client's month.

    Raises:
        RequestRefused: no file has the client, the month is not one, or has not begun.
        HistoryUnavailable: the history cannot be read.
    """
    now = now or dt.datetime.now(dt.UTC)
    month, provider, subscription = opened(request, events, now)
    monthly = gathered(subscription, month, provider, request.history, now)
    if not request.graphs:
        return monthly
    return with_graphs(monthly, subscription, provider, events)


def gathered(
    subscription: Subscription, month: Month, provider: Provider, place: str | None, now: dt.datetime
) -> Monthly:
    """A client's month without graphs: a fixed number of queries.

    Args:
        subscription: the client's file.
        month: which.
        provider: the sites.
        place: where the history is; None: the usual place.
        now: the time of the report (aware).

    Raises:
        HistoryUnavailable: the history cannot be read.
    """
    client, end = subscription.client, min(now, month.span.end)
    managed = subscription.managed_services
    automatic = [
        (client, machine.name)
        for _, machine in subscription.machines()
        if managed is not None and managed.updates == "automatic"
    ]
    with open_history(place) as history:
        level = month_of(subscription, month, history, now, place)
        days = -(-int((end - month.span.start).total_seconds()) // 86_400)
        return Monthly(
            level=level,
            data_centre=provider.sites[subscription.contract.site].data_centre or "",
            facts=month_facts(
                subscription,
                month,
                history.entries(client=client, action=READ, since=month.span.start),
                now,
            ),
            delays=delays(history, end, days=days, client=client, automatic=automatic),
            alarms=tuple(
                known
                for known in known_alarms(history, client)
                if known.alarm.client == client and month.span.start <= known.alarm.start < month.span.end
            ),
            requests=tuple(
                one.said
                for one in asked(history, client=client)
                if isinstance(one.said, Request) and month.span.start <= one.said.came < month.span.end
            ),
        )


def with_graphs(
    monthly: Monthly, subscription: Subscription, provider: Provider, events: Events = SILENT
) -> Monthly:
    """The same with a graph of each machine that has graphs; which could not be read, the report says.

    Why they could not is told to us alone: it names hypervisors and their addresses.
    """
    bought = _bought(subscription)
    graphs, why = _graphs(subscription, bought, monthly.level.month, provider, events) if bought else ((), "")
    if why:
        events.notice(f"graphs are missing in the report of {subscription.client}: {why}")
    return replace(monthly, graphs=graphs, no_graphs=why, graphs_asked=True, graphs_bought=bool(bought))


def rendered(
    monthly: Monthly,
    form: Literal["html", "pdf"],
    *,
    language: Literal["fr", "en"] = "fr",
    output: Path | None = None,
) -> str | bytes:
    """The report in a form, written to a file if one is named, whole or not at all.

    Raises:
        PdfUnavailable: a PDF cannot be made on this computer.
        RequestRefused: the file cannot be written.
    """
    made: str | bytes = render_monthly(monthly, language=language)
    if form == "pdf":
        made = pdf_of(str(made))
    if output is not None:
        try:
            replace_file(output, made)
        except OSError as error:
            raise RequestRefused(f"the report cannot be written: {local_reason(error)}") from error
    return made


def _bought(subscription: Subscription) -> set[str]:
    """The machines that have graphs: by their offer, or with managed services (articles 3.2, 3.3, 3.8.1)."""
    return {
        machine.name
        for offer, machine in subscription.machines()
        if offer.terms.graphs or subscription.managed_services is not None
    }


def _graphs(
    subscription: Subscription, bought: set[str], month: Month, provider: Provider, events: Events
) -> tuple[tuple[MachineGraphs, ...], str]:
    """The month of each machine that has graphs, and why there are none of others: the report is made all the same."""
    site = subscription.contract.site
    with open_clusters(provider, only=[site], notice=events.notice) as clusters:
        read = observe_sites(clusters, Asked(selection=Selection(client=subscription.client)))
        if site in read.failures:
            return (), read.failures[site]
        found: list[MachineGraphs] = []
        for machine in sorted(read.observed[site].machines, key=lambda one: one.summary.name):
            mark, summary = machine.mark, machine.summary
            if mark is None or mark.client != subscription.client or mark.machine not in bought:
                continue
            try:
                measured = read_measurements(clusters[site], summary.node, summary.vmid, "year")
                finest = min((b.ends - a.ends for a, b in pairwise(measured)), default=0)
                timeframe: Literal["year", "month"] = "year" if 0 < finest <= _FINEST_YEAR else "month"
                if timeframe == "month":
                    measured = read_measurements(clusters[site], summary.node, summary.vmid, "month")
            except ProxmoxError as error:
                return tuple(found), str(error)
            graphs = graphs_of(measured, client=mark.client, machine=mark.machine, timeframe=timeframe)
            found.append(within(graphs, month.span.start, month.span.end))
    return tuple(found), ""
