"""Consoles of a lab's machines, opened as a node's are: a real screen and a real serial port, whatever runs there."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.operations.connecting import connect_api
from orchestrator.proxmox import Cluster
from orchestrator.proxmox.console import Screen, read_screen
from orchestrator.proxmox.web_socket import NoConsole, WebSocket
from orchestrator.reports.png import png_of
from orchestrator.sites.model import Api
from tests.lab.backups import until
from tests.lab.lab_handle import Client, Lab

VM = "/nodes/pve1/qemu/100"

ECHO = bytes.fromhex(
    "fa31c08ed88ed0bc007cfbbe457cac84c07405e82100ebf6bafd03eca8017407baf803ece81000b401cd16740730e4cd16e80300f4ebe150b4"
    "0ebb0700cd1058baf803eec3"
)
"""A boot sector: it says a greeting, then whatever is typed, at the keyboard or the serial port, on both.

        xor %ax,%ax; mov %ax,%ds; mov %ax,%ss; mov $0x7c00,%sp; sti; mov $greeting,%si
hello:  lodsb; test %al,%al; jz again; call say; jmp hello
again:  mov $0x3fd,%dx; in %dx,%al; test $1,%al; jz keys; mov $0x3f8,%dx; in %dx,%al; call say
keys:   mov $1,%ah; int $0x16; jz idle; xor %ah,%ah; int $0x16; call say
idle:   hlt; jmp again
say:    push %ax; mov $0x0e,%ah; mov $7,%bx; int $0x10; pop %ax; mov $0x3f8,%dx; out %al,%dx; ret
"""
GREETING = b"lab console\r\n\0"
BOOT_SECTOR = (ECHO + GREETING).ljust(510, b"\0") + b"\x55\xaa"


@pytest.fixture
def echoing(lab: Lab, api: Client, tmp_path: Path) -> Iterator[Client]:
    """VM 100 runs, has a screen and a serial port, and repeats what is typed."""
    api.put(f"{VM}/config", serial0="socket")
    write_boot_sector(lab, api, tmp_path)
    api.run("POST", f"{VM}/status/start")
    until(lambda: greets(lab, 100))
    yield api


def write_boot_sector(lab: Lab, api: Client, folder: Path) -> None:
    """Let VM 100 boot from its disk."""
    volume = api.get(f"{VM}/config")["scsi0"].partition(",")[0].partition(":")[2]
    (disk,) = lab.state.glob(f"sites/paris/local/images/{volume}")
    sector = folder / "sector"
    sector.write_bytes(BOOT_SECTOR)
    subprocess.run(["qemu-io", "-c", f"write -s {sector} 0 512", str(disk)], check=True, capture_output=True)


def greets(lab: Lab, vmid: int) -> bool:
    """Whether a machine has booted."""
    log = lab.state / f"consoles/pve1/{vmid}.console.log"
    return log.exists() and b"lab console" in log.read_bytes()


@pytest.fixture
def cluster(lab: Lab) -> Iterator[Cluster]:
    """The orchestrator's own view of Paris, with its token."""
    with_secret = lab.sites["paris"]["api"]
    secret = Path(with_secret["token_secret"]["file"]).read_text()
    made = connect_api("paris", Api.model_validate(with_secret), secret)
    yield made
    made.close()


def opened(cluster: Cluster, how: str = "termproxy", **asked: object) -> tuple[WebSocket, str]:
    """A console's WebSocket, and its ticket's line."""
    given = cluster.post(f"{VM}/{how}", params=asked)
    query = {"port": str(given["port"]), "vncticket": given["ticket"]}
    socket = WebSocket.open(
        cluster.answered_by(), f"{VM}/vncwebsocket", query, seconds=30.0, most_bytes=1 << 20
    )
    return socket, f"{given['user']}:{given['ticket']}\n"


def test_serial_port_repeats_what_is_typed(echoing: Client, cluster: Cluster) -> None:
    socket, hello = opened(cluster)
    with socket:
        socket.send(hello.encode())
        assert socket.read(2) == b"OK"
        begins = b"starting serial terminal on interface serial0\r\n"
        assert socket.read(len(begins)) == begins
        socket.send(b"1:80:24:2")  # its size and a sign of life: nothing is typed by that
        socket.send(b"0:5:he")  # a frame is no boundary
        socket.send(b"llo")
        assert socket.read(5) == b"hello"


def test_screen_is_seen_and_shows_what_is_typed(echoing: Client, cluster: Cluster) -> None:
    def shown() -> Screen:
        return read_screen(cluster, "pve1", 100, pause=lambda _: None)

    first = shown()
    assert (first.width, first.height) == (720, 400) and any(first.rgb)
    assert png_of(first) is not None
    socket, hello = opened(cluster)
    with socket:
        socket.send(hello.encode())
        socket.send(b"0:3:WWW")
        until(lambda: shown().rgb != first.rgb)


def test_console_is_opened_once_in_time_by_whom_it_was_given_to(echoing: Client, cluster: Cluster) -> None:
    given = cluster.post(f"{VM}/vncproxy", params={"websocket": 1, "generate-password": 1})
    port, ticket = str(given["port"]), str(given["ticket"])
    assert len(given["password"]) == 8
    left_alone = echoing.call("POST", f"{VM}/termproxy").data["upid"]
    active = {task["upid"] for task in echoing.get("/nodes/pve1/tasks", source="active", vmid=100)}
    assert {given["upid"], left_alone} <= active

    def come(machine: int = 100, **query: str) -> WebSocket:
        path = f"/nodes/pve1/qemu/{machine}/vncwebsocket"
        asked = {"port": port, "vncticket": ticket} | query
        return WebSocket.open(cluster.answered_by(), path, asked, seconds=30.0, most_bytes=1 << 16)

    refused: list[tuple[str, Callable[[], WebSocket]]] = [
        ("broke off", lambda: come(port="5999")),
        ("401", lambda: come(vncticket=ticket + "x")),
        ("401", lambda: come(machine=101)),
    ]
    for told, wrong in refused:
        with pytest.raises(NoConsole, match=told):
            wrong()
    with come() as socket:
        assert socket.read(12) == b"RFB 003.008\n"
    with pytest.raises(NoConsole, match="broke off"):
        come()
    assert echoing.end_of(given["upid"]) == "OK"
    assert echoing.end_of(left_alone) == "connection timed out"


def test_machine_without_what_a_console_shows_says_so(api: Client, cluster: Cluster) -> None:
    told: dict[str, Callable[[], object]] = {
        "VM 100 not running": lambda: api.put(f"{VM}/config", serial0="socket"),
        "unable to find a serial interface": lambda: api.put(f"{VM}/config", delete="serial0"),
    }
    for text, prepare in told.items():
        prepare()
        socket, hello = opened(cluster)
        with socket:
            socket.send(hello.encode())
            assert socket.read(2 + len(text)) == b"OK" + text.encode()
            with pytest.raises(NoConsole):
                socket.read(3)
    api.put(f"{VM}/config", serial0="socket", vga="serial0")
    refused = api.call("POST", f"{VM}/vncproxy", {"websocket": 1})
    assert refused.status == 501 and "vga: serial0" in refused.reason
