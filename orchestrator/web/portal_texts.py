"""The sentences of a client's pages, made of data by the words of its language."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from orchestrator.contract.calendar import day_in_paris
from orchestrator.contract.forecasts import ENDS_WITHIN_DAYS
from orchestrator.contract.life import Standing
from orchestrator.contract.portal_rights import Act
from orchestrator.contract.service_level import percentage_shown
from orchestrator.history.declared import CreditRequest, Request
from orchestrator.interface.looks import LATE
from orchestrator.reports.spelling import percent_exact
from orchestrator.web.listing import Column

if TYPE_CHECKING:
    from orchestrator.contract.offers import Offer
    from orchestrator.contract.portal_rights import Refusal
    from orchestrator.history.declared import Asked
    from orchestrator.history.records import Recorded
    from orchestrator.interface.looked import LookedBackups, LookedRule
    from orchestrator.operations.portal import PortalMachine
    from orchestrator.reports.client_history import ClientEntry
    from orchestrator.reports.client_month import ClientMonth, ServiceMonth
    from orchestrator.reports.discretion import Discretion
    from orchestrator.reports.portal_words import PortalWords
    from orchestrator.web.portal_desk import PortalDesk

Tone = Literal["info", "warn", "bad"]

_OFFERS = {
    "cloud-vm-essential": "offer_essential",
    "cloud-vm-advanced": "offer_advanced",
    "cloud-datacenter": "offer_datacenter",
}
STATE_TONES = {
    "running": "good",
    "stopped": "off",
    "suspended": "warn",
    "retired": "off",
    "missing": "wait",
    "unknown": "unknown",
}
RESULT_TONES = {"ok": "good", "failed": "bad", "refused": "warn", "unknown": "unknown", "begun": "busy"}
_ANSWERED_DAYS = dt.timedelta(days=7)


def offer_words(offer: Offer | None, words: PortalWords) -> str:
    """An offer as the contract names it."""
    return str(getattr(words, _OFFERS[offer.value])) if offer else words.nothing


def offers_words(offers: Iterable[Offer], words: PortalWords) -> str:
    """Offers as the contract names them."""
    return ", ".join(offer_words(offer, words) for offer in offers)


def refusal_words(refusal: Refusal, words: PortalWords) -> str:
    """Why something is not for the client."""
    return str(getattr(words, f"refusal_{refusal.value}"))


@dataclass(frozen=True, kw_only=True)
class EntryTold:
    """An entry of the history in words."""

    at: dt.datetime
    machine: str
    who: str
    what: str
    about: str
    result: str
    tone: str
    reason: str
    why: str


def entry_told(entry: ClientEntry, words: PortalWords) -> EntryTold:
    """An entry in words."""
    who = {
        "client": words.who_client.format(name=entry.who),
        "provider": words.who_provider,
        "automatic": words.who_automatic,
    }[entry.side]
    changes = [str(getattr(words, name)).format(name=part) for name, part in entry.changes]
    return EntryTold(
        at=entry.at,
        machine=entry.machine,
        who=who,
        what=str(getattr(words, entry.act)),
        about=", ".join([*changes, *([entry.about] if entry.about else [])]),
        result=str(getattr(words, f"done_{entry.result}")),
        tone=RESULT_TONES[entry.result],
        reason=str(getattr(words, entry.reason)) if entry.reason else "",
        why=str(getattr(words, entry.why)) if entry.why else entry.text,
    )


def rule_others(rule: LookedRule, words: PortalWords) -> str:
    """From or to where traffic is let; the provider's own addresses are not said."""
    if rule.of_provider:
        return words.firewall_provider
    return ", ".join(words.firewall_any if one == "any" else one for one in rule.others)


@dataclass(frozen=True, kw_only=True)
class RequestTold:
    """A request in words.

    Attributes:
        due: when the 72 working hours of updates are over; None for others.
    """

    number: int
    what: str
    machine: str
    came: dt.datetime
    by: str
    text: str
    outcome: str
    answer: str
    closed: dt.datetime | None
    due: dt.datetime | None


def request_told(
    one: Recorded[Asked],
    words: PortalWords,
    people: Iterable[str],
    discretion: Discretion,
    due: dt.datetime | None,
    month: str,
) -> RequestTold:
    """A request in words: what the client wrote is shown as it is, what the provider wrote if it may be."""
    said = one.said
    by_client = said.asked_by in people or said.asked_by == "client"
    outcome = str(getattr(words, f"answer_{said.outcome.replace('-', '_')}")) if said.outcome else ""
    if isinstance(said, Request) and said.answer is not None:
        outcome = words.answer_yes if said.answer == "yes" else words.answer_no
    kind = words.ask_credit_of.format(month=month) if isinstance(said, CreditRequest) else ""
    return RequestTold(
        number=one.first.number,
        what=kind or str(getattr(words, f"ask_{said.kind}")) if isinstance(said, Request) else kind,
        machine=", ".join(said.machines),
        came=said.came,
        by=said.asked_by if by_client and said.asked_by != "client" else words.requests_client,
        text=said.text if one.who in people else discretion.shown(said.text),
        outcome=outcome,
        answer=discretion.shown(said.result),
        closed=said.closed,
        due=due,
    )


@dataclass(frozen=True, kw_only=True)
class LevelTold:
    """A service's month in words.

    Attributes:
        open: whether its client may ask for a credit.
    """

    machine: str
    delivered: str
    verdict: str
    tone: str
    credit: str
    open: bool


def level_told(month: ClientMonth, service: ServiceMonth, desk: PortalDesk) -> LevelTold:
    """A service's month in words."""
    words, level = desk.words, service.level
    delivered, verdict, tone = words.nothing, words.not_in_service, "off"
    if level.wholly_in_probation:
        verdict, tone = words.in_probation, "wait"
    elif level.applies and level.availability is None:
        verdict, tone = words.level_not_observed, "unknown"
    elif level.applies and level.availability is not None:
        delivered = percent_exact(Decimal(percentage_shown(level.availability)), desk.visit.language)
        verdict, tone = (words.met, "good") if level.met else (words.missed, "bad")
    credit = {"none": "", "open": words.credit_open}.get(service.credit_state, "")
    if service.request is not None and service.credit_state == "requested":
        credit = words.credit_requested.format(
            day=desk.speech.short_day(day_in_paris(service.request.said.came)),
            number=service.request.first.number,
        )
    if service.credit is not None:
        credit = words.credit_issued.format(
            day=desk.speech.short_day(service.credit.said.issued), number=service.credit.first.number
        )
    return LevelTold(
        machine=service.machine,
        delivered=delivered,
        verdict=verdict,
        tone=tone,
        credit=credit,
        open=service.credit_state == "open" and month.final and desk.client.asks_for(Act.CREDIT) is None,
    )


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something that needs the client's attention.

    Attributes:
        address: of the page about it; empty if there is none.
    """

    tone: Tone
    text: str
    address: str = ""


def contract_notes(desk: PortalDesk) -> Iterator[Note]:
    """What the contract needs attention for."""
    words, client, speech = desk.words, desk.client, desk.speech
    if client.broken:
        yield Note(tone="warn", text=words.portal_file_away)
    if client.subscription is None or client.life is None:
        return
    if client.standing is Standing.SUSPENDED:
        since = client.life.suspended_since
        said = words.note_suspended.format(day=speech.day(since)) if since else words.note_default
        yield Note(tone="bad", text=said)
    if client.days_left is not None:
        yield Note(tone="warn", text=words.note_ending(client.days_left), address="/portal/reports")
    today = day_in_paris(client.now)
    for quote in client.subscription.contract.quotes:
        if today <= quote.valid_until <= today + dt.timedelta(days=ENDS_WITHIN_DAYS):
            day = speech.day(quote.valid_until)
            yield Note(tone="info", text=words.note_quote.format(reference=quote.reference, day=day))


def machine_notes(machine: PortalMachine, desk: PortalDesk) -> Iterator[Note]:
    """What a machine needs attention for."""
    words, seen = desk.words, machine.seen
    address = f"/portal/machines/{machine.name}"
    if machine.wanted is None or seen is None:
        return
    if machine.state in ("unknown", "missing"):
        state = getattr(words, f"state_{machine.state}")
        yield Note(
            tone="warn", text=words.note_state.format(machine=machine.name, state=state), address=address
        )
    if machine.state in ("running", "stopped") and machine.may(Act.BACKUPS) and seen.backups.days is not None:
        last = seen.backups.last_good
        if last is None and seen.backups.known:
            text = words.note_no_backup.format(machine=machine.name)
            yield Note(tone="bad", text=text, address=address)
        elif last is not None and last < desk.client.now - LATE:
            text = words.note_old_backup.format(machine=machine.name, moment=desk.speech.moment(last))
            yield Note(tone="bad", text=text, address=address)
    if seen.waiting:
        yield Note(tone="info", text=words.note_restart.format(machine=machine.name), address=address)


def answered_notes(requests: Iterable[RequestTold], desk: PortalDesk) -> Iterator[Note]:
    """The requests that were answered in the last seven days."""
    for one in requests:
        if one.closed is not None and one.closed > desk.client.now - _ANSWERED_DAYS:
            text = desk.words.note_answered.format(number=one.number)
            yield Note(tone="info", text=text, address="/portal/requests")


def credit_notes(month: ClientMonth | None, desk: PortalDesk) -> Iterator[Note]:
    """The credits of a month that the client may ask for."""
    for service in month.services if month else ():
        if month is not None and level_told(month, service, desk).open:
            text = desk.words.note_credit.format(
                month=desk.speech.month(month.month), machine=service.machine
            )
            yield Note(tone="warn", text=text, address=f"/portal/service-level?month={month.month}")


def last_test(backups: LookedBackups) -> dt.date | None:
    """The day a backup was last restored and found sound; None: none was."""
    days = [one.test.on for one in backups.kept if one.test is not None and one.test.sound]
    return max([*days, *([backups.last_test] if backups.last_test else [])], default=None)


def bytes_told(count: int, desk: PortalDesk) -> str:
    """A volume, and to the byte: ``1,9 Gio (1 986 422 374 octets)``."""
    if not count:
        return desk.words.backup_none
    return desk.words.backup_bytes.format(size=desk.speech.size(count), bytes=desk.speech.number(count))


def columns(*named: tuple[str, ...]) -> tuple[Column, ...]:
    """The columns of a table: key, heading, and ``figures`` or ``quiet`` where they are such."""
    return tuple(
        Column(key=key, heading=heading, figures="figures" in how, quiet="quiet" in how)
        for key, heading, *how in named
    )
