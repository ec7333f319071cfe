"""What Prometheus is told to watch, from what a cluster has."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from orchestrator.resources.notes import read_mark, write_mark
from tests.api.desk import Desk, machine, subscription


def put_under_supervision(desk: Desk, *names: str) -> None:
    """Note in machines what an apply notes that switched their node exporter on: no guest runs behind the fake."""
    cluster = desk.fakes["paris"].cluster()
    for name in names:
        vm = desk.machines()[name]
        notes = vm["config"]["description"]
        mark = read_mark(notes)
        assert mark is not None
        path = f"/nodes/{vm['node']}/qemu/{vm['vmid']}/config"
        cluster.put(path, description=write_mark(mark.with_(ready=True, supervised=True), notes))


def target(client: str, name: str, address: str) -> dict[str, Any]:
    labels = {"client": client, "machine": name, "site": "paris", "offer": "cloud-vm-advanced"}
    return {"targets": [f"{address}:9100"], "labels": {**labels, "contract": f"C-{client}"}}


def test_what_is_to_be_stopped_raises_no_alert_and_what_fell_over_does(desk: Desk, tmp_path: Path) -> None:
    web, idle = (
        machine("web-1", address="203.0.113.21"),
        machine("idle-1", address="203.0.113.22", power="stopped"),
    )
    desk.write(subscription("dupont", [web, idle], managed_services={"level": "supervision"}))
    assert desk.apply().code == 0
    assert desk.run("targets").out == "[]\n", "no exporter was installed yet"
    put_under_supervision(desk, "web-1", "idle-1")
    vm = desk.machines()["web-1"]
    desk.fakes["paris"].cluster().run_task("POST", f"/nodes/{vm['node']}/qemu/{vm['vmid']}/status/stop")

    output = tmp_path / "prometheus" / "machines.json"
    umask = os.umask(0o077)
    try:
        assert desk.run("targets", "--output", str(output)).out == ""
    finally:
        os.umask(umask)
    written = output.read_text()
    assert json.loads(written) == [target("dupont", "web-1", "203.0.113.21")]
    assert output.stat().st_mode & 0o777 == 0o644, "Prometheus runs as another user"

    desk.fakes["paris"].fault("GET", ".*", "error", status=500, text="the cluster is not ready", times=100)
    answer = desk.run("targets", "--output", str(output))
    assert (answer.code, output.read_text()) == (1, written), (
        "half a list would end the supervision of the others"
    )
    assert "nothing was written" in answer.err
    assert [path.name for path in output.parent.iterdir()] == ["machines.json"]


def test_3_8_1_essential_with_managed_services_is_supervised_and_gets_nothing_else(desk: Desk) -> None:
    managed = {"offer": "cloud-vm-essential", "managed_services": {"level": "supervision"}}
    desk.write(subscription("martin", [machine("shop-1")], **managed))
    assert _supervision(desk) == ["node exporter, for the provider's monitoring alone (art. 3.8.1)"]
    desk.write(subscription("martin", [machine("shop-1", backup={"retention_days": 7})], **managed))
    assert "backup is not part of cloud-vm-essential (art. 3.3)" in desk.run("plan").err
    desk.write(subscription("martin", [machine("shop-1")], offer="cloud-vm-essential"))
    assert _supervision(desk) == []


def _supervision(desk: Desk) -> list[str]:
    changes = [change for item in desk.plan()["machines"] for change in item["changes"]]
    return [change["after"] for change in changes if change["what"] == "supervision"]
