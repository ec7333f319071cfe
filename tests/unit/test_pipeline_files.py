"""The ready-made pipelines: whole files, whose commands and options exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from orchestrator.cli import app

FOLDER = Path(__file__).parents[2] / "docs" / "ci"


@pytest.mark.parametrize("name", ["gitlab-ci.yml", "github-actions.yml"])
def test_every_command_of_a_pipeline_is_one_of_ours(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert yaml.safe_load(text)
    found = re.findall(r"(?m)^ +-? ?(?:[\w-]+: )?(orchestrator .*)$", re.sub(r"\$\{\{.*?\}\}", "X", text))
    assert len(found) >= 4
    for line in found:
        words = shlex.split(re.split(r" (?:>|\|\|) ", line)[0])
        help_text = CliRunner().invoke(app, [words[1], "--help"], env={"COLUMNS": "300"})
        assert help_text.exit_code == 0, line
        for option in (word for word in words[2:] if word.startswith("--")):
            assert re.search(rf"(?<!\S){option}\b", help_text.stdout), (option, line)


GITHUB = yaml.safe_load((FOLDER / "github-actions.yml").read_text())
GITLAB = yaml.safe_load((FOLDER / "gitlab-ci.yml").read_text())


def test_somebody_approves_a_plan_that_exists_and_that_plan_is_applied() -> None:
    jobs = GITHUB["jobs"]
    plan = " ".join(step.get("run", "") for step in jobs["plan-merged"]["steps"])
    apply = " ".join(step.get("run", "") for step in jobs["apply"]["steps"])
    assert "plan --out plan.json" in plan and "GITHUB_STEP_SUMMARY" in plan, "it is made, and shown"
    assert jobs["apply"]["needs"] == "plan-merged" and jobs["apply"]["environment"] == "production"
    assert "environment" not in jobs["plan-merged"], "the approval comes after the plan"
    assert "apply --plan plan.json" in apply and "orchestrator plan" not in apply
    stages = GITLAB["stages"]
    assert stages.index(GITLAB["plan-merged"]["stage"]) < stages.index(GITLAB["apply"]["stage"])
    assert GITLAB["apply"]["rules"][0]["when"] == "manual"
    assert "--plan plan.json" in GITLAB["apply"]["script"][0]


def _run(script: str, folder: Path, **environment: str) -> None:
    path = f"{folder}:{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=folder, env={**os.environ, "PATH": path, **environment}, check=True, timeout=60,
    )  # fmt: skip


_GH = """#!/bin/bash
# What of GitHub's command line the pipeline uses, over a file of comments.
set -eo pipefail
if [ "$2" = --paginate ]; then jq -r "$5" comments.json; exit; fi
id=$(jq "length + 1" comments.json)
case "$3 $4" in
"PATCH repos/o/r/issues/comments/"*)
    id=${4##*/} filter='map(if .id == ($id | tonumber) then .body = $body else . end)' ;;
"POST repos/o/r/issues/7/comments")
    filter='. + [{id: ($id | tonumber), user: {login: "github-actions[bot]"}, body: $body}]' ;;
*) exit 1 ;;
esac
jq --arg id "$id" --rawfile body "${6#body=@}" "$filter" comments.json > new.json && mv new.json comments.json
"""


def test_on_github_each_push_updates_the_one_comment(tmp_path: Path) -> None:
    step = next(step for step in GITHUB["jobs"]["plan"]["steps"] if step.get("name") == "comment")
    (tmp_path / "gh").write_text(_GH)
    (tmp_path / "gh").chmod(0o755)
    other = {"id": 1, "user": {"login": "somebody"}, "body": "<!-- orchestrator plan -->\nforged"}
    (tmp_path / "comments.json").write_text(json.dumps([other]))
    for text in ("### Plan: 1 to create\n", "", "### Plan: No changes\n"):
        (tmp_path / "plan.md").write_text(text)
        _run(step["run"], tmp_path, GITHUB_REPOSITORY="o/r", NUMBER="7")
        comments = json.loads((tmp_path / "comments.json").read_text())
        assert comments[0] == other and len(comments) == 2, "others' comments stay, ours is one"
        assert (text or "could not be made") in comments[1]["body"]


def test_on_gitlab_each_push_updates_the_one_comment(tmp_path: Path) -> None:
    notes: list[dict[str, Any]] = [
        {"id": number, "author": {"id": 5}, "body": "<!-- orchestrator plan -->\nforged"}
        for number in range(130)
    ]
    with _gitlab(notes) as url:
        for text in ("### Plan: 1 to create\n", "", "### Plan: No changes\n"):
            (tmp_path / "plan.md").write_text(text)
            _run(
                GITLAB["plan"]["script"][1], tmp_path, CI_API_V4_URL=url, CI_PROJECT_ID="3",
                CI_MERGE_REQUEST_IID="7", GITLAB_TOKEN="secret",
            )  # fmt: skip
            assert len(notes) == 131 and (text or "could not be made") in notes[-1]["body"]
            assert all("forged" in note["body"] for note in notes[:-1])
            assert not (tmp_path / "token.header").exists()


@contextmanager
def _gitlab(notes: list[dict[str, Any]]) -> Iterator[str]:
    """The notes of one merge request, as GitLab's API pages, makes and edits them."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self, data: object) -> None:
            body = json.dumps(data).encode()
            self.send_response(200 if self.headers["PRIVATE-TOKEN"] == "secret" else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            path = urllib.parse.urlsplit(self.path)
            page = int(urllib.parse.parse_qs(path.query).get("page", ["1"])[0])
            self.answer({"id": 9} if path.path == "/user" else notes[(page - 1) * 100 : page * 100])

        def text(self) -> str:
            sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
            return urllib.parse.parse_qs(sent)["body"][0]

        def do_POST(self) -> None:
            assert self.path == "/projects/3/merge_requests/7/notes"
            notes.append({"id": len(notes), "author": {"id": 9}, "body": self.text()})
            self.answer(notes[-1])

        def do_PUT(self) -> None:
            notes[int(self.path.rpartition("/")[2])]["body"] = self.text()
            self.answer({})

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
