# SPDX-License-Identifier: AGPL-3.0-or-later
"""A clock that tests set and hurry: what the modelled cluster takes for the time.

Licensed as fakepve, whose own look at the time it replaces.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time as real

import fakepve.agent
import fakepve.model
import fakepve.qemu
import fakepve.server
import fakepve.storage


class Clock:
    """Simulated seconds since the epoch: ``start`` + (real seconds since then) * ``speed``.

    Stands in for the module ``time`` wherever fakepve asks for it.
    """

    def __init__(self) -> None:
        self.speed = 1.0
        self._shift: tuple[float, float] | None = None
        """The simulated and the real time at which the clock was set; None: it shows the real time."""
        self._waiting: dict[asyncio.Future[bool], tuple[float, asyncio.TimerHandle]] = {}

    def install(self) -> None:
        """Let fakepve look at this clock."""
        for module in (fakepve.agent, fakepve.model, fakepve.qemu, fakepve.server, fakepve.storage):
            module.time = self

    def time(self) -> float:
        """Now."""
        if self._shift is None:
            return real.time()
        simulated, at = self._shift
        return simulated + (real.monotonic() - at) * self.speed

    def time_ns(self) -> int:
        """Now, in nanoseconds."""
        return int(self.time() * 1e9)

    def set(self, now: float | None, speed: float | None = None) -> None:
        """Set the clock; ``None`` leaves the time or the speed. Who waits for a time now past wakes up."""
        self._shift = (self.time() if now is None else now, real.monotonic())
        self.speed = self.speed if speed is None else speed
        for waiter, (deadline, timer) in list(self._waiting.items()):
            timer.cancel()
            self._arm(waiter, deadline)

    async def until(self, deadline: float) -> None:
        """Wait for a simulated time."""
        await self.within(asyncio.get_running_loop().create_future(), deadline)

    async def within(self, waiter: asyncio.Future[bool], deadline: float) -> bool:
        """Wait for ``waiter``, at most until a simulated time; False if that came first."""
        self._arm(waiter, deadline)
        try:
            return await waiter
        finally:
            self._waiting.pop(waiter)[1].cancel()

    def _arm(self, waiter: asyncio.Future[bool], deadline: float) -> None:
        left = max(0.0, deadline - self.time()) / self.speed
        timer = asyncio.get_running_loop().call_later(left, _expire, waiter)
        self._waiting[waiter] = (deadline, timer)


def _expire(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(False)


def stamp(seconds: float) -> str:
    """A time as Proxmox writes it into the names of archives; its nodes stand in UTC here."""
    return f"{dt.datetime.fromtimestamp(int(seconds), dt.UTC):%Y_%m_%d-%H_%M_%S}"


def log_time(seconds: float) -> str:
    """A time as Proxmox writes it into logs."""
    return f"{dt.datetime.fromtimestamp(int(seconds), dt.UTC):%Y-%m-%d %H:%M:%S}"
