"""What the product promises, on a real Proxmox VE: the scenarios run in their order, on the same two machines."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.cleaning import clean, clusters, is_ours
from tests.acceptance.conftest import listed
from tests.acceptance.settings import PREFIX, Run
from tests.acceptance.workplace import NOBODY, OTHER_KEY, Workplace

pytestmark = pytest.mark.timeout(3600)

_FILE = "/var/tmp/acceptance"


def test_the_cluster_and_this_computer_are_in_order(workplace: Workplace, run: Run) -> None:
    answer = workplace.run("doctor", "--format", "json", "--site", run.site)
    findings = json.loads(answer.out)["findings"]
    assert not [finding for finding in findings if finding["severity"] == "error"]


def test_a_file_becomes_running_machines_and_then_nothing_is_left_to_do(
    workplace: Workplace, run: Run
) -> None:
    answer = workplace.run("plan")
    assert "2 to create" in answer.out, answer
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
    web, probe = workplace.address(workplace.web), workplace.address(workplace.probe)
    workplace.of(workplace.web)["firewall"] = {
        "open": [
            {"port": 8080, "protocol": "tcp", "from": [f"{probe}/32"]},
            {"port": 8081, "protocol": "tcp", "from": [NOBODY]},
        ]
    }
    workplace.write()
    workplace.apply()
    workplace.serve(workplace.web, 8080, 8081, 8082)
    reached = {port for port in (22, 8080, 8081, 8082) if workplace.reaches(web, port)}
    assert reached == {8080}


def test_edits_are_made_in_place(workplace: Workplace) -> None:
    web = workplace.of(workplace.web)
    web["disks"][1]["size"] = "2GiB"
    workplace.file["administration"]["ssh_keys"].append(OTHER_KEY)
    workplace.write()
    boot = workplace.inside(workplace.web, "cat /proc/sys/kernel/random/boot_id").out
    workplace.apply()
    found = workplace.inside(
        workplace.web, "cat /proc/sys/kernel/random/boot_id .ssh/authorized_keys; lsblk -bdno SIZE"
    )
    assert boot in found.out, "nothing was restarted"
    assert "second@acceptance" in found.out
    assert str(2 * 1024**3) in found.out


def test_what_proxmox_cannot_do_in_place_is_refused(workplace: Workplace) -> None:
    workplace.of(workplace.web)["disks"][1]["size"] = "1GiB"
    workplace.write()
    answer = workplace.run("apply", "--yes")
    workplace.of(workplace.web)["disks"][1]["size"] = "2GiB"
    workplace.write()
    assert answer.code == 1 and "shrink" in answer.out + answer.err, answer
    assert workplace.run("plan", "--detailed-exitcode").code == 0


def test_a_snapshot_brings_a_file_back(workplace: Workplace) -> None:
    name = f"{workplace.client}/{workplace.web}"
    assert workplace.inside(workplace.web, f"echo precious > {_FILE}; sync").code == 0
    taken = workplace.run("snapshot", "create", name, "before")
    assert taken.code == 0, taken
    assert workplace.inside(workplace.web, f"rm {_FILE}; sync").code == 0
    back = workplace.run("snapshot", "rollback", name, "before", "--yes")
    assert back.code == 0, back
    assert workplace.inside(workplace.web, f"cat {_FILE}").out == "precious\n"
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
    workplace.of(workplace.web)["firewall"]["open"].pop(0)
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
