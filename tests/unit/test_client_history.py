"""What a client reads of its own history: who, when, why, what, with what result; and nothing of the provider's."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import Any

import pytest

from orchestrator.history.chain import Entry
from orchestrator.reports import client_history
from orchestrator.reports.client_history import ACTS, ClientEntry, client_entry
from orchestrator.reports.discretion import Discretion
from orchestrator.reports.portal_words import PortalWords

_AT = dt.datetime(2026, 11, 20, 9, tzinfo=dt.UTC)
_HIDDEN = (
    "pve1",
    "fast-lvm",
    "alice@provider.example",
    "martin",
    "192.0.2.11",
    "UPID:pve1:000A:qmstart",
    "10117",
)
_DISCRETION = Discretion.of(
    names=["pve1", "fast-lvm", "martin", "alice@provider.example"], own=["dupont", "web-1", "jeanne"]
)


def _entry(**changes: Any) -> Entry:
    details = changes.pop("details", {})
    fields: dict[str, Any] = {
        "sequence": 7, "at": _AT, "who": "alice@provider.example", "why": "ticket 4711", "client": "dupont",
        "machine": "web-1", "site": "paris", "action": "restart", "details": json.dumps(details), "result": "ok",
        "message": "", "upid": "UPID:pve1:000A:qmstart", "seconds": 3.0, "run": "r", "began": None, "previous": "",
        "hash": "",
    }  # fmt: skip
    return Entry(**(fields | changes))


def _read(**changes: Any) -> ClientEntry:
    return client_entry(_entry(**changes), people={"jeanne"}, discretion=_DISCRETION)


def test_who_when_why_what_and_the_result_are_told() -> None:
    read = _read()
    assert (read.at, read.machine, read.act, read.result) == (_AT, "web-1", "act_restarted", "ok")
    assert (read.side, read.who, read.text, read.why, read.reason) == ("provider", "", "ticket 4711", "", "")


@pytest.mark.parametrize(
    ("who", "why", "side", "name"),
    [
        ("jeanne", "asked", "client", "jeanne"),
        ("alice@provider.example", "asked", "provider", ""),
        ("root", "night of 2026-11-20", "automatic", ""),
    ],
)
def test_people_of_the_client_are_named_and_those_of_the_provider_are_the_provider(
    who: str, why: str, side: str, name: str
) -> None:
    read = _read(who=who, why=why)
    assert (read.side, read.who) == (side, name)


def test_a_reason_that_names_the_providers_equipment_is_withheld() -> None:
    assert (_read(why="pve1 is to be replaced").text, _read(why="night of 2026-11-20").why) == (
        "",
        "why_night",
    )


def test_what_failed_says_why_in_our_words() -> None:
    read = _read(action="backup", result="failed", message="no space left on fast-lvm of pve1")
    assert (read.result, read.reason) == ("failed", "reason_space")


def test_a_change_says_what_changed_and_by_which_order() -> None:
    read = _read(
        action="change",
        details={
            "changes": ["memory", "disk data", "vCPU", "memory", "node pve1", "disk pve1", 3],
            "order": "BC-2026-031", "catalogue": None, "quote": "D-pve1", "class": "standard",
        },
    )  # fmt: skip
    assert read.changes == (
        ("changed_memory", ""), ("changed_disk", "data"), ("changed_vcpu", ""), ("changed_other", ""),
        ("changed_disk", ""),
    )  # fmt: skip
    assert read.about == "", "a reference that names a node is withheld with the others"
    assert (
        _read(action="change", details={"order": "BC-2026-031", "quote": "D-1"}).about == "BC-2026-031, D-1"
    )


def test_a_snapshot_is_named() -> None:
    assert _read(action="snapshot", details={"snapshot": "before-migration"}).about == "before-migration"
    assert _read(action="configure", details={"snapshot": "before-migration"}).about == ""


@pytest.mark.parametrize(
    "details", ["[1]", "{", '{"changes": "all"}', '{"changes": {"memory": 1}}', "9" * 5000]
)
def test_details_that_somebody_altered_hide_nothing_else(details: str) -> None:
    entry = dataclasses.replace(_entry(action="change"), details=details)
    read = client_entry(entry, people=(), discretion=_DISCRETION)
    assert (read.act, read.changes, read.about) == ("act_change", (), "")


@pytest.mark.parametrize("action", [*ACTS, "set HA state", "join pool", "made up on pve1"])
@pytest.mark.parametrize("result", ["ok", "failed", "refused", "unknown", "begun"])
def test_nothing_of_the_providers_is_in_what_a_client_reads(action: str, result: str) -> None:
    said = " ".join(_HIDDEN)
    read = _read(
        action=action, result=result, why=said, message=said, site="pve1", run=said,
        details={"snapshot": said, "changes": [said, f"disk {said}"], "order": said, "node": "pve1", "archive": said},
    )  # fmt: skip
    text = repr(dataclasses.asdict(read))
    assert [hidden for hidden in _HIDDEN if hidden in text] == []


def test_every_act_reason_and_change_has_words() -> None:
    words = PortalWords("fr")
    names = [*ACTS.values(), client_history.OTHER, *client_history._WHYS.values(), "why_night"]
    names += [*client_history._CHANGED.values(), *client_history._CHANGED_PART.values(), "changed_other"]
    names += [f"done_{result}" for result in ("ok", "failed", "refused", "unknown", "begun")]
    assert [name for name in names if not isinstance(getattr(words, name, None), str)] == []
