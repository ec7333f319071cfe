"""``orchestrator rescue``: what there is of one machine, and what is chosen done as by the single commands."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest

from orchestrator.resources.copies import COPY_TAG, CopyMark, copy_notes
from orchestrator.resources.notes import read_mark
from orchestrator.resources.privileges import role_privileges
from tests.api.desk import Answer, Desk, machine, subscription
from tests.api.night_desk import MONDAY_NIGHT, STORE, NightDesk
from tests.api.test_recreate import erase

_WEB = "dupont/web-1"


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    """web-1 in service, with an archive and then a snapshot."""
    found = NightDesk(desk)
    found.deliver("web-1")
    desk.put_in_service(firewall=True)
    assert desk.run("backup", "now", _WEB).code == 0
    return found


def rescue(night: NightDesk, *more: str) -> Answer:
    return night.desk.run("rescue", _WEB, *more)


def state(night: NightDesk, *more: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(rescue(night, "--format", "json", *more).out)
    return found


def choice(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in document["choices"] if item["name"] == name)
    return found


def test_it_shows_what_there_is_and_changes_nothing(night: NightDesk) -> None:
    assert night.desk.run("snapshot", "create", _WEB, "before").code == 0
    before = night.fake.dump()["vms"]
    shown = rescue(night)
    assert shown.code == 0, shown
    for text in (
        "state      running",
        "its guest agent answers",
        "snapshot   before",
        "never restored",
        "backup  ok",
    ):
        assert text in shown.out, (text, shown)
    assert "Proxmox keeps no output of consoles, and it printed nothing for 2 s" in shown.out
    assert "its snapshots before keep its disks where they are" in shown.out, "why it cannot be restored into"
    assert night.fake.dump()["vms"] == before
    document = state(night)
    assert document["machine"]["status"] == "running" and document["machine"]["guest_answers"] is True
    assert [item["name"] for item in document["choices"]] == [
        "start", "restart", "rollback", "copy", "restore", "nothing"
    ]  # fmt: skip
    assert choice(document, "start")["refused"] == "it runs already"
    assert choice(document, "rollback")["loses"].keys() == {"data", "memory"}


def test_a_machine_that_runs_is_changed_only_where_what_is_lost_was_named(night: NightDesk) -> None:
    assert night.desk.run("snapshot", "create", _WEB, "before").code == 0
    chosen = ("--choose", "rollback", "--snapshot", "before", "--yes")
    calls = night.fake.calls("POST")
    for more in ((), ("--lose", "data")):
        refused = rescue(night, *chosen, *more)
        assert refused.code == 1 and "it runs, and this loses" in refused.err, refused
        assert "--lose data,memory" in refused.err
    assert night.fake.calls("POST").keys() - calls.keys() <= {
        key for key in night.fake.calls("POST") if key.endswith("/agent/ping")
    }
    done = rescue(night, *chosen, "--lose", "data,memory", "--boot-timeout", "1")
    assert "lost: data: everything written since" in done.out, done
    entries = json.loads(night.desk.run("history", _WEB, "--format", "json", "--limit", "9").out)
    assert {"roll back", "rescue"} <= {entry["action"] for entry in entries} | {
        entry["why"] for entry in entries
    }
    unasked = rescue(night, "--choose", "rollback", "--snapshot", "before", "--lose", "data,memory")
    assert unasked.code == 1 and "pass --yes" in unasked.err, unasked
    wrong = rescue(night, "--choose", "rollback", "--snapshot", "other", "--yes")
    assert wrong.code == 1 and "there is no snapshot other: there are before" in wrong.err, wrong
    wrong = rescue(night, "--choose", "recreate", "--yes")
    assert wrong.code == 1 and "recreate is nothing that can be done for it now" in wrong.err, wrong


def test_a_stopped_machine_is_started_although_another_clients_file_is_broken(night: NightDesk) -> None:
    vm = night.desk.machines()["web-1"]
    night.fake.cluster().run_task("POST", f"/nodes/{vm['node']}/qemu/{vm['vmid']}/status/stop")
    (night.desk.folder / "subscriptions" / "martin.yaml").write_text("client: [")
    done = rescue(night, "--choose", "start", "--yes")
    assert done.code == 0 and "started" in done.out, done
    assert night.desk.machines()["web-1"]["status"] == "running"


def test_a_rollback_does_not_wait_until_the_clients_file_is_right(night: NightDesk) -> None:
    vm = night.desk.machines()["web-1"]
    assert night.desk.run("snapshot", "create", _WEB, "before").code == 0
    night.fake.cluster().run_task("POST", f"/nodes/{vm['node']}/qemu/{vm['vmid']}/status/stop")
    (night.desk.folder / "subscriptions" / "dupont.yaml").write_text("client: [")
    single = night.desk.run("snapshot", "rollback", _WEB, "before", "--yes")
    assert single.code == 1, "the single command keeps asking for a sound file"
    done = rescue(night, "--choose", "rollback", "--snapshot", "before", "--yes", "--lose", "data")
    assert done.code == 0 and "it is back at before, and is stopped, as before" in done.out, done


def test_at_a_terminal_it_asks_what_is_wanted_and_for_the_machines_name(night: NightDesk) -> None:
    typed = at_a_terminal(night.desk, "9")
    assert typed.code == 1 and "'9' is none of the numbers 1 to 4" in typed.err, typed
    typed = at_a_terminal(night.desk, "2", "web-1")
    assert typed.code == 0 and "nothing was changed" in typed.out, typed
    assert set(night.desk.machines()) == {"web-1"}
    typed = at_a_terminal(night.desk, "2", _WEB)
    assert typed.code == 0 and "restored as web-1-rescue" in typed.out, typed


def at_a_terminal(desk: Desk, *lines: str) -> Answer:
    """Run the command with a terminal, and type lines into it."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "rescue", _WEB],
            cwd=desk.folder,
            env=desk._environment({}),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.write(ours, "".join(f"{line}\n" for line in lines).encode())
        out, err = process.communicate(timeout=120)
    finally:
        os.close(theirs)
        os.close(ours)
    return Answer(process.returncode, out, err)


def test_9_a_suspended_contract_is_not_started_by_a_rescue(night: NightDesk) -> None:
    file = subscription("dupont", [machine("web-1", backup={"retention_days": 7})])
    file["contract"] |= {"status": "suspended", "suspension": {"since": "2026-11-01", "reference": "L-2"}}
    night.desk.write(file)
    assert night.desk.apply().code == 0
    refused = rescue(night, "--choose", "start", "--yes")
    assert refused.code == 1 and "suspended since 2026-11-01" in refused.err, refused
    assert night.desk.machines()["web-1"]["status"] == "stopped"


def test_the_console_is_listened_to_and_its_text_is_the_guests(night: NightDesk) -> None:
    number = night.vmid("web-1")
    night.fake.control("set_config", vmid=number, serial0="socket")
    printed = (
        "\x1b[2J\x1b[31mKernel panic - not syncing\x1b[0m\r\n\x9b5nstate      stopped\u202e\x07\r\n"
        + "x" * 900
    )
    night.fake.control("prints", vmid=number, text=printed)
    shown = rescue(night).out
    assert "console    | Kernel panic - not syncing" in shown, shown
    assert "| \\x9b5nstate      stopped\\u202e\\x07" in shown, (
        "marked as the guest's, and nothing of it obeyed"
    )
    assert "\x1b" not in shown and "x" * 201 not in shown
    night.fake.control("prints", vmid=number, text="")
    assert "it printed nothing for 2 s" in rescue(night).out
    night.fake.control("refuse_terminals")
    assert "its console was closed" in rescue(night).out
    night.fake.control("regrant", grants={"/": role_privileges(9, consoles=False)})
    told = state(night)["machine"]
    assert told["no_console"] == "the API token lacks VM.Console" and told["console"] == []


def test_a_stale_lock_is_told_with_what_only_root_can_do(night: NightDesk) -> None:
    number = night.vmid("web-1")
    night.fake.set_lock(number, "backup")
    document = state(night)
    assert document["machine"]["stale_lock"] and document["tasks"] == []
    shown = rescue(night)
    assert f"as root on pve1, `qm unlock {number}`" in shown.out, shown
    refused = rescue(night, "--choose", "restart", "--yes", "--lose", "memory")
    assert refused.code == 1 and "qm unlock" in refused.err, refused


def test_a_copy_is_restored_beside_and_loses_nothing(night: NightDesk) -> None:
    done = rescue(night, "--choose", "copy", "--yes")
    assert done.code == 0 and "restored as web-1-rescue" in done.out, done
    assert night.desk.machines()["web-1-rescue"]["status"] == "stopped"
    theirs = rescue(night, "--choose", "copy", "--yes", "--archive", f"{STORE}:backup/other")
    assert theirs.code == 1 and f"{STORE}:backup/other is no archive of dupont/web-1" in theirs.err, theirs


def test_it_works_as_far_as_it_can_when_parts_are_broken(night: NightDesk) -> None:
    desk = night.desk
    night.fake.set_storage(STORE, active=False)
    (desk.folder / "state" / "orchestrator" / "history.db").write_text("not a database")
    (desk.folder / "subscriptions" / "dupont.yaml").unlink()
    shown = rescue(night)
    assert shown.code == 1 and "state      running" in shown.out, shown
    assert "the history, without which nothing is changed" in shown.out
    assert f"not read: paris: {STORE}" in shown.out and "no file of dupont without errors" in shown.out
    assert "not possible: whether it may be restarted is not known" in shown.out
    desk.sites["paris"]["api"]["url"] = "https://127.0.0.1:1"
    desk.write_sites()
    gone = rescue(night)
    assert gone.code == 1 and "not read: paris" in gone.out, gone
    assert "no machine of ours is dupont/web-1 at the sites that could be read" in gone.err


def test_a_machine_on_a_node_that_is_down_is_not_made_a_second_time(night: NightDesk) -> None:
    number = night.vmid("web-1")
    night.fake.control("add_nodes", names=["pve2"])
    night.fake.set_storage(STORE, shared=True)
    night.fake.control("set_vm", vmid=number, node="pve2")
    night.fake.node_online("pve2", False)
    document = state(night)
    assert document["machine"] is None and document["archives"], document
    why = choice(document, "recreate")["refused"]
    assert "may be it" in why and "pve2" in why, why
    direct = night.desk.run("backup", "restore", _WEB, "--recreate", "--confirm", _WEB)
    assert direct.code == 1 and f"VM {number}" in direct.err and "may be dupont/web-1" in direct.err, direct


def test_a_restore_that_was_interrupted_is_finished_and_not_started_over(night: NightDesk) -> None:
    (archive,) = night.archives()
    mark = CopyMark(
        purpose="in-place", client="dupont", machine="web-1", volid=archive["volid"], made_at=MONDAY_NIGHT, vmid=800
    )  # fmt: skip
    config = {"description": copy_notes(mark), "tags": COPY_TAG}
    night.fake.add_vms(1, first=800, config=config, pool="client-dupont", status="stopped")
    vm = night.desk.machines()["web-1"]
    night.fake.cluster().run_task("POST", f"/nodes/{vm['node']}/qemu/{vm['vmid']}/status/stop")
    document = state(night)
    assert document["half_restored"] == archive["volid"]
    assert "was interrupted: choose restore" in choice(document, "start")["refused"]
    finish = choice(document, "restore")
    assert finish["refused"] is None and finish["loses"] == {}, "its data were given up when it began"


def test_an_erased_machine_is_made_again(night: NightDesk) -> None:
    erase(night)
    document = state(night)
    assert document["machine"] is None and choice(document, "recreate")["refused"] is None
    refused = rescue(night, "--choose", "recreate", "--yes")
    assert refused.code == 1 and "this loses data: everything written since" in refused.err, refused
    night.desk.write()
    done = rescue(night, "--choose", "recreate", "--yes", "--lose", "data")
    assert done.code == 0 and "it runs" in done.out, done
    assert night.desk.machines()["web-1"]["status"] == "running"


def _empty_notes(night: NightDesk, number: int, text: str = "") -> None:
    night.fake.control("set_config", vmid=number, description=text)


def test_a_lost_mark_is_written_back_where_an_archive_proves_it(night: NightDesk) -> None:
    desk, number = night.desk, night.vmid("web-1")
    before = read_mark(desk.machines()["web-1"]["config"]["description"])
    _empty_notes(night, number, "restart me on Mondays")
    assert desk.run("show", _WEB).code == 1
    document = state(night)
    assert choice(document, "mark")["refused"] is None, document
    assert "recreate" not in {item["name"] for item in document["choices"]}, "it is there"
    done = rescue(night, "--choose", "mark", "--yes")
    assert done.code == 0, done
    notes = desk.machines()["web-1"]["config"]["description"]
    mark = read_mark(notes)
    assert mark is not None and before is not None and "restart me on Mondays" in notes
    assert (mark.slots, mark.contract, mark.vmid) == (before.slots, before.contract, number)
    kinds = {change["kind"] for item in desk.plan()["machines"] for change in item["changes"]}
    assert kinds <= {"firewall"}, "nothing is known of its inside"


def test_somebody_elses_vm_is_never_claimed(night: NightDesk) -> None:
    desk, number, cluster = night.desk, night.vmid("web-1"), night.fake.cluster()
    web = desk.machines()["web-1"]
    path = f"/nodes/{web['node']}/qemu/{number}"
    # A clone of it with emptied notes, in the same pool, with the same name and tags: the original is gone.
    cluster.run_task(
        "POST", f"{path}/clone", params={"newid": 555, "name": "web-1", "full": 1, "pool": "client-dupont"}
    )
    erase_number(night, number)
    _empty_notes(night, 555)
    refused = rescue(night, "--choose", "mark", "--yes")
    assert refused.code == 1 and "no archive of VM 555 proves" in refused.err, refused
    # The same under the old number: another identifier, other MAC addresses.
    cluster.run_task(
        "POST",
        "/nodes/pve1/qemu/555/clone",
        params={"newid": number, "name": "web-1", "full": 1, "pool": "client-dupont"},
    )
    erase_number(night, 555)
    refused = rescue(night, "--choose", "mark", "--yes")
    assert refused.code == 1 and "it is not claimed" in refused.err, refused
    assert read_mark(desk.machines()["web-1"]["config"].get("description", "")) is None


def erase_number(night: NightDesk, number: int) -> None:
    cluster = night.fake.cluster()
    vm = night.fake.dump()["vms"][str(number)]
    path = f"/nodes/{vm['node']}/qemu/{number}"
    if vm["status"] != "stopped":
        cluster.run_task("POST", f"{path}/status/stop")
    cluster.put(f"{path}/config", protection=0)
    cluster.run_task("DELETE", path, params={"purge": 1})
