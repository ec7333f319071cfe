"""Pictures of consoles in the reports of restore tests, read from fakepve as a viewer reads them."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from orchestrator.nightly.report import render_night
from orchestrator.nightly.restore_testing import RestoreTestLine
from orchestrator.operations.publishing import Outlets, publish
from orchestrator.proxmox.console import Screen
from orchestrator.reports.png import png_of
from orchestrator.resources.privileges import role_privileges
from tests.api.desk import Desk
from tests.api.night_desk import NightDesk

_SHOWN = bytes(range(24))
"""What fakepve's consoles show: 4 x 2 pixels."""


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    return NightDesk(desk)


def _pixels(png: bytes) -> tuple[int, int, bytes]:
    """A picture as its pixels, by the letter of the format."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    place, data, size = 8, b"", (0, 0)
    while place < len(png):
        length, name = struct.unpack(">I4s", png[place : place + 8])
        content = png[place + 8 : place + 8 + length]
        assert struct.unpack(">I", png[place + 8 + length : place + 12 + length])[0] == zlib.crc32(
            name + content
        )
        if name == b"IHDR":
            size = struct.unpack(">II", content[:8])
            assert content[8:] == bytes([8, 2, 0, 0, 0])
        data += content if name == b"IDAT" else b""
        place += 12 + length
    width, height = size
    lines = zlib.decompress(data)
    rows = [lines[row * (3 * width + 1) :][: 3 * width + 1] for row in range(height)]
    assert all(row[0] == 0 for row in rows)
    return width, height, b"".join(row[1:] for row in rows)


def _silent(event: str, **fields: Any) -> None:
    """Nobody looks."""


def test_the_console_of_a_copy_is_in_both_reports_before_the_copy_is_erased(
    night: NightDesk, tmp_path: Path
) -> None:
    night.deliver("web-1")
    report = night.night()
    assert report.well, report
    (line,) = report.of(RestoreTestLine)
    assert line.picture is not None and _pixels(line.picture) == (4, 2, _SHOWN)
    outlets = Outlets(folder=tmp_path / "r", clients=tmp_path / "c", language="fr")
    assert publish(report, outlets, _silent, print).well
    name = f"night-{report.night}-paris"
    for folder, called in ((tmp_path / "r", "dupont/web-1"), (tmp_path / "c" / "dupont", "web-1")):
        page = (folder / f"{name}.html").read_text()
        caption = f"Console de {called}, copie restaurée"
        (shown,) = re.findall(rf'<img alt="{caption}" src="data:image/png;base64,([A-Za-z0-9+/=]+)">', page)
        assert base64.b64decode(shown) == line.picture
        assert "img-src data:" in page
        file = f"{name}-dupont-web-1-console.png"
        assert file in (folder / f"{name}.md").read_text()
        assert (folder / file).read_bytes() == line.picture


def test_a_copy_that_does_not_boot_shows_why(night: NightDesk, tmp_path: Path) -> None:
    night.deliver("web-1")
    assert night.desk.run("backup", "now", "dupont/web-1").code == 0
    night.fake.guest_agent({"ping": False}, vmid=night.vmid("web-1"))
    path = night.desk.folder / "console.png"
    options = ("--boot-timeout", "1", "--picture", str(path))
    failed = night.desk.run("backup", "verify", "dupont/web-1", *options)
    assert failed.code == 1 and "did not boot" in failed.err and str(path) in failed.out.replace("\n", "")
    assert _pixels(path.read_bytes()) == (4, 2, _SHOWN)


def test_without_the_privilege_there_is_no_picture_and_no_call_for_one(night: NightDesk) -> None:
    night.deliver("web-1")
    night.fake.control("regrant", grants={"/": role_privileges(9, consoles=False)})
    report = night.night()
    (line,) = report.of(RestoreTestLine)
    assert line.result == "sound" and line.picture is None, line
    assert not [call for call in night.fake.calls() if "vncproxy" in call]
    assert "<img" not in render_night(report, form="html")
    told = night.desk.run("backup", "verify", "dupont/web-1", "--picture", "x.png")
    assert told.code == 0 and "no picture of the console" in told.err, told


def test_a_console_that_cannot_be_opened_fails_no_test(night: NightDesk) -> None:
    night.deliver("web-1")
    night.fake.fault("POST", "/nodes/[^/]+/qemu/[0-9]+/vncproxy", "error", text="no port left", times=9)
    report = night.night()
    assert report.well and report.of(RestoreTestLine)[0].picture is None
    assert [fields["reason"] for event, fields in night.events if event == "no-picture"]


def test_a_large_screen_is_made_smaller_until_it_fits() -> None:
    width, height = 1280, 800
    noise = (b"\x00\x40\x80\xc0\xff\x7f\x3f\x1f\x0f" * (width * height))[: 3 * width * height]
    plain = png_of(Screen(width=width, height=height, rgb=noise))
    assert plain is not None and _pixels(plain) == (width, height, noise)
    small = png_of(Screen(width=width, height=height, rgb=noise), largest=len(plain) - 1)
    assert small is not None and len(small) < len(plain)
    half = _pixels(small)
    assert half[:2] == (640, 400) and half[2][:6] == noise[:3] + noise[6:9]
    assert png_of(Screen(width=width, height=height, rgb=noise), largest=50) is None
