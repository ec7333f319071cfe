"""Laws of loading: what was dumped is loaded the same, and no input whatsoever makes it raise."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, get_args

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.subscriptions import Subscription, dump, render_problem
from orchestrator.subscriptions.model import Day
from tests.unit.subscription_texts import KEY, MACHINE, file_of, load_text

GOOD = file_of(MACHINE)

_labels = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True) | st.sampled_from(
    ["no", "on", "y", "null"]
)
_sources = (
    st.just("any") | st.ip_addresses(v=4).map(lambda address: f"{address}/32") | st.just("2001:db8::/32")
)
_days = st.dates(dt.date(2020, 1, 1), dt.date(2040, 1, 1)).map(str)
_ports = st.integers(1, 65535).map(lambda port: {"port": port}) | st.integers(1, 65000).map(
    lambda port: {"ports": f"{port}-{port + 9}"}
)
_open = st.builds(
    lambda ports, protocol, sources: {**ports, "protocol": protocol, "from": sources},
    _ports,
    st.sampled_from(["tcp", "udp"]),
    st.lists(_sources, min_size=1, max_size=3),
)
_snapshots = st.fixed_dictionaries(
    {"name": st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{1,10}", fullmatch=True), "taken_on": _days}
)
_disks = st.fixed_dictionaries({"name": _labels, "size": st.integers(1, 999).map(lambda size: f"{size}GiB")})
_optional: dict[str, st.SearchStrategy[Any]] = {
    "network": _labels,
    "address": st.ip_addresses(v=4).map(str),
    "snapshots": st.lists(_snapshots, max_size=2, unique_by=lambda snapshot: str(snapshot["name"])),
    "backup": st.sampled_from([{"retention_days": 7}, {"retention_days": 31}]),
    "redundancy": st.fixed_dictionaries({"hardware": st.booleans()}),
    "firewall": st.lists(_open, max_size=3).map(lambda entries: {"open": entries}),
    "power": st.sampled_from(["running", "stopped"]),
}


@st.composite
def _machine(draw: st.DrawFn, name: str) -> dict[str, Any]:
    disks = draw(st.lists(_disks, max_size=2, unique_by=lambda disk: str(disk["name"])))
    return {
        "name": name,
        "image": draw(_labels),
        "vcpus": draw(st.integers(1, 64)),
        "memory": f"{draw(st.integers(128, 9999))}MiB",
        "disks": [{"name": "system", "size": "20GiB"}, *(disk for disk in disks if disk["name"] != "system")],
        **{key: draw(values) for key, values in _optional.items() if draw(st.booleans())},
    }


@st.composite
def _managed_services(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "level": "supervision",
        "updates": draw(st.sampled_from(["on-request", "automatic"])),
        "maintenance_window": {
            "days": draw(st.lists(st.sampled_from(get_args(Day)), min_size=1, unique=True)),
            "from": draw(st.sampled_from(["22:00", "00:00", "07:00", "19:00"])),
            "to": draw(st.times()).strftime("%H:30"),
        },
        "standard_changes_per_month": draw(st.integers(0, 20)),
    }


@st.composite
def subscriptions(draw: st.DrawFn) -> Subscription:
    """Subscriptions that the advanced offer allows, but for what repeats by accident."""
    names = draw(st.lists(_labels, min_size=1, max_size=4, unique=True))
    reference = draw(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9 ._/#-]{0,9}[A-Za-z0-9])?", fullmatch=True))
    return Subscription.model_validate(
        {
            "client": draw(_labels),
            "contract": {"reference": reference, "starts": draw(_days), "site": draw(_labels)},
            "administration": {
                "ssh_keys": draw(st.sampled_from([(), (KEY,)])),
                "allowed_from": ["10.0.0.0/8"],
            },
            **({"managed_services": draw(_managed_services())} if draw(st.booleans()) else {}),
            "services": [
                {"offer": "cloud-vm-advanced", "machines": [draw(_machine(name)) for name in names]}
            ],
        }
    )


_thorough = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)


@_thorough
@given(subscription=subscriptions())
def test_loading_what_was_dumped_is_the_same(tmp_path: Path, subscription: Subscription) -> None:
    loaded = load_text(tmp_path, dump(subscription))
    assert [problem.message for problem in loaded.problems if not _is_rule(problem.message)] == []
    if not loaded.errors:
        assert loaded.subscriptions[0].subscription == subscription


def _is_rule(message: str) -> bool:
    """Whether a rule speaks about what the generator repeats by accident: an address, a port, a reserved name."""
    return any(words in message for words in ("is claimed by", "is opened by entry", "reserved by Proxmox"))


_indicators = [
    ": ",
    "- ",
    "\n  ",
    "&a ",
    "*a",
    "!x ",
    "<<: ",
    "|\n",
    "? ",
    "---\n",
    "...\n",
    *"\n{}[]\"'#%\t",
]
_words = [
    "no",
    "~",
    "0x1",
    "22:00",
    "1e999",
    "\x00",
    "\ud7ff",
    "\ufeff",
    "\u2028",
    "services:",
    "machines:",
    "é",
]
_scraps = st.sampled_from(_indicators + _words)


def _load_and_look(folder: Path, content: bytes) -> int:
    """Load; look at everything that comes back; return how many problems there were."""
    loaded = load_text(folder, content)
    for problem in loaded.problems:
        assert problem.end_column > problem.column >= 1
        assert problem.line >= 1
        assert problem.message and problem.allowed
        assert "\n" not in problem.message + problem.allowed
        assert render_problem(problem).startswith(f"{folder}")
    assert len(loaded.subscriptions) == (0 if loaded.errors else 1)
    return len(loaded.problems)


@_thorough
@given(
    content=st.binary(max_size=60)
    | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_no_content_whatsoever_makes_load_raise(tmp_path: Path, content: bytes) -> None:
    assert _load_and_look(tmp_path, content) >= 1


@_thorough
@given(pieces=st.lists(_scraps | st.text(max_size=3), max_size=12), data=st.data())
def test_no_damaged_file_makes_load_raise(tmp_path: Path, pieces: list[str], data: st.DataObject) -> None:
    text = GOOD
    for piece in pieces:
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        text = text[:start] + piece + text[end:]
    _load_and_look(tmp_path, text.encode("utf-8", "surrogatepass"))


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | _sources,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.just("name"), inner, max_size=3)
    ),
    max_leaves=6,
)


@_thorough
@given(subscription=subscriptions(), value=_values, data=st.data())
def test_no_value_of_a_wrong_type_makes_load_raise(
    tmp_path: Path, subscription: Subscription, value: object, data: st.DataObject
) -> None:
    tree = subscription.model_dump(mode="json", by_alias=True, exclude_none=True)
    node: Any = tree
    while True:
        step = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else list(range(len(node)))))
        inner = node[step]
        if not isinstance(inner, (dict, list)) or not inner or data.draw(st.integers(0, 3)) == 0:
            node[step] = value
            break
        node = inner
    _load_and_look(tmp_path, yaml.safe_dump(tree).encode())
