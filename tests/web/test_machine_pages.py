"""A machine's page and its graphs, over a cluster as it is modelled: what was looked at, and nothing asked again."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
import sqlalchemy as sa

from orchestrator.interface.look_writing import keep_site
from orchestrator.interface.looked import LookedMachine, LookedNode, LookedSite
from orchestrator.interface.looks import SiteRow
from orchestrator.operations.look import LookRequest, refresh_looks
from orchestrator.resources.machine_archives import ArchiveMark, archive_notes
from orchestrator.web.desk import Desk, open_desk
from orchestrator.web.pages.machine import measured_of
from orchestrator.web.settings import Settings
from tests.api import desk as engineer
from tests.api.fakepve_handle import FakePve
from tests.api.night_desk import STORE, NightDesk
from tests.web.signed_in import Browser, signed_in

GIB = 1024**3
TEN = 1_795_510_800
"""Tuesday 24 November 2026, 10:00 in Paris."""
PAGE = "/machines/dupont/web-1"
BUSY = {"cpu": 0.5, "mem": 3.0 * GIB}


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NightDesk]:
    """Two machines of dupont and one of an Essentiel client; web-1 has three archives and graphs with a gap."""
    with FakePve() as fake:
        fake.control("add_template", vmid=9000, name="debian-12")
        night = NightDesk(engineer.Desk(tmp_path_factory.mktemp("site"), {"paris": fake}))
        night.desk.write(
            engineer.subscription(
                "dupont",
                [
                    engineer.machine("web-1", vcpus=2, memory="4GiB", backup={"retention_days": 7}),
                    engineer.machine("db-1", backup={"retention_days": 7}),
                ],
            ),
            engineer.subscription("petit", [engineer.machine("small")], offer="cloud-vm-essential"),
        )
        assert night.desk.apply().code == 0
        night.desk.put_in_service(firewall=True)
        for days, size in ((1, GIB), (2, int(0.4 * GIB)), (3, int(0.45 * GIB))):
            archive(night, days, size)
        for start, stopped in ((TEN - 3600, False), (TEN, True), (TEN + 1800, False)):
            fake.control(
                "measure",
                vmid=night.vmid("web-1"),
                start=start,
                end=start + 1800 if start >= TEN else TEN,
                figures={} if stopped else BUSY,
                stopped=stopped,
            )
        yield night


def archive(night: NightDesk, days: float, size: int) -> None:
    """Let web-1 have an archive of so many days ago."""
    mark = ArchiveMark(client="dupont", machine="web-1", contract="C-dupont", days=7)
    made = int(time.time() - days * 86_400)
    entry = {"storage": STORE, "vmid": night.vmid("web-1"), "ctime": made, "size": size}
    night.fake.add_archives([{**entry, "notes": archive_notes(mark)}])


@pytest.fixture(scope="module")
def desk(night: NightDesk) -> Iterator[Desk]:
    folder = night.desk.folder
    settings = Settings(
        public_url="https://panel.example",
        inventory=str(folder),
        files=(folder / "subscriptions",),
        history=str(folder / "web.db"),
        reports=folder,
    )
    with open_desk(settings) as opened:
        refresh_looks(
            LookRequest(inventory=settings.inventory, files=settings.files, history=settings.history)
        )
        night.fake.set_clock(TEN + 3600)
        yield opened


@pytest.fixture
def reader(desk: Desk, night: NightDesk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    """A reader at a time of its own: nothing is kept of the graphs that another test read."""
    monkeypatch.setitem(desk.__dict__, "figures", type(desk.figures)(desk.settings.inventory))
    with signed_in(desk, "rachel") as browser:
        yield browser
    night.fake.control("clear_faults")


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text.replace("\u00a0", " ")))


def test_the_page_has_what_the_machine_is_and_asks_no_hypervisor(reader: Browser, night: NightDesk) -> None:
    night.fake.control("reset_calls")
    text = plain(reader.get(PAGE).text)
    assert night.fake.calls() == {}
    for said in (
        "dupont/web-1",
        "cloud-vm-advanced",
        "C-dupont",
        "4.0 GiB",
        f"VM {night.vmid('web-1')} on pve1",
        "203.0.113.",
        "ssh for the client from 198.51.100.0/24",
        "vmbr0",
        "No snapshots.",
        "Observed",
    ):
        assert said in text, said


def test_whoever_may_act_has_a_plan_made_for_the_machine_and_a_reader_may_not(
    reader: Browser, desk: Desk
) -> None:
    assert "/plans/make" not in reader.get(PAGE).text
    with signed_in(desk, "oscar") as operator:
        assert 'name="only" value="dupont/web-1"' in operator.get(PAGE).text
        sent = operator.send(PAGE, "/plans/make", {"only": "dupont/web-1"})
    assert sent.headers["location"].startswith("/jobs/")


def test_the_volume_is_to_the_byte_that_of_the_command(reader: Browser, night: NightDesk) -> None:
    document = json.loads(night.desk.run("backup", "volume", "dupont", "--format", "json").out)
    sizes = {item["machine"]: item["bytes"] for item in document["machines"]}
    assert sizes == {"web-1": GIB + int(0.4 * GIB) + int(0.45 * GIB)}
    page = plain(reader.get(PAGE).text)
    assert f"1.85 GiB ({sizes['web-1']:,} bytes, 3 archives)" in page
    for size in ("1.00 GiB", "0.40 GiB", "0.45 GiB"):
        assert size in page
    none = plain(reader.get("/machines/dupont/db-1").text)
    assert "0.00 GiB (0 bytes, 0 archives)" in none and "No archives." in none


def test_the_tab_of_the_picture_is_marked_and_plans_are_those_of_the_client(reader: Browser) -> None:
    page = reader.get(PAGE).text
    assert re.findall(r'<a href="([^"]+)" aria-current="page">Day<', page) == [f"{PAGE}/graphs/day"]
    assert page.count(f'{PAGE}/graphs/week" aria-current') == 0
    assert '<a href="/plans?client=dupont">Plans</a>' in page


def test_the_picture_is_one_call_and_a_gap_is_a_gap(reader: Browser, night: NightDesk) -> None:
    night.fake.control("reset_calls")
    text = plain(reader.get(f"{PAGE}/graphs/day").text)
    assert "50.0% 50.0% 50.0%" in text, "the time when it was stopped is no zero"
    assert "24 Nov 2026, 10:00 CET 24 Nov 2026, 10:30 CET stopped 30 min" in text
    assert "no data no data" in text
    picture = reader.get(f"{PAGE}/graphs/day.svg")
    root = ElementTree.fromstring(picture.text)
    titles = [
        (title.text or "").replace("\u00a0", " ") for title in root.iter("{http://www.w3.org/2000/svg}title")
    ]
    assert any(title.startswith("stopped from 24 Nov 2026, 10:00") for title in titles), titles
    assert picture.headers["content-type"].startswith("image/svg+xml")
    assert "sandbox" in picture.headers["content-security-policy"]
    asked = {call: count for call, count in night.fake.calls().items() if "rrddata" in call}
    assert list(asked.values()) == [1] and set(night.fake.calls()) == set(asked), "the page and its picture"
    hour = plain(reader.get(f"{PAGE}/graphs/hour").text)
    assert "10:25 CET stopped stopped stopped" in hour and "10:30 CET 50.0%" in hour


@pytest.mark.parametrize("timeframe", ["hour", "day", "week", "month", "year"])
def test_every_timeframe_has_a_picture_and_tables(reader: Browser, timeframe: str) -> None:
    text = reader.get(f"{PAGE}/graphs/{timeframe}").text
    assert f'src="{PAGE}/graphs/{timeframe}.svg"' in text and text.count('<table class="rows ') in (2, 3)
    assert "<svg" in reader.get(f"{PAGE}/graphs/{timeframe}.svg").text


def test_pages_answer_while_the_hypervisor_is_away_and_say_since_when(
    reader: Browser, night: NightDesk, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = reader.get(f"{PAGE}/graphs/day").text
    later = desk.now() + dt.timedelta(minutes=10)
    monkeypatch.setattr(Desk, "now", lambda _: later)
    night.fake.fault("GET", ".*", "reset", times=1000)
    text = plain(reader.get(f"{PAGE}/graphs/day").text)
    assert "cannot be read at the moment: these are the last that were" in text and "10 min ago" in text
    assert "50.0% 50.0% 50.0%" in text and "50.0%" in kept
    assert "<path" in reader.get(f"{PAGE}/graphs/day.svg").text
    never = reader.get("/machines/dupont/db-1/graphs/week").text
    assert "The figures cannot be read at the moment." in never and "<img" not in never
    assert "cannot be read at the moment" in reader.get("/machines/dupont/db-1/graphs/week.svg").text
    assert "dupont/web-1" in reader.get(PAGE).text


def test_what_a_hypervisor_says_is_shown_and_is_no_markup(reader: Browser, night: NightDesk) -> None:
    night.fake.fault("GET", ".*/rrddata", "error", status=500, text="<b onclick=x>broken</b>")
    text = reader.get("/machines/dupont/db-1/graphs/month").text
    assert "&lt;b onclick=x&gt;broken&lt;/b&gt;" in text and "<b onclick" not in text


def test_a_page_takes_as_many_queries_among_a_thousand_machines_as_among_three(
    reader: Browser, desk: Desk
) -> None:
    asked: list[str] = []
    engine = desk.database._engine

    def note(*arguments: object) -> None:
        asked.append(str(arguments[2]))

    def queries() -> int:
        reader.get(PAGE)  # what is read once a change is read now
        asked.clear()
        reader.get(PAGE)
        return len(asked)

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        few = queries()
        more = [
            LookedMachine(client=f"c{number // 5}", machine=f"m{number % 5}", site="lyon", state="running")
            for number in range(1000)
        ]
        keep_site(desk.database, LookedSite(site="lyon"), more, desk.now())
        for number in range(30):
            desk.history.append(
                who="a", why="b", client="dupont", machine="web-1", site="paris", action=f"act-{number}",
                result="ok", run="r",
            )  # fmt: skip
        assert queries() == few <= 20
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def test_essentiel_has_no_graphs_without_managed_services(reader: Browser) -> None:
    page = "/machines/petit/small"
    assert "article 3.3" in reader.get(page).text and "<img" not in reader.get(page).text
    assert "article 3.3" in reader.get(f"{page}/graphs/day").text
    reader.get(f"{page}/graphs/day.svg", status=404)


def test_what_does_not_exist_is_not_found_and_a_client_has_nothing_here(reader: Browser, desk: Desk) -> None:
    for path in (
        "/machines/dupont/web-9",
        "/machines/martin/web-1",
        f"{PAGE}/graphs/decade",
        f"{PAGE}/graphs/decade.svg",
        "/machines/dupont/web-9/graphs/day.svg",
        "/machines/dupont/%3Cb%3E",
        "/machines/../web-1/graphs/day",
    ):
        reader.get(path, status=404)
    with signed_in(desk, "camille") as client:
        for path in (PAGE, f"{PAGE}/graphs/day", f"{PAGE}/graphs/day.svg"):
            client.get(path, status=404)


@pytest.mark.parametrize(
    ("nodes", "asked"),
    [
        ({"pve1": "online", "pve2": "online"}, "pve1"),
        ({"pve1": "off", "pve2": "silent", "pve3": "online"}, "pve3"),
        ({"pve1": "off"}, "pve1"),
        ({}, "pve1"),
    ],
)
def test_where_a_node_is_off_another_is_asked_for_the_figures(nodes: dict[str, str], asked: str) -> None:
    there = tuple(
        LookedNode(
            node=name, state=state, machines=0, vcpus=0, vcpus_promised=0, vcpus_others=0, memory_mib=0,
            memory_mib_promised=0, memory_mib_others=0, over_promised=False,
        )
        for name, state in nodes.items()
    )  # fmt: skip
    site = SiteRow(
        site="paris",
        at=None,
        tried=dt.datetime.now(dt.UTC),
        problem="",
        frozen="",
        version="",
        document=LookedSite(site="paris", nodes=there),
    )
    found = LookedMachine(
        client="dupont", machine="web-1", site="paris", state="running", node="pve1", vmid=100
    )
    measured = measured_of(found, site)
    assert measured is not None and measured.node == asked
