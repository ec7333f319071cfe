"""What real nodes answered, of both versions, is accepted, told apart and read as it is meant."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, cast

import pytest

from orchestrator.proxmox import (
    Cluster,
    ClusterState,
    VmSummary,
    parse_upid,
    read_cluster,
    where_is,
)
from orchestrator.proxmox.errors import Answer, cause_of_exit, classify
from orchestrator.proxmox.shapes import wrong_answer
from tests.recorded import VERSIONS, Call, calls


@pytest.mark.parametrize("version", VERSIONS)
def test_every_answer_of_a_real_node_is_accepted(version: str) -> None:
    wrong = {
        str(call): told
        for call in calls(version)
        if call.status == 200 and (told := wrong_answer(call.method, call.path, call.data))
    }
    assert wrong == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_refusal_of_a_real_node_is_told_as_what_it_is(version: str) -> None:
    told: dict[str, tuple[str | None, str | None]] = {}
    for call in calls(version):
        text = call.reason if call.status != 200 else call.exitstatus
        if text is None:
            continue
        status = call.status if call.status != 200 else None
        answer = Answer(
            site="paris", call=f"{call.method} {call.path}", status=status, text=text, errors=call.errors
        )
        error = classify(answer) if status else cause_of_exit(answer)
        told[f"{call}: {text}"] = (type(error).__name__ if error else None, call.told_as)
    assert {said: both for said, both in told.items() if both[0] != both[1]} == {}
    assert len(told) > 30


@pytest.mark.parametrize("version", VERSIONS)
def test_every_task_of_a_real_node_has_a_name_that_is_understood(version: str) -> None:
    upids = [call.data for call in calls(version) if str(call.data).startswith("UPID:")]
    assert upids and all(parse_upid(upid) for upid in upids)


class _Moment:
    """A site as it answered at one moment of a scenario."""

    site = "paris"

    def __init__(self, answers: list[Call]) -> None:
        self._answers = {(call.path, str(call.params.get("poolid", ""))): call for call in answers}
        self.asked: list[str] = []

    def get(self, path: str, **params: object) -> Any:
        self.asked.append(path)
        if path in ("/version", "/pools"):
            return {"version": "9.1.7"} if path == "/version" else []
        data = copy.deepcopy(self._answers[path, ""].data)
        if path == "/cluster/resources" and not any(entry["type"] == "node" for entry in data):
            data += [
                {"type": "node", "node": name, "status": "online"} for name in ("n1", "n2")
            ]  # was asked with type=vm
        return data


def _read(scenario: str, chosen: Callable[[Call], bool]) -> tuple[ClusterState, list[str]]:
    moment = _Moment(
        [call for call in calls("9.1.7", scenario=scenario) if call.method == "GET" and chosen(call)]
    )
    return read_cluster(cast(Cluster, moment)), moment.asked


@pytest.mark.parametrize("scenario", ["fresh-clone", "fresh-clone-2", "clone-to-other-node"])
def test_a_fresh_clone_is_known_by_its_number_and_its_nodes_answer_at_every_moment(scenario: str) -> None:
    times = sorted({call.seconds for call in calls("9.1.7", scenario=scenario) if call.seconds is not None})
    seen: list[VmSummary] = []
    for time in times:
        state, _ = _read(scenario, lambda call, time=time: call.seconds == time)  # type: ignore[misc]
        assert state.bad_entries == ()
        seen += state.vms
    assert len(seen) == len(times), "it never disappears"
    assert {vm.status for vm in seen} == {"stopped"}, "nor is it ever in a state that is not known"
    ended = [vm for vm in seen if vm.lock is None]
    assert ended and all(vm.named and vm.pool == "rec" for vm in ended)
    assert all(vm.maxmem == 512 * 1024**2 for vm in seen)
    assert len({vm.node for vm in ended}) == 1


def test_what_a_node_with_a_hanging_statistics_daemon_does_is_known_from_itself() -> None:
    state, asked = _read("pvestatd-hangs", lambda call: (call.seconds or 0) >= 295)
    (vm,) = state.vms
    assert (vm.name, vm.status, vm.pool, vm.tags, vm.maxmem) == (
        "rec-n2",
        "running",
        "rec",
        frozenset({"rec"}),
        64 * 1024**2,
    )
    assert asked.count("/nodes/n2/qemu") == 1
    (node,) = (node for node in state.nodes if node.name == "n2")
    assert node.mute and not node.off and not node.online
    assert all(storage.usable for storage in state.storages if storage.node == "n2"), "only trying tells"


def test_a_clone_that_leaves_its_templates_node_between_two_calls_is_followed() -> None:
    """The list still says n1, which has it no more when it is asked: the clone has just ended, on n2."""
    recorded = calls("9.1.7", scenario="clone-to-other-node")
    before, after = (
        {call.path: call.data for call in recorded if call.seconds == time} for time in (1.2, 2.5)
    )
    lists = [before["/cluster/resources"], after["/cluster/resources"]]

    class Moving(_Moment):
        def get(self, path: str, **params: object) -> Any:
            if path == "/cluster/resources":
                nodes = [{"type": "node", "node": name, "status": "online"} for name in ("n1", "n2")]
                return [*(lists.pop(0) if len(lists) > 1 else lists[0]), *nodes]
            return after[path] if path.startswith("/nodes/") else super().get(path, **params)

    state = read_cluster(cast(Cluster, Moving([])))
    (vm,) = state.vms
    assert (vm.name, vm.node, vm.status, state.bad_entries) == ("rec-c", "n2", "stopped", ())
    lists[:] = [[], []]
    assert where_is(cast(Cluster, Moving([])), 708) is None
