"""In which order machines are updated."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planning.waves import LARGEST, Key, plan_waves

_keys = st.tuples(st.sampled_from(["dupont", "martin"]), st.integers(0, 80).map(lambda n: f"web-{n}"))


@given(machines=st.lists(_keys, max_size=150), pairs=st.lists(st.tuples(_keys, _keys), max_size=40))
def test_every_machine_has_its_turn_once_and_no_pair_shares_a_wave(
    machines: list[Key], pairs: list[tuple[Key, Key]]
) -> None:
    apart: dict[Key, list[Key]] = {}
    for one, other in pairs:
        apart.setdefault(one, []).append(other)
    groups = plan_waves(machines, apart).groups
    assert sorted(key for group in groups for key in group) == sorted(set(machines))
    for group in groups:
        assert 0 < len(group) <= LARGEST
        for one, other in pairs:
            assert one == other or not {one, other} <= set(group)
    assert plan_waves(machines[::-1], apart) == plan_waves(machines, apart)


def test_a_few_go_first_and_rather_those_with_a_partner() -> None:
    machines = [("dupont", f"web-{n:02}") for n in range(30)]
    first, *rest = plan_waves(machines, {machines[20]: [machines[21]]}).groups
    assert len(first) == 3 and machines[20] in first
    assert sum(map(len, rest)) == 27 and machines[21] in rest[0]


def test_a_pair_alone_goes_one_after_the_other_and_a_ring_of_three_in_three_waves() -> None:
    one, two, three = (("dupont", name) for name in ("a", "b", "c"))
    assert plan_waves([two, one], {one: [two]}).groups == ((one,), (two,))
    ring = plan_waves([one, two, three], {one: [two], two: [three], three: [one]}).groups
    assert [len(group) for group in ring] == [1, 1, 1]
