"""How long a guest may take and how much it may say: nobody's machine holds up, or fills up, what works for all.

A guest belongs to somebody who may be root in it. It can accept a connection and never speak, send a byte every few
seconds, or print without end. Each of these limits is a total: it does not begin anew with every byte.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

COMMAND_SECONDS = 300
"""One command of a playbook, with its connection: loading rules, bringing keys, reading alerts."""

INSTALL_SECONDS = 900
"""One of the other parts, such as the node exporter: packages are fetched."""

AFTERWARDS_SECONDS = 180
"""Asking what became of rules or keys that nobody could confirm; longer than a guest waits before it goes back."""

STDOUT_BYTES = 512 * 1024
"""What one command may print: five thousand packages that are due, or rules that differ."""

STDERR_BYTES = 64 * 1024
"""What one command may print as errors, banners included."""

CONNECTION_BYTES = 256 * 1024
"""What a guest may send in all over a connection of our own (its time, the address that it sees us come from)."""

ANSWER_BYTES = 16 * 1024
"""What one command over such a connection may print."""

REASON_CHARACTERS = 1500
"""How much of a guest's own words stands in a message."""

RESULT_LINE_BYTES = 8 * 1024 * 1024
"""One result on the way from Ansible to us: both answers, every byte written as an escape sequence."""

ANSIBLE_OUTPUT_BYTES = 16 * 1024
"""How much of the end of what Ansible itself prints is kept."""

_START_SECONDS = 120
_CONFIRM_SECONDS = 150
_ROLE_SECONDS = {
    "firewall": COMMAND_SECONDS + _CONFIRM_SECONDS + AFTERWARDS_SECONDS,
    "ssh_keys": COMMAND_SECONDS + _CONFIRM_SECONDS + AFTERWARDS_SECONDS,
}
_ROLES = {
    "firewall.yml": ("firewall",),
    "keys.yml": ("ssh_keys",),
    "machine.yml": ("firewall", "ssh_keys"),
    "look.yml": ("firewall", "ssh_keys"),
}
_WITH_UPDATES = ("look.yml", "update.yml")


def machine_seconds(playbook: str, others: int, variables: Mapping[str, Any]) -> int:
    """Return how long one machine may take in a playbook: what the limits of its tasks are together.

    Args:
        playbook: the file's name.
        others: how many parts besides firewall and SSH keys are cared for in it.
        variables: the machine's, of which those that limit an update count.
    """
    seconds = sum(_ROLE_SECONDS[role] for role in _ROLES.get(playbook, ()))
    seconds += others * INSTALL_SECONDS
    if playbook in _WITH_UPDATES:
        seconds += int(variables.get("update_seconds", 3600)) + COMMAND_SECONDS
    if playbook == "update.yml":
        seconds += restart_seconds(int(variables.get("update_boot_seconds", 600)))
        seconds += int(variables.get("update_settle_seconds", 60)) + COMMAND_SECONDS
    return seconds


def restart_seconds(boot_seconds: int) -> int:
    """How long a restart may take in all: Ansible waits for the boot and then, as long again, for a first answer."""
    return 2 * boot_seconds + COMMAND_SECONDS


def run_seconds(machines: int, at_once: int, each_seconds: int) -> int:
    """Return how long a run may take in all; what is not done by then is given up.

    Args:
        machines: how many there are.
        at_once: how many of them are worked on at the same time.
        each_seconds: how long one may take.
    """
    return _START_SECONDS + math.ceil(machines / at_once) * each_seconds


def guest_variables() -> dict[str, Any]:
    """The limits that the playbooks' tasks carry, as variables of each machine."""
    return {
        "limit_command_seconds": COMMAND_SECONDS,
        "limit_install_seconds": INSTALL_SECONDS,
        "limit_confirm_seconds": _CONFIRM_SECONDS,
        "limit_afterwards_seconds": AFTERWARDS_SECONDS,
    }
