"""Inside the machines, the public face: the basic firewall, Ansible, SSH, trust in host keys.

Names are loaded on first use: paramiko and Ansible are slow to import, and most commands need neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.guests.clock import set_clock
    from orchestrator.guests.guest import Guest, SshSettings
    from orchestrator.guests.inventory import InventoryHost, dynamic_inventory, write_known_hosts
    from orchestrator.guests.machines import configure_machines, look_into_machines
    from orchestrator.guests.outcome import PartOutcome
    from orchestrator.guests.rules import (
        FirewallPolicy,
        admits_ssh_from,
        describe_changes,
        digest,
        policy_from_data,
        policy_of,
        policy_to_data,
        render,
    )
    from orchestrator.guests.ssh import (
        GuestUnreachable,
        HostKeyMismatch,
        LoginRefused,
        source_address_seen,
        wait_for_ssh,
    )
    from orchestrator.guests.trust import known_hosts_line, learn_host_keys

__all__ = [
    "FirewallPolicy",
    "Guest",
    "GuestUnreachable",
    "HostKeyMismatch",
    "InventoryHost",
    "LoginRefused",
    "PartOutcome",
    "SshSettings",
    "admits_ssh_from",
    "configure_machines",
    "describe_changes",
    "digest",
    "dynamic_inventory",
    "known_hosts_line",
    "learn_host_keys",
    "look_into_machines",
    "policy_from_data",
    "policy_of",
    "policy_to_data",
    "render",
    "set_clock",
    "source_address_seen",
    "wait_for_ssh",
    "write_known_hosts",
]

_HOMES = {
    "PartOutcome": "outcome",
    "FirewallPolicy": "rules",
    "Guest": "guest",
    "GuestUnreachable": "ssh",
    "HostKeyMismatch": "ssh",
    "InventoryHost": "inventory",
    "LoginRefused": "ssh",
    "SshSettings": "guest",
    "admits_ssh_from": "rules",
    "configure_machines": "machines",
    "look_into_machines": "machines",
    "describe_changes": "rules",
    "digest": "rules",
    "dynamic_inventory": "inventory",
    "known_hosts_line": "trust",
    "learn_host_keys": "trust",
    "policy_from_data": "rules",
    "policy_of": "rules",
    "policy_to_data": "rules",
    "render": "rules",
    "set_clock": "clock",
    "source_address_seen": "ssh",
    "wait_for_ssh": "ssh",
    "write_known_hosts": "inventory",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
