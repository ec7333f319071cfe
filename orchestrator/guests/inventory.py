"""The dynamic inventory: how Ansible reaches the machines, and what each is to become.

What apply runs and what an engineer runs by hand get the same variables, from here.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.guests.rules import policy_to_data, render
from orchestrator.guests.target import GuestTarget, SshSettings
from orchestrator.guests.trust import known_hosts_line


@dataclass(frozen=True, kw_only=True)
class InventoryHost:
    """A machine in the inventory, and the groups that it belongs to."""

    target: GuestTarget
    site: str
    offer: str


def host_name(target: GuestTarget) -> str:
    """The machine's name in Ansible: ``MACHINE.CLIENT`` (a slash would not be one)."""
    return f"{target.machine}.{target.client}"


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
        it), and ``_meta`` with the variables of each machine.
    """
    listed = sorted(hosts, key=lambda host: host.target.key)
    groups: dict[str, list[str]] = {}
    for host in listed:
        for kind, value in (("client", host.target.client), ("site", host.site), ("offer", host.offer)):
            groups.setdefault(f"{kind}_{value.replace('-', '_')}", []).append(host_name(host.target))
    variables = {host_name(host.target): host_variables(host.target, ssh, known_hosts) for host in listed}
    return {
        "_meta": {"hostvars": variables},
        "all": {"children": [*sorted(groups), "ungrouped"]},
        **{name: {"hosts": members} for name, members in sorted(groups.items())},
    }


def host_variables(target: GuestTarget, ssh: SshSettings, known_hosts: Path) -> dict[str, Any]:
    """Return what Ansible must know of one machine. The private key is named by its path."""
    return {
        "ansible_host": target.address,
        "ansible_user": target.user,
        "ansible_become": target.user != "root",
        "ansible_ssh_private_key_file": str(ssh.private_key),
        # ansible-runner switches this off in the environment; a variable is stronger.
        "ansible_host_key_checking": True,
        "ansible_ssh_host_key_checking": True,
        "ansible_ssh_common_args": _ssh_arguments(ssh, known_hosts),
        "ansible_control_path": f"%(directory)s/{_connection_name(target, ssh)}",
        "firewall_policy": policy_to_data(target.policy),
        "firewall_rules": render(target.policy),
        "firewall_rollback_seconds": ssh.rollback_seconds,
        "update_exclude": list(target.exclude),
        "update_ports": [opening.ports for opening in target.policy.open if opening.protocol == "tcp"],
        "ssh_keys_wanted": list(target.keys),
        "ssh_keys_former": list(target.former_keys),
        "ssh_keys_user": target.user,
        "supervision_wanted": target.supervised,
        "supervision_before": target.supervised_before,
    }


def _connection_name(target: GuestTarget, ssh: SshSettings) -> str:
    """The name of a machine's shared connection, which nobody else may use.

    Ansible names it by address, port and user. Where two machines have one address (another network, another run, a
    machine made anew) it would send the commands of one to the other, and no host key is checked on the way.
    """
    who = (
        target.address,
        target.user,
        *sorted(target.host_keys),
        str(ssh.private_key),
        str(ssh.proxy_command),
    )
    return hashlib.sha256("\n".join(who).encode()).hexdigest()[:16]


def _ssh_arguments(ssh: SshSettings, known_hosts: Path) -> str:
    """Options for OpenSSH. What stands in a user's own configuration or known hosts has no say."""
    options = [
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


def write_known_hosts(path: Path, targets: Iterable[GuestTarget]) -> None:
    """Write the file that trusts each machine's host keys at its address, and nobody else's."""
    lines = [known_hosts_line(target.address, key) for target in targets for key in target.host_keys]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
