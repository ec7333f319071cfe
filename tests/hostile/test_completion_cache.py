"""Names that a shell completes come from others: none is ever code to it, and no cache breaks a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.operations.names_seen import archives_seen, machines_seen, remember_sites, snapshots_seen

_EVIL = (
    "x/$(touch pwned)",
    "x/`touch pwned`",
    "x/a;touch pwned",
    "x/a\ntouch pwned",
    "x/a'b",
    'x/a"b',
    "x/a b",
    "x/\x1b[31ma",
    "x/*",
    "x/~",
    "x/a\n",
    "x/a\\",
    "x/é",
    "-x/a",
    "x/${IFS}",
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cache" / "orchestrator").mkdir(parents=True)
    return tmp_path / "cache" / "orchestrator" / "names.json"


def document(**site: Any) -> str:
    return json.dumps({"version": 1, "sites": {"paris": site}})


def answered(shell: str, words: list[str]) -> str:
    """What the program answers a shell."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "orchestrator")],
        env={
            **os.environ,
            "_ORCHESTRATOR_COMPLETE": f"complete_{shell}",
            "COMP_WORDS": "\n".join(["orchestrator", *words]),
            "COMP_CWORD": str(len(words)),
            "_TYPER_COMPLETE_ARGS": " ".join(["orchestrator", *words]),
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_no_name_of_the_cache_is_code_to_a_shell(cache: Path, shell: str) -> None:
    cache.write_text(
        document(
            machines=["x/good", *_EVIL],
            snapshots={"x/good": ["good", *_EVIL], "x/$(touch pwned)": ["a"]},
            archives={"x/good": ["nas:backup/good", *(f"nas:{name}" for name in _EVIL)]},
        )
    )
    for words in (
        ["history", "x"],
        ["snapshot", "rollback", "x/good", "g"],
        ["backup", "verify", "x/good", "--archive", "n"],
    ):
        said = answered(shell, words)
        assert "good" in said and "pwned" not in said and "IFS" not in said, (words, said)
    assert not Path("pwned").exists()


def test_bash_runs_nothing_of_it(cache: Path, tmp_path: Path) -> None:
    cache.write_text(document(machines=["x/good", *_EVIL]))
    script = (
        'eval "$(orchestrator completion bash)"; COMP_WORDS=(orchestrator history ""); COMP_CWORD=2; '
        '_orchestrator_completion orchestrator; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "x/good" and [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        "[]",
        '{"version": 2, "sites": {"paris": {"machines": ["x/a"]}}}',
        '{"version": 1, "sites": []}',
        '{"version": 1, "sites": {"paris": []}}',
        '{"version": 1, "sites": {"paris": {"machines": {"x/a": 1}, "snapshots": [], "archives": {"x/a": "b"}}}}',
        '{"version": 1, "sites": {"paris": {"machines": [1, null, ["x/a"]]}}}',
        "[" * 200_000,
        document(machines=["x/a"]) + " " * 5_000_000,
    ],
)
def test_no_content_of_it_breaks_a_command(cache: Path, content: str) -> None:
    cache.write_text(content)
    assert machines_seen() == [] and snapshots_seen("x/a") == [] and archives_seen("x/a") == []
    remember_sites([])  # nothing is raised


def test_a_link_or_a_pipe_in_its_place_is_not_read(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs.json").write_text(document(machines=["x/a"]))
    cache.symlink_to(tmp_path / "theirs.json")
    assert machines_seen() == []
    cache.unlink()
    os.mkfifo(cache)
    assert machines_seen() == []
