"""The one loop that changes things: look, act, look again."""

from __future__ import annotations

import pytest

from orchestrator.applying.settle import PAUSE_SECONDS, ROUNDS, settle
from orchestrator.applying.stopped import Stopped
from orchestrator.proxmox import BadParameters, LockTimeout, ProxmoxError, TaskFailed, Uncertain


class _World:
    """A number that is to become 3; each act adds one, or fails as told."""

    def __init__(self, *failures: ProxmoxError | None, taken_back: bool = False) -> None:
        self.number = 0
        self.failures = list(failures)
        self.taken_back = taken_back
        self.pauses: list[float] = []

    def act(self, seen: int) -> bool:
        if seen == 3:
            return False
        self.number = seen + 1
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        if self.taken_back:
            self.number = 0
        return True

    def run(self) -> int:
        return settle(
            self.number,
            self.act,
            lambda _: self.number,
            pause=self.pauses.append,
            what="its number",
            where="X",
        )


def _failed(cause: ProxmoxError) -> TaskFailed:
    return TaskFailed(
        site="paris", call="PUT /x", upid="UPID:x", exitstatus="failed", log_tail=(), cause=cause
    )


def test_acts_until_nothing_is_left() -> None:
    world = _World()
    assert world.run() == 3
    assert not world.pauses


def test_an_answer_that_says_nothing_is_followed_by_a_look() -> None:
    lost, locked = (
        Uncertain("lost", site="paris", call="PUT /x"),
        LockTimeout("locked", site="paris", call="PUT /x"),
    )
    world = _World(lost, _failed(locked))
    assert world.run() == 3, "what took effect is not done twice"
    assert world.pauses == [PAUSE_SECONDS] * 2


def test_a_refusal_ends_it_at_once() -> None:
    refused = BadParameters("no such setting", site="paris", call="PUT /x")
    with pytest.raises(BadParameters):
        _World(refused).run()
    with pytest.raises(TaskFailed):
        _World(_failed(refused)).run()


def test_another_writer_is_named_after_a_while() -> None:
    world = _World(taken_back=True)
    with pytest.raises(Stopped, match="its number keeps changing, so there is another writer: look at X"):
        world.run()
    assert ROUNDS > 3, "a creation needs three looks"
