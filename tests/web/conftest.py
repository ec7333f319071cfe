"""What tests of pages share: one site, the program over it, browsers in which somebody has signed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext
from starlette.testclient import TestClient

from orchestrator.web import app
from orchestrator.web.desk import Desk, open_desk
from orchestrator.web.security import COOKIE
from orchestrator.web.settings import Settings
from tests.web.served import Served, chromium, serving
from tests.web.world import World, a_world

ORIGIN = "https://panel.example"


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The site, shared by all tests of a worker: for those that leave it as they found it, or only add to it."""
    with a_world(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="session")
def web_desk(world: World) -> Iterator[Desk]:
    """What the program's pages work with."""
    settings = Settings(
        public_url=ORIGIN,
        inventory=str(world.folder / "sites.yaml"),
        files=(world.folder / "subscriptions",),
        history=str(world.history),
        reports=world.reports,
    )
    with open_desk(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def served(world: World) -> Iterator[Served]:
    """``orchestrator serve`` over the site, as a process with TLS. It does not look at the site by itself."""
    with serving(world.desk, "--look-every", "0", "--no-runner") as started:
        yield started


@pytest.fixture(scope="session")
def chrome(served: Served) -> Iterator[Browser]:
    """Debian's chromium; skips where there is none."""
    with chromium(served) as browser:
        yield browser


SignedIn = Callable[..., BrowserContext]


@pytest.fixture(scope="session")
def signed_in(world: World, served: Served, chrome: Browser) -> SignedIn:
    """Opens a window in which somebody of :data:`tests.web.world.PEOPLE` has signed in; ``""``: nobody.

    Further arguments are those of ``Browser.new_context``. Whoever opens it closes it.
    """

    def window_of(who: str, **options: Any) -> BrowserContext:
        context = chrome.new_context(base_url=served.url, **options)
        context.set_default_timeout(60_000)
        if who:
            context.add_cookies(
                [{"name": COOKIE, "value": world.session(who), "url": served.url, "secure": True}]
            )
        return context

    return window_of


AsRole = Callable[[str], TestClient]


@pytest.fixture(scope="session")
def as_role(world: World, web_desk: Desk) -> Iterator[AsRole]:
    """Makes an HTTP client in which somebody of :data:`tests.web.world.PEOPLE` has signed in; ``""``: nobody.

    It talks to the program in this process, and follows no redirection.
    """
    program = app.application(web_desk)
    with ExitStack() as opened:

        def client_of(who: str) -> TestClient:
            client = opened.enter_context(TestClient(program, base_url=ORIGIN, follow_redirects=False))
            if who:
                client.cookies.set(COOKIE, world.session(who), domain="panel.example", path="/")
            return client

        yield client_of
