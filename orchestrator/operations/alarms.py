"""Alarms (article 3.8.1): receive Alertmanager's webhook, list, acknowledge, close, and record what was done."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from orchestrator.alarms import recorded
from orchestrator.alarms.events import Close, Outcome, Raise, Unchanged, Watched, outcomes, state
from orchestrator.alarms.procedures import Rule, rules_of
from orchestrator.alarms.recorded import Known, alarms_of, known_alarms
from orchestrator.alarms.webhook import Alert, Received, parse
from orchestrator.contract.calendar import paris_time
from orchestrator.errors import RequestRefused
from orchestrator.history.declared import Alarm, AlarmAction, Maintenance
from orchestrator.history.records import Recorded, RecordRefused, add, correct, read
from orchestrator.operations.computer import operator
from orchestrator.operations.inputs import open_sound_desired, selection
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.run import SILENT, Events, open_history
from orchestrator.planning.window import current_or_next, is_open
from orchestrator.shipped_files import procedure_folder, template_folder

if TYPE_CHECKING:
    from orchestrator.history import History
    from orchestrator.operations.recent_files import FilesRead
    from orchestrator.resources.desired import DesiredMachine

_BY_ITSELF = "supervision"


@dataclass(frozen=True, kw_only=True)
class ReceiveRequest:
    """A webhook, and what its labels are looked up in.

    Attributes:
        body: the JSON.
        inventory: where the site file is.
        files: subscription files or folders.
        history: a file or URL; None: the usual one.
    """

    body: bytes
    inventory: str | None
    files: tuple[Path, ...] = ()
    history: str | None = None


@dataclass(kw_only=True)
class Reception:
    """What a webhook changed.

    Attributes:
        raised, closed: alarms, as they are recorded now.
        unchanged: how many alerts said nothing new: they were sent again.
        left: what was not recorded, and why, for people.
    """

    raised: list[Recorded[Alarm]] = field(default_factory=list)
    closed: list[Recorded[Alarm]] = field(default_factory=list)
    unchanged: int = 0
    left: list[str] = field(default_factory=list)


def receive(request: ReceiveRequest, now: dt.datetime | None = None, events: Events = SILENT) -> Reception:
    """Record what a webhook says: one alarm for each event. Safe to repeat: what was recorded is not recorded again.

    Args:
        request: the webhook.
        now: the time, aware; None: this computer's.
        events: who is told what.

    Raises:
        WebhookRefused: it is none of Alertmanager's; nothing was recorded.
        OrchestratorError: the files or the history cannot be read.
    """
    now = now or dt.datetime.now(dt.UTC)
    received = parse(request.body, now)
    provider = open_provider(request.inventory)
    desired, wrong = open_sound_desired(request.files, provider, events.problems)
    machines = {machine.key: machine for machine in desired}
    with open_history(request.history) as history:
        return _recorded(history, received, machines, provider.sites, len(wrong), now)


def receive_into(history: History, body: bytes, files: FilesRead, now: dt.datetime) -> Reception:
    """As :func:`receive`, into a history that is open, with files that were read already.

    Args:
        history: where.
        body: the webhook's JSON.
        files: what its labels are looked up in.
        now: the time, aware.

    Raises:
        WebhookRefused: it is none of Alertmanager's; nothing was recorded.
        HistoryUnavailable: it could not be written.
    """
    received = parse(body, now)
    return _recorded(history, received, files.desired, files.provider.sites, len(files.errors), now)


def _recorded(
    history: History,
    received: Received,
    machines: Mapping[tuple[str, str], DesiredMachine],
    sites: Iterable[str],
    wrong: int,
    now: dt.datetime,
) -> Reception:
    result = Reception(left=list(received.unread))
    by_client: dict[str, list[tuple[Alert, Watched | None]]] = {}
    for alert in received.alerts:
        if stranger := _stranger(alert, machines, sites):
            about = f"{alert.rule} of {stranger} was not recorded: no file has it"
            result.left.append(f"{about} (files with errors: {wrong})" if wrong else about)
            continue
        watched = machines.get((alert.client, alert.machine))
        by_client.setdefault(alert.client, []).append((alert, _watched(watched) if watched else None))
    for client, alerts in by_client.items():
        _receive_of(history, client, alerts, now, result)
    return result


def _receive_of(
    history: History,
    client: str,
    alerts: Iterable[tuple[Alert, Watched | None]],
    now: dt.datetime,
    result: Reception,
) -> None:
    """Record the alerts of one client; of none, if they are about the provider's own computers."""
    records = read(history, kinds=(Alarm, Maintenance), client=client)
    known = [item for item in alarms_of(records) if (item.said.client or "") == client]
    maintenance = [item.said for item in records.of(Maintenance)]
    for alert, watched in alerts:
        for outcome in outcomes(alert, known, watched, maintenance):
            made = _record(history, outcome, now)
            if isinstance(outcome, Unchanged) or made is None:
                result.unchanged += 1
                continue
            known = [item for item in known if item.first.number != made.first.number] + [made]
            (result.raised if isinstance(outcome, Raise) else result.closed).append(made)


def _record(history: History, outcome: Outcome, now: dt.datetime) -> Recorded[Alarm] | None:
    if isinstance(outcome, Unchanged):
        return None
    if isinstance(outcome, Close):
        number, why = outcome.old.number, f"recovery reported {paris_time(now, seconds=True)}"
        return correct(history, number, outcome.alarm, who=_BY_ITSELF, why=why)
    try:
        return add(history, outcome.alarm, who=_BY_ITSELF, why=_BY_ITSELF)
    except RecordRefused:  # its summary holds what the history would hide: the event counts, not its words
        return add(history, outcome.alarm.model_copy(update={"text": ""}), who=_BY_ITSELF, why=_BY_ITSELF)


def _stranger(alert: Alert, machines: Mapping[tuple[str, str], DesiredMachine], sites: Iterable[str]) -> str:
    """What an alert is about, if the files have no such thing; empty if they have."""
    if not alert.client:
        return alert.site if alert.site and alert.site not in sites else ""
    if alert.machine:
        key = (alert.client, alert.machine)
        return "" if key in machines else "/".join(key)
    return "" if any(client == alert.client for client, _ in machines) else alert.client


def _watched(machine: DesiredMachine) -> Watched:
    window = machine.window

    def until(moment: dt.datetime) -> dt.datetime | None:
        return current_or_next(window, moment)[1] if window and is_open(window, moment) else None

    return Watched(site=machine.site, managed=machine.change_terms is not None, window_until=until)


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An alarm with where it stands now."""

    known: Known
    state: str


def alarms(target: str | None, *, everything: bool, history: str | None) -> list[Listed]:
    """The alarms of a client or machine, or everybody's, the oldest first.

    Args:
        target: ``CLIENT[/MACHINE]``; None: everybody's.
        everything: those that are over, or that maintenance explains, too.
        history: a file or URL; None: the usual one.

    Raises:
        OrchestratorError: they cannot be read.
    """
    chosen, now = selection(target), dt.datetime.now(dt.UTC)
    with open_history(history, create=False) as opened:
        found = known_alarms(opened, chosen.client)
    listed = [Listed(known=known, state=state(known.alarm, now)) for known in found]
    return [
        item
        for item in listed
        if (chosen.client is None or item.known.alarm.client == chosen.client)
        and (chosen.machine is None or chosen.machine in item.known.alarm.machines)
        and (everything or item.state not in ("closed", "silent"))
    ]


def acknowledge(number: int, *, by: str, history: str | None) -> Recorded[Alarm]:
    """Record who looks after an alarm. Errors as :func:`orchestrator.alarms.recorded.acknowledge`."""
    with open_history(history, create=False) as opened:
        return recorded.acknowledge(opened, number, by=_named(by), who=operator(), at=dt.datetime.now(dt.UTC))


def close(number: int, *, by: str, reason: str, history: str | None) -> Recorded[Alarm]:
    """Close an alarm whose recovery nobody reported. Errors as :func:`orchestrator.alarms.recorded.close`."""
    with open_history(history, create=False) as opened:
        return recorded.close(
            opened, number, by=_named(by), why=reason, who=operator(), at=dt.datetime.now(dt.UTC)
        )


@dataclass(frozen=True, kw_only=True)
class ActionRequest:
    """What was done about an alarm.

    Attributes:
        by: a person, or ``automatic``.
        what: in one line.
        procedure: which one was followed; empty: that of the alarm's rule.
        at: when, aware; None: now.
    """

    alarm: int
    by: str
    what: str
    result: Literal["done", "failed", "no-effect"]
    procedure: str = ""
    at: dt.datetime | None = None


def action_of(request: ActionRequest, now: dt.datetime) -> AlarmAction:
    """What is to be recorded of an action.

    Raises:
        RequestRefused: it is not written as it must be.
    """
    if request.at is not None and request.at > now:
        raise RequestRefused("an action is recorded when it was taken: --at is in the future")
    try:
        return AlarmAction(
            alarm=request.alarm,
            by=_named(request.by),
            at=request.at or now,
            result=request.result,
            text=request.what,
            procedure=request.procedure,
        )
    except ValueError as error:
        raise RequestRefused(
            "an action has a text of one line (--what), up to 900 characters, and a procedure's name of lower-case "
            "letters, digits and hyphens"
        ) from error


def record_action(request: ActionRequest, *, history: str | None) -> Recorded[AlarmAction]:
    """Record an action. Errors as :func:`orchestrator.alarms.recorded.record_action`.

    Raises:
        RequestRefused: it is not written as it must be.
    """
    action = action_of(request, dt.datetime.now(dt.UTC))
    with open_history(history, create=False) as opened:
        return recorded.record_action(opened, request.alarm, action, who=operator(), why=request.what[:200])


def rules(files: Iterable[Path], folders: Iterable[Path]) -> tuple[Rule, ...]:
    """The alert rules with their procedures: of the shipped files, or of others.

    Args:
        files: of alert rules; the shipped one if there are none.
        folders: the provider's own procedures, which go before the shipped ones.

    Raises:
        RulesUnreadable: a file cannot be read.
    """
    chosen = list(files) or [template_folder() / "prometheus" / "alerts.yml"]
    return rules_of(chosen, [*folders, procedure_folder()])


def _named(by: str) -> str:
    if not by.strip() or len(by) > 100 or not by.isprintable():
        raise RequestRefused("--by: the name of a person, up to 100 visible characters")
    return by.strip()
