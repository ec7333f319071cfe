"""The pages whose commands are tested: what they have their reader type, and a shell to type it into.

Every block marked ``console`` is typed into one shell, line by line, against a lab with a real guest. What a page shows
of an answer must be in it, in that order; ``…`` stands for anything. A ``yaml`` block whose first line names a file is
that file. A command must end with 0, unless the page asks for its exit code next.

Only the lab's own place is another one than in the pages: its name, ports and folder, so that a running one is not met.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from tests.lab.lab_handle import ROOT, Lab

END = "\x1e"


@dataclass(frozen=True)
class Step:
    """A command of a page with the lines of its answer that the page shows, or a file with its content."""

    place: str
    command: str = ""
    shown: tuple[str, ...] = ()
    file: str = ""
    content: str = ""


def steps(page: str) -> list[Step]:
    """What a page has its reader do."""
    found: list[Step] = []
    text = (ROOT / "docs" / page).read_text()
    for token in MarkdownIt("commonmark").parse(text):
        if token.type != "fence" or token.map is None:
            continue
        place = f"docs/{page}:{token.map[0] + 1}"
        if token.info == "yaml" and (named := re.match(r"# (subscriptions/\S+)\n", token.content)):
            found.append(Step(place, file=named[1], content=token.content))
        if token.info == "console":
            assert token.content.startswith("$ "), place
            for part in re.split(r"(?m)^\$ ", token.content)[1:]:
                command, *shown = part.rstrip("\n").split("\n")
                found.append(Step(place, command=command, shown=tuple(shown)))
    return found


class Shell:
    """A shell in a folder, with the lab's place put in for the page's."""

    def __init__(self, folder: Path, lab: Lab) -> None:
        ports = ",".join(map(str, lab.ports))
        self._places = (
            (
                "lab start --name first-hour",
                f"lab start --name {lab.name} --state-dir {lab.state} --ports {ports}",
            ),
            ("lab stop --name first-hour", f"lab stop --name {lab.name} --state-dir {lab.state}"),
            ("/var/lib/orchestrator-lab/first-hour", str(lab.state)),
            ("first-hour", lab.name),
        )
        self.folder = folder
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "XDG_STATE_HOME": str(folder / "state"),
            "ANSIBLE_HOME": str(folder / "ansible"),
            "COLUMNS": "200",
        }
        self._bash = subprocess.Popen(
            ["bash", "--norc"], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def here(self, text: str) -> str:
        """A text of the page, with the places of this test's lab."""
        for theirs, ours in self._places:
            text = text.replace(theirs, ours)
        return text

    def type(self, command: str) -> tuple[int, str]:
        """Run a command; return its exit code and what it printed."""
        assert self._bash.stdin is not None and self._bash.stdout is not None
        line = f"{{ {self.here(command)}\n}} </dev/null; code=$?; printf '{END}%s\\n' $code; (exit $code)\n"
        self._bash.stdin.write(line)
        self._bash.stdin.flush()
        said: list[str] = []
        for answer in self._bash.stdout:
            before, end, code = answer.partition(END)
            said.append(before)
            if end:
                return int(code), "".join(said)
        raise AssertionError(f"the shell ended at {command}: {said}")

    def close(self) -> None:
        """End it."""
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        self._bash.wait(timeout=10)


def missing(shown: tuple[str, ...], said: str) -> str | None:
    """The first line that a page shows and the answer does not have after those before it."""
    lines = iter(" ".join(line.split()) for line in said.splitlines())
    for line in shown:
        pattern = ".*".join(re.escape(part) for part in re.split(r"\s*…\s*", " ".join(line.split())))
        if pattern and not any(re.fullmatch(pattern, found) for found in lines):
            return line
    return None


def follow(shell: Shell, page: list[Step]) -> None:
    """Do what a page says, and compare."""
    for step, following in zip(page, [*page[1:], None], strict=True):
        if step.file:
            (shell.folder / step.file).write_text(step.content)
            continue
        code, said = shell.type(step.command)
        asked = following is not None and following.command == "echo $?"
        assert code == 0 or asked, (step.place, step.command, code, said)
        lacking = missing(tuple(map(shell.here, step.shown)), said)
        assert lacking is None, f"{step.place}: `{step.command}` does not say\n{lacking}\nbut\n{said}"
