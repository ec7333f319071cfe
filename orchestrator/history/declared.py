"""What people and our supervision declare: the kinds of records, one pydantic model each (articles 4.2, 6, 3.8.3, 10).

A record says only what was declared. Who recorded it, when and why stands in its entry of the history
(:mod:`orchestrator.history.records`). All times are kept in UTC, spans are half-open: [start, end).
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from orchestrator.contract.calendar import paris_time
from orchestrator.contract.moments import read_moment
from orchestrator.yaml_reader.values import Date, DnsLabel, Euros, Strict

SUPERVISION = "supervision"
"""Who notified an outage that our own supervision saw; other values name a person or the client."""

Cause = Literal["i", "ii", "iii", "iv", "v", "vi", "force-majeure"]
"""The excusable events of article 6, by the number that it gives them, and force majeure."""

_FIRST_YEAR, _LAST_YEAR = 2000, 2999
_MOST_MACHINES = 200


def _in_utc(moment: dt.datetime) -> dt.datetime:
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(f"a time is between the years {_FIRST_YEAR} and {_LAST_YEAR}")
    return moment.astimezone(dt.UTC)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a text in one line, without control characters")
    return text


def _month(text: str) -> str:
    if not _FIRST_YEAR <= int(text[:4]) <= _LAST_YEAR:
        raise ValueError(f"a month is between the years {_FIRST_YEAR} and {_LAST_YEAR}")
    return text


Moment = Annotated[
    dt.datetime,
    BeforeValidator(read_moment, json_schema_input_type=str),
    AfterValidator(_in_utc),
    Field(
        examples=["2026-11-10 17:30"],
        description='a time in quotes, such as "2026-11-10 17:30": Paris time, or with an offset',
    ),
]
Reference = Annotated[
    str,
    AfterValidator(_printable),
    Field(min_length=1, max_length=100, examples=["INC-4711"], description="a ticket, letter or order"),
]
Text = Annotated[
    str,
    AfterValidator(_printable),
    Field(max_length=900, examples=["node 2 lost its power"], description="what happened, in one line"),
]
Person = Annotated[
    str,
    AfterValidator(_printable),
    Field(min_length=1, max_length=100, examples=["client"], description="who, by name or role"),
]
Month = Annotated[
    str,
    Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$", examples=["2026-11"], description="YEAR-MONTH"),
    AfterValidator(_month),
]


class Declared(Strict):
    """What every record of services says: which of them it concerns.

    Either a client with some of its machines (none named: all of them), or everybody's machines at a site.
    """

    client: DnsLabel | None = Field(
        default=None, description="whose machines; absent: everybody's at the site"
    )
    machines: tuple[DnsLabel, ...] = Field(
        default=(), max_length=_MOST_MACHINES, description="of the client; all of them if absent"
    )
    site: DnsLabel | None = Field(default=None, description="a whole data centre, instead of a client")
    reference: Reference | None = None
    text: Text = ""

    @model_validator(mode="after")
    def _concerns_something(self) -> Self:
        if (self.client is None) == (self.site is None):
            raise ValueError("either client (with or without machines) or site, and not both")
        if self.machines and self.client is None:
            raise ValueError("machines are named with their client")
        if len(set(self.machines)) < len(self.machines):
            raise ValueError("a machine is named twice")
        return self

    def concerns(self, client: str, machine: str, site: str) -> bool:
        """Whether a machine of a client at a site is one of those that this is about."""
        if self.client is None:
            return self.site == site
        return self.client == client and (not self.machines or machine in self.machines)


class Spanning(Declared):
    """What lasts for a time."""

    start: Moment = Field(validation_alias="from", serialization_alias="from")
    end: Moment | None = Field(
        default=None, validation_alias="to", serialization_alias="to", description="absent: still going on"
    )

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.end is not None and self.end <= self.start:
            raise ValueError(
                f"it ends at {paris_time(self.end, seconds=True)}, which is not after its beginning, "
                f"{paris_time(self.start, seconds=True)}"
            )
        return self


class Outage(Spanning):
    """Machines that were not available (article 6). It counts only once it was notified."""

    notified_by: Person | None = Field(default=None, description="the client, a person, or supervision")
    notified_at: Moment | None = Field(default=None, description="when it was notified")
    cause: Text = Field(default="", description="what our supervision found")

    @model_validator(mode="after")
    def _notified_by_somebody(self) -> Self:
        if (self.notified_by is None) != (self.notified_at is None):
            raise ValueError("notified_by and notified_at come together: who notified it, and when")
        return self


class ExcusableEvent(Spanning):
    """An event whose minutes are no downtime (article 6): its cause, with a reference that proves it."""

    cause: Cause = Field(examples=["v"], description="(i) to (vi) of article 6, or force-majeure")
    reference: Reference


class Maintenance(Spanning):
    """Planned maintenance: announced, and recorded, before it begins (article 6)."""

    end: Moment = Field(validation_alias="to", serialization_alias="to")
    announced: Moment = Field(examples=["2026-11-05T10:00:00+01:00"], description="when it was announced")

    @model_validator(mode="after")
    def _announced_before_it_begins(self) -> Self:
        if self.announced >= self.start:
            raise ValueError(
                "it was announced when it had begun: planned maintenance is announced before (art. 6)"
            )
        return self


class Asked(Declared):
    """What a client asks for: registered when it came, closed by a correction that says how it ended.

    The client's own words are ``text``.
    """

    client: DnsLabel
    came: Moment
    asked_by: Person = Field(default="client", description="who asked: a name, or a role")
    closed: Moment | None = Field(default=None, description="absent: it is open")
    outcome: Literal["done", "nothing-due", "refused", "withdrawn"] | None = None
    result: Text = Field(default="", description="what was done or said, in one line")

    @model_validator(mode="after")
    def _closed_with_an_outcome_after_it_came(self) -> Self:
        if (self.closed is None) != (self.outcome is None):
            raise ValueError("closed and outcome come together: when it was closed, and how it ended")
        if self.closed is not None and self.closed < self.came:
            raise ValueError("it was closed before it came")
        return self


class Request(Asked):
    """A request for updates (article 3.8.3: their delay counts from there), a change, a restart, a snapshot, hardware.

    An update is asked for one machine: the delay is that of a machine; so are a restart and a snapshot. New hardware
    needs the provider's yes or no.
    """

    kind: Literal["update", "change", "hardware", "restart", "snapshot"] = Field(examples=["update"])
    answer: Literal["yes", "no"] | None = Field(default=None, description="of the provider, to new hardware")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind == "update" and len(self.machines) != 1:
            raise ValueError("updates are asked for one machine: a request for each")
        if self.kind in ("restart", "snapshot") and len(self.machines) != 1:
            raise ValueError(f"a {self.kind} is asked for one machine: name it")
        if self.kind != "hardware" and self.answer is not None:
            raise ValueError("yes or no is the answer to new hardware alone")
        if self.kind == "hardware" and self.outcome in ("done", "refused") and self.answer is None:
            raise ValueError("new hardware is answered with yes or no (article 3.8.3)")
        if self.outcome == "nothing-due" and self.kind != "update":
            raise ValueError("nothing-due is how a request for updates ends")
        return self


class Approval(Declared):
    """What a client approved: the reversibility plan (article 10), new hardware."""

    client: DnsLabel
    subject: DnsLabel = Field(examples=["reversibility-plan"])
    by: Person
    day: Date


class CreditRequest(Asked):
    """A client's request for the credit of a month (article 6: "sur demande"). Issuing the credit answers it."""

    month: Month


class Credit(Declared):
    """A credit that was issued for one machine and month. 0.00 where the cap left nothing (article 6)."""

    client: DnsLabel
    machines: tuple[DnsLabel, ...] = Field(min_length=1, max_length=1)
    month: Month
    issued: Date
    fee: Euros
    percent: Literal[5, 10, 20]
    amount: Euros
    request: int = Field(ge=1, description="the number of the request's record")

    @property
    def machine(self) -> str:
        """The machine that it is for."""
        return self.machines[0]


DocumentName = Literal[
    "operations-manual", "application-configuration", "specifics", "security-level", "architecture"
]
"""The documents that a taking over is about (article 4.2)."""


class TakingOver(Declared):
    """How far the taking over of an existing estate is (article 4.2)."""

    client: DnsLabel
    state: Literal["documented", "notified", "corrected", "impossible"] = Field(
        description="documents received; gaps notified to the client; corrected; the service cannot be provided"
    )
    day: Date
    documents: tuple[DocumentName, ...] = Field(default=(), description="received by that day")
    reference: Reference


class Alarm(Spanning):
    """An event that our supervision raised (article 3.8.1): one record per event, ended by recovery.

    Without client and site it is about the provider's own computers, such as the one that runs the nights.
    """

    fingerprint: str = Field(pattern=r"^[0-9a-f]{1,32}$", description="Alertmanager's, of its labels")
    rule: Person = Field(examples=["DiskFull"], description="the alert rule that raised it")
    severity: Person = Field(examples=["critical"])
    procedure: str = Field(
        default="", pattern=r"^[a-z0-9-]{0,64}$", description="the page that says what to do"
    )
    acted_on: bool = Field(
        default=True, description="false without managed services: told, not acted on (3.7)"
    )
    silent_until: Moment | None = Field(
        default=None, description="the end of the maintenance that explains it"
    )
    silenced_by: Text = ""
    acknowledged_by: Person | None = None
    acknowledged_at: Moment | None = None
    closed_by: Person | None = Field(default=None, description="recovery, or a person; with its end")

    @model_validator(mode="after")
    def _concerns_something(self) -> Self:
        if self.machines and self.client is None:
            raise ValueError("machines are named with their client")
        if self.client is not None and self.site is not None:
            raise ValueError("either client or site, and not both")
        return self

    @model_validator(mode="after")
    def _by_somebody(self) -> Self:
        if (self.acknowledged_by is None) != (self.acknowledged_at is None):
            raise ValueError("acknowledged_by and acknowledged_at come together")
        if (self.end is None) != (self.closed_by is None):
            raise ValueError("an end and closed_by come together")
        return self


class AlarmAction(Declared):
    """What was done about an alarm, by a person or by itself (article 3.8.1: complete traceability)."""

    alarm: int = Field(ge=1, description="the number of the alarm's first record")
    procedure: str = Field(default="", pattern=r"^[a-z0-9-]{0,64}$")
    by: Person = Field(examples=["alice"], description="a person, or automatic")
    at: Moment
    result: Literal["done", "failed", "no-effect"]
    text: Text = Field(min_length=1)

    @model_validator(mode="after")
    def _concerns_something(self) -> Self:
        return self


KINDS: dict[str, type[Declared]] = {
    "outage": Outage,
    "excusable event": ExcusableEvent,
    "maintenance": Maintenance,
    "request": Request,
    "approval": Approval,
    "taking over": TakingOver,
    "credit request": CreditRequest,
    "credit": Credit,
    "alarm": Alarm,
    "alarm action": AlarmAction,
}
"""The kinds of records, by the action of their entries in the history. A new kind is a model and a line here."""
