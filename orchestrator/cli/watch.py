"""``orchestrator watch``: observe all machines once, or again and again; or show what was observed."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.contract.calendar import paris_time
from orchestrator.errors import OrchestratorError
from orchestrator.shown import visible

if TYPE_CHECKING:
    from orchestrator.history.intervals import Seen, Span
    from orchestrator.operations.watch import Round, Watched

_SHORTEST, _LONGEST = 10, 240
_WORDS = {
    "own": "by the orchestrator",
    "planned": "as its file asks",
    "person": "by another user in Proxmox",
    "inside": "shut down from inside",
    "process": "its process ended on the node",
    "node": "its node is off",
    "storage": "a storage is away",
    "network": "the site's network",
    "unanswered": "does not answer the probe",
    "unknown": "cause unknown",
    "restart": "restarted between two observations",
    "once": "a single failed observation",
    "silent": "its node says nothing",
    "not observed": "not observed",
}


def watch(
    paths: session.Paths = None,
    inventory: session.Inventory = None,
    site: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this site; may be repeated.")
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Observe again and again: 30s, 2m; from 10 s to 4 min."),
    ] = None,
    show: Annotated[
        str | None,
        typer.Option(metavar="CLIENT[/MACHINE]|all", help="Show what was observed, and observe nothing."),
    ] = None,
    hours: Annotated[int, typer.Option(min=1, max=24 * 400, help="With --show: how far back.")] = 24,
    format: Annotated[
        session.OutputFormat, typer.Option(help="For people or for programs.")
    ] = session.OutputFormat.TEXT,
    history: session.HistoryPath = None,
) -> None:
    """Observe which machines run, and record it.

    One call per cluster, as a rule; a machine that is down is explained where that is possible.

    Exit code 0: every site was observed; 1: a site could not be.
    """
    from orchestrator.operations import watch as operation

    if show is not None:
        _show(operation.watched(None if show == "all" else show, hours=hours, history=history), format)
        return
    seconds = None if every is None else _seconds(every)
    request = operation.WatchRequest(
        inventory=inventory, paths=tuple(paths or ()), sites=tuple(site or ()), history=history
    )
    first = True
    while True:
        began = time.monotonic()
        try:
            done = operation.watch(request, EVENTS)
            _print(done, format)
        except OrchestratorError as error:
            if first:
                raise
            session.complain(
                str(error), style="red"
            )  # a database that is away for a while ends no observation
        if seconds is None:
            raise typer.Exit(0 if done.well else 1)
        first = False
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))


def _seconds(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,4})(s|m)", text.strip(), re.ASCII)
    seconds = int(found[1]) * (60 if found[2] == "m" else 1) if found else 0
    if not _SHORTEST <= seconds <= _LONGEST:
        session.fail(f"--every {text}: write a time from 10s to 4m, such as 2m")
    return seconds


def _print(done: Round, format: session.OutputFormat) -> None:
    if format is session.OutputFormat.JSON:
        session.echo_json(json.dumps(_round_for_programs(done)))
    else:
        out = session.console()
        for site in done.sites:
            if site.problem:
                continue
            counted = ", ".join(f"{count} {state}" for state, count in site.states.items())
            out.print(f"{paris_time(done.at, seconds=True)}  {site.site}: {counted}")
            if site.gap is not None:
                out.print(f"  nothing was observed for {_length(site.gap)} before", style="yellow")
            for turn in site.turns:
                out.print(f"  {visible(turn.client)}/{visible(turn.machine)}  {_span_words(turn.span)}")
    for text in (*done.problems, *done.notices):
        session.complain(text, style="yellow")
    for site in done.sites:
        if site.problem:
            session.complain(f"not observed: {site.problem}", style="red")


def _span_words(span: Span) -> str:
    since = paris_time(dt.datetime.fromtimestamp(span.start, dt.UTC), seconds=True)
    until = (
        ""
        if span.end is None
        else f" until {paris_time(dt.datetime.fromtimestamp(span.end, dt.UTC), seconds=True)}"
    )
    return f"{span.state} since {since}{until}{_why(str(span.cause), span.detail)}"


def _why(cause: str, detail: str) -> str:
    words = _WORDS.get(cause, visible(cause))
    return f": {words}" * bool(words) + f" ({visible(detail)})" * bool(detail)


def _round_for_programs(done: Round) -> dict[str, Any]:
    return {
        "at": done.at.isoformat(),
        "sites": [
            {
                "site": site.site,
                "source": site.source,
                "states": dict(site.states),
                "gap_seconds": None if site.gap is None else site.gap.total_seconds(),
                "problem": site.problem,
                "turns": [
                    {
                        "client": turn.client,
                        "machine": turn.machine,
                        "state": turn.span.state,
                        "start": _iso(turn.span.start),
                        "end": _iso(turn.span.end),
                        "cause": str(turn.span.cause),
                        "detail": turn.span.detail,
                    }
                    for turn in site.turns
                ],
            }
            for site in done.sites
        ],
        "problems": list(done.problems),
        "notices": list(done.notices),
    }


def _iso(seconds: int | None) -> str | None:
    return None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()


def _show(watched: Watched, format: session.OutputFormat) -> None:
    if format is session.OutputFormat.JSON:
        session.echo_json(json.dumps(_for_programs(watched), indent=2))
        return
    out = session.console()
    out.print(f"from {paris_time(watched.start)} to {paris_time(watched.end)}")
    for (client, machine), seen in sorted(watched.machines.items()):
        out.print(f"{visible(client)}/{visible(machine)}", style="bold")
        for line in seen_lines(seen):
            out.print(f"  {line}")
    for site in watched.sites:
        last = "never" if site.until is None else paris_time(site.until, seconds=True)
        trouble = f"; the last round failed: {visible(site.trouble)}" if site.trouble else ""
        out.print(f"site {site.site}: last observed {last}{trouble}")


def seen_lines(seen: Sequence[Seen]) -> Iterable[str]:
    """What was observed of a machine, a line for each interval."""
    for item in seen:
        times = f"{paris_time(item.start, seconds=True)} - {paris_time(item.end, seconds=True)}"
        yield f"{times}  {item.state:<7}  {_length(item.end - item.start)}{_why(item.cause, item.detail)}"


def _length(time: dt.timedelta) -> str:
    minutes, seconds = divmod(round(time.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"


def _for_programs(watched: Watched) -> dict[str, Any]:
    return {
        "start": watched.start.isoformat(),
        "end": watched.end.isoformat(),
        "machines": [
            {
                "client": client,
                "machine": machine,
                "seen": [
                    {
                        "start": item.start.isoformat(),
                        "end": item.end.isoformat(),
                        "state": item.state,
                        "cause": item.cause,
                        "source": item.source,
                        "detail": item.detail,
                    }
                    for item in seen
                ],
            }
            for (client, machine), seen in sorted(watched.machines.items())
        ],
        "sites": [
            {
                "site": site.site,
                "until": None if site.until is None else site.until.isoformat(),
                "source": site.source,
                "trouble": site.trouble,
            }
            for site in watched.sites
        ],
    }
