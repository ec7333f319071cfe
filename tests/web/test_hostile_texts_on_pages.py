"""No text of a file, a guest, Proxmox, the history or an alert is ever markup on a page."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import sqlalchemy as sa
from pydantic import BaseModel

from orchestrator.history.declared import Alarm, AlarmAction, Outage
from orchestrator.history.records import add
from orchestrator.interface.look_writing import keep_site
from orchestrator.interface.looked import LookedMachine, LookedSite
from orchestrator.web.desk import Desk, open_desk
from orchestrator.web.settings import Settings
from tests.unit.subscription_texts import file_of, machine
from tests.unit.test_sites import SITES
from tests.web.signed_in import Browser, signed_in

NOON = dt.datetime(2026, 11, 25, 11, 0, tzinfo=dt.UTC)


class Marks:
    """Texts that would be markup, each unlike any other."""

    def __init__(self) -> None:
        self._numbers = count(1000)
        self.made: list[str] = []

    def __call__(self) -> str:
        number = next(self._numbers)
        self.made.append(f"m{number}")
        return f"<m{number} onmouseover='x' a=\"y\">{{{{7*7}}}}</m{number}>"

    def filled(self, form: Any, name: str = "") -> Any:
        """A value of a form in which every text is such a mark."""
        if isinstance(form, type) and issubclass(form, BaseModel):
            fields = form.model_fields
            return form.model_construct(
                **{key: self.filled(field.annotation, key) for key, field in fields.items()}
            )
        arguments = get_args(form)
        if get_origin(form) is tuple:
            if arguments[-1] is Ellipsis:
                return (self.filled(arguments[0], name),)
            return tuple(self.filled(argument, name) for argument in arguments)
        if type(None) in arguments:
            return self.filled(next(one for one in arguments if one is not type(None)), name)
        if arguments:  # one of several words, or a text with a rule of its own
            return self() if arguments[0] is str else arguments[0]
        if form is str:
            return self()
        return {dt.datetime: NOON, dt.date: NOON.date(), bool: True, Decimal: Decimal(3)}.get(form, 3)


@pytest.fixture(scope="module")
def marks() -> Marks:
    return Marks()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, marks: Marks) -> Iterator[Desk]:
    """Every text that these pages show is a mark, as far as its own rules let it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sites.yaml").write_text(SITES)
    (folder / "dupont.yaml").write_text(file_of(machine()))
    settings = Settings(
        public_url="https://panel.example",
        inventory=str(folder),
        files=(folder / "dupont.yaml",),
        history=str(folder / "history.db"),
        reports=folder,
        procedures=(folder,),
    )
    (folder / "disk-full.md").write_text(f"# {marks()}\n\n- {marks()}\n\n> `{marks()}`\n\n    {marks()}\n")
    with open_desk(settings) as opened:
        _look(opened, marks)
        _record(opened, marks)
        yield opened


def _look(desk: Desk, marks: Marks) -> None:
    found = marks.filled(LookedMachine)
    there = {"client": "dupont", "machine": "web-1", "site": "paris", "vmid": 100, "state": "running"}
    machines = [found.model_copy(update=there), found.model_copy(update={**there, "machine": marks()})]
    site = marks.filled(LookedSite).model_copy(update={"site": "paris"})
    keep_site(desk.database, site, machines, NOON)


def _record(desk: Desk, marks: Marks) -> None:
    for action in (marks(), "updates due"):
        desk.history.append(
            who=marks(), why=marks(), client="dupont", machine="web-1", site=marks(), action=action, result="failed",
            run=marks(), details={marks(): marks(), "due": {marks(): marks()}}, message=marks(), upid=marks(), at=NOON,
        )  # fmt: skip
    desk.history.append(
        who="a", why="b", client=marks(), machine=marks(), site="s", action="c", result="ok", run="r", at=NOON
    )
    with desk.database.writing() as connection:  # somebody altered the rows: nothing has a form any more
        connection.execute(
            sa.text("UPDATE history_entries SET details = :mark, result = :mark WHERE sequence = 3"),
            {"mark": marks()},
        )
    alarm = Alarm(
        client="dupont", machines=("web-1",), fingerprint="abc", rule=marks(), severity=marks(), text=marks(),
        procedure="disk-full", start=NOON, silent_until=NOON, silenced_by=marks(), acknowledged_by=marks(),
        acknowledged_at=NOON,
    )  # fmt: skip
    made = add(desk.history, alarm, who=marks(), why=marks(), at=NOON)
    done = AlarmAction(
        client="dupont",
        machines=("web-1",),
        alarm=made.number,
        by=marks(),
        at=NOON,
        result="done",
        text=marks(),
    )
    add(desk.history, done, who=marks(), why=marks(), at=NOON)
    outage = Outage(
        client="dupont", machines=("web-1",), start=NOON, end=NOON + dt.timedelta(hours=1), notified_by=marks(),
        notified_at=NOON, reference=marks(), text=marks(),
    )  # fmt: skip
    add(desk.history, outage, who=marks(), why=marks(), at=NOON)


@pytest.fixture(scope="module")
def reader(desk: Desk) -> Iterator[Browser]:
    with signed_in(desk, "oscar") as browser, pytest.MonkeyPatch.context() as patched:
        patched.setattr(Desk, "now", lambda _: NOON + dt.timedelta(days=20))
        yield browser


PAGES = {
    "/machines/dupont/web-1": 50,
    "/machines/dupont/web-1/graphs/day": 0,
    "/history": 15,
    "/history/1": 7,
    "/history/3": 3,
    "/alarms?state=all": 3,
    "/alarms/4": 12,
    "/procedures/disk-full": 4,
    "/service-level?month=2026-11": 0,
    "/service-level/dupont?month=2026-11": 3,
}
"""Pages, and how many of the marks each shows at least: one that shows none cannot show them wrongly."""


@pytest.mark.parametrize("path", PAGES)
def test_no_text_is_markup(reader: Browser, path: str, marks: Marks) -> None:
    text = reader.get(path).text
    assert re.findall(r"<m\d+", text) == []
    assert not re.search(r"m\d+ onmouseover='", text) and "49&lt;/m" not in text
    shown = set(re.findall(r"&lt;(m\d+) ", text))
    assert shown <= set(marks.made) and len(shown) >= PAGES[path], (len(shown), path)


@pytest.mark.parametrize("path", ["/history", "/alarms", "/service-level", "/service-level/dupont"])
def test_no_part_of_an_address_is_markup(reader: Browser, path: str, marks: Marks) -> None:
    fields = ("client", "machine", "action", "who", "from", "below", "month", "state", "sort", "severity")
    text = reader.get(path, {field: marks() for field in fields}).text
    assert re.findall(r"<m\d+", text) == [] and not re.search(r"m\d+ onmouseover='", text)


def test_a_file_of_the_provider_s_own_is_no_page(reader: Browser, desk: Desk) -> None:
    (Path(desk.settings.procedures[0]) / "Secret.md").write_text("# x")
    for name in ("Secret", "%2e%2e%2fhistory", "disk-full.md", "disk-full%00"):
        reader.get(f"/procedures/{name}", status=404)
