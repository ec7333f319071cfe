"""What is seen of a page in a real browser: whether anybody can read and use it, and whether it keeps to itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import ConsoleMessage, Error, Page, Request

WIDE, NARROW = 1440, 360
"""Pixels."""

_RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}
_SEEN = {
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
    "resultTypes": ["violations"],
}
"""What depends on light or dark; the rest is the same in both."""

_AXE = """options => axe.run(document, options).then(found => found.violations.flatMap(
  broken => broken.nodes.slice(0, 3).map(node => `${broken.id}: ${broken.help}: ${node.html.slice(0, 160)}`)))"""
_UNREACHABLE = """() => [...document.querySelectorAll('form :is(input:not([type=hidden]), select, textarea, button)')]
  .filter(one => one.checkVisibility() && !one.disabled && (one.tabIndex < 0 || one.closest('[inert]')))
  .map(one => one.outerHTML.slice(0, 120))"""
_NAMELESS = """() => document.querySelector('main h1')?.innerText.trim() ? '' : 'no heading'"""
_TOO_WIDE = """() => { const root = document.documentElement, wide = root.clientWidth;
  return root.scrollWidth <= wide ? [] : [...document.querySelectorAll('body *')]
    .filter(one => one.getBoundingClientRect().right > wide + 1 && one.checkVisibility())
    .slice(-3).map(one => one.outerHTML.slice(0, 120)) }"""


def complaints(page: Page, address: str) -> list[str]:
    """Open an address, and look at the page in light and dark, wide and narrow; what is wrong with it."""
    page.set_viewport_size({"width": WIDE, "height": 900})
    page.emulate_media(color_scheme="light")
    with _watched(page) as found:
        answer = page.goto(address)
        assert answer is not None
        if answer.status != 200:
            found.append(f"status {answer.status}")
        if missing := page.evaluate(_NAMELESS):
            found.append(missing)
        found += [f"not reachable by keyboard: {one}" for one in page.evaluate(_UNREACHABLE)]
        page.evaluate(AXE_SCRIPT)
        found += [f"wider than {WIDE} px: {one}" for one in page.evaluate(_TOO_WIDE)]
        page.emulate_media(color_scheme="dark")
        found += [f"dark: {one}" for one in page.evaluate(_AXE, _SEEN)]
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": NARROW, "height": 900})
        found += [f"wider than {NARROW} px: {one}" for one in page.evaluate(_TOO_WIDE)]
        found += [f"light: {one}" for one in page.evaluate(_AXE, _RULES)]
    return [f"{address}: {one}" for one in dict.fromkeys(found)]


@contextmanager
def _watched(page: Page) -> Iterator[list[str]]:
    """What a page says and asks for while it is looked at: errors, and requests to elsewhere."""
    found: list[str] = []

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            found.append(f"console: {message.text}")

    def failed(error: Error) -> None:
        found.append(f"script: {error.message}")

    def asked(request: Request) -> None:
        there = urlsplit(page.url).netloc
        if request.url.startswith("http") and there and urlsplit(request.url).netloc != there:
            found.append(f"asks elsewhere: {request.url}")

    page.on("console", said)
    page.on("pageerror", failed)
    page.on("request", asked)
    try:
        yield found
    finally:
        page.remove_listener("console", said)
        page.remove_listener("pageerror", failed)
        page.remove_listener("request", asked)
