"""A replica brought into service, and back: a real sshd stands for the node that is left, with files as pmxcfs has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.api.fakepve_handle import FakePve
from tests.api.ssh_server import ssh_server
from tests.api.test_redundancy import Estate
from tests.api.test_rescue import at_a_terminal, choice

SYNCED = 1_795_000_000
"""The afternoon of 18 November 2026."""

_ELSEWHERE = """\
#!/bin/sh
for word; do shift; set -- "$@" "$(echo "$word" | sed 's|^/etc/pve|{pve}|')"; done
exec /bin/{name} "$@"
"""


@dataclass
class Lost:
    """An estate whose machine's node is off."""

    estate: Estate
    pve: Path
    node: str
    vmid: int

    def run(self, *more: str) -> tuple[int, str]:
        """Fail over."""
        answer = self.estate.run("fail-over", "dupont/web-1", "--boot-timeout", "20", *more)
        return answer.code, answer.out + answer.err

    def rescue(self, *more: str) -> tuple[int, str]:
        """Choose the fail-over among what can be done."""
        answer = self.estate.run("rescue", "dupont/web-1", "--choose", "fail-over", "--yes", *more)
        return answer.code, answer.out + answer.err

    def state(self) -> dict[str, Any]:
        """What rescue shows, as values."""
        found: dict[str, Any] = json.loads(self.estate.run("rescue", "dupont/web-1", "--format", "json").out)
        return found

    def members(self, *, online: int, quorate: int = 1) -> None:
        """What pmxcfs of the node that is left says of the cluster."""
        listed = {
            "nodename": "pve-lyon",
            "version": 7,
            "cluster": {"name": "paris", "version": 3, "nodes": 3, "quorate": quorate},
            "nodelist": {
                self.node: {"id": 1, "online": online, "ip": "192.0.2.1"},
                "pve-lyon": {"id": 3, "online": 1, "ip": "192.0.2.3"},
            },
        }
        (self.pve / ".members").write_text(json.dumps(listed, indent=1))

    @property
    def here(self) -> str:
        """Where the machine is, and whether it runs."""
        vm = self.estate.fake.dump()["vms"][str(self.vmid)]
        return f"{vm['node']} {vm['status']}"


@pytest.fixture
def lost(fakepve: FakePve, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lost]:
    fakepve.control("release", release="9")
    estate = Estate(tmp_path, fakepve)
    estate.ask({"second_site": "lyon"})
    estate.settled()
    (vm,) = estate.machines().values()
    vmid, node = int(vm["vmid"]), str(vm["node"])
    fakepve.guest_agent({"files": {"/etc/hostname": "web-1\n"}}, vmid=vmid)
    folder = tmp_path_factory.mktemp("lyon")
    with ssh_server(folder) as server:
        pve = folder / "pve"
        (pve / "nodes/pve-lyon/qemu-server").mkdir(parents=True)
        fakepve.control("write_files", folder=str(pve / "nodes"))
        fakepve.control("follow_files", folder=str(pve / "nodes"))
        scripts = {name: _ELSEWHERE.format(pve=pve, name=name) for name in ("cat", "mv")}
        scripts["pvesm"] = '#!/bin/sh\necho "/dev/zvol/tank/${2#*:}"\n'
        scripts["zfs"] = f'#!/bin/sh\nfor last; do :; done\nsed "s|^|$last@|" {folder}/snapshots\n'
        for name, text in scripts.items():
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        (folder / "snapshots").write_text(f"before-update\n__replicate_{vmid}-0_{SYNCED}__\n")
        estate.sites["paris"]["node_access"] = {
            "ssh_private_key": str(folder / "user"),
            "ssh_known_hosts": str(folder / "known_hosts"),
            "addresses": {"pve-lyon": server.address},
        }
        estate.write_sites()
        made = Lost(estate=estate, pve=pve, node=node, vmid=vmid)
        made.members(online=0)
        fakepve.node_online(node, False)
        yield made
        fakepve.control("follow_files", folder=None)


def test_a_machine_starts_from_its_replica_and_goes_back_when_its_node_does(lost: Lost) -> None:
    code, said = lost.run()
    assert code == 1 and f"--lost-node {lost.node}" in said and "two of one identity" in said, said
    code, said = lost.run("--lost-node", lost.node)
    assert code == 1 and "--confirm dupont/web-1" in said and "2026" in said, "what is lost is told first"
    assert lost.here.startswith(lost.node)
    code, said = lost.run("--lost-node", lost.node, "--confirm", "dupont/web-1", "--reason", "fire")
    assert code == 0 and lost.here == "pve-lyon running", said
    assert lost.estate.made["jobs"][f"{lost.vmid}-0"]["target"] == lost.node
    entries = json.loads(lost.estate.run("history", "dupont/web-1", "--format", "json").out)
    (entry,) = [entry for entry in entries if entry["action"] == "fail over" and entry["result"] == "ok"]
    assert entry["why"] == "fire" and "pve-lyon" in str(entry["details"])
    code, said = lost.run("--lost-node", lost.node, "--confirm", "dupont/web-1")
    assert code == 1 and "it runs on pve-lyon" in said, said

    code, said = lost.run("--back", "--confirm", "dupont/web-1")
    assert code == 1 and "off still" in said, said
    lost.estate.fake.node_online(lost.node, True)
    code, said = lost.run("--back", "--confirm", "dupont/web-1")
    assert code == 1 and "nothing was sent" in said, said
    lost.estate.fake.control("replicated", name=f"{lost.vmid}-0", at=SYNCED + 3600)
    lost.estate.fake.control("follow_files", folder=None)
    code, said = lost.run("--back", "--confirm", "dupont/web-1")
    assert code == 0 and lost.here == f"{lost.node} running", said
    assert lost.estate.made["jobs"][f"{lost.vmid}-0"]["target"] == "pve-lyon"


def test_nothing_is_moved_unless_the_node_is_surely_off_and_its_copies_are_whole(lost: Lost) -> None:
    sure = ("--lost-node", lost.node, "--confirm", "dupont/web-1")
    lost.members(online=1)
    code, said = lost.run(*sure)
    assert code == 1 and f"does not say that {lost.node} is off" in said, said
    lost.members(online=0, quorate=0)
    code, said = lost.run(*sure)
    assert code == 1 and "no quorum" in said, said
    lost.members(online=0)
    (lost.pve.parent / "snapshots").write_text("before-update\n")
    code, said = lost.run(*sure)
    assert code == 1 and "has no copy of tank:" in said, said
    lost.estate.fake.node_online(lost.node, True)
    code, said = lost.run(*sure)
    assert code == 1 and "nothing to fail over" in said, said
    assert lost.here == f"{lost.node} running"


def test_a_fail_over_that_was_killed_before_the_start_is_finished_by_the_next_run(lost: Lost) -> None:
    name = f"qemu-server/{lost.vmid}.conf"
    (lost.pve / "nodes" / lost.node / name).rename(lost.pve / "nodes/pve-lyon" / name)
    code, said = lost.run()
    assert code == 0 and lost.here == "pve-lyon running", said


def test_another_mark_another_host_key_and_what_the_ha_manager_minds_are_refused(lost: Lost) -> None:
    sure = ("--lost-node", lost.node, "--confirm", "dupont/web-1")
    file = lost.pve / "nodes" / lost.node / f"qemu-server/{lost.vmid}.conf"
    whole = file.read_text()
    file.write_text("".join(line for line in whole.splitlines(keepends=True) if not line.startswith("#")))
    code, said = lost.run(*sure)
    assert code == 1 and "does not carry its mark" in said, said
    file.write_text(whole)
    access = lost.estate.sites["paris"]["node_access"]
    access["ssh_known_hosts"] = str(lost.pve.parent / "wrong_hosts")
    lost.estate.write_sites()
    code, said = lost.run(*sure)
    assert code == 1 and "Host key verification failed" in said, said
    lost.estate.fake.cluster().post("/cluster/ha/resources", sid=f"vm:{lost.vmid}", state="started")
    code, said = lost.run(*sure)
    assert code == 1 and f"ha-manager set vm:{lost.vmid} --state ignored" in said, said
    assert lost.here.startswith(lost.node)


def test_a_rescue_offers_the_replica_says_what_is_lost_and_starts_it(lost: Lost) -> None:
    shown = lost.estate.run("rescue", "dupont/web-1").out
    assert f"VM {lost.vmid} on {lost.node}, paris: the node is off" in shown, shown
    assert "replica    on pve-lyon, last replicated" in shown and "2026" in shown
    offered = choice(lost.state(), "fail-over")
    assert (offered["value"], offered["refused"]) == ("pve-lyon", None)
    assert offered["loses"].keys() == {"data"} and "everything written since" in offered["loses"]["data"]
    assert lost.state()["lost_node"] == {
        "site": "paris",
        "node": lost.node,
        "vmid": lost.vmid,
        "replica": {"node": "pve-lyon", "replicated_at": "2026-11-18T11:06:40+00:00"},
        "why_no_replica": None,
    }
    for more in ((), ("--lose", "data"), ("--lose", "data", "--lost-node", "pve-lyon")):
        code, said = lost.rescue(*more)
        assert code == 1 and f"--lost-node {lost.node}" in said and "two of one identity" in said, said
    code, said = lost.rescue("--lost-node", lost.node)
    assert code == 1 and "this loses data: everything written since" in said, said
    assert lost.here.startswith(lost.node)
    sure = ("--lost-node", lost.node, "--lose", "data", "--reason", "fire", "--boot-timeout", "20")
    code, said = lost.rescue(*sure)
    assert code == 0 and "lost: data: everything written since" in said, said
    assert lost.here == "pve-lyon running" and "orchestrator fail-over dupont/web-1 --back" in said
    entries = json.loads(lost.estate.run("history", "dupont/web-1", "--format", "json").out)
    (entry,) = [entry for entry in entries if entry["action"] == "fail over" and entry["result"] == "ok"]
    assert entry["why"] == "fire"
    assert "fail-over" not in {item["name"] for item in lost.state()["choices"]}, "it runs elsewhere"


def test_at_a_terminal_the_lost_node_is_typed_before_its_replica_is_started(lost: Lost) -> None:
    possible = [item["name"] for item in lost.state()["choices"] if not item["refused"]]
    number = str(possible.index("fail-over") + 1)
    typed = at_a_terminal(lost.estate, number, "pve-lyon")
    assert typed.code == 1 and "have it switched off, then say so" in typed.err, typed
    assert lost.here.startswith(lost.node)
    typed = at_a_terminal(lost.estate, number, lost.node, "dupont/web-1")
    assert typed.code == 0 and lost.here == "pve-lyon running", typed


def test_a_rescue_says_why_a_replica_cannot_be_started(lost: Lost) -> None:
    (lost.pve.parent / "snapshots").write_text("before-update\n")
    refused = choice(lost.state(), "fail-over")["refused"]
    assert "it has no whole copy" in refused and "by the replication job" in refused, refused
    code, said = lost.rescue("--lost-node", lost.node, "--lose", "data")
    assert code == 1 and "it has no whole copy" in said, said
    del lost.estate.sites["paris"]["node_access"]
    lost.estate.write_sites()
    assert "the site file needs node_access for paris" in choice(lost.state(), "fail-over")["refused"]
    lost.estate.fake.node_online(lost.node, True)
    document = lost.state()
    assert document["lost_node"] is None and document["machine"]["status"] == "running"
    assert "fail-over" not in {item["name"] for item in document["choices"]}
    assert lost.here == f"{lost.node} running"
