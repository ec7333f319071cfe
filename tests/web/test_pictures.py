"""Pictures of the main pages for the documentation: SCREENSHOTS=1 draws docs/pictures anew, light and dark."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page

from tests.web.conftest import SignedIn

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"

SCENES = {
    "overview": ("approver", "/"),
    "machines": ("approver", "/machines"),
    "machine": ("approver", "/machines/dupont/web-1"),
    "plan": ("approver", "/plans/2"),
    "portal": ("dupont", "/portal"),
}
"""Who opens what."""

_COLOURS = 200
"""Of a picture's palette: pages have few, and a state's dot is a few pixels of one."""


@pytest.mark.skipif("SCREENSHOTS" not in os.environ, reason="pictures are drawn on demand: SCREENSHOTS=1")
@pytest.mark.parametrize("name", SCENES)
def test_pictures_are_drawn(name: str, signed_in: SignedIn) -> None:
    who, address = SCENES[name]
    PICTURES.mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        with signed_in(who, viewport={"width": 1280, "height": 800}, color_scheme=scheme) as window:
            page = window.new_page()
            assert _opened(page, address) == 200
            _keep(page.screenshot(), PICTURES / f"{name}-{scheme}.png")
    with signed_in(who, viewport={"width": 360, "height": 740}, color_scheme="light") as window:
        page = window.new_page()
        assert _opened(page, address) == 200
        _keep(page.screenshot(), PICTURES / f"{name}-phone.png")


@pytest.mark.parametrize("name", SCENES)
def test_every_picture_is_there(name: str) -> None:
    for form in ("light", "dark", "phone"):
        with Image.open(PICTURES / f"{name}-{form}.png") as picture:
            assert picture.width == (360 if form == "phone" else 1280)


def _opened(page: Page, address: str) -> int:
    answer = page.goto(address)
    assert answer is not None
    page.wait_for_load_state("networkidle")
    return answer.status


def _keep(png: bytes, path: Path) -> None:
    with Image.open(io.BytesIO(png)) as picture:
        few = picture.convert("RGB").quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
