"""A guest that tells another client's host keys, and passes connections on to that machine, opens it for nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.applying.guests_stage import configure_guests  # noqa: F401  (imported before the command is forked)
from orchestrator.applying.host_keys import KeyHolder, key_objection
from tests.api.desk import HOST_KEY, Desk, machine, subscription
from tests.lab.namespace_guest import eventually

_OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMt/0c/A2mkpeBwnYhdfuXiHPCyxJ0Ng1AQweBcPRbpF"
_KEY_FILE = "/etc/ssh/ssh_host_ed25519_key.pub"
_MANAGED = {"level": "supervision", "updates": "on-request"}


@pytest.fixture
def way(desk: Desk) -> Path:
    """The file that appears as soon as anybody is connected to."""
    file = desk.folder / "connected"
    sites = desk.folder / "sites.yaml"
    command = f"sh -c 'touch {file}; exit 1'"
    sites.write_text(
        sites.read_text().replace("management:", f'management:\n  ssh_proxy_command: "{command}"', 1)
    )
    return file


def test_nothing_is_sent_to_a_machine_with_the_host_key_of_another_clients(desk: Desk, way: Path) -> None:
    victim = subscription("dupont", [machine("web-1")], managed_services=_MANAGED)
    desk.write(
        victim, subscription("martin", [machine("web-2"), machine("web-3")], managed_services=_MANAGED)
    )
    assert desk.apply().code == 0
    desk.put_in_service("web-1", firewall=True, host_keys=(HOST_KEY,))
    number = {name: vm["vmid"] for name, vm in desk.machines().items()}
    for name, key in (("web-2", HOST_KEY), ("web-3", _OTHER_KEY)):
        desk.fakes["paris"].guest_agent({"files": {_KEY_FILE: key}}, vmid=number[name])

    answer = desk.run("apply", "--yes", "--only", "martin/web-2")
    assert (
        answer.code == 1 and f"its SSH host key is also that of VM {number['web-1']} at paris" in answer.out
    )
    assert "dupont" not in answer.out and not way.exists()
    process = desk.start("apply", "--yes", "--only", "martin/web-3")
    eventually(way.exists, "somebody connects to a machine with a key of its own")
    process.kill()
    process.communicate()

    # Where both marks have it, since when does not matter.
    desk.put_in_service("web-2", firewall=True, host_keys=(HOST_KEY,))
    way.unlink()
    for command in (("plan", "--guests"), ("updates",)):
        answer = desk.run(*command)
        told = answer.out + answer.err
        assert told.count(f"host key is also that of VM {number['web-1']}") == 1, answer
        assert told.count(f"host key is also that of VM {number['web-2']}") == 1, answer
    # Nor where only this client's machines were asked for.
    for asked in (("update", "martin/web-2", "--check"), ("plan", "--guests", "--only", "martin/web-2")):
        answer = desk.run(*asked)
        told = answer.out + answer.err
        assert told.count(f"host key is also that of VM {number['web-1']}") == 1, answer
    assert not way.exists()
    answer = desk.run("inventory", "--list")
    assert (
        json.loads(answer.out)["_meta"]["hostvars"] == {}
        and answer.err.count("host key is also that of") == 2
    )


def test_machines_of_one_client_may_share_a_host_key() -> None:
    holders = {
        "a": (KeyHolder("dupont", "VM 1"), KeyHolder("martin", "VM 2")),
        "b": (KeyHolder("dupont", "VM 1"),),
    }
    assert "VM 2," in key_objection("dupont", ("b", "a"), holders)
    assert key_objection("dupont", ("b", "c"), holders) == ""
