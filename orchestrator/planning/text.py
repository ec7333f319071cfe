"""The plan for people: who, what, before and after, what restarts and when, what is refused and the way out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import groupby

from rich.text import Text

from orchestrator.contract.calendar import day_in_paris
from orchestrator.planning.classes import WORST_FIRST
from orchestrator.planning.document import summary
from orchestrator.planning.interventions import Allowance, Charge
from orchestrator.planning.plan import MachinePlan, Plan
from orchestrator.resources.change import Change, Kind

_SYMBOLS = {
    Kind.CREATE: ("+", "green"),
    Kind.ADOPT: ("+", "green"),
    Kind.UPDATE: ("~", "yellow"),
    Kind.FIREWALL: ("~", "yellow"),
    Kind.GUEST: ("~", "yellow"),
    Kind.SNAPSHOT: ("+", "green"),
    Kind.EXPIRE: ("-", "red"),
    Kind.START: ("~", "yellow"),
    Kind.STOP: ("~", "yellow"),
    Kind.RESTART: ("~", "magenta"),
    Kind.RETIRE: ("-", "red"),
    Kind.WAITING: ("…", "cyan"),
    Kind.NOTICE: ("!", "cyan"),
    Kind.REFUSED: ("✗", "bold red"),
    Kind.UNABLE: ("✗", "bold red"),
}


def render_plan(plan: Plan, *, show_unmanaged: bool = False) -> Iterator[Text]:
    """Yield the lines of a plan. Nothing in them depends on a terminal but the colours."""
    for site, who in plan.frozen.items():
        yield Text(f"{site} is frozen, nothing can be applied: {who}", "bold red")
    for failure in plan.failures:
        yield Text(f"{failure.site}: not read, nothing planned there: {failure.reason}", "bold red")
    for client, machines in groupby(plan.machines, key=lambda machine: machine.client):
        yield from _client(client, list(machines), plan.allowances.get(client), plan.made_at)
    yield from _unmanaged(plan, show_unmanaged)
    for danger in plan.dangers:
        verb, style = ("allowed", "yellow") if danger.allowed else ("refused", "bold red")
        yield Text(f"{verb}: {danger.name}   {danger.words}", style)
    yield Text()
    yield _summary(plan)


def _client(
    client: str, machines: list[MachinePlan], allowance: Allowance | None, now: dt.datetime
) -> Iterator[Text]:
    changing = [machine for machine in machines if machine.changes]
    if not changing:
        yield Text.assemble((client, "bold"), "  no changes")
        return
    first = machines[0]
    offers = ", ".join(dict.fromkeys(machine.offer for machine in machines))
    heading = Text.assemble((client, "bold"), f"   {first.contract}   {offers}   site {first.site}")
    ends = first.desired.probation_ends if first.desired else None
    if ends and day_in_paris(now) < ends:
        heading.append(f"   probation until {ends}: no service level (art. 4.2)", "cyan")
    yield heading
    rows = [(machine, change) for machine in changing for change in _collapse(machine)]
    subjects = [_subject(machine, change) for machine, change in rows]
    width = max(len(subject) for subject in subjects)
    for (machine, change), subject in zip(rows, subjects, strict=True):
        yield from _line(machine, change, subject.ljust(width))
    yield from _change_management(changing, allowance)


def _change_management(machines: list[MachinePlan], allowance: Allowance | None) -> Iterator[Text]:
    """What the client is charged (article 3.8.4)."""
    if allowance is None:
        return
    held = [(machine.machine, machine.intervention) for machine in machines if machine.intervention]
    free = [name for name, item in held if item.charge is Charge.FREE]
    if free:
        left = f"{allowance.left} of {allowance.per_month} free left this month"
        yield Text(f"    {len(free)} standard, free: {', '.join(free)} ({left})", "dim")
    quotes = dict.fromkeys(item.quote for _, item in held if item.quote)
    for quote in quotes:
        names = ", ".join(f"{name} ({item.change_class})" for name, item in held if item.quote == quote)
        yield Text(f"    charged, on quote {quote}: {names}", "dim")
    missing = [f"{name} ({item.change_class})" for name, item in held if item.charge is Charge.MISSING]
    if missing:
        needs = (
            "charged, needs an accepted quote (art. 3.8.4; --quote REFERENCE, or contract.quotes in the file)"
        )
        yield Text(f"    {needs}: {', '.join(missing)}", "bold yellow")
    for name, item in held:
        if item.by_rule:
            yield Text(f"    {name}: {item.by_rule} by the rules, {item.change_class} as told", "yellow")


def _collapse(machine: MachinePlan) -> list[Change]:
    """What a clone that an earlier run left unfinished still needs stands in one line."""
    mark = machine.observed.mark if machine.observed else None
    if mark is None or mark.applied or machine.refused or not machine.effective:
        return list(machine.changes)
    whats = ", ".join(change.what for change in machine.effective)
    finish = Change(kind=Kind.UPDATE, what="machine", after=f"finish its creation ({whats})")
    return [finish, *(change for change in machine.changes if not change.effective)]


def _subject(machine: MachinePlan, change: Change) -> str:
    return f"{change.what} {machine.machine}"


def _line(machine: MachinePlan, change: Change, subject: str) -> Iterator[Text]:
    symbol, style = _SYMBOLS[change.kind]
    text = Text.assemble("  ", (symbol, style), " ", subject, "   ", _difference(change))
    if change.restart:
        text.append(f"   restart {change.restart}", "magenta")
    if change.change_class and not machine.refused:
        text.append(f"   {change.change_class}", "dim")
    if change.drift:
        text.append("   drift: changed outside", "cyan")
    yield text
    if change.why:
        yield Text(f"      {change.why}", "red" if change.kind in (Kind.REFUSED, Kind.UNABLE) else "dim")


def _difference(change: Change) -> str:
    if change.before is None:
        return change.after or ""
    if change.after is None:
        return change.before
    return f"{change.before} → {change.after}"


def _unmanaged(plan: Plan, show: bool) -> Iterator[Text]:
    for site, machines in plan.unmanaged.items():
        hint = "" if show else " (--show-unmanaged)"
        count = "1 machine" if len(machines) == 1 else f"{len(machines)} machines"
        yield Text(f"unmanaged on {site}: {count}, not touched{hint}", "dim")
        if show:
            for vm in machines:
                yield Text(f"    {vm.vmid:>9}  {vm.name}  on {vm.node}, {vm.status}", "dim")


def _summary(plan: Plan) -> Text:
    counts = summary(plan)
    if not plan.has_changes and not plan.has_errors:
        waiting = f" ({counts.waiting} waiting for a restart)" if counts.waiting else ""
        return Text(f"no changes{waiting}", "green")
    text = f"{counts.create} to create, {counts.update} to change, {counts.retire} to retire, 0 to erase"
    if counts.expire:
        text += f", {counts.expire} snapshot{'s' if counts.expire > 1 else ''} to expire"
    if counts.restart:
        text += f" · {counts.restart} restart{'s' if counts.restart > 1 else ''}"
    by_class = ", ".join(f"{counts.by_class[name]} {name}" for name in WORST_FIRST if name in counts.by_class)
    if by_class:
        text += f" · {by_class}"
    if counts.quotes_missing:
        noun = "needs a quote's reference" if counts.quotes_missing == 1 else "need a quote's reference"
        text += f" · {counts.quotes_missing} {noun}"
    if counts.refused:
        text += f" · {counts.refused} refused"
    if plan.failures:
        text += f" · {len(plan.failures)} site{'s' if len(plan.failures) > 1 else ''} not read"
    return Text(text, "bold")
