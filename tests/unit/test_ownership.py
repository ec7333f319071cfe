"""Which machines are ours, of any that claim to be; and what is held up by those that could not be read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.proxmox import VmConfig, VmSummary
from orchestrator.resources.attributes import Applied
from orchestrator.resources.notes import Mark, write_mark
from orchestrator.resources.observed import ObservedMachine
from orchestrator.resources.ownership import sort_out
from orchestrator.resources.unreadable import Unreadable, holding_up

MARK = Mark(
    client="dupont",
    machine="web-1",
    contract="C",
    offer="cloud-vm-advanced",
    image="d",
    applied=Applied(memory=1024),
)


def vm(vmid: int, mark: Mark, **changes: Any) -> ObservedMachine:
    """A VM with a mark, in its client's pool and with our tags unless told."""
    tags = changes.pop("tags", "client-dupont;orchestrator")
    summary = VmSummary(
        vmid=vmid, name=changes.pop("name", "web-1"), node="pve1", status="running", template=False,
        tags=frozenset(tags.split(";")), pool=changes.pop("pool", "client-dupont"), lock=changes.pop("lock", None),
        maxmem=0, maxcpu=1,
    )  # fmt: skip
    current = {"description": write_mark(mark), "tags": tags, "name": summary.name}
    config = VmConfig(node="pve1", vmid=vmid, current=current, pending={}, deleted=frozenset(), digest="d")
    return ObservedMachine(site="paris", summary=summary, config=config, mark=mark)


def ids(*machines: ObservedMachine) -> tuple[set[int], dict[int | None, bool]]:
    """Who is ours, and who only claims to be: whether as a copy of one that is."""
    ours, others = sort_out(machines)
    return {item.summary.vmid for item in ours}, {item.vmid: item.copy for item in others}


def test_ours_is_what_agrees_in_mark_pool_tags_and_number() -> None:
    sound = vm(100, MARK.with_(vmid=100))
    assert ids(sound) == ({100}, {})
    for wrong in (
        vm(101, MARK.with_(vmid=100)),
        vm(101, MARK.with_(vmid=101), pool="client-martin"),
        vm(101, MARK.with_(vmid=101), tags="orchestrator"),
        vm(101, MARK.with_(vmid=101), tags="client-dupont"),
    ):
        assert ids(wrong) == (set(), {101: False})
        assert ids(wrong, sound) == ({100}, {101: True})
    assert ids(sound, vm(101, MARK.with_(vmid=101))) == (set(), {100: False, 101: False}), "two that agree"
    restored = vm(101, MARK.with_(vmid=101), pool=None)
    assert ids(restored) == ({101}, {}), (
        "restored by hand under its own number: the next apply puts it into its pool"
    )
    assert ids(restored, sound) == ({100}, {101: True}), "a forged one is nothing beside the real one"


def test_a_creation_that_was_interrupted_is_ours_before_it_has_its_tags_and_its_pool() -> None:
    begun = MARK.with_(vmid=100, applied=None)
    assert ids(vm(100, begun, tags="image")) == ({100}, {})
    assert ids(vm(100, begun, tags="image", pool=None, lock="clone")) == ({100}, {})
    assert ids(vm(100, begun, tags="image", pool=None)) == (set(), {100: False})
    assert ids(vm(105, begun, tags="image", pool=None, lock="clone")) == (set(), {105: False}), (
        "a copy being made"
    )


def test_a_mark_without_a_number_is_believed_if_it_is_the_only_one() -> None:
    assert ids(vm(100, MARK)) == ({100}, {})
    assert ids(vm(100, MARK), vm(105, MARK, pool=None)) == ({100}, {105: True}), "a clone has no pool"
    assert ids(vm(100, MARK), vm(105, MARK)) == (set(), {100: False, 105: False})
    assert ids(vm(100, MARK), vm(105, MARK.with_(vmid=105))) == ({105}, {100: True}), (
        "one that says it is the one"
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, 100, 101, 102]),
            st.sampled_from([None, "client-dupont", "client-martin"]),
            st.sampled_from(["client-dupont;orchestrator", "orchestrator", "x"]),
            st.sampled_from(["web-1", "web-2"]),
        ),
        max_size=3,
    )
)
def test_no_machine_is_ever_ours_twice_nor_lost(claims: list[tuple[Any, Any, str, str]]) -> None:
    machines = [
        vm(100 + index, MARK.with_(vmid=number, machine=name), pool=pool, tags=tags)
        for index, (number, pool, tags, name) in enumerate(claims)
    ]
    ours, others = sort_out(machines)
    keys = [(item.mark.client, item.mark.machine) for item in ours if item.mark]
    assert len(set(keys)) == len(keys)
    assert sorted([item.summary.vmid for item in ours] + [item.vmid or 0 for item in others]) == [
        item.summary.vmid for item in machines
    ]
    for item in ours:
        assert item.mark and item.mark.vmid in (None, item.summary.vmid)
        assert item.summary.pool in (None, "client-dupont") and (item.summary.pool or item.mark.vmid)


def test_a_file_that_knows_a_machine_by_its_name_only_is_not_told_that_it_left() -> None:
    machine = vm(100, MARK.with_(vmid=100, machine="soon"))
    assert len(sort_out([machine], {"web-1"})[1]) == 1
    assert len(sort_out([machine], {"web-1", "soon"})[0]) == 1, "renamed in Proxmox"


def test_what_could_be_a_machine_is_in_its_way_and_what_is_another_is_not() -> None:
    unread = Unreadable(site="paris", kind="machine", name="VM 100", reason="off", vmid=100, client="dupont")
    named = replace(unread, name="web-1", machine="web-1", guessed=True)

    def found(item: Unreadable, client: str = "dupont", machine: str = "web-1", **more: Any) -> bool:
        return holding_up([item], client, machine, known={"web-1", "web-2"}, **more) is not None

    assert found(unread) and found(unread, machine="web-2") and not found(unread, client="martin")
    assert found(named) and not found(named, machine="web-2"), "it bears another's name"
    assert found(replace(named, machine="old"), machine="web-2"), "renamed by hand, it may be any"
    assert not found(replace(named, machine="old", guessed=False), machine="web-2"), (
        "its mark says which it is"
    )
    assert not found(replace(named, copy=True))
    assert found(replace(named, client=None)) and found(replace(unread, client=None), client="martin")
    assert found(replace(named, machine="old", guessed=False), machine="web-2", vmid=100), "its file names it"
    assert not found(unread, elsewhere=True) and found(named, elsewhere=True)
    assert found(replace(named, client="martin", machine="x", guessed=False, also="dupont")), (
        "by pool and name"
    )
