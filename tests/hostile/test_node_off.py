"""A node that is off: its machines cannot be read, the others go on, and no command asks anything of it."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from orchestrator.resources.copies import COPY_TAG, CopyMark, copy_notes
from tests.api.desk import HOST_KEY, Desk, machine, subscription
from tests.api.night_desk import PARIS, NightDesk

OFF = "its node pve2 is off: bring it back, then run this again"


def _two_nodes(desk: Desk) -> tuple[str, str]:
    """A machine with backup on each of two nodes, and on pve2 what a killed night left. Then pve2 goes off.

    Returns:
        The machine's name on pve1, and on pve2.
    """
    fake = desk.fakes["paris"]
    fake.control("add_nodes", names=["pve2"])
    fake.control("add_template", vmid=9001, name="debian-12", node="pve2")
    night = NightDesk(desk)
    fake.add_storage("backup-own")
    desk.sites["paris"]["backup_storages"].append({"name": "backup-own", "site": "lyon"})
    desk.write_sites()
    night.deliver("web-1", "web-2")
    desk.put_in_service(firewall=True)
    names = {vm["node"]: name for name, vm in desk.machines().items()}
    desk.put_in_service(names["pve2"], firewall=True, host_keys=(HOST_KEY,))
    assert desk.run("backup", "now", f"dupont/{names['pve2']}").code == 0
    made_at = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
    mark = CopyMark(
        client="dupont", machine="web-1", purpose="restore-test", volid="b:x", made_at=made_at, vmid=150
    )
    notes = {"tags": COPY_TAG, "description": copy_notes(mark)}
    left = [{"vmid": 150, "name": "left", "node": "pve2", "config": notes}]
    fake.control("add_vms", vms=[*left, {"vmid": 151, "name": "VM 151", "node": "pve2", "config": {}}])
    fake.node_online("pve2", False)
    return names["pve1"], names["pve2"]


def _as_last_seen(desk: Desk) -> str:
    """The cluster's list as a real one is for some time: of the node that is off it shows what ran there."""
    listed: list[dict[str, Any]] = desk.fakes["paris"].cluster().get("/cluster/resources")
    for entry in listed:
        if entry.get("node") == "pve2" and entry["type"] == "qemu":
            entry["status"] = "stopped" if entry["vmid"] == 151 else "running"
    return json.dumps({"data": listed})


def test_no_command_asks_anything_of_a_node_that_is_off(desk: Desk) -> None:
    here, away = _two_nodes(desk)
    fake, listed = desk.fakes["paris"], _as_last_seen(desk)
    number = desk.machines()[away]["vmid"]  # two are made at once: either may come first
    kept = {"backup": {"retention_days": 31}}
    files = [machine(name, memory="2GiB", backup=dict(kept["backup"])) for name in (here, away)]
    desk.write(subscription("dupont", files))

    def ask(command: str, *, code: int, says: str = "", as_last_seen: bool = True) -> None:
        fake.control("clear_faults")
        fake.control("reset_calls")
        if as_last_seen:
            fake.fault("GET", "/cluster/resources", "answer", text=listed, times=99)
        answer = desk.run(*command.format(here=here, away=away).split())
        assert answer.code == code and says in answer.out + answer.err, (command, answer)
        assert not [call for call in fake.calls() if "pve2" in call], command

    ask("plan", code=1, says=OFF)
    ask("plan --only dupont/{here}", code=0, says="memory")
    ask("plan --only dupont/{away}", code=1, says=OFF)
    ask("show dupont/{here}", code=0)
    ask("show dupont/{away}", code=1, says=OFF)
    ask("snapshot create dupont/{here} before", code=0)
    ask("snapshot create dupont/{away} before", code=1, says=OFF)
    ask("snapshot list dupont/{away}", code=1, says=OFF)
    ask("backup now dupont/{here}", code=0)
    ask("backup now dupont/{away}", code=1, says=OFF)
    ask("backup list dupont/{here}", code=0)
    ask("backup list dupont/{away}", code=1, says=f"not read: paris: VM {number} {away} on pve2: {OFF}")
    ask("backup verify dupont/{away}", code=1, says=OFF)
    ask("export dupont --to disks", code=1, says=OFF)
    ask("doctor", code=2, says="it is offline")
    ask("targets", code=1, says=OFF)
    ask("inventory --list", code=0, says=OFF)
    ask("apply --yes --no-guests --restart-now", code=1, says=f"refused  dupont/{away}", as_last_seen=False)
    ask("nightly --in-working-hours", code=1, says="1 of 2 backups")
    vms = fake.dump()["vms"]
    assert {"150", "151"} <= set(vms), "what a killed night left there is removed by a later one"
    memory = {vm["name"]: str(vm["config"].get("memory")) for vm in vms.values()}
    assert (memory[here], memory[away]) == ("2048", "1024")

    ended = subscription("dupont", files)
    notice = dt.datetime.now(PARIS).date() - dt.timedelta(days=3)
    ended["contract"] |= {
        "status": "terminated",
        "termination": {"notice": notice.isoformat(), "reference": "LRAR-1"},
    }
    desk.write(ended)
    ask(
        "reversibility dupont", code=1, says=f"no plan was drawn up, it would lack VM {number} {away} on pve2"
    )
