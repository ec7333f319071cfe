"""Plans that are saved, reviewed and applied later; changes that are charged; what a plan refuses by itself."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from orchestrator.history import open_history
from tests.api.desk import CLIENT_KEY, Answer, Desk, machine, subscription


def _entries(desk: Desk, action: str) -> list[dict[str, Any]]:
    """What the history says of an action, the latest first: its result and its details."""
    with open_history(desk.folder / "state" / "orchestrator" / "history.db") as history:
        return [
            {"machine": entry.machine, "result": entry.result, "why": entry.why, **json.loads(entry.details)}
            for entry in history.entries(action=action)
        ]


def _writes(desk: Desk) -> list[str]:
    return [call for call in desk.fakes["paris"].calls() if not call.startswith("GET ")]


def _save(desk: Desk, *arguments: str) -> Answer:
    answer = desk.run("plan", "--out", "saved.json", *arguments)
    assert answer.code == 0, answer
    return answer


def test_a_saved_plan_is_applied_exactly_and_only_once(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1", vcpus=2)]))
    shown = _save(desk).out
    text = (desk.folder / "saved.json").read_text()
    for secret in (desk.fakes["paris"].token_secret, CLIENT_KEY, "PRIVATE"):
        assert secret not in text
    answer = desk.apply("--plan", "saved.json")
    assert answer.code == 0, answer
    assert "+ machine web-1" in shown and "+ machine web-1" in answer.out
    assert str(desk.machines()["web-1"]["config"]["cores"]) == "2"
    desk.fakes["paris"].control("reset_calls")
    again = desk.apply("--plan", "saved.json")
    assert (
        again.code == 1 and "changed since: dupont/web-1: the changes are not the same any more" in again.err
    ), again
    assert _writes(desk) == []


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("file", "changed since: file subscriptions/dupont.yaml was changed"),
        ("new file", "changed since: file subscriptions/martin.yaml is new"),
        ("digest", "changed since: dupont/web-1: its configuration was changed (digest"),
        ("machine", "changed since: dupont/web-1: nothing is left to do, somebody did it"),
        ("seal", "saved.json was changed after it was saved"),
        ("earlier", "in another form (2): make it again"),
        ("age", "more than 0 hours ago"),
        ("options", "saved.json says already what to plan for"),
        ("sites", "was made for the sites of"),
        ("text", "saved.json is not a saved plan"),
        ("gone", "saved.json cannot be read"),
    ],
)
def test_a_saved_plan_is_refused_when_something_moved(desk: Desk, what: str, said: str) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True)
    path = desk.folder / "saved.json"
    edited = subscription("dupont", [machine("web-1", memory="2GiB")])
    desk.write(edited)
    _save(desk)
    vm = desk.machines()["web-1"]
    config = f"/nodes/{vm['node']}/qemu/{vm['vmid']}/config"
    arguments = ["--plan", "saved.json"]
    if what == "file":
        desk.write(subscription("dupont", [machine("web-1", memory="3GiB")]))
    elif what == "new file":
        desk.write(edited, subscription("martin", [machine("shop-1")]))
    elif what == "digest":
        desk.fakes["paris"].cluster().put(config, tags=vm["config"]["tags"] + ";seen")
    elif what == "machine":
        assert desk.run("apply", "--yes", "--no-guests", "--restart-now").code == 0
    elif what == "seal":
        path.write_text(path.read_text().replace('"2GiB"', '"9GiB"'))
    elif what == "earlier":
        saved = json.loads(path.read_text())
        del saved["plan"]["items"]  # which plans had not
        path.write_text(json.dumps({**saved, "saved_version": 2}))
    elif what == "age":
        arguments += ["--max-plan-age", "0"]
    elif what == "options":
        arguments += ["--restart-now"]
    elif what == "sites":
        desk.sites["paris"]["api"]["url"] = desk.sites["paris"]["api"]["url"].replace(
            "127.0.0.1", "localhost"
        )
        desk.write_sites()
    elif what == "text":
        path.write_text('{"saved": "something else"}')
    else:
        path.unlink()
    desk.fakes["paris"].control("reset_calls")
    answer = desk.apply(*arguments)
    assert answer.code == 1 and said in " ".join(answer.err.split()), answer
    assert "Traceback" not in answer.err and _writes(desk) == []


def test_a_saved_plan_is_for_the_moment_it_was_made_for(desk: Desk) -> None:
    """What it was limited to, and what was decided for it, is repeated."""
    desk.write(subscription("dupont", [machine("web-1"), machine("db-1")]))
    _save(desk, "--only", "dupont/web-1")
    assert desk.apply("--plan", "saved.json").code == 0
    assert set(desk.machines()) == {"web-1"}


MANAGED = {"level": "supervision", "standard_changes_per_month": 1}


def _without_quotes(*machines: dict[str, Any]) -> dict[str, Any]:
    made = subscription("dupont", list(machines), managed_services=MANAGED)
    del made["contract"]["quotes"]
    return made


def test_a_new_machine_waits_for_its_order_and_the_history_knows_which(desk: Desk) -> None:
    desk.write(_without_quotes(machine("web-1")), subscription("martin", [machine("shop-1")]))
    planned = desk.run("plan")
    assert planned.code == 0 and "needs the order's or amendment's reference" in planned.out, planned
    refused = desk.apply()
    assert refused.code == 1 and "dupont/web-1" in refused.out and "--order REFERENCE" in refused.out
    assert set(desk.machines()) == {"shop-1"}, "the others go on"
    assert desk.fakes["paris"].dump()["pools"].keys() == {"client-martin"}, "nothing half-done"
    invented = desk.apply("--quote", "D-2026-7")
    assert invented.code == 1 and "not an accepted quote of the files" in invented.err, invented
    assert desk.apply("--order", "BC-2026-7").code == 0
    assert set(desk.machines()) == {"shop-1", "web-1"}
    ours = next(item for item in _entries(desk, "change") if item["machine"] == "web-1")
    assert (ours["charge"], ours["order"], ours["quote"]) == ("ordered", "BC-2026-7", None)


def test_a_saved_plan_keeps_the_references_that_it_was_reviewed_with(desk: Desk) -> None:
    desk.write(_without_quotes(machine("web-1")))
    _save(desk, "--order", "BC-7")
    answer = desk.apply("--plan", "saved.json")
    assert answer.code == 0 and set(desk.machines()) == {"web-1"}, answer
    (entry,) = _entries(desk, "change")
    assert (entry["order"], entry["charge"]) == ("BC-7", "ordered")


def test_an_order_of_one_client_is_not_taken_for_anothers(desk: Desk) -> None:
    ours = _without_quotes(machine("web-1"))
    other = {**_without_quotes(machine("shop-1")), "client": "martin"}
    desk.write(ours, other)
    refused = desk.apply("--order", "BC-1")
    assert refused.code == 1 and "add --only CLIENT" in refused.err and desk.machines() == {}, refused
    assert desk.apply("--order", "BC-1", "--only", "martin").code == 0 and set(desk.machines()) == {"shop-1"}


def test_free_changes_are_counted_over_runs(desk: Desk) -> None:
    desk.write(_without_quotes(machine("web-1"), machine("db-1")))
    assert desk.apply("--order", "BC-1").code == 0
    desk.put_in_service(firewall=True)
    kept = {"updates": {"exclude": ["linux-image-*"]}}
    desk.write(_without_quotes(machine("web-1", **kept), machine("db-1")))
    assert "1 standard, free: web-1 (0 of 1 free left this month)" in desk.run("plan").out
    assert desk.apply().code == 0
    others = {"updates": {"exclude": ["nginx*"]}}
    desk.write(_without_quotes(machine("web-1", **kept), machine("db-1", **others)))
    document = desk.plan()
    (allowance,) = document["allowances"]
    assert (allowance["used"], allowance["left"]) == (1, 0)
    held = {item["machine"]: item["intervention"] for item in document["machines"]}
    assert held["db-1"]["charge"] == "missing" and document["summary"]["quotes_missing"] == 1
    assert held["db-1"]["lacks"] == ["catalogue"]
    refused = desk.apply()
    assert refused.code == 1 and "--catalogue REFERENCE" in " ".join(refused.out.split()), refused
    assert desk.apply("--catalogue", "CAT-12").code == 0 and not desk.plan()["has_changes"]


def test_a_class_against_the_rules_is_recorded(desk: Desk) -> None:
    desk.write(_without_quotes(machine("web-1")))
    told = ("--order", "BC-1", "--class", "dupont/web-1=standard", "--reason", "goodwill, ticket 7")
    answer = desk.apply(*told)
    assert answer.code == 0, answer
    assert "web-1: significant by the rules, standard as told" in answer.out
    (entry,) = _entries(desk, "change")
    assert (entry["class"], entry["class by the rules"], entry["why"]) == (
        "standard",
        "significant",
        "goodwill, ticket 7",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--class", "dupont=standard"], "CLIENT/MACHINE=CLASS"),
        (["--class", "dupont/web-1=tiny"], "the classes are standard, significant, major"),
        (["--class", "dupont/web-9=standard"], "the plan has no such machine"),
        (["--quote", " "], '--quote " " is not a valid reference'),
        (["--order", "BC-1; rm"], "is not a valid reference"),
        (["--quote", "D-9"], "--quote D-9 is not an accepted quote of the files, contract.quotes has none"),
        (["--allow", "all"], "name RISK:WHERE"),
    ],
)
def test_what_decides_nothing_is_refused_before_anything_is_done(
    desk: Desk, arguments: list[str], said: str
) -> None:
    desk.write(_without_quotes(machine("web-1")))
    answer = desk.apply(*arguments)
    assert answer.code == 1 and said in " ".join(answer.err.split()), answer
    assert _writes(desk) == []


def test_a_plan_that_retires_too_much_does_nothing_until_it_is_allowed_by_name(desk: Desk) -> None:
    names = [f"m-{number}" for number in range(4)]
    desk.write(subscription("dupont", [machine(name) for name in names]))
    assert desk.apply().code == 0
    desk.write(subscription("dupont", [machine(name) for name in names[:2]]))
    assert "refused: retire:dupont   2 of 4 machines would be retired at once" in desk.run("plan").out
    desk.fakes["paris"].control("reset_calls")
    refused = desk.apply()
    assert refused.code == 1 and _writes(desk) == [], refused
    allow = re.findall(r"--allow \S+", refused.err)
    assert allow == ["--allow retire:dupont", "--allow retire:site=paris"]
    answer = desk.apply(*" ".join(allow).split())
    assert answer.code == 0, answer
    assert [vm["status"] for name, vm in sorted(desk.machines().items())] == ["running"] * 2 + ["stopped"] * 2


class _Page(HTMLParser):
    """The table cells of a page, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.loads: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "img"):
            self._open.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("td", "th"):
            self.cells.append(data)


def test_a_reviewer_reads_a_table_first_and_finds_the_details_below(desk: Desk) -> None:
    desk.write(
        subscription("dupont", [machine("web-1"), machine("db-1", vcpus=2)]), subscription("quiet", [])
    )
    (desk.folder / "subscriptions" / "quiet.yaml").unlink()
    assert desk.apply("--only", "dupont/db-1").code == 0
    desk.put_in_service()
    nasty = machine("db-1", vcpus=4, disks=[{"name": "system", "size": "2GiB"}])
    desk.write(subscription("dupont", [machine("web-1"), nasty]))
    text = desk.run("plan", "--format", "markdown").out
    lines = text.splitlines()
    assert lines[0] == "### Plan: 1 to create, 0 to change, 0 to retire, 0 to erase · 1 refused · 2 not done"
    heading = lines.index(
        "| client | contract | create | change | restart | retire | lost | refused | charged |"
    )
    assert lines[heading + 2].startswith("| ⚠ **dupont** | C\\-dupont | 1 |") or lines[
        heading + 2
    ].startswith("| ⚠ **dupont** | C-dupont | 1 |")
    assert lines.index("<details open><summary>dupont: 2 machines</summary>") > heading
    assert any("a disk cannot shrink" in line for line in lines)
    page = _Page()
    page.feed(desk.run("plan", "--format", "html").out)
    assert "dupont" in page.cells and "refused" in page.cells and page.loads == []


def test_what_a_file_says_cannot_break_out_of_the_table() -> None:
    from orchestrator.planning.review import render_html, render_markdown
    from tests.unit.plan_documents import document_with
    from tests.unit.report_readers import markdown_tables

    text = "a | b <script>alert(1)</script> `x` [y](https://z)\nnew"
    markdown = render_markdown(document_with(text))
    row = next(line for line in markdown.splitlines() if "alert" in line)
    assert "<script" not in markdown and row.count("|") == 7
    assert markdown_tables(markdown)[1][1][5] == text.replace("\n", r"\n")
    assert "<script" not in render_html(document_with(text))
