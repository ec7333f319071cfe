"""The lab answers as a real node did: same status, same words, same end of the task; what it lacks is 501."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.lab.lab_handle import Answer, Lab
from tests.lab.recorded import RELEASES, Bench, Recorded, put_files, recorded_answers

LACKING = re.compile(
    r"/(upload|move_disk|cloudinit|feature|prunebackups)\b|/cluster/(backup|ha|sdn)"
    r'|/access/users|"efidisk0"|/agent/get-|/status/reset|DELETE /pools |GET /nodes/\w+/(status|storage) '
    r'|PUT \S+/snapshot/\w+/config|POST \S+/config|vzdump .*"(mode": "stop|prune-backups)"'
)
"""Calls that the lab does not have, since nothing of the project makes them."""

NEEDS_AN_AGENT = re.compile(r"/agent/")
"""Answers of an agent inside a guest: the machines here have no system, so that nobody answers."""

_KINDS = {type(None): "null", dict: "object", list: "array"}
_UPID = re.compile(r"UPID:pve1:[0-9A-F]{8}:[0-9A-F]{8,9}:[0-9A-F]{8}:\w+:[^:]*:[^:]+:")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab for all of this module."""
    started = Lab(tmp_path_factory.mktemp("lab"))
    started.start()
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def bench(lab: Lab) -> Bench:
    """The lab with the files that some calls are about."""
    put_files(lab)
    return Bench(lab)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(line, id=f"{release} {line.call[:80]}")
        for release in RELEASES
        for line in recorded_answers(release)
    ],
)
def test_recorded_call_is_answered_as_a_real_node_did(bench: Bench, line: Recorded) -> None:
    params = bench.prepare(line)
    answer = bench.users[line.user].call(line.method, line.path, params)
    if LACKING.search(line.call):
        assert answer.status == 501, answer
    elif line.status != 200:
        assert _refusal(answer) == (line.status, line.reason, line.message, line.errors)
    elif NEEDS_AN_AGENT.search(line.path):
        assert (answer.status, answer.reason) == (500, "VM 101 is not running")
    else:
        assert _kind(answer.data) == line.data, answer
        if line.data == "upid":
            ended = bench.root.end_of(answer.data)
            assert line.exitstatus in (None, ended)  # of some tasks the end was not recorded


def _kind(data: object) -> str:
    if isinstance(data, str):
        return "upid" if _UPID.fullmatch(data) else "string"
    return _KINDS[type(data)]


def _refusal(answer: Answer) -> tuple[int, str, str | None, dict[str, str]]:
    return answer.status, answer.reason, answer.body.get("message"), answer.body.get("errors", {})
