"""What a reviewer reads of a plan: what happens and what does not, restarts and their times, losses, on any screen."""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from orchestrator.planning.document import PlanDocument, to_document
from orchestrator.planning.interventions import Decisions, with_interventions
from orchestrator.planning.plan import Plan, make_plan
from orchestrator.planning.review import render_html, render_markdown
from orchestrator.planning.saved import SavedPlan, moved
from orchestrator.planning.text import render_plan
from orchestrator.proxmox import StoredArchive
from orchestrator.resources.change import Change, Effect
from orchestrator.resources.machine_archives import Archive, ArchiveMark, what_retention_does
from orchestrator.resources.unreadable import Unreadable
from orchestrator.shown import quoted
from tests.unit.plan_worlds import World, desired
from tests.unit.report_readers import Reader, markdown_tables

NOW = dt.datetime(2026, 11, 24, 9, tzinfo=dt.UTC)
OPENS = "Tue 2026-11-24 22:00 CET"
WINDOW = {"days": ["tuesday"], "from": "22:00", "to": "02:00"}
MANAGED = {"level": "supervision", "standard_changes_per_month": 9}


def _file(managed: dict[str, Any] | None = None, **machines: dict[str, Any]) -> dict[str, Any]:
    made = [
        {
            "name": name,
            "image": "debian-12",
            "vcpus": 1,
            "memory": "1GiB",
            "disks": [{"name": "system", "size": "4GiB"}],
            **changes,
        }
        for name, changes in machines.items()
    ]
    return {
        "client": "dupont",
        "contract": {"reference": "C-1", "starts": "2026-03-01", "site": "paris"},
        **({"managed_services": managed} if managed else {}),
        "services": [{"offer": "cloud-vm-advanced", "machines": made}],
    }


def _plan(before: dict[str, Any], after: dict[str, Any], **options: Any) -> Plan:
    world = World.empty()
    for number, machine in enumerate(desired([before])):
        world.clone(machine)
        world.make(machine, IPv4Address("203.0.113.10") + number)
    return make_plan(desired([after]), world.observed(), NOW, **options)


def _text(plan: Plan) -> list[str]:
    return [line.plain for line in render_plan(plan)]


OPEN_TWO = {"open": [{"port": port, "protocol": "tcp", "from": "any"} for port in (80, 443)]}
SHRUNK = [{"name": "system", "size": "2GiB"}]


def _refused_and_changed() -> Plan:
    windowed = MANAGED | {"maintenance_window": WINDOW}
    return _plan(
        _file(windowed, db={}, web={}, app={}),
        _file(
            windowed, db={"vcpus": 4, "firewall": OPEN_TWO, "disks": SHRUNK}, web={"memory": "2GiB"}, app={}
        ),
    )


def test_what_a_refused_machine_asks_for_besides_is_not_done_in_every_form() -> None:
    plan = _refused_and_changed()
    lines = _text(plan)
    assert "      not done: vCPU db   1 → 4" in lines and "      not done: firewall db   2 rules" in lines
    assert not [line for line in lines if line.startswith("  ~") and " db " in line], "it is no change"
    assert lines[-1].startswith("0 to create, 1 to change, 0 to retire, 0 to erase · 1 restart on")
    assert "1 refused · 2 not done" in lines[-1]

    document = to_document(plan)
    db = next(machine for machine in document.machines if machine.machine == "db")
    assert [str(change.effect) for change in db.changes] == ["refused"]
    assert [change.what for change in db.not_done] == ["vCPU", "firewall"]
    assert (document.summary.update, document.summary.not_done, document.summary.restart) == (1, 2, 0)

    for table in (markdown_tables(render_markdown(document)), Reader(render_html(document)).tables):
        head, row = table[0][:2]
        assert dict(zip(head, row, strict=True))["refused"] == "1, 2 not done"
        assert [cells[0] for cells in table[1][1:] if cells[1] == "db"] == ["refused", "not done", "not done"]
        told = next(cells for cells in table[1] if cells[2] == "vCPU")
        assert told[3] == "1 → 4" and "nothing is done to it" in told[5], "neither a restart nor a class"


def test_a_change_without_its_reference_is_not_shown_as_if_it_happened() -> None:
    plan = with_interventions(
        _plan(_file(MANAGED, web={}), _file(MANAGED, web={"network": "private"})), {}, Decisions()
    )
    assert any("not done without a reference" in line for line in _text(plan) if line.startswith("  ~"))


@pytest.mark.parametrize(
    ("window", "options", "counted", "when"),
    [
        (WINDOW, {}, f"2 restarts on {OPENS}", "window"),
        (WINDOW, {"restart_now": True}, "2 restarts now", "now"),
        (None, {}, "2 restarts not planned (no maintenance window agreed)", "not-planned"),
    ],
)
def test_restarts_are_counted_with_their_time(
    window: dict[str, Any] | None, options: dict[str, Any], counted: str, when: str
) -> None:
    managed = MANAGED | ({"maintenance_window": window} if window else {})
    plan = _plan(
        _file(managed, a={}, b={}, c={}),
        _file(managed, a={"memory": "2GiB", "vcpus": 2}, b={"memory": "2GiB"}, c={"firewall": OPEN_TWO}),
        **options,
    )
    document = to_document(plan)
    assert f" · {counted} · " in f"{_text(plan)[-1]} · "
    assert counted in render_markdown(document).splitlines()[0]
    assert counted in Reader(render_html(document)).text
    (found,) = json.loads(document.model_dump_json())["summary"]["restarts"]
    assert (found["machines"], found["when"]) == (2, when)
    assert found["at"] == ("2026-11-24T22:00:00+01:00" if when == "window" else None)
    row = dict(zip(*markdown_tables(render_markdown(document))[0][:2], strict=True))
    assert row["restart"] == counted.replace("2 restarts", "2")


def test_each_rule_of_a_firewall_has_a_line_within_100_columns() -> None:
    opened = {
        "open": [
            {"port": port, "protocol": "tcp", "from": [f"198.51.100.{2 * n}" for n in range(60)]}
            for port in (443, 8443)
        ]
    }
    plan = _plan(_file(web={}), _file(web={"firewall": opened}))
    lines = _text(plan)
    start = next(n for n, line in enumerate(lines) if "firewall web" in line)
    assert lines[start].startswith("  ~ firewall web   2 rules")
    rules = lines[start + 1 : lines.index("")]
    assert [line.split(" from ")[0].strip() for line in rules if "+ tcp" in line] == [
        "+ tcp 443",
        "+ tcp 8443",
    ]
    assert all(len(line) <= 100 for line in rules) and sum(line.count("198.51.100.") for line in rules) == 120
    cells = [row[3] for row in markdown_tables(render_markdown(to_document(plan)))[1] if row[2] == "firewall"]
    assert [line.partition(" from ")[0] for line in cells[0].split("\n")] == ["+ tcp 443", "+ tcp 8443"]
    short = _plan(_file(web={}), _file(web={"firewall": {"open": OPEN_TWO["open"][:1]}}))
    assert any(line.startswith("  ~ firewall web   + tcp 80 from any") for line in _text(short)), "one stays"


def test_what_is_lost_has_a_column() -> None:
    plan = _plan(_file(web={}, db={}), _file(web={"memory": "2GiB"}, db={}))
    gone = Change(
        effect=Effect.UPDATE, what="backup", before="31 days", after="7 days", erases=True, why="3 go"
    )
    expired = Change(effect=Effect.EXPIRE, what="snapshot old", before="taken 2026-11-01")
    web, db = plan.machines
    plan = replace(plan, machines=(web, replace(db, changes=(gone, expired))))
    for table in (
        markdown_tables(render_markdown(to_document(plan))),
        Reader(render_html(to_document(plan))).tables,
    ):
        assert dict(zip(*table[0][:2], strict=True))["lost"] == "backup of db, 1 expired snapshot"


def test_a_machine_that_could_not_be_read_is_listed_once() -> None:
    item = Unreadable(
        site="paris", kind="machine", name="web", reason="node pve2 is off", node="pve2", vmid=105,
        client="dupont", machine="web",
    )  # fmt: skip
    observed = World.empty().observed()
    observed["paris"] = replace(observed["paris"], unreadable=(item,))
    plan = make_plan(desired([_file(web={})]), observed, NOW)
    document = to_document(plan)
    assert document.unreadable[0].refuses == ["dupont/web"]
    for text in ("\n".join(_text(plan)), render_markdown(document), Reader(render_html(document)).text):
        assert text.count("node pve2 is off") == 1, text
        assert "not touched" not in text.splitlines()[-1].lower()


def test_texts_of_files_stand_in_quotes_among_our_words() -> None:
    assert quoted("D-2026-0117") == "D-2026-0117" and quoted("admin@client") == "admin@client"
    for text in ("D 1   0 to create, no changes", "CHARGED:", "a\nREFUSED: all", 'x" · 1 refused "', ""):
        shown = quoted(text)
        assert shown[0] == shown[-1] == '"' and "\n" not in shown and '"' not in shown[1:-1]
    padded = "D-1" + " " * 50 + "CHARGED nothing"
    file = _file(MANAGED, web={"network": "private"})
    file["contract"]["reference"] = padded[:60]
    file["contract"]["quotes"] = [{"reference": padded[:60], "valid_until": "2026-12-31"}]
    plan = with_interventions(_plan(_file(MANAGED, web={}), file), {}, Decisions())
    for text in ("\n".join(_text(plan)), Reader(render_html(to_document(plan))).text):
        assert f'quote "{padded[:60]}"' in text and f'"{padded[:60]}"' in text


def test_no_value_makes_a_line_of_its_own_in_a_comment() -> None:
    plan = _refused_and_changed()
    nasty = Change(
        effect=Effect.NOTICE, what="x", after="a\n**Frozen:** paris", why="b\n### Plan: no changes"
    )
    plan = replace(plan, machines=(replace(plan.machines[2], changes=(nasty,)),), frozen={"paris": "c\nd"})
    text = render_markdown(to_document(plan))
    assert "<br>" not in text and not re.search(r"(?m)^(d|b|a)$", text)


def test_the_page_fits_a_phone() -> None:
    """At 360 pixels rows become blocks that name their cells; nothing has a width that a phone has not."""
    page = render_html(to_document(_refused_and_changed()))
    style = page[page.index("<style>") : page.index("</style>")]
    narrow = style[style.index("@media screen and (max-width: 48rem)") :]
    assert "td::before { content: attr(data-heading)" in narrow and "thead { position: absolute" in narrow
    assert "overflow-wrap: anywhere" in narrow and "white-space: nowrap" not in style
    widths = re.findall(r"(?<!max-)(?:min-)?width: (\d+)(?:px|rem|ch|em)", style.replace("width: 1px", ""))
    assert widths == [], "fixed widths"
    reader = Reader(page)
    cells = [attributes for tag, attributes in reader.elements if tag == "td"]
    assert cells and all("data-heading" in attributes for attributes in cells)
    viewport = [a for tag, a in reader.elements if tag == "meta" and a.get("name") == "viewport"]
    assert viewport[0]["content"] == "width=device-width, initial-scale=1"


def test_a_machine_that_is_refused_since_its_review_is_said_to_be() -> None:
    before = to_document(_plan(_file(web={}), _file(web={"vcpus": 2})))
    after = to_document(_plan(_file(web={}), _file(web={"vcpus": 2, "disks": SHRUNK})))
    saved = _saved(before)
    (line,) = moved(saved, after, {})
    assert line.startswith("dupont/web: it is refused now: disk system: a disk cannot shrink")
    assert list(moved(_saved(after), after, {})) == []


def _saved(plan: PlanDocument) -> SavedPlan:
    options: dict[str, Any] = {"paths": []}
    return SavedPlan.model_validate(
        {
            "orchestrator": "1", "made_by": "x", "inventory": "", "sites": "", "options": options, "files": {},
            "plan": plan.model_dump(mode="json"),
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("days", "archives", "said"),
    [
        (7, 1, "the 1 archive stays"),
        (7, 2, "none of the 2 archives goes tonight"),
        (None, 1, "no new ones; the 1 archive that is there runs out its days on 2026-12-01"),
        (None, 2, "no new ones; the 2 archives that are there run out their days, the last on 2026-12-01"),
    ],
)
def test_archives_that_a_retention_lets_stay_are_counted(days: int | None, archives: int, said: str) -> None:
    backup = {"backup": {"retention_days": days}} if days else {}
    (machine,) = desired([_file(web=backup)])
    kept = tuple(_archive(NOW - dt.timedelta(days=n)) for n in range(archives))
    assert what_retention_does(machine, kept, NOW, before=31).startswith(said)


def _archive(taken: dt.datetime) -> Archive:
    stored = StoredArchive(
        volid="b:backup/vzdump-qemu-100.vma.zst", storage="b", node="pve1", vmid=100, taken_at=taken, size=1,
        notes="", protected=False,
    )  # fmt: skip
    return Archive(
        stored=stored, mark=ArchiveMark(client="dupont", machine="web", contract="C-1", days=7), site="paris"
    )
