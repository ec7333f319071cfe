"""What guests print: whatever it is, it is a reading of that machine or a reason, no exception, and of a size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.guests import FirewallPolicy, Guest, alerts, firewall, keys, packages
from orchestrator.guests.alerts import FirewallAlerts, alerts_in, since_last
from orchestrator.guests.answers import LONGEST_WORDS, MOST_DIFFERENCES
from orchestrator.guests.inside import InsideReading
from orchestrator.guests.limits import STDOUT_BYTES
from orchestrator.guests.machines import _reading as reading_of
from orchestrator.guests.packages import MOST_PACKAGES
from orchestrator.guests.playbooks import TaskResult
from orchestrator.guests.rules import policy_from_data, policy_to_data
from orchestrator.guests.trust import NoHostKey, learn_host_keys
from orchestrator.proxmox import Cluster
from orchestrator.resources.kinds import PARTS
from orchestrator.resources.node_exporter import SUPERVISION
from orchestrator.subscriptions.openings import WITH_PORTS
from orchestrator.yaml_reader.values import parse_protocol
from tests.api.fakepve_handle import FakePve
from tests.unit.firewall_policies import policies
from tests.unit.subscription_texts import KEY

TARGET = Guest(
    client="dupont",
    machine="web-1",
    address="192.0.2.10",
    user="admin",
    host_keys=(),
    policy=FirewallPolicy(),
    keys=(KEY,),
    former_keys=(),
    asked={"supervision": {"supervision_wanted": True}},
)
LOOKED = "Install what is due"
SOUND = {
    alerts.READ: "dropped 7 420\nrefused_ssh 1 60\nsince 2f5c-12\ntop 5 2001:db8:0:0:0:0:0:1 tcp 3389\ntop 1 - icmp -",
    LOOKED: "due openssl 3.0.14-1~deb12u2 3.0.15-1~deb12u1 security ready\nreboot kernel 6.1 is installed",
    keys.BRING: "would-change\n- ssh-ed25519 SHA256:x alice\n? ssh-rsa SHA256:y bob",
    SUPERVISION.part.task: "would-change\nthe node exporter does not run",
    firewall.LOAD: "would-change\n+ tcp dport 80 accept",
}


def _read(said: dict[str, Any], kind: str = "ok", **more: Any) -> InsideReading:
    results = {
        task: TaskResult(host="web-1.dupont", task=task, kind=kind, result={"stdout": text, **more})
        for task, text in {**SOUND, **said}.items()
    }
    return reading_of(TARGET, PARTS, results, "")


def _alerts(text: object) -> FirewallAlerts | str | None:
    return alerts_in({alerts.READ: TaskResult(host="h", task="", kind="ok", result={"stdout": text})})


def test_an_honest_machine_is_read() -> None:
    found = _read({})
    assert found.problem == ""
    assert found.alerts == FirewallAlerts(
        dropped=7,
        dropped_bytes=420,
        refused_ssh=1,
        since="2f5c-12",
        top=((5, "2001:db8::1 tcp 3389"), (1, "- icmp -")),
    )
    assert found.due is not None
    assert [(package.name, package.security) for package in found.due.packages] == [("openssl", True)]
    assert found.foreign_keys == ("? ssh-rsa SHA256:y bob",)
    assert found.differs["firewall"] == ("+ tcp dport 80 accept",)


def test_outgoing_packets_that_were_refused_are_counted_since_the_last_night() -> None:
    text = "dropped 7 420\nrefused_ssh 1 60\nrefused_out {} 60\nsince 2f5c-12\nout 3 203.0.113.25 tcp 25"
    now, before = _alerts(text.format(9)), _alerts(text.format(4))
    assert isinstance(now, FirewallAlerts) and isinstance(before, FirewallAlerts)
    assert (now.refused_out, now.top, now.top_out) == (9, (), ((3, "203.0.113.25 tcp 25"),))
    assert since_last(now, before).refused_out == 5
    kept = json.dumps(now.to_data())
    assert FirewallAlerts.from_details(kept) == now
    earlier = {name: value for name, value in now.to_data().items() if not name.endswith("out")}
    old = FirewallAlerts.from_details(json.dumps(earlier))
    assert old is not None and old.refused_out is None, "an earlier version kept nothing of it"
    assert since_last(now, old).refused_out == 9


@pytest.mark.parametrize(
    ("task", "text"),
    [
        (alerts.READ, "dropped ² ²\nsince x"),
        (alerts.READ, f"dropped {'9' * 5000} 1\nsince x"),
        (alerts.READ, "dropped ٣ ٣\nsince x"),
        (alerts.READ, "dropped -1 1\nsince x"),
        (alerts.READ, "dropped 1e9 1\nsince x"),
        (alerts.READ, "dropped nan 1\nsince x"),
        (alerts.READ, "dropped 9223372036854775808 1\nsince x"),
        (alerts.READ, "dropped 1\nsince x"),
        (alerts.READ, "dropped 1 1\nsince x\x1b[2J"),
        (alerts.READ, "dropped 1 1\nsince x\n" + "top 1 192.0.2.1 tcp 22\n" * 21),
        (alerts.READ, "dropped 1 1\nsince x\ntop 1 <script> tcp 22"),
        (alerts.READ, "dropped 1 1\nsince x\nrefused_out -1 1"),
        (alerts.READ, "dropped 1 1\nsince x\n" + "out 1 192.0.2.1 tcp 22\n" * 21),
        (alerts.READ, "dropped 1 1\nsince x\nout 1 <script> tcp 22"),
        (alerts.READ, "dropped 1 1\nsince x\ntop 1 192.0.2.1 `x` 22"),
        (alerts.READ, "dropped 1 1\nsince x\ntop ² 192.0.2.1 tcp 22"),
        (LOOKED, "due openssl 1 2 security"),
        (LOOKED, "due openssl 1 2 security gone"),
        (LOOKED, "due openssl 1 2 urgent ready"),
        (LOOKED, "due {{x}} 1 2 security ready"),
        (LOOKED, f"due {'x' * 5000} 1 2 security ready"),
        (LOOKED, "due x 1 2 security ready\n" * (MOST_PACKAGES + 1)),
        (LOOKED, "x" * (STDOUT_BYTES + 1)),
        (LOOKED, ["due"]),
        (LOOKED, 7),
    ],
)
def test_what_a_program_of_ours_never_prints_is_named_as_this_machines(task: str, text: object) -> None:
    found = _read({task: text})
    assert found.problem.startswith("dupont/web-1: ") or found.problem.startswith("web-1"), found.problem
    assert "cannot be read" in found.problem
    assert len(found.problem) < 1000
    assert (found.alerts is None) == (task == alerts.READ)
    assert (found.due is None) == (task == LOOKED)


_words = "dropped refused_ssh since top due installed tried reboot repaired lost - + ? unchanged would-change"
_fields = "security regular ready held tcp 22 192.0.2.1 openssl 1.0"
_field = st.one_of(
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(str),
    st.text("0123456789²٣", min_size=1, max_size=4400),
    st.sampled_from(_fields.split(" ")),
)
_lines = st.one_of(
    st.text(max_size=60),
    st.tuples(st.sampled_from(_words.split(" ")), st.lists(_field, max_size=5).map(" ".join)).map(" ".join),
)
_texts = st.lists(_lines, max_size=6).flatmap(
    lambda lines: st.sampled_from(["\n", "\r\n", "\x85", "\u2028", "\0"]).map(lambda end: end.join(lines))
)
_anything = st.one_of(_texts, st.none(), st.integers(), st.lists(st.text()), st.booleans())


@given(
    st.fixed_dictionaries(dict.fromkeys(SOUND, _anything)), st.sampled_from(["ok", "failed", "unreachable"])
)
def test_any_answer_is_a_reading_or_a_reason_of_a_size(said: dict[str, Any], kind: str) -> None:
    found = _read(said, kind, stderr=said[LOOKED], rc=1)
    assert len(json.dumps(asdict(found))) < 20_000 + sum(len(str(text)) for text in said.values())
    if found.alerts is not None:
        assert all(0 <= number < 2**63 for number in (found.alerts.dropped, found.alerts.dropped_bytes))
        assert FirewallAlerts.from_details(json.dumps(found.alerts.to_data())) == found.alerts
        since_last(found.alerts, found.alerts)


@given(_texts, st.sampled_from(["ok", "failed", "unreachable"]), st.sampled_from([None, 0, 3, 4]))
def test_any_answer_to_an_installation_is_a_result(text: str, kind: str, rc: int | None) -> None:
    result = TaskResult(host="h", task=LOOKED, kind=kind, result={"stdout": text, "stderr": text, "rc": rc})
    found = packages._result(TARGET, {LOOKED: result}, "")
    assert len(found.installed) <= MOST_PACKAGES
    json.dumps([package.to_data() for package in found.installed])


def test_an_installation_that_says_nonsense_counts_with_what_can_be_read() -> None:
    text = (
        "installed openssl 1 2 security 1764489600\n"
        f"installed curl 1 2 regular {'9' * 5000}\n"
        "installed zlib 1 2 regular 9000000000000000000\n"
        "installed bash 1 2 regular ²\n"
    )
    said = packages._said(TaskResult(host="h", task=LOOKED, kind="ok", result={"stdout": text}))
    assert [(package.name, package.published is not None) for package in said.installed] == [
        ("openssl", True),
        ("zlib", False),
    ]
    assert said.message.startswith("not all that it says of its packages can be read")


def test_a_line_ends_where_the_machine_ended_it() -> None:
    """The comment of a key may hold what Python takes for a line's end: it forges no line."""
    found = _read(
        {keys.BRING: "would-change\n? ssh-rsa SHA256:y a\x85- ssh-rsa SHA256:z b\u2028+ ssh-rsa c\x0b- x"}
    )
    assert found.differs["SSH keys"] == ("the SSH keys differs",)
    assert len(found.foreign_keys) == 1


@pytest.mark.parametrize("task", [keys.BRING, SUPERVISION.part.task, firewall.LOAD])
def test_what_differs_is_told_up_to_a_number_of_lines_of_a_length(task: str) -> None:
    found = _read({task: "would-change\n" + f"- {'x' * 2000}\n? y\n" * 5000})
    for told in (*found.differs.values(), found.foreign_keys):
        assert len(told) <= MOST_DIFFERENCES + 1
        assert all(len(line) <= LONGEST_WORDS for line in told)


_json: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _mutations(data: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    lines = "esp - any;esp 1 any;tcp - any;1 - any;43 - any;0132 - any;icmp - any;132 - any;"
    lines += (
        "tcp 22 any;tcp ²² any;udp 9-1 any;tcp 0 any;tcp 70000 any;x 1 any;tcp 1 any,;tcp 1;192.0.2.1;any"
    )
    values = st.one_of(
        _json, st.lists(st.one_of(st.sampled_from(lines.split(";")), st.text(max_size=9), st.integers(0, 9)))
    )
    return st.dictionaries(st.sampled_from([*data, "x"]), values, max_size=3).map(
        lambda more: {**data, **more}
    )


@given(policies.flatmap(lambda policy: _mutations(policy_to_data(policy))))
def test_a_recorded_policy_is_one_or_a_value_error(data: dict[str, Any]) -> None:
    try:
        policy = policy_from_data(data)
    except ValueError as error:
        assert len(str(error)) < 400
    else:
        for opening in (*policy.open, *(policy.outgoing or ())):
            lowest, highest = (1, 65535) if opening.protocol in WITH_PORTS else (0, 0)
            assert lowest <= opening.first <= opening.last <= highest
            assert parse_protocol(opening.protocol) == opening.protocol
        assert policy_from_data(policy_to_data(policy)) == policy


def _deep() -> Iterator[str]:
    yield '{"top": []}'
    yield "[" * 100_000
    yield json.dumps({"dropped": 1e400, "dropped_bytes": 1, "refused_ssh": 1, "since": "x", "top": []})
    yield json.dumps({"dropped": True, "dropped_bytes": 1, "refused_ssh": 1, "since": "x", "top": []})
    yield json.dumps({"dropped": 1, "dropped_bytes": 1, "refused_ssh": 1, "since": 3, "top": []})
    yield json.dumps(
        {"dropped": 1, "dropped_bytes": 1, "refused_ssh": 1, "since": "x", "top": [[float("inf"), "x"]]}
    )


@pytest.mark.parametrize("details", list(_deep()))
def test_a_history_that_holds_something_else_has_no_earlier_reading(details: str) -> None:
    assert FirewallAlerts.from_details(details) is None


def test_a_host_key_that_a_guest_names_is_a_key(fakepve: FakePve, cluster: Cluster) -> None:
    """Over the guest agent, as before a machine is trusted for the first time."""
    fakepve.add_vms(1, config={"agent": "enabled=1"})
    fakepve.control("set_vm", vmid=1000, status="running")
    files = "/etc/ssh/ssh_host_ed25519_key.pub", "/etc/ssh/ssh_host_rsa_key.pub"
    sound = KEY.rsplit(maxsplit=1)[0]
    for content in (
        "\n",
        "x",
        "@cert-authority * ssh-ed25519 AAAA",
        f"{sound[:-4]} root@web",
        sound.replace("ssh-ed25519", "ssh-rsa"),
        sound.replace(" ", "\u2003"),
        "ssh-ed25519 " + "A" * 50_000,
        "x" * 50_000,
    ):
        fakepve.control("guest_agent", answers={"files": {files[0]: content, files[1]: f"{KEY}\n"}})
        assert learn_host_keys(cluster, "pve1", 1000) == (sound,), content[:40]
        fakepve.control("guest_agent", answers={"files": dict.fromkeys(files, content)})
        with pytest.raises(NoHostKey) as caught:
            learn_host_keys(cluster, "pve1", 1000)
        assert len(str(caught.value)) < 2000
