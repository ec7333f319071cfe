"""Consoles through the web process: from a browser's WebSocket to Proxmox's, for whom, how often, how long."""

from __future__ import annotations

import json
import secrets
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from orchestrator.history import Entry
from orchestrator.interface import accounts, sessions
from orchestrator.interface.accounts import Account
from orchestrator.interface.console_tickets import CONSOLES, Limits
from orchestrator.interface.roles import Role
from orchestrator.web.desk import Desk as WebDesk
from orchestrator.web.desk import open_desk
from orchestrator.web.security import COOKIE, form_token
from orchestrator.web.settings import ConsolePace, Settings
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve
from tests.web.program import add_accounts, new_session, running

SECONDS = 30.0
PEOPLE = {
    "oscar": Account(name="oscar", role=Role.OPERATOR),
    "olga": Account(name="olga", role=Role.OPERATOR),
    "rachel": Account(name="rachel", role=Role.READER),
    **{
        name: Account(name=name, role=Role.CLIENT, client=client, language="fr")
        for name, client in (
            ("camille", "dupont"),
            ("chloe", "dupont"),
            ("eric", "essentiel"),
            ("fanny", "complet"),
            ("sam", "suspendu"),
        )
    },
}
PAYS_NOT = {
    "reference": "C-suspendu",
    "starts": "2026-03-01",
    "site": "paris",
    "status": "suspended",
    "suspension": {"since": "2026-04-01", "reference": "LRAR-7"},
}


@dataclass(frozen=True)
class Site:
    """A cluster, the clients' files, and the program that serves."""

    desk: Desk
    web: WebDesk
    port: int
    cookies: dict[str, str]

    @property
    def fake(self) -> FakePve:
        return self.desk.fakes["paris"]

    def vmid(self, name: str) -> int:
        return int(self.desk.machines()[name]["vmid"])

    def page(
        self, who: str, path: str, *, post: dict[str, str] | None = None, timeout: float = 60.0
    ) -> httpx.Response:
        """Open a page, or send its form."""
        cookie = self.cookies.get(who, "")
        headers = {"cookie": f"{COOKIE}={cookie}", "host": self.web.settings.host}
        url = f"http://127.0.0.1:{self.port}{path}"
        if post is None:
            return httpx.get(url, headers=headers, timeout=timeout)
        return httpx.post(
            url, headers=headers, data={"form_token": form_token(cookie), **post}, timeout=timeout
        )

    def ticket(self, who: str, target: str = "dupont/web-1", kind: str = "serial") -> str:
        """Ask for a console as the page does."""
        answer = self.page(who, _path(who, target), post={"kind": kind})
        assert answer.status_code == 200, answer.text
        assert answer.json()["kind"] == kind
        return str(answer.json()["ticket"])

    def open(
        self, who: str, ticket: str, *, origin: str | None = None, protocol: str = "ticket."
    ) -> ClientConnection:
        """Open the WebSocket as the page does."""
        return connect(
            f"ws://127.0.0.1:{self.port}/console",
            origin=Origin(origin or self.web.settings.origin),
            subprotocols=[Subprotocol("binary"), Subprotocol(protocol + ticket)],
            additional_headers={"cookie": f"{COOKIE}={self.cookies.get(who, '')}"},
            compression=None,
            proxy=None,
            close_timeout=1.0,
        )

    @contextmanager
    def console(
        self, who: str, target: str = "dupont/web-1", kind: str = "serial"
    ) -> Iterator[ClientConnection]:
        """A console that is open."""
        with self.open(who, self.ticket(who, target, kind)) as opened:
            assert opened.subprotocol == "binary"
            if kind == "serial":
                assert opened.recv(timeout=SECONDS) == "open"
            yield opened

    def entries(self, client: str = "dupont", name: str = "web-1") -> list[Entry]:
        """The machine's consoles in the history, the latest first."""
        return self.web.history.entries(client=client, machine=name, action="console")

    def sign_in(self, who: str) -> str:
        """A new session; its cookie."""
        self.cookies[who] = new_session(self.web, who)
        return self.cookies[who]


def _path(who: str, target: str) -> str:
    client, _, name = target.partition("/")
    return f"/portal/machines/{name}/console" if PEOPLE[who].client else f"/machines/{client}/{name}/console"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with FakePve() as fake:
        fake.control("add_template", vmid=9000, name="debian-12")
        desk = Desk(tmp_path_factory.mktemp("site"), {"paris": fake})
        desk.sites["paris"]["data_centre"] = "DC Paris 3, France"
        desk.write_sites()
        write(desk)
        done = desk.apply()
        assert done.code == 0, done
        desk.put_in_service()
        for found in desk.machines().values():
            fake.control("set_config", vmid=found["vmid"], serial0="socket")
        with serving(desk) as served:
            write(desk, suspended=True)
            yield served


def write(desk: Desk, *, suspended: bool = False, **dupont: Any) -> None:
    """Write the clients' files."""
    desk.write(
        subscription("dupont", [machine("web-1"), machine("db-1")], **dupont),
        subscription("essentiel", [machine("e-1")], offer="cloud-vm-essential"),
        subscription("complet", [machine("f-1")], managed_services={"level": "full"}),
        subscription("suspendu", [machine("s-1")], **({"contract": PAYS_NOT} if suspended else {})),
    )


@contextmanager
def serving(desk: Desk) -> Iterator[Site]:
    """The real program on a real port, with everybody signed in."""
    with closing(socket.create_server(("127.0.0.1", 0))) as bound:
        port = bound.getsockname()[1]
        settings = Settings(
            public_url=f"https://127.0.0.1:{port}",
            inventory=str(desk.folder / "sites.yaml"),
            files=(desk.folder / "subscriptions",),
            history=str(desk.folder / "interface.db"),
            reports=desk.folder,
            consoles=Limits(of_account=2, in_total=4),
            console_pace=ConsolePace(check=0.1, contract=0.5, opening=60.0),
        )
        with open_desk(settings) as web:
            add_accounts(web, *PEOPLE.values())
            served = Site(desk, web, port, {})
            for name in PEOPLE:
                served.sign_in(name)
            with running(web, bound):
                yield served


@pytest.fixture(autouse=True)
def nothing_left_open(site: Site) -> Iterator[None]:
    """Every test ends with every console closed."""
    yield
    until(lambda: not _open(site))
    with site.web.database.writing() as connection:  # tickets that nobody used count for thirty seconds
        connection.execute(sa.delete(CONSOLES))


def _open(site: Site) -> list[Any]:
    with site.web.database.reading() as connection:
        rows = sa.select(CONSOLES).where(CONSOLES.c.opened.is_not(None), CONSOLES.c.ended.is_(None))
        return list(connection.execute(rows))


def until(condition: Callable[[], object]) -> None:
    """Wait for what comes."""
    ends = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < ends, "it does not come"
        time.sleep(0.01)


def closed_with(opened: ClientConnection) -> int:
    """Read to the end, and give the code it was closed with."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            opened.recv(timeout=SECONDS)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


# Bytes


def test_a_terminal_is_typed_into_and_read_and_both_ends_are_in_the_history(site: Site) -> None:
    site.fake.control("prints", vmid=site.vmid("web-1"), text="login: ")
    with site.console("camille") as console:
        assert console.recv(timeout=SECONDS) == b"login: "
        console.send(json.dumps([132, 43]))
        console.send("é\r".encode())
        assert console.recv(timeout=SECONDS) == "é\r".encode()
        assert site.fake.control("terminals")["sizes"][-1] == "132:43"
        (entry, *_) = site.entries()
        assert (entry.result, entry.who, entry.site) == ("begun", "camille", "paris")
    until(lambda: site.entries()[0].result == "ok")
    (ended, *_) = site.entries()
    assert (ended.who, ended.began, ended.message) == ("camille", entry.sequence, "closed by the browser")
    details = json.loads(ended.details)
    assert (details["kind"], details["from"]) == ("serial", "127.0.0.1") and ended.seconds > 0
    site.fake.control("prints", vmid=site.vmid("web-1"), text="")
    shown = site.page("camille", "/portal/history").text
    assert "dans l’Interface" in shown and "camille" in shown and "127.0.0.1" not in _main(shown)


def _main(text: str) -> str:
    """What a page says itself, without what is around it."""
    return text.partition("<main")[2].partition("</main>")[0]


def test_a_screen_is_shown_without_a_password_of_its_own(site: Site) -> None:
    with site.console("oscar", kind="screen") as console:
        stream = Stream(console)
        assert stream.read(12) == b"RFB 003.008\n"
        console.send(b"RFB 003.008\n")
        assert stream.read(2) == b"\x01\x01", "no authentication: the hypervisor's was answered before"
        console.send(b"\x01")
        assert stream.read(4) == bytes(4)
        console.send(b"\x01")
        width, height = struct.unpack(">HH", stream.read(4))
        named = struct.unpack(">16xI", stream.read(20))[0]
        assert (width, height, stream.read(named)) == (4, 2, b"web-1")
        console.send(bytes(20))
        console.send(struct.pack(">BxHi", 2, 1, 0))
        console.send(struct.pack(">BBHHHH", 3, 0, 0, 0, width, height))
        shown = stream.read(1 + 4 + 12 + 16 + 12 + 16)
        assert shown[17:20] == b"\x02\x01\x00"


class Stream:
    """A WebSocket's messages as bytes."""

    def __init__(self, opened: ClientConnection) -> None:
        self._opened = opened
        self._bytes = b""

    def read(self, count: int) -> bytes:
        while len(self._bytes) < count:
            received = self._opened.recv(timeout=SECONDS)
            assert isinstance(received, bytes)
            self._bytes += received
        taken, self._bytes = self._bytes[:count], self._bytes[count:]
        return taken


def test_what_a_machine_shows_is_offered_best_first(site: Site) -> None:
    vmid = site.vmid("web-1")
    shown = {
        ("socket", None): ("screen", ["screen", "serial"]),
        ("socket", "serial0"): ("serial", ["serial"]),
        ("socket", "none"): ("serial", ["serial"]),
        ("", "std,memory=32"): ("screen", ["screen"]),
    }
    for (serial, vga), (best, kinds) in shown.items():
        site.fake.control("set_config", vmid=vmid, serial0=serial or None, vga=vga)
        answer = site.page("oscar", _path("oscar", "dupont/web-1"), post={})
        assert (answer.json()["kind"], answer.json()["kinds"]) == (best, kinds), (serial, vga)
    site.fake.control("set_config", vmid=vmid, serial0=None, vga="none")
    refused = site.page("oscar", _path("oscar", "dupont/web-1"), post={})
    assert refused.status_code == 409 and "neither a screen" in refused.json()["refused"]
    site.fake.control("set_config", vmid=vmid, serial0="socket", vga=None)


# Who may


def test_a_ticket_is_used_once_by_its_session_from_our_own_page(site: Site) -> None:
    other = site.sign_in("camille")
    ticket = site.ticket("camille")
    site.sign_in("camille")
    wrong: dict[str, dict[str, Any]] = {
        "another session of the same account": {"who": "camille"},
        "another account": {"who": "chloe"},
        "nobody": {"who": "nobody"},
        "another site's page": {"origin": "https://evil.example"},
        "another host's name": {"origin": site.web.settings.origin + ".evil.example"},
        "another word before it": {"protocol": "token."},
    }
    site.cookies["elsewhere"] = site.cookies["camille"]
    for why, how in wrong.items():
        if why != "another session of the same account":
            site.cookies["camille"] = other
        with pytest.raises(InvalidStatus) as refused:
            site.open(**{"who": "camille", "ticket": ticket, **how})
        assert refused.value.response.status_code == 403, why
    with site.open("camille", ticket) as opened:
        assert opened.recv(timeout=SECONDS) == "open"
    for made_up in (ticket, ticket[:-1], secrets.token_urlsafe(32), "", "x" * 5000):
        with pytest.raises(InvalidStatus):
            site.open("camille", made_up)


def test_nobody_opens_one_before_his_password_is_his_own_and_a_second_factor_was_shown(site: Site) -> None:
    for table, changed, back in (
        (accounts.ACCOUNTS, {"initial": True}, {"initial": False}),
        (sessions.SESSIONS, {"second": ""}, {"second": "totp"}),
    ):
        ticket = site.ticket("olga")
        with site.web.database.writing() as connection:
            connection.execute(sa.update(table).values(**changed))
        try:
            with pytest.raises(InvalidStatus):
                site.open("olga", ticket)
        finally:
            with site.web.database.writing() as connection:
                connection.execute(sa.update(table).values(**back))
        with site.open("olga", ticket):
            pass


def test_a_ticket_waits_thirty_seconds(site: Site) -> None:
    for age, opens in ((29.0, True), (31.0, False)):
        ticket = site.ticket("oscar")
        with site.web.database.writing() as connection:
            waiting = CONSOLES.c.opened.is_(None)
            connection.execute(sa.update(CONSOLES).where(waiting).values(issued=time.time() - age))
        if opens:
            with site.open("oscar", ticket):
                pass
            until(lambda: not _open(site))
        else:
            with pytest.raises(InvalidStatus):
                site.open("oscar", ticket)


def test_clients_have_consoles_by_their_contract_and_the_provider_always(site: Site) -> None:
    for who, target in (("eric", "essentiel/e-1"), ("fanny", "complet/f-1"), ("sam", "suspendu/s-1")):
        before = site.fake.calls()
        page, asked = site.page(who, _path(who, target)), site.page(who, _path(who, target), post={})
        assert page.status_code == asked.status_code == 409, who
        assert "Votre contrat ne comprend pas la console" in page.text
        assert "Votre contrat ne comprend pas la console" in asked.json()["refused"]
        assert site.fake.calls() == before, "no hypervisor is asked"
        with site.console("oscar", target):
            pass
    assert site.page("camille", "/portal/machines/web-1/console").status_code == 200


def test_what_is_not_theirs_does_not_exist(site: Site) -> None:
    missing = site.page("camille", "/portal/machines/nothing/console")
    assert missing.status_code == 404
    for path in (
        "/portal/machines/e-1/console",
        "/machines/dupont/web-1/console",
        "/portal/machines/W_1/console",
    ):
        for post in (None, {"kind": "serial"}):
            answer = site.page("camille", path, post=post)
            told = answer.text.replace(path, "/portal/machines/nothing/console")
            assert answer.status_code == 404, path
            assert told == missing.text, path
    for path in ("/machines/dupont/web-1/console", "/portal/machines/web-1/console"):
        assert site.page("rachel", path).status_code == 404, "a reader changes nothing"
        assert site.page("rachel", path, post={}).status_code == 404
    assert site.page("oscar", "/machines/dupont/e-1/console").status_code == 404
    assert site.page("oscar", "/machines/dupont/web-1/console", post={"kind": "both"}).status_code == 404
    assert "login" in site.page("nobody", "/machines/dupont/web-1/console").headers["location"]


def test_the_page_is_for_a_keyboard_and_asks_for_nothing_before_it_is_told_to(site: Site) -> None:
    before = site.fake.calls()
    text = site.page("camille", "/portal/machines/web-1/console").text
    assert site.fake.calls() == before
    assert "<h1>Console de web-1</h1>" in text and "Ouvrir la console" in text and "Ctrl+Maj+F6" in text
    assert 'action="/portal/machines/web-1/console"' in text and 'src="/static/console.js"' in text
    assert "style=" not in text and "dupont" not in _main(text)


# How long


def test_a_session_that_ends_closes_its_console(site: Site) -> None:
    with site.console("chloe") as console:
        with site.web.database.writing() as connection:
            assert sessions.end_all(connection, "chloe") >= 1
        assert closed_with(console) == 4005
    until(lambda: "the session ended" in site.entries()[0].message)
    site.sign_in("chloe")


def test_a_contract_that_is_suspended_closes_its_clients_console_and_not_the_providers(site: Site) -> None:
    suspended = {**PAYS_NOT, "reference": "C-dupont"}
    with site.console("camille") as console, site.console("oscar", "dupont/db-1") as other:
        write(site.desk, suspended=True, contract=suspended)
        assert closed_with(console) == 4005
        other.send(b"still here")
        assert other.recv(timeout=SECONDS) == b"still here"
    until(lambda: "the contract no longer allows it" in site.entries()[0].message)
    write(site.desk, suspended=True)
    until(lambda: site.page("camille", "/portal/machines/web-1/console").status_code == 200)


def test_the_last_who_opens_it_has_it(site: Site) -> None:
    with site.console("camille") as first:
        refused = site.page("chloe", _path("chloe", "dupont/web-1"), post={"kind": "serial"})
        assert refused.status_code == 409 and "ouverte ailleurs" in refused.json()["refused"]
        with site.console("camille") as second:  # as after a reload
            assert closed_with(first) == 4006
            with site.console("oscar"):
                assert closed_with(second) == 4006
                taken = site.page("olga", _path("olga", "dupont/web-1"), post={"kind": "serial"})
                assert taken.status_code == 409 and "by oscar" in taken.json()["refused"]
    until(lambda: "closed: oscar opened it" in {entry.message for entry in site.entries()})


def test_an_account_and_all_together_have_so_many(site: Site) -> None:
    with site.console("oscar"), site.console("oscar", "dupont/db-1"):
        mine = site.page("oscar", _path("oscar", "complet/f-1"), post={})
        assert mine.status_code == 409 and "you have 2 consoles open" in mine.json()["refused"]
        with site.console("olga", "complet/f-1"), site.console("olga", "suspendu/s-1"):
            full = site.page("camille", _path("camille", "dupont/web-1"), post={"kind": "screen"})
            assert full.status_code == 409 and "Trop de consoles" in full.json()["refused"]


@pytest.mark.parametrize(("limit", "code"), [("idle", 4003), ("longest", 4004)])
def test_a_console_ends_by_itself(site: Site, limit: str, code: int) -> None:
    shorter = replace(site.web.settings.console_pace, **{limit: 0.2})
    with (
        another(site, replace(site.web.settings, console_pace=shorter)) as short,
        short.console("oscar") as console,
    ):
        assert closed_with(console) == code


@contextmanager
def another(site: Site, settings: Settings) -> Iterator[Site]:
    """A second program that serves, over the same database."""
    with closing(socket.create_server(("127.0.0.1", 0))) as bound:
        port = bound.getsockname()[1]
        with open_desk(replace(settings, public_url=f"https://127.0.0.1:{port}")) as web, running(web, bound):
            yield Site(site.desk, web, port, site.cookies)


def test_the_end_of_a_program_that_was_killed_is_written_by_the_next(site: Site) -> None:
    with site.console("oscar"):
        (row,) = _open(site)
    until(lambda: not _open(site))
    entry = site.web.history.append(
        who="oscar",
        why="",
        client="dupont",
        machine="db-1",
        site="paris",
        action="console",
        result="begun",
        run="r",
    )
    with site.web.database.writing() as connection:
        left = {**row._mapping, "number": 10_000, "secret": "s", "machine": "db-1", "entry": entry.sequence}
        connection.execute(sa.insert(CONSOLES).values(**left | {"seen": time.time() - 61}))
    site.ticket("oscar", "complet/f-1")
    (ended, *_) = site.entries(name="db-1")
    assert (ended.began, ended.result) == (
        entry.sequence,
        "failed",
    ) and "program that served it" in ended.message


# What goes wrong behind it


def test_without_the_privilege_the_provider_is_told_what_to_do_and_clients_whom_to_ask(site: Site) -> None:
    held = [name for name in _held(site) if name != "VM.Console"]
    site.fake.control("regrant", grants={"/": held})
    try:
        told = site.page("oscar", _path("oscar", "dupont/web-1"), post={})
        assert told.status_code == 409 and "paris lacks VM.Console" in told.json()["refused"]
        asked = site.page("camille", _path("camille", "dupont/web-1"), post={})
        assert asked.status_code == 409 and "adressez-vous à votre prestataire" in asked.json()["refused"]
    finally:
        site.fake.control("regrant", grants={"/": [*held, "VM.Console"]})
    site.desk.sites["paris"]["consoles"] = False
    site.desk.write_sites()
    try:
        until(lambda: "consoles: false" in site.page("oscar", _path("oscar", "dupont/web-1"), post={}).text)
    finally:
        del site.desk.sites["paris"]["consoles"]
        site.desk.write_sites()
        until(lambda: "consoles" not in site.page("oscar", _path("oscar", "dupont/web-1"), post={}).text)


def _held(site: Site) -> list[str]:
    cluster = site.fake.cluster()
    return sorted(cluster.get("/access/permissions")["/"])


def test_a_node_that_gives_no_terminal_to_tokens_shows_its_text_as_a_screen(site: Site) -> None:
    vmid = site.vmid("web-1")
    site.fake.control("set_config", vmid=vmid, vga="serial0")
    site.fake.control("refuse_terminals")
    try:
        with site.open("camille", site.ticket("camille")) as console:
            assert closed_with(console) == 4001
        with site.console("camille", kind="screen") as console:
            assert console.recv(timeout=SECONDS) == b"RFB 003.008\n"
    finally:
        site.fake.control("refuse_terminals", refuse=False)
        site.fake.control("set_config", vmid=vmid, vga=None)
    until(lambda: any("from qemu-server 9.1.7 on" in entry.message for entry in site.entries()))


def test_what_fails_behind_it_names_no_node_to_a_client(site: Site) -> None:
    base = f"/nodes/pve1/qemu/{site.vmid('web-1')}"
    site.fake.fault("POST", f"{base}/termproxy", "error", text="no port left on pve1 (10.0.0.2)")
    with site.open("camille", site.ticket("camille")) as console, pytest.raises(ConnectionClosed) as closed:
        console.recv(timeout=SECONDS)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4002, "")
    until(lambda: site.entries()[0].result == "failed")
    assert "no port left" in site.entries()[0].message
    site.fake.fault("GET", "/cluster/resources", "error", text="pve1 is away", times=9)
    asked = site.page("camille", _path("camille", "dupont/web-1"), post={})
    assert (
        asked.status_code == 409
        and "réessayez plus tard" in asked.json()["refused"]
        and "pve1" not in asked.text
    )
    site.fake.control("clear_faults")


def test_what_a_node_says_before_a_terminal_begins_is_not_handed_on(site: Site) -> None:
    said = "Warning: Permanently added '10.0.0.2' (ED25519) to the list of known hosts.\r\n"
    try:
        site.fake.control("before_terminals", said=said)
        with site.console("camille") as console:
            console.send(b"hello")
            assert console.recv(timeout=SECONDS) == b"hello"
        site.fake.control("before_terminals", said="ssh: connect to host 10.0.0.2: refused\r\n", ends=True)
        with (
            site.open("camille", site.ticket("camille")) as console,
            pytest.raises(ConnectionClosed) as closed,
        ):
            console.recv(timeout=SECONDS)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4002
        until(lambda: site.entries()[0].result == "failed")
    finally:
        site.fake.control("before_terminals")


def test_a_silent_hypervisor_holds_no_page(site: Site) -> None:
    base = f"/nodes/pve1/qemu/{site.vmid('web-1')}"
    site.fake.fault("POST", f"{base}/termproxy", "hang", seconds=3600.0)
    shorter = replace(site.web.settings.console_pace, opening=1.0)
    with (
        another(site, replace(site.web.settings, console_pace=shorter)) as short,
        short.open("oscar", short.ticket("oscar")) as console,
    ):
        assert short.page("oscar", _path("oscar", "dupont/web-1")).status_code == 200
        assert closed_with(console) == 4002
    site.fake.control("clear_faults")


def test_an_endless_machine_waits_for_a_browser_that_does_not_read(site: Site) -> None:
    vmid = site.vmid("web-1")
    site.fake.control("floods", vmid=vmid, flooding=True)
    try:
        with site.console("oscar"):
            poured = [-1, 0]
            while poured[-1] != poured[-2]:  # it stops, because nobody takes it
                time.sleep(0.3)
                poured.append(site.fake.control("terminals")["poured"])
            assert 0 < poured[-1] < 64 * 1024 * 1024
            assert site.page("oscar", _path("oscar", "dupont/web-1")).status_code == 200
    finally:
        site.fake.control("floods", vmid=vmid, flooding=False)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"x" * (64 * 1024 + 1), 1009),
        ("[80]", 1003),
        ("[80, 24.5]", 1003),
        ("[0, 24]", 1003),
        ("[80, 100000]", 1003),
        ("0:3:abc", 1003),
        ("[" * 5000, 1003),
    ],
)
def test_a_browser_that_sends_what_a_page_would_not_is_closed(
    site: Site, sent: bytes | str, code: int
) -> None:
    with site.console("oscar") as console:
        console.send(sent)
        assert closed_with(console) == code
