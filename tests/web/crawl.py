"""The pages of the program as links lead to them: every address that a page names, from the first on."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from starlette.routing import compile_path
from starlette.testclient import TestClient

from orchestrator.web.page import Page
from orchestrator.web.pages import every_page

_OF_A_PAGE = 4
"""Addresses of one page that are opened: one has a filter, another machine, another month."""


@dataclass
class Found:
    """What was found.

    Attributes:
        opened: addresses by the path of their page.
        broken: links with the status that they lead to, and the page that has them.
        unknown: links that no page of the program answers, and the page that has them.
        texts: what stands at each address, of pages of the program.
    """

    opened: dict[str, list[str]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "a" and (href := values.get("href")):
            self.found.append(href)
        if tag == "form" and values.get("method", "get") == "get" and (action := values.get("action")):
            self.found.append(action)
        if tag in ("img", "script") and (src := values.get("src")):
            self.found.append(src)


def links_of(text: str) -> list[str]:
    """What a page links to."""
    parser = _Links()
    parser.feed(text)
    return parser.found


def get_pages() -> list[Page]:
    """Every page of the program that is opened by an address."""
    return [page for page in every_page() if page.method == "GET"]


_PATTERNS = [(page.path, compile_path(page.path)[0]) for page in get_pages()]


def page_of(path: str) -> str | None:
    """The page that an address is of, as the program looks for it: the first that fits."""
    return next((name for name, pattern in _PATTERNS if pattern.match(path)), None)


def crawl(client: TestClient, start: str) -> Found:
    """Follow the links from an address, at most :data:`_OF_A_PAGE` addresses of each page."""
    found = Found()
    waiting = deque([(start, start)])
    seen: set[str] = set()
    while waiting:
        address, came_from = waiting.popleft()
        if address in seen:
            continue
        seen.add(address)
        page = page_of(urlsplit(address).path)
        if page is None and not address.startswith("/static/"):
            found.unknown.append(f"{address}, linked from {came_from}")
            continue
        opened = found.opened.setdefault(page or "", [])
        if page is not None and len(opened) >= _OF_A_PAGE:
            continue
        answer = client.get(address)
        if answer.status_code in (301, 302, 303, 307):
            waiting.append((answer.headers["location"], address))
            continue
        if answer.status_code != 200:
            found.broken.append(f"{address} is {answer.status_code}, linked from {came_from}")
            continue
        opened.append(address)
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        if "/static/style.css" not in answer.text:
            continue  # a report: a file that is shown as it was made, in a sandbox
        found.texts[address] = answer.text
        waiting.extend((link, address) for link in _inside(address, answer.text))
    return found


def _inside(address: str, text: str) -> Iterator[str]:
    for link in links_of(text):
        whole = urljoin(address, link).partition("#")[0]
        if not re.match(r"[a-z]+:", whole):
            yield whole
