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


_NAMES = {
    "outcome": ("PartOutcome",),
    "rules": (
        "FirewallPolicy",
        "admits_ssh_from",
        "describe_changes",
        "digest",
        "policy_from_data",
        "policy_of",
        "policy_to_data",
        "render",
    ),
    "guest": ("Guest", "SshSettings"),
    "ssh": ("GuestUnreachable", "HostKeyMismatch", "LoginRefused", "source_address_seen", "wait_for_ssh"),
    "inventory": ("InventoryHost", "dynamic_inventory", "write_known_hosts"),
    "machines": ("configure_machines", "look_into_machines"),
    "trust": ("known_hosts_line", "learn_host_keys"),
    "clock": ("set_clock",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
