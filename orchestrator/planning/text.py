"""The plan for people: who, what, before and after, what restarts and when, what is refused and the way out."""

from __future__ import annotations

import datetime as dt
import textwrap
from collections.abc import Callable, Iterator
from itertools import groupby

from rich.text import Text

from orchestrator.contract.calendar import day_in_paris, paris_time
from orchestrator.contract.probation import probation_words
from orchestrator.counting import counted
from orchestrator.planning.charges import Allowance, Charge, Intervention, Needed
from orchestrator.planning.classes import WORST_FIRST, is_ordered
from orchestrator.planning.document import restart_words, restarts_counted, summary
from orchestrator.planning.plan import MachinePlan, Plan, untold
from orchestrator.planning.shared import SharedChange
from orchestrator.planning.taking_over import taking_words
from orchestrator.planning.words import rules_of, sides, when_words
from orchestrator.resources.change import Change, Effect
from orchestrator.shown import quoted, visible

_SYMBOLS = {
    Effect.CREATE: ("+", "green"),
    Effect.ADOPT: ("+", "green"),
    Effect.UPDATE: ("~", "yellow"),
    Effect.FIREWALL: ("~", "yellow"),
    Effect.GUEST: ("~", "yellow"),
    Effect.SNAPSHOT: ("+", "green"),
    Effect.EXPIRE: ("-", "red"),
    Effect.START: ("~", "yellow"),
    Effect.STOP: ("~", "yellow"),
    Effect.RESTART: ("~", "magenta"),
    Effect.RETIRE: ("-", "red"),
    Effect.WAITING: ("…", "cyan"),
    Effect.NOTICE: ("!", "cyan"),
    Effect.REFUSED: ("✗", "bold red"),
    Effect.UNABLE: ("✗", "bold red"),
}


_COLUMNS = 100
"""Of the lines that have one rule of a firewall each."""

_RULE_BESIDE = 40
"""A single rule of at most so many characters stands beside its machine."""


def render_plan(plan: Plan, *, show_unmanaged: bool = False) -> Iterator[Text]:
    """Yield the lines of a plan. Nothing in them depends on a terminal but the colours."""
    for site, who in plan.frozen.items():
        yield Text(f"{site} is frozen, nothing can be applied: {who}", "bold red")
    for failure in plan.failures:
        yield Text(f"{failure.site}: not read, nothing planned there: {failure.reason}", "bold red")
    for missing in plan.without_file:
        yield Text(missing.found, "yellow")
        yield Text(f"      {missing.remedy}", "yellow")
    with_machines = {machine.client for machine in plan.machines}
    for item in plan.shared:
        if item.by_itself and item.client not in with_machines:
            yield Text.assemble((item.client, "bold"), f"   site {item.site}")
            yield from _shared_line(item)
    for client, machines in groupby(plan.machines, key=lambda machine: machine.client):
        yield from _client(client, list(machines), plan)
        if client in plan.takings:
            yield Text(f"    {taking_words(plan.takings[client])}", "cyan")
    yield from _unreadable(plan)
    yield from _unmanaged(plan, show_unmanaged)
    for risk in plan.risks:
        verb, style = ("allowed", "yellow") if risk.allowed else ("refused", "bold red")
        yield Text(f"{verb}: {risk.name}   {risk.words}", style)
    yield Text()
    yield _summary(plan)


def _client(client: str, machines: list[MachinePlan], plan: Plan) -> Iterator[Text]:
    allowance, now = plan.allowances.get(client), plan.made_at
    shared = [item for item in plan.shared if item.by_itself and item.client == client]
    changing = [machine for machine in machines if machine.changes]
    if not changing and not shared:
        yield Text.assemble((client, "bold"), "  no changes")
        return
    first = machines[0]
    offers = ", ".join(dict.fromkeys(machine.offer for machine in machines))
    heading = Text.assemble((client, "bold"), f"   {quoted(first.contract)}   {offers}   site {first.site}")
    ends = first.desired.probation_ends if first.desired else None
    if ends and day_in_paris(now) < ends:
        heading.append(f"   {probation_words(ends)}", "cyan")
    yield heading
    for item in shared:
        yield from _shared_line(item)
    if not changing:
        return
    rows = [(machine, _collapse(machine)) for machine in changing]
    width = max(len(_subject(machine, change)) for machine, changes in rows for change in changes)
    for machine, changes in rows:
        for change in changes:
            since = plan.waiting_since.get(machine.key) if change.effect is Effect.WAITING else None
            yield from _line(machine, change, _subject(machine, change).ljust(width), since)
        yield from _not_done(machine)
    yield from _change_management(changing, allowance)


def _shared_line(item: SharedChange) -> Iterator[Text]:
    """A change of what a client has for all its machines."""
    change = item.change
    symbol, style = _SYMBOLS[change.effect]
    subject = f"{change.what} {change.part}" if change.part else change.what
    text = Text.assemble("  ", (symbol, style), " ", subject, "   ", _difference(change))
    if change.change_class:
        text.append(f"   {change.change_class}", "dim")
    yield from _with_reason(text, change)


def _with_reason(text: Text, change: Change) -> Iterator[Text]:
    if change.drift:
        text.append("   drift: changed outside", "cyan")
    yield text
    if change.why:
        refused = change.effect in (Effect.REFUSED, Effect.UNABLE)
        yield Text(f"      {change.why}", "red" if refused else "dim")


def _change_management(machines: list[MachinePlan], allowance: Allowance | None) -> Iterator[Text]:
    """What the client ordered, and what it is charged (article 3.8.4)."""
    if allowance is None:
        return
    held = [(machine.machine, machine.intervention) for machine in machines if machine.intervention]
    free = [name for name, item in held if item.charge is Charge.FREE]
    if free:
        left = f"{allowance.left} of {allowance.per_month} free left this month"
        yield Text(f"    {len(free)} standard, free: {', '.join(free)} ({left})", "dim")
    for label, reference_of in _REFERENCES:
        for reference in dict.fromkeys(filter(None, map(reference_of, (item for _, item in held)))):
            names = ", ".join(
                _charged_name(name, item) for name, item in held if reference_of(item) == reference
            )
            yield Text(f"    {label} {quoted(reference)}: {names}", "dim")
    for needed, words in _NEEDS.items():
        if missing := [_charged_name(name, item) for name, item in held if needed in item.lacks]:
            yield Text(f"    {words}: {', '.join(missing)}", "bold yellow")
    for name, item in held:
        if item.by_rule:
            yield Text(f"    {name}: {item.by_rule} by the rules, {item.change_class} as told", "yellow")


def _charged_name(name: str, item: Intervention) -> str:
    return f"{name} ({item.change_class})" if item.counted else name


_REFERENCES: tuple[tuple[str, Callable[[Intervention], str | None]], ...] = (
    ("ordered,", lambda item: item.order),
    ("charged by the catalogue,", lambda item: item.catalogue),
    ("charged, on quote", lambda item: item.quote),
)
"""The references that cover a client's changes, each with what it stands for."""

_NEEDS = {
    Needed.ORDER: "ordered, needs the order's or amendment's reference (--order REFERENCE, or contract.orders in the "
    "file)",
    Needed.CATALOGUE: "charged, needs the catalogue's reference (art. 3.8.4; --catalogue REFERENCE, or "
    "contract.catalogue in the file)",
    Needed.QUOTE: "charged, needs a quote accepted before (art. 3.8.4; contract.quotes in the file)",
}
"""What is missing, and where it is named."""


def _collapse(machine: MachinePlan) -> list[Change]:
    """What a clone that an earlier run left unfinished still needs stands in one line."""
    mark = machine.observed.mark if machine.observed else None
    if mark is None or mark.applied or machine.refused or not machine.effective:
        return list(machine.shown)
    whats = ", ".join(change.what for change in machine.effective)
    finish = Change(effect=Effect.UPDATE, what="machine", after=f"finish its creation ({whats})")
    return [finish, *(change for change in machine.changes if not change.effective)]


def _subject(machine: MachinePlan, change: Change) -> str:
    return f"{change.what} {machine.machine}"


def _line(
    machine: MachinePlan, change: Change, subject: str, since: dt.datetime | None = None
) -> Iterator[Text]:
    symbol, style = _SYMBOLS[change.effect]
    rules = rules_of(change.what, *sides(change))
    apart = len(rules) > 1 or sum(map(len, rules)) > _RULE_BESIDE
    difference = _rules_counted(change, len(rules)) if apart else _difference(change)
    text = Text.assemble("  ", (symbol, style), " ", subject, "   ", difference)
    if since is not None:
        text.append(f"   since {paris_time(since, weekday=True)}", "cyan")
    if change.restart:
        text.append(f"   restart {when_words(change.restart)}", "magenta")
    if change.change_class and not machine.refused:
        text.append(f"   {'order' if is_ordered(change) else change.change_class}", "dim")
    if machine.lacks_reference and change.effective:
        text.append("   not done without a reference", "bold yellow")
    if change.drift:
        text.append("   drift: changed outside", "cyan")
    yield text
    for rule in rules if apart else ():
        yield from (Text(line) for line in _wrapped(rule))
    if change.why:
        yield Text(
            f"      {change.why}", "red" if change.effect in (Effect.REFUSED, Effect.UNABLE) else "dim"
        )


def _not_done(machine: MachinePlan) -> Iterator[Text]:
    """What a refused machine's file asks for besides, apart from all that will happen."""
    for change in machine.not_done:
        rules = rules_of(change.what, *sides(change))
        apart = len(rules) > 1 or sum(map(len, rules)) > _RULE_BESIDE
        difference = _rules_counted(change, len(rules)) if apart else _difference(change)
        yield Text(f"      not done: {change.what} {machine.machine}   {difference}", "dim")
        for rule in rules if apart else ():
            yield from (Text(line, "dim") for line in _wrapped(rule))


def _wrapped(rule: str) -> list[str]:
    """A rule of a firewall on lines of its own, within :data:`_COLUMNS`."""
    indent = " " * 8
    return textwrap.wrap(
        visible(rule, longest=None),
        width=_COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent + "    ",
        break_on_hyphens=False,
    )


def _rules_counted(change: Change, number: int) -> str:
    """What stands on a firewall's line where its rules stand below it."""
    words = counted(number, "rule")
    before, after = sides(change)
    return words if before is None else f"{words} → {after}"


def _difference(change: Change) -> str:
    return " → ".join(side for side in sides(change) if side is not None)


def _unreadable(plan: Plan) -> Iterator[Text]:
    """What could not be read, but for what a machine's refusal has just named."""
    for item in untold(plan):
        seems = f", which seems to be {item.client}'s" if item.client and item.kind == "machine" else ""
        style = "red" if item.holds_up else "yellow"
        yield Text(f"not touched: {item.subject} at {item.site}{seems}", style)
        yield Text(f"      {item.reason}", style)


def _unmanaged(plan: Plan, show: bool) -> Iterator[Text]:
    for site, machines in plan.unmanaged.items():
        hint = "" if show else " (--show-unmanaged)"
        yield Text(f"unmanaged on {site}: {counted(len(machines), 'machine')}, not touched{hint}", "dim")
        if show:
            for vm in machines:
                yield Text(f"    {vm.vmid:>9}  {vm.name}  on {vm.node}, {vm.status}", "dim")


def _oldest(plan: Plan) -> str:
    """Since when the first of those that wait for a restart does."""
    oldest = min(plan.waiting_since.values(), default=None)
    if oldest is None:
        return ""
    return f", the oldest since {paris_time(oldest, weekday=True)}"


def _summary(plan: Plan) -> Text:
    counts = summary(plan)
    if not plan.has_changes and not plan.has_errors:
        waiting = (
            f" ({counts.waiting} waiting for a restart: {restart_words(counts.restarts)}{_oldest(plan)})"
            if counts.restarts
            else ""
        )
        return Text(f"no changes{waiting}", "green")
    text = f"{counts.create} to create, {counts.update} to change, {counts.retire} to retire, 0 to erase"
    if counts.shared:
        text += f", {counts.shared} shared"
    if counts.expire:
        text += f", {counted(counts.expire, 'snapshot')} to expire"
    if counts.restarts:
        text += f" · {restarts_counted(counts.restarts)}"
    if plan.waiting_since:
        text += f" · {len(plan.waiting_since)} waiting already{_oldest(plan)}"
    by_class = ", ".join(f"{counts.by_class[name]} {name}" for name in WORST_FIRST if name in counts.by_class)
    if by_class:
        text += f" · {by_class}"
    if counts.quotes_missing:
        text += f" · {counted(counts.quotes_missing, 'needs', 'need')} a reference"
    if counts.refused:
        text += f" · {counts.refused} refused"
    if counts.not_done:
        text += f" · {counts.not_done} not done"
    if plan.failures:
        text += f" · {counted(len(plan.failures), 'site')} not read"
    if held := sum(item.claims for item in untold(plan)):
        text += f" · {held} not touched"
    return Text(text, "bold")
