"""The dynamic inventory, as the real ansible-inventory reads it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from orchestrator.guests import (
    FirewallPolicy,
    GuestTarget,
    InventoryHost,
    SshSettings,
    dynamic_inventory,
    known_hosts_line,
    policy_to_data,
    render,
    write_known_hosts,
)

POLICY = FirewallPolicy((), (), (ip_network("192.0.2.1"),))


def host(client: str, machine: str, *, user: str = "admin") -> InventoryHost:
    target = GuestTarget(
        client=client,
        machine=machine,
        address="192.0.2.10",
        user=user,
        host_keys=("ssh-ed25519 AAAA", "ssh-rsa BBBB"),
        policy=POLICY,
    )
    return InventoryHost(target=target, site="paris", offer="cloud-vm-advanced")


def read_by_ansible(folder: Path, *hosts: InventoryHost, ssh: SshSettings) -> dict[str, Any]:
    document = dynamic_inventory(hosts, ssh=ssh, known_hosts=folder / "known hosts")
    script = folder / "inventory"
    script.write_text(f"#!/bin/sh\nprintf '%s' {shlex.quote(json.dumps(document))}\n")
    script.chmod(0o755)
    said = subprocess.run(
        [Path(sys.executable).with_name("ansible-inventory"), "-i", script, "--list"],
        env={**os.environ, "LC_ALL": "C.UTF-8", "ANSIBLE_HOME": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stderr == ""
    read: dict[str, Any] = json.loads(said.stdout)
    return read


def test_ansible_reads_groups_and_variables(tmp_path: Path) -> None:
    ssh = SshSettings(private_key=Path("/keys/a key"), proxy_command="relay --from '192.0.2.1' %h %p")
    read = read_by_ansible(tmp_path, host("dupont", "web-1"), host("du-nord", "web-1", user="root"), ssh=ssh)
    assert read["client_dupont"]["hosts"] == ["web-1.dupont"]
    assert read["client_du_nord"]["hosts"] == ["web-1.du-nord"]
    assert sorted(read["site_paris"]["hosts"]) == ["web-1.du-nord", "web-1.dupont"]
    assert sorted(read["offer_cloud_vm_advanced"]["hosts"]) == ["web-1.du-nord", "web-1.dupont"]
    variables = read["_meta"]["hostvars"]
    assert variables["web-1.dupont"]["firewall_policy"] == policy_to_data(POLICY)
    assert variables["web-1.dupont"]["firewall_rules"] == render(POLICY)
    assert variables["web-1.dupont"]["ansible_become"] is True
    assert variables["web-1.du-nord"]["ansible_become"] is False


def test_ssh_trusts_our_file_only_and_takes_the_proxy_as_it_is_written(tmp_path: Path) -> None:
    ssh = SshSettings(private_key=Path("/keys/id"), proxy_command="relay --from '192.0.2.1' %h %p")
    read = read_by_ansible(tmp_path, host("dupont", "web-1"), ssh=ssh)
    options = shlex.split(read["_meta"]["hostvars"]["web-1.dupont"]["ansible_ssh_common_args"])
    understood = subprocess.run(
        ["ssh", *options, "-G", "192.0.2.10"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "stricthostkeychecking true" in understood
    assert f"userknownhostsfile {tmp_path}/known hosts" in understood
    assert "globalknownhostsfile /dev/null" in understood
    assert "proxycommand relay --from '192.0.2.1' %h %p" in understood


def test_machines_with_one_address_do_not_share_a_connection(tmp_path: Path) -> None:
    one, other = host("dupont", "web-1"), host("martin", "web-1")
    anew = replace(other.target, host_keys=("ssh-ed25519 CCCC",))
    ssh = SshSettings(private_key=Path("/keys/id"))
    read = read_by_ansible(tmp_path, one, replace(other, target=anew), ssh=ssh)
    paths = {variables["ansible_control_path"] for variables in read["_meta"]["hostvars"].values()}
    assert len(paths) == 2
    again = read_by_ansible(tmp_path, one, ssh=ssh)["_meta"]["hostvars"]["web-1.dupont"]
    assert again["ansible_control_path"] in paths


def test_every_host_key_is_trusted_at_its_address_and_nowhere_else(tmp_path: Path) -> None:
    write_known_hosts(tmp_path / "known_hosts", [host("dupont", "web-1").target])
    assert (tmp_path / "known_hosts").read_text() == "192.0.2.10 ssh-ed25519 AAAA\n192.0.2.10 ssh-rsa BBBB\n"
    assert known_hosts_line("2001:db8::1", "ssh-ed25519 AAAA comment") == "2001:db8::1 ssh-ed25519 AAAA"


def test_an_empty_inventory_is_an_inventory(tmp_path: Path) -> None:
    read = read_by_ansible(tmp_path, ssh=SshSettings(private_key=Path("/keys/id")))
    assert read["_meta"]["hostvars"] == {}


def test_the_face_of_the_guests_costs_no_heavy_import() -> None:
    code = (
        "import sys, orchestrator.guests, orchestrator.guests.rules, orchestrator.guests.firewall; "
        "print([name for name in ('ansible', 'ansible_runner', 'paramiko', 'jinja2') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
