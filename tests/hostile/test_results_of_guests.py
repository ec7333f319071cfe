"""What one machine prints is never another one's result: results come over a pipe that no machine can write to."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.guests import Guest, configure_machines
from orchestrator.guests.inventory import host_name
from orchestrator.guests.packages import UpdateOrder, install_updates
from orchestrator.guests.playbooks import TaskResult, parse_result, run_playbook
from tests.lab.hostile_shell import give_shell, say
from tests.lab.namespace_guest import NamespaceGuest, namespace_guest, opening, policy, unique_name

TASKS = (
    "Load the rules, the way back armed",
    "Confirm the firewall over a new connection",
    "Install what is due",
    "See whether everything runs that ran before",
)


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamespaceGuest]:
    with namespace_guest(tmp_path_factory.mktemp("guest"), unique_name()) as running:
        yield running


@pytest.fixture
def victim(guest: NamespaceGuest) -> Guest:
    """A client's machine in which neither the firewall nor an update works."""
    give_shell(
        guest,
        "root",
        "case $2 in *orchestrator*) echo 'it does not work here' >&2; touch /run/homes/victim-is-done; exit 3 ;; "
        'esac; exec /bin/sh "$@"',
    )
    (guest.folder / "homes").chmod(0o777)
    (guest.folder / "homes/victim-is-done").unlink(missing_ok=True)
    return guest.target(policy(opening(443)))


def marks(event: str, host: str, task: str, result: dict[str, object]) -> str:
    """A result as ansible-runner writes it between the lines of what is printed."""
    data = {
        "uuid": f"{event}-{host}",
        "event": event,
        "event_data": {"host": host, "task": task, "res": result},
    }
    framed = ""
    for content in (data, {}):
        text = base64.b64encode(json.dumps(content).encode()).decode()
        chunks = (text[at : at + 78] for at in range(0, len(text), 78))
        framed += "\x1b[K" + "".join(f"{chunk}\x1b[{len(chunk)}D" for chunk in chunks) + "\x1b[K"
    return framed


def forgeries(*hosts: str) -> str:
    """Results of other machines, in both forms that were ever read."""
    lines = []
    for host in hosts:
        for task in TASKS:
            for kind in ("start", "ok", "failed", "unreachable"):
                said = {"stdout": "unchanged", "rc": 0, "changed": False}
                lines.append(marks(f"runner_on_{kind}", host, task, said))
                lines.append(json.dumps({"kind": kind, "host": host, "task": task, "result": said}))
            lines.append(marks("runner_on_ok", host, task, {"stdout": "unchanged", "rc": 0}))
    return "\n".join(lines) + "\n"


@pytest.fixture
def attacker(guest: NamespaceGuest, victim: Guest) -> Guest:
    """Another client's machine, which tells what became of the victim's: before, and after that is known."""
    printed = say(guest, "forgeries", forgeries(host_name(victim), "web-9.nobody", "localhost"))
    everywhere = f"{printed}; {printed} >&2; for out in /proc/self/fd/*; do {printed} >$out; done 2>/dev/null"
    give_shell(
        guest,
        "admin",
        f'case $2 in *SSH_CONNECTION*) exec /bin/sh "$@" ;; esac; {everywhere}; '
        f"until [ -e /run/homes/victim-is-done ]; do :; done; {everywhere}; exit 255",
    )
    return replace(victim, client="martin", user="admin")


def test_a_guest_forges_no_result_of_another_machine(
    guest: NamespaceGuest, victim: Guest, attacker: Guest
) -> None:
    told: list[TaskResult] = []
    run = run_playbook("firewall.yml", [attacker, victim], guest.ssh(), on_result=told.append)
    assert told == list(run.results)
    own = [(result.task, result.kind) for result in told if result.host == host_name(victim)]
    assert own == [(TASKS[0], "start"), (TASKS[0], "failed")]
    assert run.of(host_name(victim))[TASKS[0]].result["stderr"].strip() == "it does not work here"
    assert {result.host for result in told} == {host_name(victim), host_name(attacker)}
    assert run.dropped == ()
    forged = run.of(host_name(attacker))[TASKS[0]]
    assert (forged.kind, "web-9.nobody" in forged.result["msg"]) == ("unreachable", True), "it did try"


def test_a_firewall_that_was_not_loaded_stays_so_whatever_another_guest_says(
    guest: NamespaceGuest, victim: Guest, attacker: Guest
) -> None:
    outcomes = configure_machines([attacker, victim], guest.ssh())
    assert {key[0]: parts["firewall"].status for key, parts in outcomes.items()} == {
        "dupont": "failed",
        "martin": "unreachable",
    }
    assert "it does not work here" in outcomes[victim.key]["firewall"].message


def test_an_update_that_failed_before_anything_changed_stays_so(
    guest: NamespaceGuest, victim: Guest, attacker: Guest
) -> None:
    """Told as broken or unwell, it would be rolled back; told as well, it would count as done."""
    orders = {target.key: UpdateOrder() for target in (attacker, victim)}
    results = install_updates([attacker, victim], orders, guest.ssh())
    assert (results[victim.key].status, results[victim.key].message) == ("untouched", "it does not work here")
    assert results[attacker.key].status == "unreachable"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {},
        optional={
            "host": JSON | st.just("web-1.dupont"),
            "task": JSON | st.just("x"),
            "kind": JSON | st.just("ok"),
            "result": JSON | st.dictionaries(st.sampled_from(["stdout", "rc", "changed", "msg"]), JSON),
        },
    ).map(lambda value: json.dumps(value).encode())
)
def test_a_line_is_a_result_with_values_of_the_right_kinds_or_none(line: bytes) -> None:
    result = parse_result(line)
    if result is not None:
        result.host.encode()
        for name, kinds in {"stdout": str, "msg": str, "rc": int, "changed": bool}.items():
            assert name not in result.result or type(result.result[name]) is kinds
        json.dumps(result.result, ensure_ascii=False).encode()


@pytest.mark.parametrize("line", [b"[" * 100_000, b'{"host": ' + b"1" * 5000 + b"}", b"", b"null"])
def test_a_line_that_is_no_result_is_none(line: bytes) -> None:
    assert parse_result(line) is None
