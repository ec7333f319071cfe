"""What the product promises, on a real Proxmox VE: the scenarios run in their order, on the same two machines."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator

import pytest

from tests.acceptance.cleaning import clean, clusters, is_ours
from tests.acceptance.conftest import FAILED, listed
from tests.acceptance.settings import PREFIX, Run
from tests.acceptance.workplace import NOBODY, OTHER_KEY, Workplace

pytestmark = pytest.mark.timeout(3600)

_FILE = "/var/tmp/acceptance"
_CLOCK_SECONDS = 120
_PORTS = (8080, 8081, 8082)
"""What listens in the machine, whatever its firewall lets in."""
_BOOT = "cat /proc/sys/kernel/random/boot_id"
_MEMORY = "awk '/MemTotal/ {print $2}' /proc/meminfo"
_RULES = "sudo nft list table inet orchestrator"


@pytest.fixture(autouse=True)
def back_on_its_feet(workplace: Workplace, request: pytest.FixtureRequest) -> Iterator[None]:
    """A scenario that failed does not make the next ones fail: file and machines are what they were before it."""
    before = copy.deepcopy(workplace.file)
    yield
    if request.node.stash.get(FAILED, False):
        workplace.file = before
        workplace.write()
        workplace.run("apply", "--yes", "--guests", "--restart-now")


def test_the_cluster_and_this_computer_are_in_order(workplace: Workplace, run: Run) -> None:
    answer = workplace.run("doctor", "--format", "json", "--site", run.site)
    findings = json.loads(answer.out)["findings"]
    assert not [finding for finding in findings if finding["severity"] == "error"]


def test_a_file_becomes_running_machines_and_then_nothing_is_left_to_do(
    workplace: Workplace, run: Run
) -> None:
    answer = workplace.run("plan")
    assert "2 to create" in answer.out, answer
    workplace.of(workplace.web)["firewall"] = {
        "open": [
            {"port": 8080, "protocol": "tcp", "from": [f"{workplace.address(workplace.probe)}/32"]},
            {"port": 8081, "protocol": "tcp", "from": [NOBODY]},
        ]
    }
    workplace.write()
    workplace.apply()
    for item in workplace.plan()["machines"]:
        assert item["vmid"] in run.ids
    shown = workplace.run("show", f"{workplace.client}/{workplace.web}")
    assert "running" in shown.out and "firewall  ok" in shown.out, shown


def test_in_the_machine_is_what_the_file_says(workplace: Workplace) -> None:
    found = workplace.inside(
        workplace.web, "hostname; nproc; sudo -n true; lsblk -bdno SIZE,TYPE; ip -4 -o addr"
    )
    lines = found.out.splitlines()
    assert found.code == 0 and lines[:2] == [workplace.web, "1"], found
    assert str(1024**3) in found.out and workplace.address(workplace.web) in found.out


def test_packets_pass_or_are_dropped_as_the_file_says(workplace: Workplace) -> None:
    workplace.serve(workplace.web, *_PORTS)
    assert workplace.reached(workplace.address(workplace.web), 22, *_PORTS) == {8080}


def test_edits_are_made_in_place(workplace: Workplace) -> None:
    web = workplace.of(workplace.web)
    web["disks"][1]["size"] = "2GiB"
    web["firewall"]["open"][0]["port"] = 8082
    workplace.file["administration"]["ssh_keys"].append(OTHER_KEY)
    workplace.write()
    boot = workplace.inside(workplace.web, _BOOT).out
    workplace.apply()
    found = workplace.inside(workplace.web, f"{_BOOT} .ssh/authorized_keys; lsblk -bdno SIZE")
    assert boot in found.out, "nothing was restarted"
    assert "second@acceptance" in found.out
    assert str(2 * 1024**3) in found.out
    assert workplace.reached(workplace.address(workplace.web), 22, *_PORTS) == {8082}


def test_what_needs_a_restart_waits_for_one_and_the_firewall_is_kept_across_it(workplace: Workplace) -> None:
    web, before = workplace.of(workplace.web), workplace.address(workplace.web)
    address = workplace.free_address()
    memory = int(workplace.inside(workplace.web, _MEMORY).out)
    web["memory"], web["address"] = workplace.settings_of_run.settings.more_memory, address
    workplace.write()
    workplace.apply()
    assert workplace.plan()["summary"]["waiting"], "a restart"
    assert workplace.reached(before, *_PORTS) == {8082}, "it was not restarted: what listens would be gone"
    workplace.apply("--restart-now")
    found = workplace.inside(workplace.web, f"{_MEMORY}; ip -4 -o addr; {_RULES}")
    assert int(found.out.split()[0]) > memory and f"{address}/" in found.out, found
    assert "policy drop" in found.out and "8082" in found.out, found
    workplace.serve(workplace.web, *_PORTS)
    assert workplace.reached(address, 22, *_PORTS) == {8082}


def test_what_proxmox_cannot_do_in_place_is_refused(workplace: Workplace) -> None:
    workplace.of(workplace.web)["disks"][1]["size"] = "1GiB"
    workplace.write()
    answer = workplace.run("apply", "--yes")
    workplace.of(workplace.web)["disks"][1]["size"] = "2GiB"
    workplace.write()
    assert answer.code == 1 and "shrink" in answer.out + answer.err, answer
    assert workplace.run("plan", "--detailed-exitcode").code == 0


def test_a_snapshot_brings_a_file_back_with_firewall_and_clock(workplace: Workplace) -> None:
    name = f"{workplace.client}/{workplace.web}"
    assert workplace.inside(workplace.web, f"echo precious > {_FILE}; sync").code == 0
    taken = workplace.run("snapshot", "create", name, "before")
    assert taken.code == 0, taken
    harm = f"rm {_FILE}; sudo nft delete table inet orchestrator; sudo date -s '2026-01-01'; sync"
    assert workplace.inside(workplace.web, harm).code == 0
    back = workplace.run("snapshot", "rollback", name, "before", "--yes")
    assert back.code == 0, back
    found = workplace.inside(workplace.web, f"cat {_FILE}; date +%s; {_RULES}")
    content, now, rules = found.out.split("\n", 2)
    assert content == "precious" and "policy drop" in rules, found
    assert abs(int(now) - time.time()) < _CLOCK_SECONDS, "its clock is right"
    assert workplace.run("snapshot", "delete", name, "before", "--yes").code == 0
    assert workplace.run("plan", "--detailed-exitcode").code == 0


def test_a_backup_is_made_in_another_data_centre_and_boots(workplace: Workplace, run: Run) -> None:
    if not run.provider.sites[run.site].backup_storages:  # a site on its own; never so at the lab
        pytest.skip(
            f"{run.site} has no storage for backups at another site (backup_storages of the inventory)"
        )
    name = f"{workplace.client}/{workplace.web}"
    workplace.of(workplace.web)["backup"] = {"retention_days": 7}
    workplace.write()
    workplace.apply()
    made = workplace.run("backup", "now", name)
    assert made.code == 0, made
    verified = workplace.run("backup", "verify", name, "--boot-timeout", str(run.settings.boot_seconds))
    assert verified.code == 0, verified
    assert "no changes" in workplace.run("plan").out, "the copy is gone, and was never taken for the original"


def test_a_machine_that_leaves_its_file_is_stopped_and_kept(workplace: Workplace) -> None:
    machines = workplace.file["services"][0]["machines"]
    machines.remove(workplace.of(workplace.probe))
    workplace.write()
    workplace.apply("--allow", f"retire:{workplace.client}")
    shown = workplace.run("show", f"{workplace.client}/{workplace.probe}").out
    assert "stopped" in shown and "retired" in shown


def test_the_history_has_it_all_and_is_whole(workplace: Workplace) -> None:
    told = workplace.run("history", workplace.client, "--limit", "200").out
    for action in ("clone", "configure", "start", "firewall", "snapshot", "shutdown"):
        assert action in told, action
    assert workplace.run("history", "verify").code == 0


def test_nothing_is_left_behind_and_nothing_else_was_touched(
    workplace: Workplace, run: Run, others: dict[str, set[str]]
) -> None:
    removed = clean(run, run.client)
    assert len([item for item in removed if item.startswith("VM ")]) == 2
    mine = f"pool client-{run.client}"
    assert {name: things - {mine} for name, things in listed(run).items()} == others
    with clusters(run) as reached:
        for cluster in reached.values():
            pools = [str(entry["poolid"]) for entry in cluster.get("/pools")]
            assert not [pool for pool in pools if is_ours(pool.removeprefix("client-"), run.client)], PREFIX
