"""The dynamic inventory, as the real ansible-inventory reads it."""

from __future__ import annotations

import base64
import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from orchestrator.guests import (
    FirewallPolicy,
    Guest,
    InventoryHost,
    SshSettings,
    dynamic_inventory,
    policy_to_data,
    render,
    write_known_hosts,
)

POLICY = FirewallPolicy((), (), (ip_network("192.0.2.1"),))


def host_key(number: int, kind: str = "ssh-ed25519") -> str:
    """A public key as OpenSSH writes it, one for each number."""
    fields = (kind.encode(), bytes([number]) * 32)
    blob = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return f"{kind} {base64.b64encode(blob).decode()}"


HOST_KEYS = (host_key(1), host_key(2))


def host(client: str, machine: str, *, user: str = "admin") -> InventoryHost:
    target = Guest(
        client=client,
        machine=machine,
        address="192.0.2.10",
        user=user,
        host_keys=HOST_KEYS,
        policy=POLICY,
    )
    return InventoryHost(guest=target, site="paris", offer="cloud-vm-advanced")


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
    read: dict[str, Any] = json.loads(said.stdout, object_hook=_read)
    return read


def _read(value: dict[str, Any]) -> Any:
    """ansible-inventory writes texts that are no templates as it reads them."""
    return value["__ansible_unsafe"] if set(value) == {"__ansible_unsafe"} else value


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
    anew = replace(other.guest, host_keys=(host_key(3),))
    ssh = SshSettings(private_key=Path("/keys/id"))
    read = read_by_ansible(tmp_path, one, replace(other, guest=anew), ssh=ssh)
    paths = {variables["ansible_control_path"] for variables in read["_meta"]["hostvars"].values()}
    assert len(paths) == 2
    again = read_by_ansible(tmp_path, one, ssh=ssh)["_meta"]["hostvars"]["web-1.dupont"]
    assert again["ansible_control_path"] in paths


def test_a_host_key_is_trusted_for_its_machine_and_for_nobody_else_at_its_address(tmp_path: Path) -> None:
    one, other = host("dupont", "web-1"), host("martin", "web-1")
    anew = replace(other.guest, host_keys=(host_key(3),))
    write_known_hosts(tmp_path / "known_hosts", [one.guest, anew])
    found = {}
    for name in ("web-1.dupont", "web-1.martin", "192.0.2.10"):
        asked = ["ssh-keygen", "-F", name, "-f", str(tmp_path / "known_hosts")]
        said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.splitlines()
        found[name] = [line.removeprefix(f"{name} ") for line in said if not line.startswith("#")]
    assert found == {
        "web-1.dupont": list(HOST_KEYS),
        "web-1.martin": list(anew.host_keys),
        "192.0.2.10": [],
    }
    ssh = SshSettings(private_key=Path("/keys/id"))
    variables = read_by_ansible(tmp_path, one, ssh=ssh)["_meta"]["hostvars"]["web-1.dupont"]
    assert "HostKeyAlias=web-1.dupont" in shlex.split(variables["ansible_ssh_common_args"])


@pytest.mark.parametrize(
    "damaged",
    [
        "ssh-ed25519 AAAA",
        "ssh-ed25519",
        "",
        f"{HOST_KEYS[0]} comment",
        f"{HOST_KEYS[0]}\n* {HOST_KEYS[1]}",
        f"@cert-authority {HOST_KEYS[0]}",
        host_key(1, "ssh-nonsense"),
        host_key(1, "sk-ssh-ed25519@openssh.com"),
        HOST_KEYS[0][:-4],
        f"ssh-rsa {'A' * 100_000}",
    ],
)
def test_what_is_no_host_key_is_not_trusted(tmp_path: Path, damaged: str) -> None:
    target = replace(host("dupont", "web-1").guest, host_keys=(damaged, HOST_KEYS[0]))
    write_known_hosts(tmp_path / "known_hosts", [target])
    assert (tmp_path / "known_hosts").read_text() == f"web-1.dupont {HOST_KEYS[0]}\n"


@pytest.mark.parametrize(
    "changes",
    [
        {"client": "du pont"},
        {"client": "{{ 7*7 }}"},
        {"machine": "web-1\n"},
        {"machine": "web.1"},
        {"machine": "-oProxyCommand=id"},
        {"user": "root; id"},
        {"user": "$(id)"},
        {"user": "-l"},
        {"user": ""},
        {"address": "-oProxyCommand=id"},
        {"address": "example.org"},
        {"address": "fe80::1%eth0;id"},
    ],
)
def test_a_machine_whose_name_user_or_address_is_none_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"is not|not appear"):
        replace(host("dupont", "web-1").guest, **changes)  # type: ignore[arg-type]


def test_an_empty_inventory_is_an_inventory(tmp_path: Path) -> None:
    read = read_by_ansible(tmp_path, ssh=SshSettings(private_key=Path("/keys/id")))
    assert read["_meta"]["hostvars"] == {}


def test_the_face_of_the_guests_costs_no_heavy_import() -> None:
    code = (
        "import sys, orchestrator.guests, orchestrator.guests.rules, orchestrator.guests.firewall; "
        "print([name for name in ('ansible', 'paramiko', 'jinja2') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
