"""Files that come by merge request: where they lead, what they are, how large they are, and what of them is shown."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.subscriptions import load
from orchestrator.yaml_reader.files import LARGEST_BYTES, YamlFile, read_text, yaml_files
from orchestrator.yaml_reader.problems import MOST_PROBLEMS, Problem
from orchestrator.yaml_reader.reading import MOST_ITEMS
from tests.unit.subscription_texts import HEAD, MACHINE, file_of, load_text, machine

GOOD = file_of(MACHINE)
SECRET = "s3cr3t-of-somebody-else"
OTHERS = [
    f"root:x:0:0:{SECRET}:/root:/bin/bash\n",
    f"{SECRET}\n",
    f"token: {SECRET}\n{SECRET}: x\n",
    f"- {SECRET}\n",
    f"[{SECRET}, {{\n",
    f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n-----END OPENSSH PRIVATE KEY-----\n",
    f"a: b: {SECRET}\n",
    f"*{SECRET}\n",
    f"!{SECRET} x\n",
    f'"{SECRET}\n',
    f"a: {{{SECRET}: 1, {SECRET}: 2}}\n",
]


def _told(*paths: Path) -> dict[str, str]:
    """What is said of each file: its name (below the working folder's parent) and the message."""
    return {Path(problem.file).name: problem.message for problem in load(list(paths)).problems}


@pytest.mark.parametrize("content", OTHERS)
@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_is_shown_of_a_file_that_is_none_of_ours(tmp_path: Path, content: str, form: str) -> None:
    (tmp_path / "a.yaml").write_text(content)
    answer = CliRunner().invoke(app, ["validate", str(tmp_path), "--format", form])
    assert answer.exit_code == 1
    assert SECRET[:8] not in answer.output
    assert "a.yaml" in answer.output


def test_a_file_of_ours_is_shown_although_it_is_no_yaml(tmp_path: Path) -> None:
    (problem,) = load_text(tmp_path, GOOD + "        backup: [\n").problems
    assert problem.source_line.strip()


def test_a_private_key_in_the_place_of_a_public_one_is_not_shown(tmp_path: Path) -> None:
    key = json.dumps(f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}")
    text = GOOD.replace("    - ssh-ed25519", f"    - {key}\n    - ssh-ed25519")
    (problem,) = load_text(tmp_path, text).problems
    assert "is written in the file" in problem.message and "public half" in problem.allowed
    assert SECRET not in json.dumps(problem.as_json())


def _link(folder: Path, outside: Path) -> None:
    (folder / "link.yaml").symlink_to(outside / "secret.yaml")


def _link_by_dots(folder: Path, outside: Path) -> None:
    (folder / "link.yaml").symlink_to(Path("..", outside.name, "secret.yaml"))


def _link_to_link(folder: Path, outside: Path) -> None:
    (folder / ".hop").symlink_to(outside / "secret.yaml")
    (folder / "link.yaml").symlink_to(".hop")


def _linked_folder(folder: Path, outside: Path) -> None:
    (folder / "link").symlink_to(outside)


def _linked_folder_far_down(folder: Path, outside: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "link").symlink_to(outside)


def _link_to_itself(folder: Path, outside: Path) -> None:
    (folder / "link.yaml").symlink_to("link.yaml")


def _link_to_nothing(folder: Path, outside: Path) -> None:
    (folder / "link.yaml").symlink_to(outside / "absent")


@pytest.mark.parametrize(
    "make",
    [
        _link,
        _link_by_dots,
        _link_to_link,
        _linked_folder,
        _linked_folder_far_down,
        _link_to_itself,
        _link_to_nothing,
    ],
)
def test_no_link_below_the_folder_is_followed_and_each_is_named(
    tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    folder, outside = tmp_path / "subscriptions", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "secret.yaml").write_text(GOOD.replace("dupont", "martin"))
    (folder / "a.yaml").write_text(GOOD)
    make(folder, outside)
    loaded = load([folder])
    assert {
        Path(problem.file).name.removesuffix(".yaml"): problem.message for problem in loaded.problems
    } == {"link": "a link"}
    assert [item.subscription.client for item in loaded.subscriptions] == ["dupont"]


def test_a_link_given_by_name_is_refused_and_a_folder_given_by_a_link_is_not(tmp_path: Path) -> None:
    """A pipeline names the files that a merge request changed; the folder's own name is the provider's."""
    folder = tmp_path / "subscriptions"
    folder.mkdir()
    (folder / "a.yaml").write_text(GOOD)
    (tmp_path / "current").symlink_to(folder)
    (tmp_path / "a.yaml").symlink_to(folder / "a.yaml")
    assert load([tmp_path / "current", folder / "a.yaml"]).problems == ()
    assert _told(tmp_path / "a.yaml") == {"a.yaml": "a link"}


def test_a_file_that_is_exchanged_for_a_link_meanwhile_is_not_read(tmp_path: Path) -> None:
    """What was a file, or a folder, when the folder was listed may be a link when it is opened."""
    folder = tmp_path / "subscriptions"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.yaml").write_text(GOOD)
    (folder / "sub" / "b.yaml").write_text(GOOD)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b.yaml").write_text(SECRET)
    found = [file for file in yaml_files([folder]) if isinstance(file, YamlFile)]
    (folder / "a.yaml").unlink()
    (folder / "a.yaml").symlink_to(outside / "b.yaml")
    (folder / "sub").rename(folder / "old")
    (folder / "sub").symlink_to(outside)
    answers = [read_text(file) for file in found]
    assert len(answers) == 2
    assert all(isinstance(answer, Problem) and SECRET not in answer.message for answer in answers)


def test_what_looks_like_a_file_of_ours_and_is_not_read_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "subscriptions"
    folder.mkdir()
    (folder / "a.yaml").write_text(GOOD)
    for name in ("b.YAML", "c.Yml", "d.yaml ", "e.yml\u200b", "f\x1b[2J.yaml", os.fsdecode(b"g\xff.yaml")):
        (folder / name).write_text(GOOD)
    (folder / "folder.yaml").mkdir()
    (folder / "line\nbreak").mkdir()
    os.mkfifo(folder / "pipe.yaml")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.yml"))
    for name in ("readme.md", "a.yaml~", ".a.yaml.swp", ".hidden.yaml", "b.yaml.bak", "c.json"):
        (folder / name).write_text("x: [")
    loaded = load([folder])
    assert {Path(problem.file).name: problem.message for problem in loaded.problems} == {
        **dict.fromkeys(
            ("b.YAML", "c.Yml", "d.yaml "),
            "this file is not read: its name does not end in .yaml or .yml",
        ),
        "e.yml\\u200b": "a file's name with characters that cannot be printed",
        "f\\x1b[2J.yaml": "a file's name with characters that cannot be printed",
        "g\\udcff.yaml": "a file's name with characters that cannot be printed",
        "folder.yaml": "a folder whose name ends as a file's",
        "line\\nbreak": "a folder's name with characters that cannot be printed",
        "pipe.yaml": "not a file",
        "socket.yml": "not a file",
    }
    assert [item.subscription.client for item in loaded.subscriptions] == ["dupont"]


def test_a_folder_that_must_not_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.yaml").write_text(GOOD)
    (tmp_path / "sub").chmod(0)
    # Who runs this as root may read everything: another user looks.
    code = (
        "import os, sys; from pathlib import Path; import orchestrator.subscriptions.loading as loading\n"
        "b'x'.decode('utf-8-sig')\n"
        f"folder = os.open({str(tmp_path)!r}, os.O_RDONLY); os.fchdir(folder)\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print([(p.file, p.message) for p in loading.load([Path('.')]).problems])"
    )
    tmp_path.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    (tmp_path / "sub").chmod(0o700)
    assert done.stdout == "[('sub', 'the folder cannot be read: Permission denied')]\n", done.stderr


def test_devices_pipes_and_endless_files_end_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (LARGEST_BYTES + 1))
    told = _told(
        tmp_path / "pipe.yaml",
        Path("/dev/zero"),
        Path("/dev/tty"),
        tmp_path / "large.yaml",
    )
    assert told["pipe.yaml"] == told["zero"] == "not a file"
    assert told["large.yaml"] == "the file has more than 1 MiB"
    assert "tty" in told


_HOSTILE_TEXTS = {
    "unknown keys": GOOD + "".join(f"k{number}: 1\n" for number in range(60_000)),
    "keys of one machine": file_of(MACHINE + "".join(f"        k{number}: 1\n" for number in range(40_000))),
    "empty values": GOOD + "x: [" + ",".join("~" * 200_000) + "]\n",
    "empty values in many lists": GOOD + "".join(f"x{n}: [{','.join('~' * 4000)}]\n" for n in range(50)),
    "wrong machines": file_of("".join("      - { a: 1, b: 2, c: 3 }\n" for _ in range(4900))),
    "aliases": GOOD + "x: &x y\nz: [" + "*x, " * 100_000 + "]\n",
    "an alias's bomb": GOOD
    + "".join(f"x{n}: &x{n} [{f'*x{n - 1}, ' * 9 if n else 'y'}]\n" for n in range(9)),
    "nesting": GOOD + "x: " + "[" * 500_000,
    "nesting by lines": GOOD + "".join(" " * n + f"x{n}:\n" for n in range(1000)),
    "duplicate keys": GOOD + "x: 1\n" * 50_000,
    "snapshots": file_of(
        machine(
            "snapshots:\n" + "".join(f"  - {{ name: s{n}, taken_on: 2026-11-20 }}\n" for n in range(4900))
        )
    ),
    "huge numbers": file_of(MACHINE.replace("vcpus: 2", "vcpus: " + "9" * 5000)),
    "a huge float": file_of(MACHINE.replace("vcpus: 2", "vcpus: 1e999999999")),
    "not a number": file_of(MACHINE.replace("vcpus: 2", "vcpus: .nan")),
    "a time": file_of(MACHINE.replace("vcpus: 2", "vcpus: 2001-12-14t21:59:43.10-05:00")),
    "no text": GOOD.replace("dupont", "dup\0ont"),
    "a hidden end": GOOD.replace("reference: C-2026-0042", 'reference: "C\\0x"'),
    "a long line": GOOD.replace("client: dupont", "client: " + "x" * 500_000),
    "the year 9999": GOOD.replace("starts: 2026-03-01", "starts: 9999-12-31"),
}


@pytest.mark.parametrize("text", _HOSTILE_TEXTS.values(), ids=_HOSTILE_TEXTS)
def test_a_file_made_to_exhaust_is_answered_in_a_few_sentences(tmp_path: Path, text: str) -> None:
    loaded = load_text(tmp_path, text)
    assert loaded.errors
    assert len(loaded.problems) <= MOST_PROBLEMS + 1
    assert len(json.dumps([problem.as_json() for problem in loaded.problems])) < 1_000_000
    if len(loaded.problems) > MOST_PROBLEMS:
        last = loaded.problems[-1]
        assert last.unshown > 1 and last.message == f"{last.unshown} more problems in this file are not shown"
        assert "unshown" not in last.as_json()


def test_problems_that_are_not_told_are_counted_and_errors_come_before_warnings(tmp_path: Path) -> None:
    twice = "            - { port: 443, protocol: tcp, from: any }\n" * 300
    text = file_of(MACHINE + twice + "        power: stopped\n", "cloud-vm-essential")
    told = load_text(tmp_path, text).problems
    assert [problem.severity for problem in told].count("error") == 1
    assert told[-1].message == "201 more problems in this file are not shown"


@pytest.mark.parametrize(
    ("key", "item", "most"),
    [
        ("ssh_keys", lambda number: HEAD.split("    - ")[1].split("\n")[0], 200),
        ("allowed_from", lambda number: f"198.51.{number // 256}.{number % 256}", 500),
    ],
)
def test_lists_have_a_length_that_is_named(
    tmp_path: Path, key: str, item: Callable[[int], str], most: int
) -> None:
    def administration(length: int) -> str:
        listed = ", ".join(item(number) for number in range(length))
        return (
            GOOD[: GOOD.index("administration")]
            + f"administration: {{ {key}: [{listed}] }}\n"
            + GOOD[GOOD.index("managed") :]
        )

    assert load_text(tmp_path, administration(most)).problems == ()
    (problem,) = load_text(tmp_path, administration(most + 1)).problems
    assert (problem.message, problem.allowed) == (f"{key} is too long", f"at most {most} items")
    assert most < MOST_ITEMS


def _opened(number: int) -> str:
    entries = "".join(
        f"            - {{ port: {port}, protocol: tcp, from: [10.0.{port % 256}.0/24] }}\n"
        for port in range(1, number + 1)
    )
    return file_of(MACHINE[: MACHINE.index("            - {")] + entries)


def _steps(work: Callable[[], object]) -> int:
    """How many functions were called meanwhile, C's too: a count that no other process disturbs."""
    count = 0

    def seen(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_twice_the_ports_cost_twice_the_work(tmp_path: Path) -> None:
    """From the file's text to the policy and to what a plan says of it."""
    from orchestrator.guests.rules import FirewallPolicy, describe_changes, policy_of

    def all_of_it(number: int) -> Callable[[], object]:
        text = _opened(number)

        def work() -> object:
            (item,) = load_text(tmp_path, text).subscriptions
            ((_, machine),) = item.subscription.machines()
            policy = policy_of(machine, allowed_from=(), management=())
            assert len(policy.open) == number
            return describe_changes(FirewallPolicy(open=policy.open[::2]), policy)

        return work

    all_of_it(100)()
    assert _steps(all_of_it(1000)) < 2.5 * _steps(all_of_it(500))


@given(
    st.binary(max_size=300)
    | st.text(max_size=300).map(lambda text: ("client: x\n" + text).encode("utf-8", "replace"))
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_whatever_make_it_raise(tmp_path: Path, content: bytes) -> None:
    loaded = load_text(tmp_path, content)
    assert loaded.files == 1 and loaded.errors
