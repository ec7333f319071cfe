"""A machine that somebody erased in Proxmox, brought back by hand as docs/restoring.md says: it is ours again."""

from __future__ import annotations

from tests.api.desk import Desk
from tests.api.night_desk import STORE, NightDesk


def test_a_machine_restored_by_hand_under_its_number_is_known_again(desk: Desk) -> None:
    night = NightDesk(desk)
    night.deliver("web-1")
    desk.put_in_service(firewall=True)
    assert desk.run("backup", "now", "dupont/web-1").code == 0
    number, cluster = night.vmid("web-1"), desk.fakes["paris"].cluster()
    machine = f"/nodes/{desk.machines()['web-1']['node']}/qemu/{number}"
    cluster.run_task("POST", f"{machine}/status/stop")
    cluster.put(f"{machine}/config", protection=0)
    cluster.run_task("DELETE", machine)
    gone = desk.run("show", "dupont/web-1")
    assert (gone.code, "no machine of ours is dupont/web-1" in gone.err) == (1, True)
    nobody = desk.run("show", "dupont")
    assert nobody.code == 1 and "the client dupont has no machine: `orchestrator plan` says" in nobody.err
    assert (
        "no archives of dupont/web-1; if it was erased: orchestrator rescue"
        in desk.run("backup", "list", "dupont/web-1").out
    )
    (archive,) = [item["volid"] for item in night.fake.archives(STORE) if f"-{number}-" in item["volid"]]

    asked = {"vmid": number, "archive": archive, "storage": "local"}
    cluster.run_task("POST", machine.rpartition("/")[0], params=asked)

    plan = desk.plan()
    assert plan["summary"]["create"] == 0
    changes = plan["machines"][0]["changes"]
    assert {change["what"] for change in changes} <= {"pool", "power"}
    assert all(change["drift"] for change in changes)
    assert desk.apply().code == 0
    assert "no changes" in desk.run("plan").out
    assert archive in desk.run("backup", "list", "dupont/web-1").out
