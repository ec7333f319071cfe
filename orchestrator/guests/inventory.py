"""The dynamic inventory: how Ansible reaches the machines, and what each is to become.

What apply runs and what an engineer runs by hand get the same variables, from here. Ansible takes what stands in an
inventory for its own language: ``{{ lookup('pipe', …) }}`` in the comment of an SSH key would run a command on the
computer of the orchestrator. So every text here is marked as unsafe, which means: never a template.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.guests import bounded_ssh, limits
from orchestrator.guests.guest import Guest, SshSettings
from orchestrator.guests.rules import policy_to_data, render
from orchestrator.guests.trust import is_host_key, known_hosts_line


@dataclass(frozen=True, kw_only=True)
class InventoryHost:
    """A machine in the inventory, and the groups that it belongs to."""

    guest: Guest
    site: str
    offer: str


def host_name(guest: Guest) -> str:
    """The machine's name in Ansible: ``MACHINE.CLIENT`` (a slash would not be one)."""
    return f"{guest.machine}.{guest.client}"


def unsafe(value: Any) -> Any:
    """Return a value as Ansible's JSON writes what must not be taken for a template: every text in it, at any depth."""
    if isinstance(value, str):
        return {"__ansible_unsafe": value}
    if isinstance(value, Mapping):
        return {key: unsafe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [unsafe(item) for item in value]
    return value


def dynamic_inventory(
    hosts: Iterable[InventoryHost], *, ssh: SshSettings, known_hosts: Path
) -> dict[str, Any]:
    """Return the inventory in the form that ``ansible-inventory -i SCRIPT --list`` reads.

    Args:
        hosts: the machines.
        ssh: how they are reached.
        known_hosts: the file with their host keys, see :func:`write_known_hosts`.

    Returns:
        Groups ``client_NAME``, ``site_NAME`` and ``offer_NAME`` (dashes become underscores, as Ansible wants
        it), and ``_meta`` with the variables of each machine, every text in them marked as unsafe.
    """
    listed = sorted(hosts, key=lambda host: host.guest.key)
    groups: dict[str, list[str]] = {}
    for host in listed:
        for kind, value in (("client", host.guest.client), ("site", host.site), ("offer", host.offer)):
            groups.setdefault(f"{kind}_{_NOT_IN_GROUPS.sub('_', value)}", []).append(host_name(host.guest))
    variables = {
        host_name(host.guest): unsafe(host_variables(host.guest, ssh, known_hosts)) for host in listed
    }
    return {
        "_meta": {"hostvars": variables},
        "all": {"children": [*sorted(groups), "ungrouped"]},
        **{name: {"hosts": members} for name, members in sorted(groups.items())},
    }


def host_variables(guest: Guest, ssh: SshSettings, known_hosts: Path) -> dict[str, Any]:
    """Return what Ansible must know of one machine. The private key is named by its path."""
    return {
        "ansible_host": guest.address,
        "ansible_user": guest.user,
        "ansible_become": guest.user != "root",
        "ansible_ssh_private_key_file": str(ssh.private_key),
        # A variable is stronger than what somebody has in their environment.
        "ansible_host_key_checking": True,
        "ansible_ssh_host_key_checking": True,
        "ansible_ssh_executable": str(Path(bounded_ssh.__file__)),
        "ansible_ssh_extra_args": f"--limits={limits.STDOUT_BYTES},{limits.STDERR_BYTES}",
        "ansible_ssh_common_args": _ssh_arguments(guest, ssh, known_hosts),
        **limits.guest_variables(),
        "ansible_control_path": f"%(directory)s/{_connection_name(guest, ssh)}",
        "firewall_policy": policy_to_data(guest.policy),
        "firewall_rules": render(guest.policy),
        "firewall_rollback_seconds": ssh.rollback_seconds,
        "update_exclude": list(guest.exclude),
        "update_ports": [opening.ports for opening in guest.policy.open if opening.protocol == "tcp"],
        "ssh_keys_wanted": list(guest.keys),
        "ssh_keys_former": list(guest.former_keys),
        "ssh_keys_user": guest.user,
        **{name: value for asked in guest.asked.values() for name, value in asked.items()},
    }


def _connection_name(guest: Guest, ssh: SshSettings) -> str:
    """The name of a machine's shared connection, which nobody else may use.

    Ansible names it by address, port and user. Where two machines have one address (another network, another run, a
    machine made anew) it would send the commands of one to the other, and no host key is checked on the way.
    """
    who = (
        guest.address,
        guest.user,
        *sorted(guest.host_keys),
        str(ssh.private_key),
        str(ssh.proxy_command),
    )
    return hashlib.sha256("\n".join(who).encode()).hexdigest()[:16]


def _ssh_arguments(guest: Guest, ssh: SshSettings, known_hosts: Path) -> str:
    """Options for OpenSSH. What stands in a user's own configuration or known hosts has no say."""
    options = [
        f"HostKeyAlias={host_name(guest)}",
        f'UserKnownHostsFile="{known_hosts}"',
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "CheckHostIP=no",
        "UpdateHostKeys=no",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
    ]
    if ssh.proxy_command is not None:
        options.append(f"ProxyCommand={ssh.proxy_command}")
    return shlex.join(["-F", "/dev/null", *(part for option in options for part in ("-o", option))])


def write_known_hosts(path: Path, guests: Iterable[Guest]) -> None:
    """Write the file that trusts each machine's host keys for that machine, and for nobody else.

    A machine is named there as in the inventory, not by its address: two machines in two networks may have one.
    """
    lines = [
        known_hosts_line(host_name(guest), key)
        for guest in guests
        for key in guest.host_keys
        if is_host_key(key)
    ]
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    beside.replace(path)


_NOT_IN_GROUPS = re.compile("[^A-Za-z0-9_]")
