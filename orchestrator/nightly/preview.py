"""What a night would do, for people: ``orchestrator nightly --dry-run``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from rich.text import Text

from orchestrator.applying.update_candidates import window_in_words
from orchestrator.contract.calendar import day_in_paris, paris_time
from orchestrator.counting import counted
from orchestrator.nightly.run import NightPlan
from orchestrator.planning.words import sides
from orchestrator.resources.change import Kind

_GIB = 1024**3


def render_night_plan(plan: NightPlan, closes_at: dt.datetime) -> Iterator[Text]:
    """Yield the lines of a night's plan, in the order of the work."""
    yield Text(
        f"night of {plan.night}: begins {paris_time(plan.started_at, weekday=True)}, "
        f"window closes {paris_time(closes_at, weekday=True)}",
        "bold",
    )
    for problem in plan.problems:
        yield Text(f"  ✗ {problem}", "red")
    for reading in plan.readings.values():
        for item in reading.observed.unreadable:
            if item.kind == "machine" and item.claims:
                yield Text(f"  ✗ {item.subject} is left as it is: {item.reason}", "red")
    for line in plan.drift:
        difference = " → ".join(side for side in (line.before, line.after) if side)
        yield Text(
            f"  ! {line.what} {line.client}/{line.machine}   {difference}   {line.why or 'changed outside'}",
            "cyan",
        )
    for machine, changes in plan.due:
        for change in changes:
            name = f"{machine.mark.client}/{machine.mark.machine}" if machine.mark else machine.summary.name
            if change.kind is Kind.UNABLE:
                yield Text(f"  ✗ {change.what} {name}   {change.why}", "red")
            else:
                yield Text(f"  + {change.what} {name}   {sides(change)[1]}", "green")
    for machine, snapshot in plan.expiring:
        name = f"{machine.mark.client}/{machine.mark.machine}" if machine.mark else machine.summary.name
        yield Text(f"  - snapshot {snapshot} {name}   its seven days are over (art. 3.2)", "red")
    yield from _backups(plan)
    for (client, name), verdict in plan.over:
        archive = verdict.archive
        size = f"{archive.stored.size / _GIB:.1f} GiB"
        if verdict.goes:
            yield Text(
                f"  - archive {client}/{name}   {archive.stored.volid}, {size}, ended {day_in_paris(verdict.ends)}",
                "red",
            )
        else:
            yield Text(
                f"    archive {client}/{name}   {archive.stored.volid} stays: {verdict.kept_because}", "dim"
            )
    for test in plan.tests:
        mark = test.archive.mark
        last = f"last on {test.tested_on}" if test.tested_on else "never restored"
        yield Text(
            f"  ? restore test {mark.client}/{mark.machine}   {test.archive.stored.volid}   {last}", "yellow"
        )
    for update in plan.updates.planned:
        client, name = update.machine.key
        when = (
            "goes on with what an earlier run began"
            if update.unfinished
            else f"automatic, in the window {window_in_words(update.opens, update.closes)}"
        )
        yield Text(f"  ~ updates {client}/{name}   {when}", "yellow")
    for held in plan.updates.held:
        yield Text(f"  ! updates {held.client}/{held.machine}   {held.message}", "magenta")
    yield Text()
    yield _summary(plan)


def _backups(plan: NightPlan) -> Iterator[Text]:
    for line in plan.backups.settled:
        if line.result == "failed":
            yield Text(f"  ✗ backup {line.client}/{line.machine}   {line.message}", "red")
        else:
            yield Text(f"    backup {line.client}/{line.machine}   made earlier tonight: {line.volid}", "dim")
    for key, due in sorted(plan.backups.due.items(), key=lambda item: -item[1].job.seconds):
        minutes, where = due.job.seconds / 60, " or ".join(due.job.storages)
        yield Text(
            f"  + backup {key[0]}/{key[1]}   to {where}, about {minutes:.0f} min, {due.job.size / _GIB:.1f} GiB",
            "green",
        )


def _summary(plan: NightPlan) -> Text:
    forecast = plan.backups.forecast
    goes = sum(verdict.goes for _, verdict in plan.over)
    text = (
        f"{counted(len(plan.backups.due), 'backup')}, {counted(goes, 'archive')} to remove, "
        f"{counted(len(plan.tests), 'restore test')}"
    )
    if plan.updates.planned:
        text += f", {counted(len(plan.updates.planned), 'machine')} to update"
    if forecast is None:
        return Text(text, "bold")
    ends = paris_time(forecast.ends_at, weekday=True)
    if forecast.fits:
        return Text(f"{text} · the backups should end {ends}: they fit", "bold")
    return Text(
        f"{text} · the backups would end {ends}, after the window closes: they do not fit",
        "bold red",
    )
