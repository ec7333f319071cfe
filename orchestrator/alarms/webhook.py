"""Alertmanager's webhook, read as what it is: JSON from elsewhere, whose labels are other people's texts.

Its size, its numbers of alerts and labels and the length of each text are limited. One alert that cannot be read is one
alert: the others count. https://prometheus.io/docs/alerting/latest/configuration/#webhook_config, version 4.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from orchestrator.errors import OrchestratorError
from orchestrator.redaction import without_secrets
from orchestrator.shown import visible

LARGEST = 2 * 1024**2
"""Bytes of a webhook's body."""

MOST_ALERTS = 1_000

_CLOCKS = dt.timedelta(minutes=5)
"""A time may lie so far in the future: clocks of two computers differ."""
_LONGEST_TEXT = 300
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PROCEDURE = re.compile(r"[a-z0-9-]{1,64}")
_FIRST_YEAR = 2000
"""No record is older. Alertmanager writes the year 1 as the end of an alert that goes on."""


class WebhookRefused(OrchestratorError):
    """A webhook's body that is none of Alertmanager's: nothing of it was recorded."""


_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Value = Annotated[str, Field(max_length=4_000)]


def _is_text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("a time as text, such as 2026-11-25T11:00:00.123Z")
    return value


_Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_is_text)]
_Texts = Annotated[dict[_Name, _Value], Field(max_length=100)]


class _Alert(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    status: Literal["firing", "resolved"]
    labels: _Texts
    annotations: _Texts = {}
    startsAt: _Moment  # noqa: N815  (Alertmanager's name)
    endsAt: _Moment | None = None  # noqa: N815
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{1,32}$")]


class _Webhook(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    version: Literal["4"]
    alerts: Annotated[list[Any], Field(max_length=MOST_ALERTS)]
    truncatedAlerts: Annotated[int, Field(ge=0)] = 0  # noqa: N815


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert of a webhook.

    Attributes:
        fingerprint: Alertmanager's, of all labels: with the start it names the event.
        rule: the name of the alert rule; severity likewise its label.
        client, machine, site: as the labels have them, and not looked up yet; empty if they have none.
        start: when the event began (UTC).
        end: when it was over; None while it goes on.
        procedure: the page that the rule names; empty if it names none.
        text: the summary, in one line of visible characters, without secrets.
    """

    fingerprint: str
    rule: str
    severity: str
    client: str
    machine: str
    site: str
    start: dt.datetime
    end: dt.datetime | None
    procedure: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Received:
    """A webhook.

    Attributes:
        alerts: those that could be read, in its order.
        unread: what is wrong with each of the others, for people.
    """

    alerts: tuple[Alert, ...]
    unread: tuple[str, ...]


def parse(body: bytes, now: dt.datetime) -> Received:
    """Read a webhook's body.

    Args:
        body: the JSON.
        now: the time, aware: nothing begins or ends after it.

    Raises:
        WebhookRefused: it is too large, no JSON, or no webhook of version 4.
    """
    if len(body) > LARGEST:
        raise WebhookRefused(
            f"the webhook has more than {LARGEST // 1024**2} MiB: let Alertmanager group alerts (group_by), or limit "
            "them (max_alerts)"
        )
    try:
        webhook = _Webhook.model_validate(json.loads(body.decode("utf-8")))
    except (ValueError, RecursionError) as error:
        reason = _first(error) if isinstance(error, ValidationError) else "it is not JSON in UTF-8"
        raise WebhookRefused(
            f"this is not the JSON that Alertmanager's webhook sends (version 4): {reason}"
        ) from None
    alerts: list[Alert] = []
    unread: list[str] = []
    for number, item in enumerate(webhook.alerts, start=1):
        try:
            alerts.append(_alert(_Alert.model_validate(item), now))
        except ValueError as error:
            reason = _first(error) if isinstance(error, ValidationError) else str(error)
            unread.append(f"alert {number} of the webhook was not recorded: {reason}")
    if webhook.truncatedAlerts:
        unread.append(
            f"{webhook.truncatedAlerts} more alerts were left out by Alertmanager: raise max_alerts in its file"
        )
    return Received(alerts=tuple(alerts), unread=tuple(unread))


def _alert(alert: _Alert, now: dt.datetime) -> Alert:
    start = _past(alert.startsAt, now)
    if start is None:
        raise ValueError(
            "startsAt is not a time in the past: see the clocks of Prometheus and of this computer"
        )
    end = None
    if alert.status == "resolved":
        end = None if alert.endsAt is None else _past(alert.endsAt, now)
        if end is None:
            raise ValueError("it is resolved, and endsAt is not a time in the past")
        if end <= start:
            raise ValueError("it ended before it began, or as it began")
    procedure = alert.annotations.get("procedure", "")
    return Alert(
        fingerprint=alert.fingerprint,
        rule=_said(alert.labels.get("alertname", ""), 100) or "unnamed",
        severity=_said(alert.labels.get("severity", ""), 30) or "unknown",
        client=_name(alert.labels, "client"),
        machine=_name(alert.labels, "machine"),
        site=_name(alert.labels, "site"),
        start=start,
        end=end,
        procedure=procedure if _PROCEDURE.fullmatch(procedure) else "",
        text=_said(alert.annotations.get("summary", ""), _LONGEST_TEXT),
    )


def _past(moment: dt.datetime, now: dt.datetime) -> dt.datetime | None:
    """A moment of an alert in UTC; None if it cannot be one: in the future, or before all records."""
    try:
        utc = moment.astimezone(dt.UTC)
    except OverflowError:  # the last hours of the year 9999 in a western zone
        return None
    return utc if utc.year >= _FIRST_YEAR and utc <= now + _CLOCKS else None


def _name(labels: Mapping[str, str], key: str) -> str:
    """A label that names something of ours.

    Raises:
        ValueError: it cannot be the name of anything.
    """
    value = labels.get(key, "")
    if value and not _LABEL.fullmatch(value):
        raise ValueError(f"its label {key} cannot be a name: {visible(value, longest=80)}")
    return value


def _said(text: str, longest: int) -> str:
    """A text of others in one line, of characters that a record takes, without secrets."""
    said = visible(without_secrets(text), longest=None)
    said = "".join(sign if sign.isprintable() else " " for sign in said).strip()
    return said if len(said) <= longest else said[: longest - 1] + "…"


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(visible(str(part), longest=40) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])
