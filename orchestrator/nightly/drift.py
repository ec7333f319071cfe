"""Drift in the night: what differs from the files although nobody changed them, by the same reading as a plan's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from orchestrator.nightly.fence import reason
from orchestrator.nightly.result import DriftLine
from orchestrator.planning.plan import Plan, SiteFailure, make_plan
from orchestrator.planning.words import sides
from orchestrator.proxmox import ProxmoxError
from orchestrator.resources.change import Kind
from orchestrator.resources.survey import read_for_plan

if TYPE_CHECKING:
    from orchestrator.nightly.context import Night
    from orchestrator.resources.holdings import SiteReading
    from orchestrator.resources.observed import ObservedSite


def drift_lines(
    night: Night,
    readings: Mapping[str, SiteReading],
    failures: Mapping[str, str],
    now: dt.datetime,
    problems: list[str],
) -> list[DriftLine]:
    """What a plan would show as drift, refuse, or give notice of.

    Args:
        night: the run.
        readings: the sites as the night read them.
        failures: why the others could not be read.
        now: the time, aware.
        problems: what could not be judged is added here.
    """
    observed = _read_for_plan(night, readings, problems)
    here = [machine for machine in night.desired.values() if machine.site in observed]
    unread = [SiteFailure(site=site, reason=why) for site, why in failures.items()]
    try:
        return list(_lines(make_plan(here, observed, now, failures=unread)))
    except Exception:  # one machine's: the others' are found one by one
        lines: list[DriftLine] = []
        for machine in here:
            try:
                found = list(_lines(make_plan([machine], observed, now, failures=unread)))
            except Exception as error:
                problems.append(f"drift of {machine.client}/{machine.name}: {reason(error)}")
                continue
            lines += [line for line in found if (line.client, line.machine) == machine.key]
        return lines


def _read_for_plan(
    night: Night, readings: Mapping[str, SiteReading], problems: list[str]
) -> dict[str, ObservedSite]:
    """The sites with what a plan needs besides. The other steps do without it, so its failure is drift's alone."""
    observed = {}
    for site, reading in readings.items():
        try:
            observed[site] = read_for_plan(
                night.clusters[site], reading.observed, list(night.desired.values())
            )
        except ProxmoxError as error:
            problems.append(f"drift at {site} is not known: {error}")
            continue
        problems += [
            f"drift of {item.subject} at {site} is not known: {item.reason}"
            for item in observed[site].unreadable
            if item not in reading.observed.unreadable
        ]
    return observed


def _lines(plan: Plan) -> Iterable[DriftLine]:
    for machine in plan.machines:
        for change in machine.changes:
            if change.drift or change.kind in (Kind.NOTICE, Kind.REFUSED):
                before, after = sides(change)
                yield DriftLine(
                    client=machine.client,
                    machine=machine.machine,
                    site=machine.site,
                    what=change.what,
                    before=before,
                    after=after,
                    why=change.why,
                )
