"""In which order machines are updated."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planning.waves import LARGEST, Course, Key, plan_waves

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


def test_the_first_wave_has_machines_of_as_many_clients_as_can_be() -> None:
    machines = [(client, f"web-{n}") for client in ("aaa", "dupont", "martin") for n in range(10)]
    assert {client for client, _ in plan_waves(machines, {}).groups[0]} == {"aaa", "dupont", "martin"}


def run_course(course: Course, unwell: set[Key]) -> tuple[list[tuple[Key, ...]], list[Key]]:
    """The waves, and those whose turn never came, when some machines are not well after theirs."""
    waves, stopped = [], []
    while course:
        waves.append(course.next())
        stopped += course.ended(unwell.intersection(waves[-1]))
    return waves, stopped


def test_one_clients_machines_stop_its_own_and_nobody_elses() -> None:
    """Whoever is root in a machine says how its update ended."""
    own, others = [("aaa", "web-1"), ("aaa", "web-2")], [("dupont", f"web-{n}") for n in range(9)]
    waves, stopped = run_course(Course([*own, *others], {own[0]: [own[1]]}), {own[0]})
    assert waves[0][0] == own[0] and stopped == [own[1]]
    assert sorted(key for wave in waves[1:] for key in wave) == [key for key in others if key not in waves[0]]
    assert len(waves[1]) == 1, "somebody else's goes first anew"


def test_machines_of_two_clients_stop_all() -> None:
    machines = [(client, f"web-{n}") for client in ("aaa", "dupont", "martin") for n in range(3)]
    waves, stopped = run_course(Course(machines, {}), {key for key in machines if key[0] != "martin"})
    assert waves == [(machines[0],), (machines[3],)]
    assert sorted([*stopped, machines[0], machines[3]]) == machines


@given(machines=st.sets(_keys, max_size=60), unwell=st.sets(_keys), last=st.sets(_keys))
def test_every_machine_has_a_turn_or_is_told_that_it_has_none(
    machines: set[Key], unwell: set[Key], last: set[Key]
) -> None:
    waves, stopped = run_course(Course(machines, {}, last), unwell)
    assert sorted([*stopped, *(key for wave in waves for key in wave)]) == sorted(machines)


def test_what_an_earlier_run_left_unfinished_holds_up_nobody_else() -> None:
    course = Course([("aaa", "web-1"), ("dupont", "web-1")], {}, last=[("aaa", "web-1")])
    assert [course.next(), course.next()] == [(("dupont", "web-1"),), (("aaa", "web-1"),)]
