"""Two clients' files become real machines: booted guests, packets, restarts, refusals.

One lab and one set of machines for the whole module; the tests run in their order and each leaves the machines
as the next one finds them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.lab_handle import ROOT
from tests.lab.stage import CLIENT, LYON, PARIS, STRANGER, Stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("stage"))
    made.open()
    try:
        made.write()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def addresses(stage: Stage) -> dict[str, str]:
    """The machines' addresses, after the first apply."""
    answer = stage.run("apply", "--yes")
    assert answer.code == 0, answer
    return {f"{m['machine']}.{m['client']}": m["address"] for m in stage.plan()["machines"]}


def test_apply_boots_three_machines_and_then_nothing_needs_to_change(
    stage: Stage, addresses: dict[str, str]
) -> None:
    assert addresses == {
        "web-1.dupont": f"{PARIS}.20",
        "db-1.dupont": f"{PARIS}.21",
        "shop-1.martin": f"{LYON}.20",
    }
    answer = stage.run("plan", "--detailed-exitcode")
    assert answer.code == 0 and "no changes" in answer.out, answer
    shown = stage.run("show", "dupont/web-1")
    assert "running" in shown.out and "tcp 80 from any" in shown.out and "firewall  ok" in shown.out


def test_inside_the_guest_is_what_the_file_says(stage: Stage, addresses: dict[str, str]) -> None:
    web = stage.inside("web-1.dupont")
    assert web.run("hostname").stdout.strip() == "web-1"
    assert web.run("nproc").stdout.strip() == "2"
    assert f"{addresses['web-1.dupont']}/24" in web.run("ip -4 -o address show scope global").stdout
    sizes = json.loads(web.run("lsblk --json --bytes --nodeps --output SIZE,TYPE").stdout)["blockdevices"]
    assert sorted(d["size"] for d in sizes if d["type"] == "disk") == [1024**3, 4 * 1024**3]
    assert int(web.run("df --output=size --block-size=1M / | tail -1").stdout) > 3500, (
        "the root file system grew"
    )
    assert web.run("sudo -n true").rc == 0
    assert "admin@client" in web.file("/home/admin/.ssh/authorized_keys").content_string
    table = web.run("sudo nft list table inet orchestrator").stdout
    assert "policy drop" in table and "80" in table


def test_packets_pass_or_are_dropped_as_the_files_say(stage: Stage, addresses: dict[str, str]) -> None:
    stage.listen("web-1.dupont", 80)
    stage.listen("web-1.dupont", 8080)
    stage.listen("db-1.dupont", 5432)
    web, db, shop = (addresses[name] for name in ("web-1.dupont", "db-1.dupont", "shop-1.martin"))
    found = {
        "web 80, stranger": stage.connects(PARIS + STRANGER, web, 80),
        "web 8080, client": stage.connects(PARIS + CLIENT, web, 8080),
        "web ssh, client": stage.connects(PARIS + CLIENT, web, 22),
        "web ssh, stranger": stage.connects(PARIS + STRANGER, web, 22),
        "db 5432, client": stage.connects(PARIS + CLIENT, db, 5432),
        "db 5432, stranger": stage.connects(PARIS + STRANGER, db, 5432),
        "shop ssh, client": stage.connects(LYON + CLIENT, shop, 22),
        "shop ssh, stranger": stage.connects(LYON + STRANGER, shop, 22),
    }
    opened = {"web 80, stranger", "web ssh, client", "db 5432, client", "shop ssh, client"}
    assert {name for name, reached in found.items() if reached} == opened


def test_the_lab_survives_a_kill_and_the_plan_stays_empty(stage: Stage, addresses: dict[str, str]) -> None:
    before = stage.inside("web-1.dupont").run("cat /proc/sys/kernel/random/boot_id").stdout
    stage.lab.kill()
    down = stage.run("plan")
    assert down.code == 1 and "not read" in down.out
    stage.start_lab()
    answer = stage.run("plan", "--detailed-exitcode")
    assert answer.code == 0, answer
    assert stage.inside("web-1.dupont").run("cat /proc/sys/kernel/random/boot_id").stdout == before


def test_a_firewall_that_shuts_the_provider_out_is_refused_before_it_is_sent(
    stage: Stage, addresses: dict[str, str]
) -> None:
    sites = stage.folder / "lab" / "inventory" / "sites.yaml"
    right = sites.read_text()
    before = stage.inside("web-1.dupont").run("sudo nft list ruleset").stdout
    try:
        sites.write_text(
            right.replace(f"{PARIS}.1/32", "192.0.2.99/32").replace(f"{LYON}.1/32", "192.0.2.98/32")
        )
        answer = stage.run("apply", "--yes", "--only", "dupont/web-1")
    finally:
        sites.write_text(right)
    assert answer.code == 1 and f"{PARIS}.1" in answer.out, answer
    assert stage.inside("web-1.dupont").run("sudo nft list ruleset").stdout == before
    assert stage.run("plan", "--detailed-exitcode").code == 0


def test_edits_take_effect_in_place_and_a_restart_keeps_the_firewall(
    stage: Stage, addresses: dict[str, str]
) -> None:
    web = stage.machine("dupont", "web-1")
    web["memory"] = "640MiB"
    web["disks"][1]["size"] = "2GiB"
    web["firewall"]["open"] = [{"port": 8080, "protocol": "tcp", "from": [f"{PARIS}{STRANGER}/32"]}]
    stage.write()
    text = stage.run("plan").out
    assert "512MiB → 640MiB" in text and "+ tcp 8080" in text and "- tcp 80 " in text, text
    answer = stage.run("apply", "--yes")
    assert answer.code == 0, answer
    address = addresses["web-1.dupont"]
    assert not stage.connects(PARIS + STRANGER, address, 80)
    assert stage.connects(PARIS + STRANGER, address, 8080)
    assert not stage.connects(PARIS + CLIENT, address, 8080)
    sizes = json.loads(stage.inside("web-1.dupont").run("lsblk --json --bytes --nodeps --output SIZE").stdout)
    assert 2 * 1024**3 in {disk["size"] for disk in sizes["blockdevices"]}, "grown while it runs"
    waiting = stage.plan()
    assert waiting["summary"]["waiting"] == 1 and not waiting["has_changes"]

    boot = stage.inside("web-1.dupont").run("cat /proc/sys/kernel/random/boot_id").stdout
    answer = stage.run("apply", "--yes", "--restart-now")
    assert answer.code == 0, answer
    again = stage.inside("web-1.dupont")  # apply waited until it was up
    assert again.run("cat /proc/sys/kernel/random/boot_id").stdout != boot
    assert int(again.run("awk '/MemTotal/ {print $2}' /proc/meminfo").stdout) > 550_000
    stage.listen("web-1.dupont", 8080)
    assert stage.connects(PARIS + STRANGER, address, 8080)
    assert not stage.connects(PARIS + CLIENT, address, 8080), "kept across the restart"
    assert not stage.connects(PARIS + STRANGER, address, 22)
    assert stage.run("plan", "--detailed-exitcode").code == 0


def test_another_address_is_taken_up_at_a_restart_and_the_machine_is_found_there(
    stage: Stage, addresses: dict[str, str]
) -> None:
    stage.machine("martin", "shop-1")["address"] = f"{LYON}.77"
    stage.write()
    assert stage.run("apply", "--yes").code == 0
    waiting = stage.run("plan")
    assert "… restart shop-1" in waiting.out and "no changes" in waiting.out, waiting
    assert stage.connects(LYON + CLIENT, addresses["shop-1.martin"], 22), (
        "not restarted without being told to"
    )
    answer = stage.run("apply", "--yes", "--restart-now")
    assert answer.code == 0, answer
    assert f"{LYON}.77/24" in stage.inside("shop-1.martin").run("ip -4 -o address show scope global").stdout
    assert stage.connects(LYON + CLIENT, f"{LYON}.77", 22)
    assert not stage.connects(LYON + STRANGER, f"{LYON}.77", 22)
    assert stage.run("plan", "--detailed-exitcode").code == 0


def test_ansible_reads_the_inventory_and_the_playbook_finds_nothing_to_do(
    stage: Stage, addresses: dict[str, str]
) -> None:
    def ansible(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=ROOT / "playbooks",
            env=stage.environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    listed = ansible("ansible-inventory", "-i", "inventory", "--list")
    assert listed.returncode == 0 and "web-1.dupont" in listed.stdout, listed
    played = ansible("ansible-playbook", "-i", "inventory", "firewall.yml", "--limit", "web-1.dupont")
    assert played.returncode == 0, played
    assert "changed=0" in played.stdout and "failed=0" in played.stdout


def test_a_machine_out_of_its_file_is_stopped_and_kept(stage: Stage, addresses: dict[str, str]) -> None:
    service = stage.files["dupont"]["services"][0]
    service["machines"] = [item for item in service["machines"] if item["name"] != "db-1"]
    stage.write()
    answer = stage.run("apply", "--yes")
    assert answer.code == 0, answer
    shown = stage.run("show", "dupont/db-1").out
    assert "stopped" in shown and "retired" in shown
    assert stage.run("plan", "--detailed-exitcode").code == 0


def test_the_history_has_it_all_and_is_whole(stage: Stage, addresses: dict[str, str]) -> None:
    told = stage.run("history", "dupont", "--limit", "100").out
    for action in ("clone", "configure", "resize scsi0", "start", "firewall", "reboot", "shutdown"):
        assert action in told, action
    assert stage.run("history", "verify").code == 0


def test_no_secret_left_the_places_where_secrets_are(
    stage: Stage, addresses: dict[str, str], tmp_path: Path
) -> None:
    secrets = [path.read_bytes().strip() for path in (stage.folder / "lab").glob("*token*")]
    assert secrets
    stored = [path.read_bytes() for path in (stage.folder / "state").rglob("*") if path.is_file()]
    assert not [secret for secret in secrets for text in stored if secret in text]
