"""What the offers allow, rule by rule: the article, the place, and what is allowed instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.sites import Provider, load_provider
from orchestrator.subscriptions import Problem, load
from orchestrator.subscriptions.offers import RULES
from tests.unit.subscription_texts import KEY, file_of, load_text, machine, marked
from tests.unit.test_sites import SITES

ESSENTIAL = "cloud-vm-essential"
ADVANCED = "cloud-vm-advanced"
_INDENT = " " * 12 + "- "
MACHINE_ENTRY = f"{_INDENT}{{ port: 443, protocol: tcp, from: any }}\n"


def problems_of(folder: Path, text: str, provider: Provider | None = None) -> list[Problem]:
    return list(load_text(folder, text, provider).problems)


def only_problem(folder: Path, text: str, provider: Provider | None = None) -> Problem:
    """Load a text with one marked place; return its one problem, which must be there."""
    plain, place = marked(text)
    (problem,) = problems_of(folder, plain, provider)
    assert (problem.line, problem.column, problem.end_column) == place
    return problem


def test_essential_offer_refuses_backup_and_names_article_3_3(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, file_of(machine("«backup»: { retention_days: 7 }"), ESSENTIAL))
    assert (problem.article, problem.severity) == ("3.3", "error")
    assert problem.message == "backup is not part of cloud-vm-essential"
    assert "move the machine to cloud-vm-advanced" in problem.allowed
    assert "art. 7" in problem.allowed


def test_essential_offer_refuses_redundant_hardware(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, file_of(machine("redundancy: { «hardware»: true }"), ESSENTIAL))
    assert problem.article == "3.3"
    assert "redundant hardware" in problem.message


def test_essential_offer_refuses_a_second_site(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, file_of(machine("redundancy: { «second_site»: lyon }"), ESSENTIAL))
    assert problem.article == "3.3"
    assert "one single data centre" in problem.message


def test_essential_offer_allows_redundancy_that_asks_for_nothing(tmp_path: Path) -> None:
    assert problems_of(tmp_path, file_of(machine("redundancy: { hardware: false }"), ESSENTIAL)) == []


def test_essential_offer_refuses_a_machine_stopped_for_the_client(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, file_of(machine("power: «stopped»"), ESSENTIAL))
    assert problem.article == "3.3"


def test_essential_offer_allows_what_it_lists(tmp_path: Path) -> None:
    text = (
        "power: running\nsnapshots: [{ name: s1, taken_on: 2026-11-20 }, { name: s2, taken_on: 2026-11-20 }]"
    )
    assert problems_of(tmp_path, file_of(machine(text), ESSENTIAL)) == []


def test_advanced_offer_allows_every_option(tmp_path: Path) -> None:
    text = "power: stopped\nbackup: { retention_days: 31 }\nredundancy: { hardware: true, second_site: lyon }"
    assert problems_of(tmp_path, file_of(machine(text))) == []


@pytest.mark.parametrize("days", [1, 6, 8, 14, 30, 32, 365])
def test_advanced_backup_is_kept_7_or_31_days(tmp_path: Path, days: int) -> None:
    problem = only_problem(tmp_path, file_of(machine(f"backup: {{ retention_days: «{days}» }}")))
    assert problem.article == "3.5"
    assert "7 or 31" in problem.allowed
    assert "cloud-datacenter, on an accepted quote" in problem.allowed


@pytest.mark.parametrize("days", [7, 31])
def test_advanced_backup_of_7_and_31_days_is_allowed(tmp_path: Path, days: int) -> None:
    assert problems_of(tmp_path, file_of(machine(f"backup: {{ retention_days: {days} }}"))) == []


def test_second_site_is_another_site(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, file_of(machine("redundancy: { second_site: «paris» }")))
    assert problem.article == "3.2"


def test_cloud_datacenter_is_not_carried_out_and_nothing_else_is_said(tmp_path: Path) -> None:
    text = file_of(machine("backup: { retention_days: 90, quote: D-2026-7 }"), "«cloud-datacenter»")
    problem = only_problem(tmp_path, text)
    assert (problem.article, problem.severity) == ("3.1", "error")
    assert "not carried out by this version" in problem.message


def test_other_days_than_7_or_31_need_a_quote_and_cloud_datacenter(tmp_path: Path) -> None:
    other = file_of(machine("backup: { retention_days: 90 }"), "cloud-datacenter")
    told = {problem.article: problem.message for problem in problems_of(tmp_path, other)}
    assert "kept 90 days needs an accepted quote" in told["3.5"]
    quoted = file_of(machine("backup: { retention_days: «90», quote: D-2026-7 }"), ADVANCED)
    assert "cannot be kept 90 days" in only_problem(tmp_path, quoted).message, (
        "a quote alone does not change the offer"
    )


def _snapshots(*days: str) -> str:
    return "snapshots:\n" + "\n".join(f"  - {{ name: s{n}, taken_on: {day} }}" for n, day in enumerate(days))


@pytest.mark.parametrize(("offer", "article"), [(ESSENTIAL, "3.3"), (ADVANCED, "3.2")])
def test_a_third_snapshot_within_seven_days_is_refused_and_names_the_kept_ones(
    tmp_path: Path, offer: str, article: str
) -> None:
    text = file_of(machine(_snapshots("2026-11-20", "2026-11-24", "2026-11-26")), offer)
    problem = only_problem(tmp_path, text.replace("- { name: s2", "- { «name»: s2"))
    assert problem.article == article
    assert "snapshot s2 would be one more than 2" in problem.message
    assert "s0, s1 are still kept" in problem.message


def test_snapshots_are_counted_by_their_days_not_their_order(tmp_path: Path) -> None:
    text = file_of(machine(_snapshots("2026-11-26", "2026-11-20", "2026-11-24")))
    problem = only_problem(tmp_path, text.replace("- { name: s0", "- { «name»: s0"))
    assert "s1, s2 are still kept" in problem.message


def test_a_snapshot_makes_room_on_its_eighth_day(tmp_path: Path) -> None:
    text = file_of(machine(_snapshots("2026-11-20", "2026-11-24", "2026-11-27", "2026-12-01")))
    assert problems_of(tmp_path, text) == []


def test_snapshots_of_one_machine_have_different_names(tmp_path: Path) -> None:
    text = "snapshots: [{ name: a1, taken_on: 2026-11-01 }, { name: «a1», taken_on: 2026-11-20 }]"
    assert only_problem(tmp_path, file_of(machine(text))).message == "two snapshots are named a1"


@pytest.mark.parametrize("name", ["current", "Pending"])
def test_snapshot_names_that_proxmox_reserves_are_refused(tmp_path: Path, name: str) -> None:
    text = file_of(machine(f"snapshots: [{{ name: «{name}», taken_on: 2026-11-01 }}]"))
    assert "reserved by Proxmox" in only_problem(tmp_path, text).message


def test_machines_of_one_client_have_different_names_across_its_services(tmp_path: Path) -> None:
    second = f"  - offer: {ESSENTIAL}\n    machines:\n" + machine(name="«web-1»")
    assert only_problem(tmp_path, file_of(machine()) + second).message == "two machines are named web-1"


def test_disks_of_one_machine_have_different_names(tmp_path: Path) -> None:
    text = file_of(machine()).replace("20GiB }", "20GiB }, { name: «system», size: 1GiB }")
    assert only_problem(tmp_path, text).message == "two disks are named system"


def test_the_first_disk_is_the_system_disk(tmp_path: Path) -> None:
    text = file_of(machine()).replace("{ name: system", "{ name: «data»")
    assert "named system" in only_problem(tmp_path, text).allowed


def test_a_port_opened_twice_is_a_warning(tmp_path: Path) -> None:
    entry = "            - { «ports»: 400-500, protocol: tcp, from: [10.0.0.0/8] }\n"
    text = file_of(machine() + entry + entry.replace("tcp", "udp").replace("«ports»", "ports"))
    problem = only_problem(tmp_path, text)
    assert problem.severity == "warning"
    assert "tcp 443 is opened by entry 1 already" in problem.message
    assert load_text(tmp_path, marked(text)[0]).subscriptions != (), "a warning does not stop a file"


@pytest.mark.parametrize(
    "opened",
    [
        "{ «port»: 22, protocol: tcp, from: any }",
        "{ «ports»: 20-25, protocol: tcp, from: any }",
        "{ «ports»: 1-79, protocol: tcp, from: [10.0.0.0/8, 0.0.0.0/0] }",
        "{ «port»: 22, protocol: tcp, from: [0.0.0.0/1, 128.0.0.0/1] }",
        "{ «port»: 22, protocol: tcp, from: [2000::/3] }",
    ],
)
def test_3_6_and_3_8_2_port_22_open_from_any_is_a_finding(tmp_path: Path, opened: str) -> None:
    entry = MACHINE_ENTRY.replace("443", "80")
    problem = only_problem(tmp_path, file_of(machine().replace(MACHINE_ENTRY, f"{entry}{_INDENT}{opened}\n")))
    assert (problem.severity, problem.article) == ("warning", "3.6")
    assert "SSH (tcp 22) is open to" in problem.message
    assert "administration.allowed_from" in problem.allowed


@pytest.mark.parametrize(
    "opened",
    [
        "{ port: 22, protocol: udp, from: any }",
        "{ ports: 23-30, protocol: tcp, from: any }",
        "{ port: 22, protocol: tcp, from: [10.0.0.0/8, fc00::/7, 198.51.100.0/24] }",
    ],
)
def test_other_ports_and_few_addresses_are_no_finding(tmp_path: Path, opened: str) -> None:
    assert problems_of(tmp_path, file_of(machine() + f"{_INDENT}{opened}\n")) == []


def test_administration_from_every_address_in_halves_is_a_finding(tmp_path: Path) -> None:
    text = file_of(machine()).replace(
        "allowed_from: [198.51.100.0/24]", "«allowed_from»: [0.0.0.0/1, 128.0.0.0/1]"
    )
    problem = only_problem(tmp_path, text)
    assert (problem.severity, problem.article) == ("warning", "3.6")
    assert "everybody (0.0.0.0/0)" in problem.message


@pytest.mark.parametrize(
    ("outgoing", "warned"),
    [
        ("[]", True),
        ("[{ port: 25, protocol: tcp, to: any }]", True),
        ("[{ port: 443, protocol: udp, to: any }]", True),
        ("[{ ports: 70-90, protocol: tcp, to: [203.0.113.0/24] }]", False),
        ("[{ port: 443, protocol: tcp, to: any }, { protocol: esp, to: any }]", False),
    ],
)
def test_outgoing_traffic_without_the_web_would_keep_updates_away(
    tmp_path: Path, outgoing: str, warned: bool
) -> None:
    text = file_of(machine().replace("          open:", f"          outgoing: {outgoing}\n          open:"))
    problems = [(p.severity, p.article) for p in problems_of(tmp_path, text)]
    assert problems == ([("warning", "3.8.3")] if warned else [])


def test_3_8_2_a_fully_managed_server_that_opens_ssh_is_a_finding(tmp_path: Path) -> None:
    text = file_of(machine() + f"{_INDENT}{{ port: 22, protocol: tcp, from: [203.0.113.7] }}\n")
    found = problems_of(tmp_path, text.replace("level: supervision", "level: full"))
    (ssh,) = [problem for problem in found if "tcp 22" in problem.message]
    assert (ssh.severity, ssh.article, ssh.line) == (
        "warning",
        "3.8.2",
        text[: text.index("port: 22")].count("\n") + 1,
    )


def test_a_window_that_ends_when_it_begins_is_refused(tmp_path: Path) -> None:
    text = file_of(machine()).replace('to: "02:00"', 'to: «"22:00"»')
    assert "ends when it begins" in only_problem(tmp_path, text).message


def test_a_day_of_the_window_is_named_once(tmp_path: Path) -> None:
    text = file_of(machine()).replace("[tuesday]", "[tuesday, monday, «tuesday»]")
    assert only_problem(tmp_path, text).message == "two days are named tuesday"


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ('maintenance_window: { days: [tuesday], from: "22:00", to: "02:00" }', ""),
        ('maintenance_window: { days: [sunday], from: "09:00", to: "12:00" }', ""),
        ('maintenance_window: { days: [friday], from: "17:00", to: "19:00" }', ""),
        (
            'maintenance_window: { days: [tuesday], from: "09:00", to: "12:00" }',
            "opens in working hours alone",
        ),
        ("standard_changes_per_month: 1", "need a maintenance window"),
    ],
)
def test_automatic_updates_need_a_window_that_meets_a_night(
    tmp_path: Path, window: str, expected: str
) -> None:
    text = file_of(machine())
    head, _, rest = text.partition("managed_services:\n")
    services = rest[rest.index("services:") :]
    text = f"{head}managed_services:\n  level: supervision\n  updates: automatic\n  {window}\n{services}"
    problems = problems_of(tmp_path, text)
    assert [problem.article for problem in problems] == (["3.8.3"] if expected else []), problems
    assert all(expected in problem.message for problem in problems)


@pytest.mark.parametrize(
    ("named", "message"),
    [("web-9", "this file has no machine web-9"), ("web-1", "web-1 cannot be apart from itself")],
)
def test_a_pair_is_of_two_machines_of_the_file(tmp_path: Path, named: str, message: str) -> None:
    problem = only_problem(tmp_path, file_of(machine(f"apart_from: [«{named}»]")))
    assert problem.message == message


def test_full_managed_services_leave_the_client_no_access_and_warn_with_article_3_8_2(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, file_of(machine()).replace("level: supervision", "level: full"))
    assert [(p.severity, p.article, p.source_line.strip()) for p in loaded.problems] == [
        ("warning", "3.8.2", "ssh_keys:"),
        ("warning", "3.8.2", "allowed_from: [198.51.100.0/24]"),
    ]
    assert len(loaded.subscriptions) == 1


def test_offer_rules_are_checked_although_the_file_has_other_mistakes(tmp_path: Path) -> None:
    text = file_of(machine("backup: { retention_days: 8 }\nram: 1GiB")).replace("vcpus: 2", "vcpus: many")
    articles = [problem.article for problem in problems_of(tmp_path, text)]
    assert articles == ["2", "3.5", None]


@pytest.mark.parametrize(
    ("offer", "extra"),
    [
        ("cloud-vm-basic", "backup: { retention_days: 8 }"),  # which offer is meant is not known
        (ESSENTIAL, "backup: daily"),  # whether it asks for a backup is not known
        (ADVANCED, "redundancy: { second_site: PARIS }"),
        (ADVANCED, _snapshots("2026-11-20", "2026-11-21", "2026-11-31")),
    ],
)
def test_no_rule_judges_a_value_that_is_wrong_already(tmp_path: Path, offer: str, extra: str) -> None:
    (problem,) = problems_of(tmp_path, file_of(machine(extra), offer))
    assert " cannot be " in problem.message or " belongs here" in problem.message


def test_every_rule_says_in_its_docstring_why_it_is_one() -> None:
    assert all(rule.__doc__ for rule in RULES)
    assert len(set(RULES)) == len(RULES)


# Between files


def test_one_client_has_one_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(file_of(machine()))
    (tmp_path / "b.yaml").write_text(file_of(machine(name="web-2")))
    (problem,) = load([tmp_path]).problems
    assert Path(problem.file).name == "b.yaml"
    assert problem.message == f"client dupont has a file already: {tmp_path / 'a.yaml'}:1"


def test_one_address_of_a_site_has_one_machine_across_files(tmp_path: Path) -> None:
    text = file_of(machine()).replace("auto", "203.0.113.20")
    (tmp_path / "a.yaml").write_text(text)
    (tmp_path / "b.yaml").write_text(text.replace("dupont\n", "martin\n").replace("C-2026", "M-2026"))
    (tmp_path / "c.yaml").write_text(
        text.replace("dupont\n", "durand\n").replace("C-2026", "D-2026").replace("site: paris", "site: lyon")
    )
    (problem,) = load([tmp_path]).problems
    assert Path(problem.file).name == "b.yaml"
    assert "203.0.113.20 on site paris is claimed by machine web-1 already" in problem.message
    assert f"{tmp_path / 'a.yaml'}:{problem.line}" in problem.message


def test_one_address_has_one_machine_within_a_file(tmp_path: Path) -> None:
    text = file_of(machine() + machine(name="web-2").replace("auto", "«203.0.113.20»"))
    text = text.replace("auto", "203.0.113.20")
    assert "claimed by machine web-1" in only_problem(tmp_path, text).message


# Against the provider's sites


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    folder = tmp_path / "inventory"
    folder.mkdir()
    (folder / "sites.yaml").write_text(SITES)
    return load_provider(folder)


UNFIT = [
    # What is replaced in the good file, by what, and part of the message.
    ("site: paris", "site: «pariss»", "there is no site pariss"),
    ("image: debian-12", "image: «debian-13»", "there is no image debian-13"),
    ("address: auto", "network: «private»", "there is no network private"),
    ("address: auto", "address: «192.0.2.9»", "192.0.2.9 is not in the subnet of network public"),
    ("address: auto", "address: «203.0.113.1»", "203.0.113.1 is the gateway of network public"),
    ("address: auto", "address: «203.0.113.2»", "203.0.113.2 is a name server of network public"),
    (
        "address: auto",
        "address: «203.0.113.0»",
        "203.0.113.0 is the address of the subnet 203.0.113.0/24 itself",
    ),
    ("address: auto", "address: «203.0.113.255»", "203.0.113.255 is the broadcast address"),
    ("address: auto", "redundancy: { second_site: «lille» }", "there is no second site lille"),
]


@pytest.mark.parametrize(("old", "new", "message"), UNFIT)
def test_what_the_sites_do_not_have_is_refused(
    tmp_path: Path, provider: Provider, old: str, new: str, message: str
) -> None:
    problem = only_problem(tmp_path, file_of(machine()).replace(old, new), provider)
    assert problem.message.startswith(message)
    assert problem.allowed


@pytest.mark.parametrize(("old", "new", "message"), UNFIT)
def test_without_an_inventory_names_and_addresses_are_not_checked(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    text, _ = marked(file_of(machine()).replace(old, new))
    assert problems_of(tmp_path, text) == []


def test_a_name_that_is_nearly_right_gets_a_suggestion(tmp_path: Path, provider: Provider) -> None:
    problem = only_problem(tmp_path, file_of(machine()).replace("site: paris", "site: «pariss»"), provider)
    assert problem.allowed == "did you mean paris? the inventory has: lyon, paris"


def test_a_second_site_needs_nodes_of_the_same_cluster(tmp_path: Path, provider: Provider) -> None:
    text = file_of(machine("redundancy: { second_site: «paris» }")).replace("site: paris", "site: lyon", 1)
    problem = only_problem(tmp_path, text, provider)
    assert problem.message == "site lyon has no second site"
    assert "Proxmox replicates inside one cluster" in problem.allowed


def test_backup_needs_a_storage_at_another_site(tmp_path: Path, provider: Provider) -> None:
    text = file_of(machine("«backup»: { retention_days: 7 }")).replace("site: paris", "site: lyon")
    problem = only_problem(tmp_path, text, provider)
    assert problem.article == "3.5"
    assert "no storage for backups at another site" in problem.message


def test_backup_at_a_site_that_has_such_a_storage_is_allowed(tmp_path: Path, provider: Provider) -> None:
    assert problems_of(tmp_path, file_of(machine("backup: { retention_days: 7 }")), provider) == []


def test_an_address_of_the_network_that_the_machine_chose_fits(tmp_path: Path, provider: Provider) -> None:
    text = file_of(machine("network: internal")).replace("auto", "10.1.0.7")
    assert problems_of(tmp_path, text, provider) == []


def test_the_examples_of_the_readme_have_no_problems() -> None:
    loaded = load([Path(__file__).parents[2] / "examples"])
    assert loaded.problems == ()
    assert {item.subscription.client for item in loaded.subscriptions} >= {"dupont", "martin"}
    assert all(KEY not in item.document.text for item in loaded.subscriptions), (
        "each example has a key of its own"
    )


def test_3_5_the_system_disk_is_never_left_out_of_the_backup(tmp_path: Path) -> None:
    saved = file_of(machine("backup: { retention_days: 7 }"))
    problem = only_problem(tmp_path, saved.replace("20GiB }", "20GiB, backup: «false» }"))
    assert (problem.article, problem.severity) == ("3.5", "error") and "holds the system" in problem.message
    data = "20GiB }, { name: data, size: 1GiB, backup: «false» }"
    assert problems_of(tmp_path, marked(saved.replace("20GiB }", data))[0]) == []
    unsaved = only_problem(tmp_path, file_of(machine()).replace("20GiB }", data))
    assert unsaved.severity == "warning" and "has no effect" in unsaved.message
