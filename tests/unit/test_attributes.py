"""The table of a machine's attributes: each row reads what it writes, and is complete."""

from __future__ import annotations

from dataclasses import fields
from ipaddress import IPv4Address
from typing import Any

from hypothesis import given

from orchestrator.proxmox import VmConfig
from orchestrator.resources.attributes import ATTRIBUTES, Applied
from orchestrator.resources.machine import RESTART_KEYS, applied
from tests.unit.plan_worlds import desired, subscriptions
from tests.unit.test_both_sides import settings_of_proxmox


def _config(settings: dict[str, Any]) -> VmConfig:
    told = {key: str(value) for key, value in settings.items()}
    return VmConfig(node="pve1", vmid=100, current=told, pending={}, deleted=frozenset(), digest="x")


@given(subscriptions(), settings_of_proxmox)
def test_what_a_row_writes_over_any_settings_it_reads_as_what_was_asked(
    file: dict[str, Any], found: dict[str, str]
) -> None:
    machine, address = desired([file])[0], IPv4Address("203.0.113.10")
    for row in ATTRIBUTES:
        asked = row.asked(machine, address)
        if asked is not None:
            written = row.write(_config(found), asked)
            assert row.read(_config({**found, **written})) == asked, row.name
            assert row.words(asked) and (not row.at_restart or written.keys() & RESTART_KEYS)
            assert not row.noted or getattr(applied(machine, address), row.noted[0]) == row.noted[1](asked)


def test_every_row_is_noted_in_a_field() -> None:
    assert {row.noted[0] for row in ATTRIBUTES if row.noted} <= {field.name for field in fields(Applied)}


def test_a_gateway_without_an_address_is_no_address() -> None:
    (row,) = (row for row in ATTRIBUTES if row.name == "address")
    assert row.read(_config({"ipconfig0": "gw=203.0.113.1"})) is None
    assert row.words(row.read(_config({"ipconfig0": "ip=dhcp,gw=203.0.113.1"}))) == "dhcp"
