"""Real guests that end: one whose process is killed is an outage, one that powers itself off is none."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.serve import guests_of
from lab.settings import LabSettings, load_settings
from orchestrator.history import open_history
from orchestrator.history.declared import Outage
from orchestrator.history.records import read
from tests.api.desk import machine, subscription
from tests.lab.lab_handle import ROOT, TINY, Client, Lab

_POWERS_OFF_AT_A_KEY = bytes.fromhex("fb 31c0 cd16 ba0406 b80020 ef f4 ebfd").ljust(510, b"\0") + b"\x55\xaa"
"""A boot sector: wait for a key, then write "off" (S5) to the machine's ACPI control register, as a kernel does."""

_PATIENCE = 180.0
_SAMPLE = dt.timedelta(seconds=15)
"""A sample every ten seconds, and a busy computer."""


class Watching:
    """Two machines of the client dupont in a lab, and the command that observes them."""

    def __init__(self, lab: Lab, api: Client, folder: Path) -> None:
        self.folder, self.api = folder, api
        found = load_settings(lab.state)
        assert isinstance(found, LabSettings)
        self.guests, self.node = guests_of(found), found.sites[0].node
        api.call("POST", "/pools", {"poolid": "client-dupont"})
        (folder / "subscriptions").mkdir()
        names = ("web-1", "web-2")
        file = subscription("dupont", [machine(name, image="debian-12") for name in names])
        (folder / "subscriptions" / "dupont.yaml").write_text(yaml.safe_dump(file))
        for vmid, name in enumerate(names, 201):
            options = {
                **TINY,
                "name": name,
                "scsi0": "local:0.01,format=raw",
                "tags": "client-dupont;orchestrator",
            }
            api.run("POST", "/nodes/pve1/qemu", vmid=vmid, pool="client-dupont", **options)
            (disk,) = lab.state.glob(f"**/vm-{vmid}-disk-0.raw")
            with disk.open("r+b") as image:
                image.write(_POWERS_OFF_AT_A_KEY)
            api.run("POST", f"/nodes/pve1/qemu/{vmid}/status/start")
        self.environment = {
            **os.environ,
            "ORCHESTRATOR_INVENTORY": str(lab.state / "inventory"),
            "XDG_STATE_HOME": str(folder),
            "PYTHONPATH": str(ROOT),
        }

    def command(self, *arguments: str) -> Any:
        """Run ``watch``; what it printed as JSON."""
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", "watch", *arguments, "--format", "json"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    def until(self, holds: Callable[[dict[str, dict[str, Any]]], bool]) -> None:
        """Observe until what was seen last of each machine is as it is waited for."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            self.command("subscriptions", "--site", "paris")
            shown = self.command("--show", "all", "--hours", "1")["machines"]
            # What follows the last round is not observed yet.
            last = {
                item["machine"]: next(seen for seen in reversed(item["seen"]) if seen["source"])
                for item in shown
                if any(seen["source"] for seen in item["seen"])
            }
            if len(last) == 2 and holds(last):
                return
            assert time.monotonic() < deadline, last
            time.sleep(2)

    def kill(self, vmid: int) -> None:
        """End a guest's process by hand."""
        pid = int(self.guests.files(self.node, vmid).pid.read_text())
        os.kill(pid, signal.SIGKILL)

    def press_a_key(self, vmid: int) -> None:
        """Press a key on a guest's keyboard."""

        async def press() -> None:
            async with self.guests.monitor(self.node, vmid) as monitor:
                await monitor.execute("send-key", {"keys": [{"type": "qcode", "data": "ret"}]})

        asyncio.run(press())


@pytest.fixture
def watching(lab: Lab, api: Client, tmp_path: Path) -> Watching:
    """Two machines that run."""
    return Watching(lab, api, tmp_path)


def test_a_guest_killed_by_hand_is_an_outage_with_the_right_minutes_and_one_shut_down_from_inside_is_none(
    watching: Watching,
) -> None:
    watching.until(lambda last: all(seen["state"] == "up" for seen in last.values()))
    killed = dt.datetime.now(dt.UTC)
    watching.kill(201)
    watching.press_a_key(202)
    watching.until(lambda last: all(seen["state"] == "down" for seen in last.values()))
    for vmid in (201, 202):
        watching.api.run("POST", f"/nodes/pve1/qemu/{vmid}/status/start")
    started = dt.datetime.now(dt.UTC)
    watching.until(lambda last: all(seen["state"] == "up" for seen in last.values()))

    shown = watching.command("--show", "dupont", "--hours", "1")["machines"]
    causes = {
        item["machine"]: [seen["cause"] for seen in item["seen"] if seen["state"] == "down"] for item in shown
    }
    assert causes == {"web-1": ["process"], "web-2": ["inside"]}
    with open_history(watching.folder / "orchestrator" / "history.db") as history:
        (outage,) = read(history, kinds=(Outage,)).of(Outage)
    assert (outage.said.machines, outage.said.notified_by) == (("web-1",), "supervision")
    assert outage.said.end is not None
    assert killed <= outage.said.start + _SAMPLE <= killed + 3 * _SAMPLE
    assert started <= outage.said.end + _SAMPLE <= started + 3 * _SAMPLE
