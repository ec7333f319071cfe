"""Every error message has its entry in docs/messages.md, with what it means and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.proxmox.errors import Answer, classify
from tests.unit.subscription_texts import MACHINE, file_of, load_text
from tools.messages import PAGE, REMEDIES, Program, page, proxmox_kinds, without_message, without_remedy

_ENTRIES = re.findall(r"(?m)^- (`+) ?(.*?) ?\1\\$", PAGE.read_text())


def on_the_page(said: str) -> bool:
    """Whether an entry of the page is the message, whatever stands before it (a client, a place)."""
    patterns = (".*".join(map(re.escape, text.split("…"))) for _, text in _ENTRIES)
    return any(re.search(rf"(?:^|  |: ){pattern}", said) for pattern in patterns)


def test_every_message_has_an_entry_with_its_remedy() -> None:
    assert without_remedy() == [], f"say in {REMEDIES} what they mean and what to do, then: make reference"


def test_no_entry_is_about_a_message_that_is_gone() -> None:
    assert without_message() == [], f"take them out of {REMEDIES}, then: make reference"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "out of date: make reference"


def test_each_entry_says_what_to_do() -> None:
    entries = re.split(r"(?m)^- `", PAGE.read_text())[1:]
    assert len(entries) > 300
    assert [entry.splitlines()[0] for entry in entries if "**Do:** " not in entry] == []


def test_a_new_message_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "orchestrator" / "cli"
    folder.mkdir(parents=True)
    (folder / "fresh.py").write_text(
        "from orchestrator.cli import session\n\n\n"
        "def work(name: str) -> None:\n"
        "    reason = f'nobody has ever seen {name} here: look elsewhere'\n"
        "    session.fail(reason)\n"
    )
    messages = Program(tmp_path / "orchestrator").messages()
    assert [(item.text, item.section) for item in messages] == [
        ("nobody has ever seen … here: look elsewhere", "Commands")
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "--inventory", "nowhere"],
        ["validate", "no-such-folder"],
        ["snapshot", "create", "dupont", "name", "--inventory", "inventories/example"],
        ["history", "--noted", "1:2"],
        ["nightly", "--at", "late", "--inventory", "inventories/example"],
    ],
)
def test_what_a_command_says_is_on_the_page(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PAGE.parents[1])
    answer = CliRunner().invoke(
        app, arguments, env={"PVE_PARIS_TOKEN": "x", "PVE_LYON_TOKEN": "x", "COLUMNS": "300"}
    )
    assert answer.exit_code == 1
    told = [line for line in answer.output.splitlines() if line.startswith("error") or "  error  " in line]
    assert told, answer.output
    assert [line for line in told if not on_the_page(line)] == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("vcpus: 2", "vcpus: 0"),
        ("vcpus: 2", "vcpus: many"),
        ("vcpus: 2", "cores: 2"),
        ("        vcpus: 2\n", ""),
        ("vcpus: 2", "vcpus: 2\n        vcpus: 3"),
        ("memory: 4GiB", "memory: 4GB"),
        ("memory: 4GiB", "memory:"),
        ("memory: 4GiB", "\tmemory: 4GiB"),
        ("name: system", "name: data"),
        ("address: auto", "address: *auto"),
        ("address: auto", "backup: { retention_days: 5 }"),
        ("protocol: tcp", "protocol: icmp"),
        ("port: 443", "port: 443, ports: 1-2"),
    ],
)
def test_what_is_said_about_a_mistake_in_a_file_is_on_the_page(
    tmp_path: Path, right: str, wrong: str
) -> None:
    text = file_of(MACHINE)
    assert right in text
    problems = load_text(tmp_path, text.replace(right, wrong, 1)).problems
    assert problems
    assert [problem.message for problem in problems if not on_the_page(problem.message)] == []


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("VM is locked (backup)", "`… is locked`"),
        ("can't lock file '/var/lock/x.lck' - got timeout", "`can't lock file`"),
        ("write failed: No space left on device", "`no space left on device`"),
        ("cluster not ready - no quorum?", "`no quorum`"),
    ],
)
def test_what_proxmox_says_is_there_with_the_remedy_that_the_program_gives(text: str, entry: str) -> None:
    error = classify(Answer(site="paris", call="POST /x", status=500, text=text, errors={}))
    told = re.search(rf"(?m)^- .*{re.escape(entry)}.*\n  (.*)$", PAGE.read_text())
    assert told is not None
    remedy = ".*".join(map(re.escape, told[1].partition("**Do:** ")[2].removesuffix(".").split("…")))
    assert re.fullmatch(remedy, error.remedy, re.IGNORECASE)


def test_every_kind_of_error_of_proxmox_is_there() -> None:
    assert [name for name, means, remedy in proxmox_kinds() if not means or not remedy] == []
