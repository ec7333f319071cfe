"""The lab's runtime: its network, its QEMU processes, and a real Debian guest from the image."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import disks
from lab.agent import AgentError, AgentNotRunningError
from lab.commands import CommandFailedError
from lab.image import ensure_image
from lab.kvm import kvm_works
from lab.network import LabNetwork, add_tap, inside
from lab.qemu import Disk, GuestNotRunningError, Guests, GuestStartError
from tests.lab.guests import (
    BRIDGE,
    ELSEWHERE,
    GATEWAY,
    NODE,
    BootedGuest,
    boot_debian,
    finished,
    tiny_guest,
)

MIB = 1024**2


def in_namespace(lab_name: str, *command: str) -> str:
    return subprocess.run(inside(lab_name, *command), check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def lab_name() -> Iterator[str]:
    name = f"test-{os.getpid()}"
    network = LabNetwork(name, [BRIDGE])
    network.ensure()
    yield name
    network.remove()
    assert not network.exists()


@pytest.fixture
def guests(lab_name: str, tmp_path: Path) -> Iterator[Guests]:
    yield Guests(lab_name, tmp_path / "run", tmp_path / "log")

    async def stop_all() -> None:
        guests = Guests(lab_name, tmp_path / "run", tmp_path / "log")
        for node, vmid in await guests.running():
            await guests.stop(node, vmid)

    asyncio.run(stop_all())


@pytest.fixture(scope="module")
def debian(lab_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootedGuest]:
    folder = tmp_path_factory.mktemp("debian")

    async def boot() -> BootedGuest:
        image = ensure_image(report=print)
        return await boot_debian(folder, lab_name, image, vmid=20, kvm=await kvm_works(folder))

    booted = Guests(lab_name, folder / "run", folder / "log")
    try:
        yield asyncio.run(boot())
    finally:
        asyncio.run(booted.stop(NODE, 20))


def test_network_is_made_once_and_has_no_way_out(lab_name: str) -> None:
    LabNetwork(lab_name, [BRIDGE]).ensure()

    links = json.loads(in_namespace(lab_name, "ip", "-json", "address"))
    addresses = {
        f"{found['local']}/{found['prefixlen']}"
        for link in links
        for found in link["addr_info"]
        if link["ifname"] != "lo" and found["scope"] == "global"
    }
    assert addresses == {str(GATEWAY), str(ELSEWHERE)}
    assert not any("link_netnsid" in link for link in links), "a pair of links leads out of the namespace"
    assert in_namespace(lab_name, "ip", "route", "show", "default") == ""
    assert in_namespace(lab_name, "sysctl", "-n", "net.ipv4.ip_forward").strip() == "0"


def test_bridge_keeps_its_address_when_guests_come_so_that_others_keep_their_gateway(lab_name: str) -> None:
    def mac() -> str:
        return str(
            json.loads(in_namespace(lab_name, "ip", "-json", "link", "show", BRIDGE.name))[0]["address"]
        )

    before = mac()
    add_tap(lab_name, "t0-999i0", BRIDGE.name)
    assert mac() == before


def test_guest_outlives_a_killed_server_and_is_found_again(
    lab_name: str, guests: Guests, tmp_path: Path
) -> None:
    server = textwrap.dedent(f"""
        import asyncio, os, signal
        from pathlib import Path
        from lab.qemu import Guests
        from tests.lab.guests import tiny_guest
        folder = Path({str(tmp_path)!r})
        asyncio.run(Guests({lab_name!r}, folder / "run", folder / "log").start(tiny_guest(folder)))
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert subprocess.run([sys.executable, "-c", server], check=False).returncode == -signal.SIGKILL
    assert asyncio.run(guests.running()) == {(NODE, 100)}


def test_process_id_of_a_stranger_is_not_taken_for_a_guest(guests: Guests) -> None:
    files = guests.files(NODE, 100)
    files.pid.parent.mkdir(parents=True)
    files.pid.write_text(str(os.getpid()))
    assert asyncio.run(guests.running()) == set()
    asyncio.run(guests.stop(NODE, 100))  # would end this test if it were


def test_disks_come_and_go_and_grow_while_a_guest_runs(guests: Guests, tmp_path: Path) -> None:
    async def scenario() -> None:
        await guests.start(tiny_guest(tmp_path))
        added = tmp_path / "data.qcow2"
        await disks.create(added, size=64 * MIB, format="qcow2")
        await guests.add_disk(NODE, 100, Disk("scsi2", added))
        await guests.resize_disk(NODE, 100, "scsi2", 128 * MIB)
        with pytest.raises(CommandFailedError, match="lock"):
            await disks.resize(added, size=256 * MIB, format="qcow2")
        await guests.remove_disk(NODE, 100, "scsi2")
        assert (await disks.info(added)).virtual_size == 128 * MIB
        await disks.resize(added, size=256 * MIB, format="qcow2")

    asyncio.run(scenario())


def test_stop_takes_the_tap_and_all_files_away(lab_name: str, guests: Guests, tmp_path: Path) -> None:
    spec = tiny_guest(tmp_path)

    async def scenario() -> None:
        await guests.start(spec)
        with pytest.raises(GuestStartError, match="VM 100 already running"):
            await guests.start(spec)
        async with asyncio.timeout(60):
            while (figures := await guests.counters(NODE, 100)).disk_read_bytes < 512:  # its boot sector
                await asyncio.sleep(0.05)
        assert figures.memory_bytes > 0
        assert not await guests.shutdown(NODE, 100, timeout=0.2), "it has no system that hears the button"
        await guests.stop(NODE, 100)
        assert not await guests.is_running(NODE, 100)
        with pytest.raises(GuestNotRunningError, match="VM 100 not running"):
            await guests.counters(NODE, 100)

    asyncio.run(scenario())
    assert spec.nics[0].tap not in in_namespace(lab_name, "ip", "link")
    assert list((tmp_path / "run" / NODE).iterdir()) == []


def test_start_says_in_qemus_words_why_it_failed(guests: Guests, tmp_path: Path) -> None:
    spec = dataclasses.replace(tiny_guest(tmp_path), disks=(Disk("scsi0", tmp_path / "absent.qcow2"),))
    with pytest.raises(GuestStartError, match=r"absent\.qcow2.*No such file"):
        asyncio.run(guests.start(spec))


def test_agent_of_a_guest_without_one_is_not_running(guests: Guests, tmp_path: Path) -> None:
    async def scenario() -> None:
        with pytest.raises(AgentNotRunningError):
            await guests.agent(NODE, 100).ping(timeout=0.2)
        await guests.start(tiny_guest(tmp_path))
        with pytest.raises(AgentNotRunningError):
            await guests.agent(NODE, 100).ping(timeout=0.2)

    asyncio.run(scenario())


def test_copy_reports_in_proxmoxs_words_and_leaves_nothing_when_it_fails(tmp_path: Path) -> None:
    source, target = tmp_path / "a.qcow2", tmp_path / "b.raw"
    lines: list[str] = []

    async def scenario() -> None:
        await disks.create(source, size=2048 * MIB, format="qcow2")
        await disks.copy(source, target, source_format="qcow2", target_format="raw", report=lines.append)
        assert (await disks.info(target)).virtual_size == 2048 * MIB
        with pytest.raises(CommandFailedError, match="Image is not in qcow2 format"):
            await disks.copy(target, tmp_path / "c.raw", source_format="qcow2", target_format="raw")
        assert not (tmp_path / "c.raw").exists()

    asyncio.run(scenario())
    assert lines[0] == "transferred 0.0 B of 2.0 GiB (0.00%)"
    assert lines[-1] == "transferred 2.0 GiB of 2.0 GiB (100.00%)"


def test_cloud_init_gave_the_guest_its_name_address_user_and_whole_disk(debian: BootedGuest) -> None:
    assert debian.ssh("hostname") == "web-1"
    assert debian.ssh("sudo -n id -un") == "root"
    assert debian.address in debian.ssh("ip -4 -brief address show eth0")
    assert int(debian.ssh("df --output=size -BM / | tail -1").rstrip("M")) > 3500
    result = json.loads(debian.ssh("cat /run/cloud-init/result.json"))
    assert result["v1"]["errors"] == []
    assert "NoCloud" in result["v1"]["datasource"]


def test_guest_has_what_playbooks_need_and_no_failed_unit(debian: BootedGuest) -> None:
    assert (
        debian.ssh("sudo nft list ruleset && python3 -c 'print(1)' && which nc ss")
        == "1\n/usr/bin/nc\n/usr/bin/ss"
    )
    assert debian.ssh("systemctl --failed --no-legend --plain") == ""
    assert debian.ssh("ls /etc/ssh/ssh_host_*").split() == [
        "/etc/ssh/ssh_host_ed25519_key",
        "/etc/ssh/ssh_host_ed25519_key.pub",
    ]


def test_agent_runs_programs_and_reads_files(debian: BootedGuest) -> None:
    async def scenario() -> None:
        agent = debian.guests().agent(NODE, debian.vmid)
        done = await finished(agent, "sh", "-c", "echo out; echo err >&2; exit 3")
        assert (done.exitcode, done.out_data, done.err_data) == (3, b"out\n", b"err\n")
        await finished(agent, "sh", "-c", f"head -c {2 * MIB} /dev/zero >/root/large")
        assert await agent.read_file("/root/large") == (bytes(2 * MIB), False)
        with pytest.raises(AgentError, match="No such file"):
            await agent.read_file("/root/absent")
        names = [found["name"] for found in await agent.command("guest-network-get-interfaces")]
        assert names == ["lo", "eth0"]
        agent.close()

    asyncio.run(scenario())


def test_guest_sees_a_disk_added_and_grown_while_it_runs(debian: BootedGuest, tmp_path: Path) -> None:
    added = tmp_path / "data.qcow2"
    size_of = "blockdev --getsize64 /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi2"

    async def scenario() -> None:
        guests = debian.guests()
        agent = guests.agent(NODE, debian.vmid)

        async def size_becomes(size: int) -> None:
            async with asyncio.timeout(60):
                while (await finished(agent, "sh", "-c", size_of)).out_data.strip() != str(size).encode():
                    await agent.ping()

        await disks.create(added, size=64 * MIB, format="qcow2")
        await guests.add_disk(NODE, debian.vmid, Disk("scsi2", added))
        await size_becomes(64 * MIB)
        await guests.resize_disk(NODE, debian.vmid, "scsi2", 128 * MIB)
        await size_becomes(128 * MIB)
        await guests.remove_disk(NODE, debian.vmid, "scsi2")
        assert (await guests.counters(NODE, debian.vmid)).net_out_bytes > 0
        agent.close()

    asyncio.run(scenario())


def test_guest_goes_down_at_the_power_button(debian: BootedGuest) -> None:
    """The last test of this guest: it is off afterwards."""
    assert asyncio.run(debian.guests().shutdown(NODE, debian.vmid, timeout=120))
