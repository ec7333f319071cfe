"""A process that runs the command again and again when it is told to: for runs that begin at the same moment."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Self

from tests.api.desk import Answer

_SPAWN = multiprocessing.get_context("spawn")


def _work(folder: Path, environment: Mapping[str, str], barrier: Barrier, tell: Connection) -> None:
    from typer.testing import CliRunner

    from orchestrator.cli import app

    os.chdir(folder)
    os.environ.update(environment)
    runner = CliRunner()
    while arguments := tell.recv():
        barrier.wait(60)
        result = runner.invoke(app, arguments)
        tell.send((result.exit_code, result.stdout, result.stderr))


class Together:
    """Processes that each run a command at the same moment.

    Args:
        folder: where the commands run.
        environment: what is set for them.
        count: how many.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], count: int = 2) -> None:
        barrier = self._barrier = _SPAWN.Barrier(count)  # lives as long as this: else its semaphores go
        pairs = [_SPAWN.Pipe() for _ in range(count)]
        self._ends = [ours for ours, _ in pairs]
        self._processes = [
            _SPAWN.Process(target=_work, args=(folder, environment, barrier, theirs)) for _, theirs in pairs
        ]
        for process in self._processes:
            process.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._ends:
            end.send([])
        for process in self._processes:
            process.join()

    def run(self, *commands: list[str]) -> list[Answer]:
        """Run one command in each process, all at once. Returns how each ended, in the same order."""
        for end, arguments in zip(self._ends, commands, strict=True):
            end.send(arguments)
        return [Answer(*end.recv()) for end in self._ends]
