"""What `orchestrator inventory` prints of a machine whose settings or notes somebody wrote: texts, and never more."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from orchestrator.resources.notes import read_mark, write_mark
from tests.api.desk import CLIENT_KEY, HOST_KEY, Desk, machine, subscription

OTHER_KEY = " ".join(CLIENT_KEY.split()[:2])
LURE = "{{ lookup('ansible.builtin.pipe', 'id') }}"


def test_a_machine_with_a_user_that_is_none_is_left_out_and_told_and_the_others_are_there(desk: Desk) -> None:
    desk.write(
        subscription("dupont", [machine("web-1")]),
        subscription("martin", [machine("app-1"), machine("db-1")]),
    )
    assert desk.apply().code == 0
    desk.put_in_service("web-1", firewall=True, host_keys=(HOST_KEY,))
    desk.put_in_service("app-1", "db-1", firewall=True, host_keys=(OTHER_KEY,))
    vms = desk.machines()
    mark = read_mark(vms["db-1"]["config"]["description"])
    assert mark is not None and mark.applied is not None
    excluding = mark.with_(applied=replace(mark.applied, update_exclude=tuple(LURE.split())))
    written: dict[str, dict[str, Any]] = {
        "app-1": {"ciuser": f"root; id {LURE}"},
        "db-1": {"description": write_mark(excluding, vms["db-1"]["config"]["description"])},
    }
    for name, changes in written.items():
        path = f"/nodes/{vms[name]['node']}/qemu/{vms[name]['vmid']}"
        desk.fakes["paris"].cluster().put(f"{path}/config", **changes)
    answer = desk.run("inventory", "--list")
    assert answer.code == 0, answer
    assert f"VM {vms['app-1']['vmid']} at paris is left out" in answer.err
    listed = json.loads(answer.out)["_meta"]["hostvars"]
    assert sorted(listed) == ["db-1.martin", "web-1.dupont"]
    assert listed["web-1.dupont"]["update_exclude"] == []
    assert listed["db-1.martin"]["update_exclude"] == [{"__ansible_unsafe": word} for word in LURE.split()]
    (known,) = (desk.folder / "state/orchestrator").glob("known_hosts-*")
    assert sorted(known.read_text().splitlines()) == [f"db-1.martin {OTHER_KEY}", f"web-1.dupont {HOST_KEY}"]
