"""Which backup is started next: the laws of the dispatcher, and how near its nights come to the shortest possible."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.nightly.schedule import (
    Assignment,
    Dispatcher,
    Job,
    Planned,
    lower_bound,
    simulate,
)

PLENTY = 10**15
ROUNDING = 1 + 1e-9
"""Sums of seconds in different orders differ in their last digits."""

Places = dict[tuple[str, str], int]


def job(name: str, seconds: float, *, node: str = "pve1", to: str = "A", size: int = 1) -> Job:
    return Job(key=("dupont", name), site="paris", node=node, storages=tuple(to), seconds=seconds, size=size)


def at_paris(**places: int) -> Places:
    return {("paris", name): number for name, number in places.items()}


@dataclass(frozen=True)
class Work:
    """A night's work and what there is to do it with."""

    jobs: list[Job]
    slots: Places
    free: Places


@st.composite
def works(draw: st.DrawFn, *, plenty: bool = False) -> Work:
    sites = draw(st.sampled_from([("paris",), ("paris", "lyon")]))
    slots = {(site, name): draw(st.integers(1, 3)) for site in sites for name in "ABC"}
    free = {place: PLENTY if plenty else draw(st.integers(0, 120)) for place in slots}
    jobs = [
        Job(
            key=("dupont", f"m{number}"),
            site=draw(st.sampled_from(sites)),
            node=draw(st.sampled_from(["pve1", "pve2", "pve3", "pve4"])),
            storages=tuple(draw(st.sampled_from(["A", "AB", "ABC", "BC", "C", "CA"]))),
            seconds=draw(st.integers(1, 50) | st.floats(0.5, 500)),
            size=draw(st.integers(0, 40)),
        )
        for number in range(draw(st.integers(0, 25)))
    ]
    return Work(jobs, slots, free)


@dataclass
class Books:
    """The dispatcher's books, kept once more and naively."""

    work: Work
    waiting: list[Job] = field(init=False)
    running: list[Assignment] = field(default_factory=list)
    used: Counter[tuple[str, str]] = field(default_factory=Counter)
    gone: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.waiting = list(self.work.jobs)

    def free(self, site: str, name: str) -> int:
        return self.work.free[site, name] - self.used[site, name]

    def startable(self, item: Job) -> set[str]:
        """The storages that a job may be started to now."""
        if any((run.job.site, run.job.node) == (item.site, item.node) for run in self.running):
            return set()
        there = {name for name in item.storages if (item.site, name) not in self.gone}
        fitting = {name for name in there if self.free(item.site, name) >= item.size} or there
        taken = Counter((run.job.site, run.storage) for run in self.running)
        return {name for name in fitting if taken[item.site, name] < self.work.slots[item.site, name]}

    def start(self, chosen: Assignment | None) -> None:
        if chosen is None:
            assert not any(self.startable(item) for item in self.waiting), "something could have been started"
            assert self.running or not self.waiting
            return
        assert chosen.job in self.waiting
        assert chosen.storage in self.startable(chosen.job)
        alike = [item for item in self.waiting if self.startable(item) and self.alike(item, chosen.job)]
        assert chosen.job.seconds == max(item.seconds for item in alike), "a longer one waits"
        self.waiting.remove(chosen.job)
        self.running.append(chosen)
        self.used[chosen.job.site, chosen.storage] += chosen.job.size

    def alike(self, one: Job, other: Job) -> bool:
        def reached(item: Job) -> set[str]:
            return {name for name in item.storages if (item.site, name) not in self.gone}

        return (one.site, one.node, reached(one)) == (other.site, other.node, reached(other))

    def end(self, assignment: Assignment, size: int) -> None:
        self.running.remove(assignment)
        self.used[assignment.job.site, assignment.storage] += size - assignment.job.size

    def drop(self, site: str, *, storage: str | None, node: str | None) -> list[Job]:
        if storage:
            self.gone.add((site, storage))
        stranded = [
            item
            for item in self.waiting
            if (item.site, item.node) == (site, node)
            or all((item.site, name) in self.gone for name in item.storages)
        ]
        self.waiting = [item for item in self.waiting if item not in stranded]
        return stranded


# The laws, in nights in which anything may happen


@settings(deadline=None)
@given(works(), st.data())
def test_whatever_happens_the_books_are_right_and_nothing_waits_needlessly(
    work: Work, data: st.DataObject
) -> None:
    dispatcher, books = Dispatcher(work.jobs, work.slots, work.free), Books(work)
    while books.waiting or books.running:
        assert (dispatcher.pending, dispatcher.running) == (len(books.waiting), len(books.running))
        happens = data.draw(st.sampled_from(["next", "next", "next", "end", "end", "drop"]))
        if happens == "drop":
            site = data.draw(st.sampled_from(["paris", "lyon"]))
            storage = data.draw(st.none() | st.sampled_from("ABC"))
            node = data.draw(st.none() | st.sampled_from(["pve1", "pve2"]))
            stranded = books.drop(site, storage=storage, node=node)
            found = dispatcher.drop(site=site, storage=storage, node=node)
            assert found == sorted(stranded, key=lambda item: item.key)
        elif happens == "end" and books.running:
            assignment, size = data.draw(st.sampled_from(books.running)), data.draw(st.integers(0, 80))
            books.end(assignment, size)
            dispatcher.ended(assignment, size)
        else:
            books.start(dispatcher.next())
    assert (dispatcher.pending, dispatcher.running, dispatcher.next()) == (0, 0, None)


@given(works(), st.integers(0, 10))
def test_what_is_drained_and_what_was_started_is_everything_once(work: Work, started: int) -> None:
    dispatcher = Dispatcher(work.jobs, work.slots, work.free)
    begun = [chosen.job for _ in range(started) if (chosen := dispatcher.next())]
    left = dispatcher.drain()
    assert sorted(item.key for item in begun + left) == sorted(item.key for item in work.jobs)
    assert (dispatcher.pending, dispatcher.next(), dispatcher.drain()) == (0, None, [])
    assert dispatcher.running == len(begun)


# The laws of a whole night


def most_at_once(spans: list[tuple[float, float]]) -> int:
    events = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    most = now = 0
    for _, change in events:
        now += change
        most = max(most, now)
    return most


@given(works())
def test_every_backup_is_made_once_within_the_slots_of_nodes_and_storages(work: Work) -> None:
    planned = simulate(work.jobs, work.slots, work.free)
    assert sorted(item.job.key for item in planned.backups) == sorted(item.key for item in work.jobs)
    on_node, on_storage = defaultdict(list), defaultdict(list)
    for item in planned.backups:
        assert item.ends == item.starts + item.job.seconds
        on_node[item.job.site, item.job.node].append((item.starts, item.ends))
        on_storage[item.job.site, item.storage].append((item.starts, item.ends))
    assert all(most_at_once(spans) == 1 for spans in on_node.values())
    assert all(most_at_once(spans) <= work.slots[place] for place, spans in on_storage.items())
    assert planned.makespan == max((item.ends for item in planned.backups), default=0.0)


@given(works())
def test_no_night_is_shorter_than_the_bound(work: Work) -> None:
    makespan = simulate(work.jobs, work.slots, work.free).makespan
    assert makespan * ROUNDING >= lower_bound(work.jobs, work.slots)


@given(works(plenty=True))
def test_where_space_is_plenty_a_backup_waits_for_its_node_and_its_storages_alone(work: Work) -> None:
    for item in simulate(work.jobs, work.slots, work.free).backups:
        mine, at_site = item.job, [other for other in work.jobs if other.site == item.job.site]
        node = sum(other.seconds for other in at_site if other.node == mine.node)
        elsewhere = sum(
            other.seconds
            for other in at_site
            if other.node != mine.node and set(other.storages) & set(mine.storages)
        )
        slots = sum(work.slots[mine.site, name] for name in mine.storages)
        assert item.ends <= (node + elsewhere / slots) * ROUNDING


@given(works(plenty=True))
def test_where_all_reach_the_same_storages_no_night_is_twice_the_bound(work: Work) -> None:
    jobs = [replace(item, storages=("A", "B")) for item in work.jobs]
    assert simulate(jobs, work.slots, work.free).makespan <= 2 * lower_bound(jobs, work.slots) * ROUNDING


@given(works(), st.randoms())
def test_the_same_night_is_planned_the_same_however_it_is_listed(
    work: Work, shuffling: random.Random
) -> None:
    again = list(work.jobs)
    shuffling.shuffle(again)
    slots = dict(sorted(work.slots.items(), reverse=True))
    assert simulate(again, slots, work.free) == simulate(work.jobs, work.slots, work.free)


# How near nights come to the bound

Reach = Callable[[int, int], str]
"""The storages of a machine, by the numbers of its node and its own."""

NIGHTS: dict[str, tuple[int, int, Reach, Places]] = {
    "2,000 machines, every node reaches three storages": (
        20, 2000, lambda *_: "ABC", at_paris(A=3, B=3, C=3)),
    "storages of different strength": (20, 1000, lambda *_: "ABC", at_paris(A=1, B=2, C=4)),
    "one storage, two at a time": (20, 400, lambda *_: "A", at_paris(A=2)),
    "nodes are the limit": (10, 600, lambda *_: "AB", at_paris(A=10, B=10)),
    "two halves that share a storage": (
        20, 1000, lambda node, _: "AB" if node < 10 else "BC", at_paris(A=2, B=2, C=2)),
    "five nodes reach the weakest storage alone": (
        20, 1000, lambda node, _: "A" if node < 5 else "ABC", at_paris(A=1, B=2, C=2)),
    "most nodes reach one storage alone": (
        20, 1000, lambda node, _: "A" if node < 12 else "AB", at_paris(A=2, B=2)),
    "machines of one node reach different storages": (
        20, 2000, lambda _, number: "ABC"[: 1 + number % 3], at_paris(A=2, B=2, C=2)),
    "three nodes, thirty machines": (3, 30, lambda *_: "A", at_paris(A=2)),
}  # fmt: skip


def night(seed: int, nodes: int, machines: int, reach: Reach, *, uneven: bool) -> list[Job]:
    """Machines whose backups take minutes, a few of them hours; ``uneven``: some nodes have four times as many."""
    chance = random.Random(seed)
    weights = [1 + 3 * chance.random() * uneven for _ in range(nodes)]
    return [
        job(
            f"m{number}",
            chance.lognormvariate(5.5, 1.0),
            node=f"pve{node}",
            to=reach(node, number),
            size=chance.randrange(1, 10**9),
        )
        for number, node in enumerate(chance.choices(range(nodes), weights, k=machines))
    ]


@pytest.mark.parametrize("uneven", [False, True], ids=["even nodes", "uneven nodes"])
@pytest.mark.parametrize("name", NIGHTS)
def test_realistic_nights_are_within_ten_percent_of_the_bound(name: str, uneven: bool) -> None:
    nodes, machines, reach, slots = NIGHTS[name]
    for seed in range(3):
        jobs = night(seed, nodes, machines, reach, uneven=uneven)
        planned = simulate(jobs, slots, dict.fromkeys(slots, PLENTY))
        assert planned.makespan <= 1.10 * lower_bound(jobs, slots), f"seed {seed}"


def test_three_alike_backups_for_two_slots_cannot_reach_the_bound() -> None:
    """The bound spreads work as if a backup could be cut in two; here one slot must make two of the three."""
    jobs = [job(f"m{number}", 60, node=f"pve{number}") for number in range(3)]
    slots = at_paris(A=2)
    assert lower_bound(jobs, slots) == 90
    assert simulate(jobs, slots, at_paris(A=PLENTY)).makespan == 120


def test_a_full_storage_can_make_a_night_longer_than_the_bound() -> None:
    """The bound knows slots, not bytes: what fits on one storage alone takes turns there."""
    jobs = [job(f"m{number}", 60, node=f"pve{number}", to="AB", size=10) for number in range(4)]
    slots = at_paris(A=1, B=1)
    assert lower_bound(jobs, slots) == 120
    assert simulate(jobs, slots, at_paris(A=0, B=PLENTY)).makespan == 240


def test_starting_whatever_can_start_may_cost_what_waiting_would_have_saved() -> None:
    """Nothing is held back: a long backup that begins just before its slot would suit another is not foreseen."""
    jobs = [job("a", 2, node="n1"), job("b", 2, node="n2"), job("c", 3, node="n3"), job("d", 3, node="n4"),
            job("e", 2, node="n5")]  # fmt: skip
    slots = at_paris(A=2)
    assert lower_bound(jobs, slots) == 6  # 3+3 beside 2+2+2
    assert simulate(jobs, slots, at_paris(A=PLENTY)).makespan == 7


# The order


def order(planned: Planned) -> list[str]:
    return [item.job.key[1] for item in planned.backups]


def test_the_longest_backup_of_a_node_is_first() -> None:
    jobs = [job("short", 10), job("long", 30), job("middle", 20)]
    assert order(simulate(jobs, at_paris(A=2), at_paris(A=9))) == ["long", "middle", "short"]


def test_what_would_end_in_working_hours_is_first_whatever_the_others_wait_for() -> None:
    late = replace(job("late", 20), first=True)
    jobs = [late, job("longer", 30), *(job(f"of-many-{n}", 20, node="pve2") for n in range(4))]
    assert order(simulate(jobs, at_paris(A=1), at_paris(A=9)))[0] == "late"


def test_the_node_with_the_most_work_left_is_served_first() -> None:
    jobs = [job("alone", 50, node="pve1"), *(job(f"of-many-{n}", 20, node="pve2") for n in range(4))]
    first = order(simulate(jobs, at_paris(A=1), at_paris(A=9)))
    assert first == ["of-many-0", "of-many-1", "alone", "of-many-2", "of-many-3"]


def test_what_only_one_storage_can_take_is_not_kept_from_it_by_what_has_a_choice() -> None:
    choice = [job(f"choice-{n}", 10, node=f"pve{n}", to="AB") for n in range(2)]
    bound = [job(f"bound-{n}", 10, node=f"pve{n + 2}", to="A") for n in range(2)]
    planned = simulate([*choice, *bound], at_paris(A=1, B=1), at_paris(A=9, B=9))
    assert planned.makespan == 20
    assert {item.storage for item in planned.backups if item.job.key[1].startswith("choice")} == {"B"}


def test_slots_count_by_the_work_that_waits_for_them() -> None:
    bound = [job(f"bound-{n}", 50, node=f"pve{n}") for n in range(4)]
    chosen = Dispatcher(
        [*bound, job("m", 200, to="AB", node="pve9")], at_paris(A=2, B=1), at_paris(A=9, B=9)
    ).next()
    assert chosen is not None and (chosen.job.key[1], chosen.storage) == ("m", "B")


def test_when_a_storage_is_gone_its_work_counts_where_it_can_still_go() -> None:
    jobs = [job("choice", 100, node="pve1", to="AB"), job("left", 10, node="pve2", to="AC"),
            job("bound", 8, node="pve3", to="B")]  # fmt: skip
    whole, bereft = (Dispatcher(jobs, at_paris(A=1, B=1, C=1), at_paris(A=9, B=9, C=9)) for _ in range(2))
    assert bereft.drop(site="paris", storage="C") == []
    first, other = whole.next(), bereft.next()
    assert first is not None and (first.job.key[1], first.storage) == ("choice", "A")
    assert other is not None and (other.job.key[1], other.storage) == ("choice", "B")


def test_of_storages_alike_the_one_with_the_most_free_bytes_is_taken() -> None:
    chosen = Dispatcher([job("m", 10, to="AB")], at_paris(A=1, B=1), at_paris(A=5, B=6)).next()
    assert chosen is not None and chosen.storage == "B"


def test_a_backup_waits_for_the_storage_where_it_fits_and_lets_a_shorter_one_pass() -> None:
    jobs = [job("first", 30, node="pve2", to="B", size=5), job("large", 20, to="AB", size=50),
            job("small", 10, to="AB", size=5)]  # fmt: skip
    planned = simulate(jobs, at_paris(A=1, B=1), at_paris(A=10, B=100))
    assert [(item.job.key[1], item.storage, item.starts) for item in planned.backups] == [
        ("first", "B", 0),
        ("small", "A", 0),
        ("large", "B", 30),
    ]


def test_a_backup_that_fits_nowhere_is_tried_where_the_least_is_missing() -> None:
    chosen = Dispatcher([job("m", 10, to="AB", size=50)], at_paris(A=4, B=1), at_paris(A=5, B=6)).next()
    assert chosen is not None and chosen.storage == "B"


def test_bytes_that_a_failed_backup_did_not_take_are_free_again() -> None:
    jobs = [job("first", 20, size=8), job("second", 10, to="AB", size=8)]
    dispatcher = Dispatcher(jobs, at_paris(A=1, B=1), at_paris(A=10, B=7))
    first = dispatcher.next()
    assert first is not None and first.job.key[1] == "first"
    dispatcher.ended(first, 0)
    second = dispatcher.next()
    assert second is not None and second.storage == "A"


# What is refused


def test_a_backup_ends_once() -> None:
    dispatcher = Dispatcher([job("m", 10)], at_paris(A=1), at_paris(A=9))
    chosen = dispatcher.next()
    assert chosen is not None
    dispatcher.ended(chosen, 1)
    with pytest.raises(ValueError, match="dupont/m is not running on A"):
        dispatcher.ended(chosen, 1)


def test_one_machine_has_one_backup_a_night() -> None:
    with pytest.raises(ValueError, match="two backups"):
        Dispatcher([job("m", 10), job("m", 20)], at_paris(A=1), {})


@pytest.mark.parametrize("slots", [{}, at_paris(A=0), at_paris(B=1)])
def test_a_storage_without_slots_is_refused(slots: Places) -> None:
    with pytest.raises(ValueError, match="storage A of paris"):
        simulate([job("m", 10)], slots, {})


@pytest.mark.parametrize(("seconds", "size", "to"), [(0, 1, "A"), (float("inf"), 1, "A"), (float("nan"), 1, "A"),
                                                      (1, -1, "A"), (1, 1, "")])  # fmt: skip
def test_a_job_with_a_figure_out_of_range_is_refused(seconds: float, size: int, to: str) -> None:
    with pytest.raises(ValueError, match="no backup can be planned"):
        job("m", seconds, size=size, to=to)


def test_a_night_without_backups_takes_no_time() -> None:
    assert simulate([], {}, {}) == Planned(backups=(), makespan=0.0)
    assert lower_bound([], {}) == 0
