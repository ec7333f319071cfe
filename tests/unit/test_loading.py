"""Loading: every mistake of a file is found, at its place, in words for people; nothing makes it raise."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.subscriptions import load, render_problem
from orchestrator.yaml_reader import composing, reading
from orchestrator.yaml_reader.composing import DEEPEST
from orchestrator.yaml_reader.files import LARGEST_BYTES
from tests.unit.subscription_texts import HEAD, KEY, MACHINE, file_of, load_text, marked

GOOD = file_of(MACHINE)


def test_a_good_file_has_no_problems_and_says_what_it_says(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, GOOD)
    assert loaded.problems == ()
    assert loaded.files == 1
    (only,) = loaded.subscriptions
    assert only.subscription.client == "dupont"
    assert only.subscription.contract.starts == dt.date(2026, 3, 1)
    (machine,) = only.subscription.services[0].machines
    assert (machine.memory, machine.disks[0].size) == (4096, 20)
    assert machine.firewall.open[0].first_last == (443, 443)


def test_values_are_found_again_by_line_and_column(tmp_path: Path) -> None:
    (only,) = load_text(tmp_path, GOOD).subscriptions
    lines = GOOD.splitlines()
    line, column = only.locate(("services", 0, "machines", 0, "memory"))
    assert lines[line - 1][column - 1 :] == "4GiB"
    line, column = only.locate(("services", 0, "machines", 0, "disks"))
    assert lines[line - 1][column - 1 :].startswith("disks:")
    line, column = only.locate(("services", 0, "machines", 0, "backup", "retention_days"))
    assert lines[line - 1][column - 1 :].startswith("name: web-1"), (
        "what is missing is found by what should hold it"
    )


# fmt: off
EDITS = [
    # Name, what is replaced in the good file, by what (the place marked), part of the message and of what is allowed.
    ("mapped IPv4", "[198.51.100.0/24]", "[«'::ffff:198.51.100.7'»]", "item 1 of allowed_from", "write 198.51.100.7:"),
    ("mapped IPv4 network", "from: any", "from: [«'::ffff:10.0.0.0/104'»]", "item 1 of from", "write 10.0.0.0/8:"),
    ("scope", "[198.51.100.0/24]", "[«fe80::1%eth0»]", "item 1 of allowed_from", "write fe80::1:"),
    ("scope of a network", "from: any", "from: [«'fe80::%eth0/64'»]", "item 1 of from", "write fe80::/64:"),
    ("mapped with host bits", "from: any", "from: [«'::ffff:10.0.0.1/104'»]", "item 1 of from", "write 10.0.0.0/8:"),
    ("digits of another script", "vcpus: 2", "vcpus: «'٣'»", "a whole number belongs", "at least one"),
    ("a day far away", "starts: 2026-03-01", "starts: «9999-12-31»", "starts cannot be", "1970 and 2999"),
    ("zero vCPU", "vcpus: 2", "vcpus: «0»", "vcpus cannot be 0", "at least 1"),
    ("quoted", "vcpus: 2", 'vcpus: «"2"»', "a whole number belongs", "without quotes: 2"),
    ("half a vCPU", "vcpus: 2", "vcpus: «2.5»", "the number 2.5", "at least one"),
    ("switch for number", "vcpus: 2", "vcpus: «true»", "vcpus is true", "at least one"),
    ("empty value", "vcpus: 2", "«vcpus»:", "vcpus is empty", "take it out"),
    ("hexadecimal", "vcpus: 2", "vcpus: «0x2»", "the number 0x2", "decimal"),
    ("leading zero", "vcpus: 2", "vcpus: «02»", "the number 02", "decimal"),
    ("4 GB", "4GiB", "«4 GB»", 'memory cannot be "4 GB"', "write 4GiB"),
    ("4G", "4GiB", "«4G»", 'memory cannot be "4G"', "write 4GiB"),
    ("4Go", "4GiB", "«4Go»", 'memory cannot be "4Go"', "write 4GiB: Go counts in thousands"),
    ("4 gio", "4GiB", "«4 gio»", "memory cannot be", "write 4GiB"),
    ("half a GiB more", "4GiB", "«1,5GiB»", "memory cannot be", "a whole number: write 1536MiB"),
    ("no-break space in a value", "4GiB", "«4\u00a0GiB»", "memory holds a no-break space (U+00A0)", "ordinary space"),
    ("narrow one", "4GiB", "«4\u202fGiB»", "memory holds a narrow no-break space (U+202F)", "ordinary space"),
    ("after a colon", "memory: 4GiB", "memory:«\u00a0»4GiB", "a no-break space (U+00A0) beside the colon", "ordinary"),
    ("before a colon", "memory: 4GiB", "memory«\u202f»: 4GiB", "a narrow no-break space (U+202F) beside", "ordinary"),
    ("in the indentation", "        memory: 4GiB", "    «\u00a0»   memory: 4GiB", "in the indentation", "ordinary"),
    ("after a dash", "- name: web-1", "-«\u00a0»name: web-1", "a no-break space (U+00A0) in", "ordinary space"),
    ("in a key between braces", "port: 443", "«port\u00a0»: 443", "the key port holds a no-break space", "ordinary"),
    ("yes for a mapping", "address: auto", "backup: «yes»", "yes without quotes", "keys retention_days, copies, quote"),
    ("on for a switch", "address: auto", "redundancy: { hardware: «On» }", "On without quotes", "write true"),
    ("no days", "address: auto", "backup: { retention_days: «0» }", "retention_days cannot be 0", "7 or 31 calendar"),
    ("no command", "address: auto", 'backup: { retention_days: 7, «check»: { expect: a } }', "run is missing", "run: "),
    ("empty command", "address: auto", 'backup: { retention_days: 7, check: { run: «" "» } }', 'run cannot be " "',
     "a command for /bin/sh"),
    ("two lines", "address: auto", r'backup: { retention_days: 7, check: { run: «"a\nb"» } }', "run cannot be",
     "a command for /bin/sh"),
    ("an escape", "address: auto", r'backup: { retention_days: 7, check: { run: a, expect: «"\e[2J"» } }',
     "expect cannot be", "a text that its output must contain"),
    ("number for text", "address: auto", "backup: { retention_days: 7, check: { run: a, expect: «42» } }",
     "expect is the number 42", 'in quotes: "42"'),
    ("a command alone", "address: auto", "backup: { retention_days: 7, check: «systemctl is-active x» }",
     "check is the text", "keys run, expect"),
    ("another word", "address: auto", "backup: { retention_days: 7, check: { run: a, «expects»: b } }",
     "unknown key expects", "did you mean expect?"),
    ("range backwards", "port: 443", "ports: «8000–10»", 'ports cannot be "8000–10"', "FIRST-LAST"),
    ("list of ports", "port: 443", "«port»: [80, 443]", "port cannot be this list", "write an item for each"),
    ("range for a port", "port: 443", "port: «8000-8010»", 'port cannot be "8000-8010"', "write ports: 8000-8010"),
    ("two ports for one", "port: 443", 'port: «"80,443"»', "port cannot be", "write an item for each"),
    ("range of one port", "port: 443", "ports: «443-443»", "ports cannot be", "write port: 443"),
    ("no unit", "4GiB", "«4096»", "memory cannot be 4096", "MiB, GiB or TiB"),
    ("fraction of a GiB", "4GiB", "«4.5GiB»", "memory cannot be", "a whole number"),
    ("too little memory", "4GiB", "«64MiB»", "memory cannot be", "128MiB to 16TiB"),
    ("disk in MiB", "20GiB", "«512MiB»", "size cannot be", "whole number of GiB"),
    ("misspelt", "memory:", "«memmory»:", "unknown key memmory", "did you mean memory?"),
    ("another tool's word", "memory:", "«ram»:", "unknown key ram", "did you mean memory?"),
    ("merge key", "address: auto", "«<<»: x", "merge keys", "write the values out"),
    ("upper case", "web-1", "«Web_1»", 'name cannot be "Web_1"', "lower-case letters"),
    ("no is no name", "web-1", "«no»", "no without quotes is a switch", '"no" for text'),
    ("number as name", "web-1", "«12»", "name is the number 12", 'in quotes: "12"'),
    ("base 60", '"22:00"', "«22:00»", "22:00 without quotes", 'in quotes: "22:00"'),
    ("hour 26", '"22:00"', '«"26:00"»', "from cannot be", "a time in quotes"),
    ("30 February", "2026-03-01", "«2026-02-30»", "starts cannot be", "no such day"),
    ("German date", "2026-03-01", "«01.03.2026»", "starts cannot be", "YEAR-MONTH-DAY"),
    ("date as number", "2026-03-01", "«20260301»", "starts cannot be", "YEAR-MONTH-DAY"),
    ("weekday", "[tuesday]", "[«tuseday»]", "item 1 of days", "did you mean tuesday?"),
    ("offer", "cloud-vm-advanced", "«cloud-vm-advance»", "offer cannot", "did you mean"),
    ("protocol", "protocol: tcp", "protocol: «tpc»", "protocol cannot", "tcp, udp"),
    ("protocol's number", "protocol: tcp", "protocol: «50»", "protocol cannot be 50", "write esp"),
    ("no protocol", "protocol: tcp", "protocol: «300»", "protocol cannot be 300", "another protocol's number"),
    ("IPv6 header", "protocol: tcp", "protocol: «43»", "protocol cannot be 43", "43 is a header of IPv6"),
    ("port of esp", "port: 443, protocol: tcp", "«port»: 443, protocol: esp", "do not fit together", "esp has none"),
    ("port 70000", "port: 443", "port: «70000»", "port cannot be 70000", "at most 65535"),
    ("port and ports", "port: 443", "«port»: 443, ports: 1-2", "do not fit together", "either port"),
    ("range of one", "port: 443", "ports: «443»", "ports cannot be 443", "FIRST-LAST"),
    ("range backwards", "port: 443", "ports: «9-1»", 'ports cannot be "9-1"', "FIRST-LAST"),
    ("source without list", "from: any", "from: «10.0.0.0/8»", "a list belongs here", "[10.0.0.0/8]"),
    ("host bits", "from: any", "from: [«10.0.0.1/8»]", "item 1 of from", "10.0.0.0/8 for the network"),
    ("source", "from: any", "from: [«x»]", "item 1 of from", "CIDR"),
    ("admin from any", "[198.51.100.0/24]", "[«any»]", "item 1 of allowed_from", "everybody is not allowed"),
    ("admin from all", "[198.51.100.0/24]", "[«0.0.0.0/0»]", "item 1 of allowed_from", "everybody is not allowed"),
    ("address", "address: auto", "address: «10.0.0»", "address cannot", "'auto' or an IPv4"),
    ("IPv6", "address: auto", "address: «::1»", "address cannot", "'auto' or an IPv4"),
    ("empty text", "C-2026-0042", "«''»", "reference cannot be", "at most 64"),
    ("tag", "client: dupont", "client: «!client dupont»", "a tag (!)", "plain value"),
    ("undefined alias", "client: dupont", "client: «*x»", "an alias (*)", "write the values out"),
]
FILES = [
    # Name, the file with the place marked, part of the message and of what is allowed.
    ("misplaced key", "«site»: paris\n" + GOOD, "unknown key site", "belongs under contract"),
    ("key type", GOOD.replace(KEY, "«ssh-dss AAAA x»"), "item 1 of ssh_keys", "an SSH public key"),
    ("key cut short", GOOD.replace(KEY, "«" + KEY[:50] + "»"), "item 1 of ssh_keys", "cut short"),
    ("unknown key without likeness", GOOD.replace("- name", "- «nom»: x\n        name"),
     "unknown key nom", "keys here: name"),
    ("missing", GOOD.replace("        vcpus: 2\n", "").replace("- name", "- «name»"), "vcpus is missing", "vcpus: 1"),
    ("missing at the top", GOOD.replace("client: dupont\n", "").replace("contract", "«contract»"),
     "client is missing", "dupont"),
    ("duplicate key", GOOD + "\n«client»: martin\n", "duplicate key client", "line 1 has it"),
    ("mapping for list", HEAD.removesuffix("services:\n") + "«services»: {}\n",
     "services is a mapping", "write a list"),
    ("empty list", HEAD.removesuffix("services:\n") + "«services»: []\n", "services is empty", "at least 1"),
    ("list for mapping", GOOD[:GOOD.index("firewall")] + "«firewall»: [x]\n",
     "firewall is a list", "keys engine, open"),
    ("text for machine", file_of("      - «foo»\n"), 'is the text "foo"', "a mapping with the keys name"),
    ("anchor", GOOD.replace("client: dupont", "client: «&x» dupont"), "an anchor (&x)", "take it out"),
    ("anchor after a tag", GOOD.replace("contract: {", "contract: !x «&y» {"), "an anchor (&y)", "take it out"),
    ("yes for a mode", GOOD.replace("level: supervision", "level: supervision\n  updates: «yes»"),
     "yes without quotes", "write on-request or automatic"),
]
# fmt: on


@pytest.mark.parametrize(
    ("text", "message", "allowed"),
    [
        *(pytest.param(GOOD.replace(old, new), *words, id=name) for name, old, new, *words in EDITS),
        *(pytest.param(text, *words, id=name) for name, text, *words in FILES),
    ],
)
def test_one_mistake_gives_one_problem_at_its_place(
    tmp_path: Path, text: str, message: str, allowed: str
) -> None:
    plain, place = marked(text)
    loaded = load_text(tmp_path, plain)
    (problem,) = loaded.problems
    assert message in problem.message
    assert allowed in problem.allowed
    assert (problem.line, problem.column, problem.end_column) == place
    assert problem.severity == "error"
    assert problem.source_line == plain.split("\n")[problem.line - 1]
    assert loaded.subscriptions == (), "a file with an error is never carried out"


MALFORMED = [
    pytest.param("a:\n«\t»b: 1\n", "a tab", "indent with spaces", id="tab"),
    pytest.param("a: b«:» c\n", "a colon that is not allowed here", "in quotes", id="two colons"),
    pytest.param("a: «@»b\n", "a value cannot begin with @", "in quotes", id="@"),
    pytest.param("a: «`»b\n", "a value cannot begin with `", "in quotes", id="backtick"),
    pytest.param('a: "b«\n»', "ends inside quotes", "close the quotes", id="open quotes"),
    pytest.param("a: [1, 2\nb«:» c\n", "a list in brackets", "end with ]", id="open bracket"),
    pytest.param("a: {b: 1\nc«:» d\n", "a mapping in braces", "end with }", id="open brace"),
    pytest.param(
        "a: 1\n«b»\n", "neither 'key: value' nor a list item", "space after the colon", id="no colon"
    ),
    pytest.param(
        "- a\n«b»: c\n", "does not continue the list above (begun on line 1)", "'- '", id="key in a list"
    ),
    pytest.param(
        "a: «-» b\n", "a list item that cannot begin here", "a line of its own", id="list in a line"
    ),
    pytest.param("a: 1\n«-»--\nb: 2\n", "a second document", "two files", id="two documents"),
    pytest.param("a: b\n...\n«c»: d\n", "after the end of the document", "one document", id="text after ..."),
    pytest.param("a: b«\x07»\n", "a control character (U+0007)", "invisible", id="control character"),
    pytest.param('a: "«\\»q"\n', "an escape that YAML does not know", "backslash", id="escape"),
    pytest.param("«%»YAML 3.0\n---\na: b\n", "YAML version", "%YAML", id="YAML 3"),
    pytest.param("? «[»a]\n: b\nclient: x\n", "a key cannot be a list", "a key is a word", id="list as key"),
    pytest.param("«#» only a comment\n", "the file is empty", "what belongs in", id="only a comment"),
]


@pytest.mark.parametrize(("text", "message", "allowed"), MALFORMED)
def test_malformed_yaml_is_explained_at_its_place(
    tmp_path: Path, text: str, message: str, allowed: str
) -> None:
    plain, (line, column, _) = marked(text)
    problem = load_text(tmp_path, plain).problems[0]
    assert message in problem.message
    assert allowed in problem.allowed
    assert (problem.line, problem.column) == (line, column)


@pytest.fixture
def without_libyaml(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """PyYAML's own parser, as where PyYAML was built without libyaml."""
    monkeypatch.setattr(composing, "_Composer", composing._PythonComposer)
    reading._root.cache_clear()
    yield
    reading._root.cache_clear()


@pytest.mark.usefixtures("without_libyaml")
def test_without_libyaml_files_say_the_same(tmp_path: Path) -> None:
    (item,) = load_text(tmp_path, GOOD).subscriptions
    assert item.subscription.client == "dupont"
    for text, message in [(GOOD.replace(old, new), words[0]) for _, old, new, *words in EDITS]:
        plain, place = marked(text)
        (problem,) = load_text(tmp_path, plain).problems
        assert message in problem.message
        assert (problem.line, problem.column, problem.end_column) == place


@pytest.mark.usefixtures("without_libyaml")
def test_without_libyaml_malformed_files_are_errors_at_the_same_line(tmp_path: Path) -> None:
    for text in [str(case.values[0]) for case in MALFORMED] + ["[" * 2000, "- " * 2000]:
        plain, (line, *_) = marked(text) if "«" in text else (text, (1, 1, 2))
        problem = load_text(tmp_path, plain).problems[0]
        assert abs(problem.line - line) <= 1, plain
        assert "the parser says" not in problem.allowed, plain


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    (problem,) = load_text(tmp_path, "").problems
    assert (problem.message, problem.line, problem.column) == ("the file is empty", 1, 1)


def test_a_key_over_several_lines_is_shown_on_one(tmp_path: Path) -> None:
    text = file_of(MACHINE.replace("port: 443", "po\n\n rt"))
    messages = [problem.message for problem in load_text(tmp_path, text).problems]
    assert "po·rt is empty" in messages
    assert not any("\n" in message for message in messages)


def test_a_file_that_is_not_utf8_is_named_with_the_byte(tmp_path: Path) -> None:
    (problem,) = load_text(tmp_path, b"client: dupont\nx: caf\xe9\n").problems
    assert "byte 0xe9" in problem.message
    assert (problem.line, problem.column) == (2, 7)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert load_text(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()).problems == ()


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "- " * 100_000, "{a: " * 100_000, "? " * 100_000, "[\n" * 50_000]
)
def test_nesting_that_would_exhaust_the_stack_is_an_error(tmp_path: Path, text: str) -> None:
    (problem,) = load_text(tmp_path, text).problems
    assert str(DEEPEST) in problem.message


def test_aliases_that_would_explode_are_refused_unread(tmp_path: Path) -> None:
    levels = "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(20)
    )
    problems = load_text(tmp_path, "a: &a [x, x]\n" + levels).problems
    found = {problem.message for problem in problems}
    assert {"an anchor (&a) is not used here", "an alias (*) is not used here"} <= found


def test_all_mistakes_of_all_files_are_reported_in_one_run(tmp_path: Path) -> None:
    first = GOOD.replace("vcpus: 2", "vcpus: 0").replace("4GiB", "4GB").replace("memory", "memmory")
    second = file_of(MACHINE + "        backup: { retention_days: 7 }\n", "cloud-vm-essential")
    (tmp_path / "a.yaml").write_text(first)
    second = second.replace("dupont", "martin").replace("C-2026-0042", "C-2026-0043")
    (tmp_path / "b.yaml").write_text(second.replace("level: sup", "lvl: sup"))
    (tmp_path / "c.yaml").write_text("x: [\n")
    problems = load([tmp_path]).problems
    assert [(Path(p.file).name, p.message) for p in problems] == [
        ("a.yaml", "vcpus cannot be 0"),
        ("a.yaml", "unknown key memmory"),
        ("b.yaml", "unknown key lvl"),
        ("b.yaml", "backup is not part of cloud-vm-essential"),
        ("c.yaml", problems[-1].message),
    ]


def test_what_a_wrong_value_stands_in_for_is_never_judged(tmp_path: Path) -> None:
    # Both names are wrong and get the same stand-in; nobody wrote that name twice.
    text = file_of(MACHINE.replace("web-1", "Web_1") + MACHINE.replace("web-1", "Web_2"))
    messages = [problem.message for problem in load_text(tmp_path, text).problems]
    assert messages == ['name cannot be "Web_1"', 'name cannot be "Web_2"']


def test_a_folder_stands_for_its_yaml_files_and_each_file_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "sub" / "b.yml").write_text(GOOD.replace("dupont", "martin"))
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / ".git" / "c.yaml").write_text("x")
    (tmp_path / "readme.md").write_text("x")
    loaded = load([tmp_path, tmp_path / "a.yaml"])
    assert loaded.files == 2
    assert [item.path.name for item in loaded.subscriptions] == ["a.yaml", "b.yml"]


def test_paths_that_hold_no_file_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link.yaml").symlink_to("nowhere")
    (tmp_path / "large.yaml").write_bytes(b"#" * (LARGEST_BYTES + 1))
    os.mkfifo(tmp_path / "pipe.yaml")
    names = ["empty", "absent.yaml", "link.yaml", "pipe.yaml", "large.yaml"]
    problems = load([tmp_path / name for name in names]).problems
    assert [(Path(p.file).name, p.message) for p in problems] == [
        ("empty", "no subscription file in this folder"),
        ("absent.yaml", "no such file or folder"),
        ("link.yaml", "a link"),
        ("pipe.yaml", "not a file"),
        ("large.yaml", "the file has more than 1 MiB"),
    ]


def test_a_problem_is_shown_with_its_line_and_marks(tmp_path: Path) -> None:
    text = file_of(MACHINE + "        backup: { retention_days: 7 }\n", "cloud-vm-essential")
    (problem,) = load_text(tmp_path, text).problems
    shown = render_problem(problem).splitlines()
    assert shown[0] == f"{problem.file}:22:9  error  backup is not part of cloud-vm-essential (art. 3.3)"
    assert shown[1] == "   22 |         backup: { retention_days: 7 }"
    assert shown[2].startswith("      |         ^^^^^^ the offer covers machines, snapshots")
    assert all(line.startswith("      |                ") for line in shown[3:])


def test_a_long_line_is_cut_around_the_mistake(tmp_path: Path) -> None:
    padded = GOOD.replace(
        "{ port: 443, protocol: tcp, from: any }", "{ " + " " * 300 + "port: 0, protocol: tcp, from: any }"
    )
    (problem,) = load_text(tmp_path, padded).problems
    _, line, marks, *_ = render_problem(problem).splitlines()
    assert len(line) < 120
    assert line[marks.index("^")] == "0"


def test_importing_the_public_face_does_not_load_pydantic() -> None:
    code = (
        "import sys, orchestrator.subscriptions, orchestrator.sites; "
        "print('pydantic' in sys.modules, 'yaml' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
