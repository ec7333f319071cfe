"""``orchestrator show``: the whole estate at a glance, as tables, JSON and CSV."""

from __future__ import annotations

import copy
import csv
import datetime as dt
import io
import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from orchestrator.history import open_history
from orchestrator.history.delays import INSTALLED, SEEN
from orchestrator.resources.machine_archives import ArchiveMark, RestoreTest, archive_notes
from orchestrator.resources.notes import RestartNote, UpdateNote, read_mark, write_mark
from tests.api.desk import Answer, Desk, machine, subscription
from tests.api.fakepve_handle import FakePve

STORE = "backup-lyon"
_GIB = 1024**3


def _note(desk: Desk, name: str, **changes: Any) -> None:
    """Write into the mark of a machine."""
    vm = desk.machines()[name]
    mark = read_mark(vm["config"]["description"])
    assert mark is not None
    text = write_mark(mark.with_(**changes), vm["config"]["description"])
    desk.fakes["paris"].control("set_config", vmid=vm["vmid"], description=text)


def _archive(desk: Desk, name: str, hours: float, *, sound: bool | None = None) -> dict[str, Any]:
    """An archive of a machine that was made so many hours ago."""
    vm = desk.machines()[name]
    mark = read_mark(vm["config"]["description"])
    assert mark is not None
    test = None if sound is None else RestoreTest(on=dt.date(2026, 11, 1), sound=sound, found="")
    notes = archive_notes(
        ArchiveMark(client=mark.client, machine=mark.machine, contract=mark.contract, days=7, test=test)
    )
    at = int(dt.datetime.now().timestamp() - hours * 3600)
    return {"storage": STORE, "vmid": vm["vmid"], "size": _GIB, "notes": notes, "ctime": at}


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Machines in most states: dupont's have a file, martin's have none, and new-1 is not made yet."""
    with FakePve() as fake:
        fake.control("add_template", vmid=9000, name="debian-12")
        desk = Desk(tmp_path_factory.mktemp("estate"), {"paris": fake})
        desk.sites["paris"]["backup_storages"] = [{"name": STORE, "site": "lyon"}]
        desk.write_sites()
        fake.add_storage(STORE, shared=True)
        dupont = [machine(name, backup={"retention_days": 7}) for name in ("web-1", "db-1")]
        dupont.append(machine("plain-1"))
        desk.write(subscription("dupont", dupont), subscription("martin", [machine("shop-1", vcpus=2)]))
        assert desk.apply().code == 0
        desk.put_in_service(firewall=True)
        held = UpdateNote(state="held", since=dt.datetime(2026, 11, 1, tzinfo=dt.UTC), reason="nginx is down")
        _note(desk, "db-1", update=held)
        _note(desk, "web-1", tested=dt.date(2026, 11, 20))
        fake.add_archives(
            [
                _archive(desk, "web-1", 80),
                _archive(desk, "web-1", 5),
                _archive(desk, "web-1", 1, sound=False),  # it was found bad: the one before it counts
                _archive(desk, "db-1", 5 * 24),
            ]
        )
        dupont[2] = machine("plain-1", memory="2GiB")
        desk.write(subscription("dupont", dupont))
        assert desk.apply("--only", "dupont").code == 0  # it waits for its next start: no window was agreed
        desk.write(subscription("dupont", [*dupont, machine("new-1", memory="3GiB")]))
        history = desk.folder / "state" / "orchestrator" / "history.db"
        common: dict[str, Any] = {"who": "timer", "why": "night", "site": "paris", "result": "ok", "run": "r"}
        with open_history(history) as opened:
            for name, due in (("web-1", {"curl": "8", "nginx": "2"}), ("db-1", {"curl": "8"})):
                opened.append(**common, client="dupont", machine=name, action=SEEN, details={"due": due})
            done = {"installed": [{"package": "curl", "from": "7", "to": "8"}]}
            for name in ("web-1", "db-1"):
                opened.append(**common, client="dupont", machine=name, action=INSTALLED, details=done)
        yield desk


def _json(desk: Desk, *options: str, code: int = 0) -> dict[str, Any]:
    answer = desk.run("show", "--format", "json", *options)
    assert answer.code == code, answer
    data: dict[str, Any] = json.loads(answer.out)
    return data


def _names(desk: Desk, *options: str, code: int = 0) -> list[str]:
    return [row["machine"] for row in _json(desk, *options, code=code)["machines"]]


def _lines(answer: Answer) -> dict[str, list[str]]:
    """The words of each line by its first word."""
    return {line.split()[0]: line.split() for line in answer.out.splitlines() if line.strip()}


def test_the_whole_estate_is_shown_in_tables_of_100_columns(estate: Desk) -> None:
    answer = estate.run("show")
    assert answer.code == 0, answer
    assert max(map(len, answer.out.splitlines())) <= 100
    lines = _lines(answer)
    promised = "paris  pve1            online         4     4  5 (125 %) !                8  5 (62 %)"
    assert promised in answer.out, "4 machines of the 5, one with 2 vCPU; the fifth is not made"
    assert (
        "paris  (not made yet)                 1                  1                          3" in answer.out
    )
    assert "16 (0 %)" in answer.out and "backups   available" in answer.out
    assert lines["dupont"][:7] == ["dupont", "C-dupont", "4", "3", "4", "7", "16"]
    assert " ".join(lines["dupont"][7:]) == "1 no backup, 1 held, 1 not made, 1 re…"
    assert lines["martin"] == ["martin", "C-martin", "1", "1", "2", "1", "4", "no", "file"]
    assert lines["dupont/web-1"][2:] == ["running", "1", "1", "4", "5", "h", *lines["dupont/web-1"][8:]]
    assert lines["dupont/web-1"][-2:] == ["1", "update"], "the other one was installed since"
    assert lines["dupont/db-1"][2:] == ["running", "1", "1", "4", "5", "d", "never", "held"]
    assert lines["dupont/new-1"] == ["dupont/new-1", "paris", "missing", "1", "3", "4"]
    assert lines["dupont/plain-1"][2:] == ["running", "1", "2", "4", "off", "restart"]
    assert lines["martin/shop-1"][2:] == ["running", "2", "1", "4", "off", "in", "no", "file"]
    assert "2 clients, 5 machines, 4 running, 1 not made" in answer.out
    assert "more promised than there is (!): 1 node, 0 storages" in answer.out
    assert "client martin has 1 machine at paris and no file among those given: nothing" in answer.out


def test_the_json_has_every_value_and_a_version(estate: Desk) -> None:
    data = _json(estate)
    assert (data["version"], data["files"], data["incomplete"], data["problems"]) == (1, True, False, [])
    assert [site["site"] for site in data["sites"]] == ["paris"] and data["sites"][0]["version"]
    machines = {row["machine"]: row for row in data["machines"]}
    web, db, new = machines["web-1"], machines["db-1"], machines["new-1"]
    age = dt.datetime.fromisoformat(data["at"]) - dt.datetime.fromisoformat(web["last_backup"])
    assert dt.timedelta(hours=5) <= age < dt.timedelta(hours=6), "the newest one failed its restore test"
    assert (web["tested"], web["updates_due"], web["held"], web["restart"]) == ("2026-11-20", 1, None, [])
    assert (db["held"], db["held_from"]) == ("nginx is down", "updates")
    assert db["held_since"] == "2026-11-01T00:00:00+00:00"
    assert (new["state"], new["node"], new["vmid"], new["memory_mib"]) == ("missing", None, None, 3072)
    assert machines["plain-1"]["restart"] == ["memory"] and machines["plain-1"]["memory_mib"] == 2048
    since = dt.datetime.fromisoformat(machines["plain-1"]["restart_since"])
    assert since <= dt.datetime.fromisoformat(data["at"]), "the history knows when it was written"
    assert machines["plain-1"]["updates_due"] is None, "no night looked into it"
    assert [row["file"] for row in data["clients"]] == ["yes", "none"]
    nodes = {row["node"]: row for row in data["nodes"]}
    assert nodes["pve1"]["vcpus_over_promised"] and not nodes["pve1"]["memory_over_promised"]
    assert nodes["pve1"]["memory_mib_promised"] == 5 * 1024
    storages = {(row["storage"], row["node"]): row["promised_bytes"] for row in data["storages"]}
    assert storages == {("local", "pve1"): 16 * _GIB, ("local", ""): 4 * _GIB, (STORE, ""): None}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--client", "martin"), ["shop-1"]),
        (("--client", "martin", "--client", "dupont", "--state", "running"), ["db-1", "plain-1", "web-1", "shop-1"]),
        (("--state", "missing"), ["new-1"]),
        (("--node", "pve1", "--sort", "memory", "--reverse"), ["plain-1", "db-1", "web-1", "shop-1"]),
        (("--node", "pve9"), []),
        (("--due", "restarts"), ["plain-1"]),
        (("--due", "updates"), ["web-1"]),
        (("--due", "updates", "--due", "restarts"), ["plain-1", "web-1"]),
        (("--held",), ["db-1"]),
        (("--without-backup", "2d"), ["db-1"]),
        (("--without-backup", "4h"), ["db-1", "web-1"]),
        (("--without-backup", "6d"), []),
        (("--without-file",), ["shop-1"]),
        (("--sort", "backup", "--without-backup", "1h"), ["db-1", "web-1"]),
        (("--sort", "backup", "--without-backup", "1h", "--reverse"), ["web-1", "db-1"]),
    ],
)  # fmt: skip
def test_machines_are_chosen_and_sorted(estate: Desk, options: tuple[str, ...], names: list[str]) -> None:
    assert _names(estate, *options) == names


def test_chosen_machines_are_shown_alone_and_what_is_promised_is_what_it_was(estate: Desk) -> None:
    answer = estate.run("show", "--held")
    assert answer.code == 0 and "dupont/db-1" in answer.out and "online" not in answer.out, answer
    assert "1 client, 1 machine, 1 running, 1 held back, 1 without a good backup for 2 days" in answer.out
    assert "5 (125 %) !" in estate.run("show", "--held", "--table", "nodes").out
    data = _json(estate, "--held")
    assert [row["client"] for row in data["clients"]] == ["dupont"]
    assert [row["machines"] for row in data["nodes"]] == [4, 1]


def test_csv_has_one_header_and_no_formulas(estate: Desk) -> None:
    try:
        _note(estate, "shop-1", contract="C-1", offer="=HYPERLINK(0)")
        answer = estate.run("show", "--format", "csv", "--client", "martin")
        (row,) = csv.DictReader(io.StringIO(answer.out))
    finally:
        _note(estate, "shop-1", contract="C-martin", offer="cloud-vm-advanced")
    assert answer.code == 0
    assert (row["offer"], row["machine"], row["in_file"]) == ("'=HYPERLINK(0)", "shop-1", "no")
    rows = list(csv.DictReader(io.StringIO(estate.run("show", "--format", "csv").out)))
    assert list(rows[0]) == list(_json(estate)["machines"][0])
    assert [row["restart"] for row in rows] == ["", "", "memory", "", ""]
    nodes = list(csv.DictReader(io.StringIO(estate.run("show", "--format", "csv", "--table", "nodes").out)))
    assert [(row["node"], row["vcpus_over_promised"]) for row in nodes] == [("pve1", "yes"), ("", "no")]


def test_a_name_shows_everything_about_it_as_before_and_takes_no_filters(estate: Desk) -> None:
    answer = estate.run("show", "dupont/web-1")
    assert answer.code == 0 and "last restored and found sound on 2026-11-20" in answer.out, answer
    refused = estate.run("show", "dupont/web-1", "--held")
    assert refused.code == 1 and "dupont/web-1 is shown with everything about it" in refused.err, refused


def test_bad_input_is_refused_before_anything_is_read(estate: Desk) -> None:
    for options, said in (
        (("--without-backup", "soon"), "--without-backup soon is not an age: write 36h, or 2d"),
        (("--site", "rome"), "there is no site rome: the inventory has paris"),
        (("--files", "elsewhere"), "elsewhere does not exist"),
    ):
        answer = estate.run("show", *options)
        assert answer.code == 1 and said in answer.err, answer
    assert estate.run("show", "--state", "asleep").code == 2


def test_one_file_tells_nothing_of_the_clients_of_others(estate: Desk) -> None:
    data = _json(estate, "--files", "subscriptions/dupont.yaml")
    assert {row["client"]: row["file"] for row in data["clients"]} == {"dupont": "yes", "martin": None}
    assert {row["in_file"] for row in data["machines"] if row["client"] == "martin"} == {None}
    assert data["without_file"] == []


def test_a_restart_that_is_held_back_is_a_hold_as_well(estate: Desk) -> None:
    since = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)
    note = RestartNote(state="held", since=since, settings={"memory": "2048"}, reason="it did not come back")
    try:
        _note(estate, "plain-1", restart=note)
        held = {row["machine"]: row for row in _json(estate, "--held")["machines"]}
    finally:
        _note(estate, "plain-1", restart=None)
    assert sorted(held) == ["db-1", "plain-1"]
    assert (held["plain-1"]["held"], held["plain-1"]["held_from"]) == ("it did not come back", "restart")


def test_a_machine_whose_settings_were_put_back_is_held_although_nothing_waits_in_proxmox(
    estate: Desk,
) -> None:
    """The usual hold: the guest did not come back, runs with the settings from before, and its file asks for others."""
    since = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)
    vm = estate.machines()["web-1"]
    before = str(vm["config"]["memory"])
    note = RestartNote(
        state="held",
        since=since,
        settings={"memory": before},
        before={"memory": "512"},
        reason="it did not come back",
    )
    try:
        _note(estate, "web-1", restart=note)
        estate.fakes["paris"].control("set_config", vmid=vm["vmid"], memory="512")
        held = {row["machine"]: row for row in _json(estate, "--held")["machines"]}
        shown = estate.run("show", "--held").out
    finally:
        estate.fakes["paris"].control("set_config", vmid=vm["vmid"], memory=before)
        _note(estate, "web-1", restart=None)
    assert sorted(held) == ["db-1", "web-1"], held
    assert held["web-1"]["held"] == "it did not come back" and "dupont/web-1" in shown


def test_the_sums_below_filtered_machines_are_of_those_that_are_shown(estate: Desk) -> None:
    """The machine without a good backup is another one of the same client."""
    shown = estate.run("show", "--due", "updates").out
    assert "1 client, 1 machine, 1 running, 1 with updates due" in shown
    assert "without a good backup" not in shown, shown


def test_files_with_errors_or_none_at_all_leave_the_rest_shown(estate: Desk) -> None:
    file = estate.folder / "subscriptions" / "dupont.yaml"
    text = file.read_text()
    try:
        file.write_text(text.replace("1GiB", "1 horse"))
        answer = estate.run("show")
        assert answer.code == 1 and "not read: subscriptions/dupont.yaml:" in answer.out, answer
        assert "errors in its file" in answer.out and "dupont/web-1" in answer.out
        file.unlink()
        file.parent.rmdir()
        answer = estate.run("show")
        assert answer.code == 0 and "no subscription files were read" in answer.out, answer
        assert "in no file" not in answer.out and "no file" not in answer.out
    finally:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)


def test_calls_do_not_grow_but_by_one_a_machine_and_one_a_backup_storage(estate: Desk) -> None:
    fake = estate.fakes["paris"]
    fake.control("reset_calls")
    assert estate.run("show").code == 0
    calls = fake.calls()
    content = f"GET /nodes/pve1/storage/{STORE}/content"
    machines = [call for call in calls if call.endswith("/pending")]
    assert (len(machines), calls[content], sum(calls.values())) == (4, 1, 4 + 4 + 1), calls


def test_a_history_that_is_broken_leaves_the_machines_shown(estate: Desk) -> None:
    broken = estate.folder / "broken.db"
    broken.write_text("not a database " * 100)
    answer = estate.run("show", "--history", str(broken))
    assert answer.code == 1 and "dupont/web-1" in answer.out, answer
    assert str(broken) in answer.out and "Traceback" not in answer.err + answer.out
    assert _json(estate, "--history", str(broken), code=1)["machines"][0]["updates_due"] is None


def test_a_backup_storage_that_is_away_is_named_and_its_backups_are_not_known(estate: Desk) -> None:
    fake = estate.fakes["paris"]
    fake.fault(
        "GET", f"/nodes/pve1/storage/{STORE}/content", "error", status=500, text="not mounted", times=99
    )
    try:
        answer = estate.run("show")
        late = _names(estate, "--without-backup", "2d", code=1)
    finally:
        fake.control("clear_faults")
    assert answer.code == 1 and f"not read: backup storage {STORE}, paris:" in answer.out, answer
    assert _lines(answer)["dupont/web-1"][6] == "?"
    assert late == ["db-1", "web-1"], "what nobody knows is not taken for good"


def test_what_cannot_be_read_is_shown_as_that_with_its_client_and_the_others_go_on(estate: Desk) -> None:
    vm = estate.machines()["web-1"]
    fake, notes = estate.fakes["paris"], vm["config"]["description"]
    try:
        fake.control("set_config", vmid=vm["vmid"], description=notes.replace('"v":3', '"v":9'))
        answer = estate.run("show")
        (row,) = [one for one in _json(estate, code=1)["machines"] if one["machine"] == "web-1"]
    finally:
        fake.control("set_config", vmid=vm["vmid"], description=notes)
    assert answer.code == 1 and f"not read: VM {vm['vmid']} web-1 on pve1, paris: " in answer.out, answer
    assert _lines(answer)["dupont/web-1"][2] == "unreadable" and "dupont/db-1" in answer.out
    assert (row["state"], row["in_file"], row["memory_mib"]) == ("unreadable", True, 1024)
    assert "of version 9" in row["problem"]


def test_a_site_that_does_not_answer_is_named_and_the_others_are_shown(estate: Desk) -> None:
    estate.sites["lyon"] = copy.deepcopy(estate.sites["paris"])
    estate.sites["lyon"]["api"] |= {
        "url": "https://127.0.0.1:9",
        "token_secret": {"file": str(estate.folder / "no-such-file")},
    }
    del estate.sites["lyon"]["backup_storages"]
    estate.write_sites()
    elsewhere = subscription("durand", [machine("far-1")], site="lyon")
    path = estate.folder / "subscriptions" / "durand.yaml"
    path.write_text(yaml.safe_dump(elsewhere, sort_keys=False))
    try:
        answer = estate.run("show")
        assert answer.code == 1 and "not read: lyon: " in answer.out, answer
        assert _lines(answer)["durand/far-1"][:3] == ["durand/far-1", "lyon", "unknown"]
        assert "dupont/web-1" in answer.out and "Traceback" not in answer.err
        data = _json(estate, code=1)
        assert [(site["site"], bool(site["problem"])) for site in data["sites"]] == [
            ("lyon", True),
            ("paris", False),
        ]
        alone = estate.run("show", "--site", "paris")
        assert alone.code == 0 and "durand" not in alone.out, alone
    finally:
        path.unlink()
        del estate.sites["lyon"]
        estate.write_sites()


def test_a_machine_that_was_taken_out_of_its_file_holds_its_disks_alone(estate: Desk) -> None:
    try:
        _note(estate, "shop-1", retired=dt.date(2026, 11, 1))
        row = next(one for one in _json(estate)["machines"] if one["machine"] == "shop-1")
    finally:
        _note(estate, "shop-1", retired=None)
    assert (row["state"], row["running"], row["vcpus"], row["memory_mib"], row["disk_gib"]) == (
        "retired",
        True,
        0,
        0,
        4.0,
    )


def test_guests_of_others_count_where_they_run(estate: Desk) -> None:
    fake = estate.fakes["paris"]
    config = {"memory": "2048", "cores": 3, "description": "somebody's"}
    fake.control("add_vms", vms=[{"vmid": 500, "name": "other", "status": "running", "config": config}])
    try:
        node = _json(estate)["nodes"][0]
        assert (node["vcpus_others"], node["memory_mib_others"], node["machines"]) == (3, 2048, 4)
        fake.control("add_vms", vms=[{"vmid": 501, "name": "off", "status": "stopped", "config": config}])
        assert _json(estate)["nodes"][0]["vcpus_others"] == 3, "a stopped one takes nothing"
    finally:
        for vmid in (500, 501):
            fake.control("remove_vm", vmid=vmid)


def test_the_longest_names_that_a_file_may_have_keep_to_100_columns(estate: Desk) -> None:
    client, name = "c" + "x" * 61 + "y", "m" + "x" * 61 + "z"
    path = estate.folder / "subscriptions" / "long.yaml"
    contract = {"reference": "C" * 64, "starts": "2026-03-01", "site": "paris"}
    path.write_text(yaml.safe_dump(subscription(client, [machine(name)], contract=contract), sort_keys=False))
    try:
        answer = estate.run("show")
        (row,) = _json(estate, "--client", client)["machines"]
    finally:
        path.unlink()
    assert answer.code == 0 and max(map(len, answer.out.splitlines())) <= 100, answer
    shown = [line for line in answer.out.splitlines() if line.startswith("cx")]
    assert len(shown) == 2 and all("…" in line for line in shown), "its client, and its machine"
    assert shown[1].split()[0].endswith("xz") and (row["client"], row["machine"]) == (client, name)


def test_shells_complete_the_machines_that_it_has_seen(estate: Desk) -> None:
    shutil.rmtree(estate.folder / "cache", ignore_errors=True)
    assert estate.run("show").code == 0
    (kept,) = (path for path in (estate.folder / "cache").rglob("*") if path.is_file())
    assert '"martin/shop-1"' in kept.read_text()
