"""The command in a process of its own that has the libraries loaded already: most tests start it again and again.

A server that has imported what the command imports forks for each run (``multiprocessing``'s fork server). The run is
a process like any other: own environment, folder, standard streams, exit code, and it can be killed. What happens
while the program starts is for tests that start it truly: ``Desk.start``, and all of the lab.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

_FORK = multiprocessing.get_context("forkserver")
_FORK.set_forkserver_preload(["__main__", "tests.api.forked_libraries"])

_SECONDS = 300
"""How long a run may take."""


class RunTookTooLong(Exception):
    """A run did not end; it was killed."""


class ForkedRun:
    """A run of the command; it begins when its output is waited for.

    Args:
        arguments: of the command.
        folder: where it runs.
        environment: all of its environment.

    Attributes:
        pid: its process.
    """

    def __init__(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._out, out = _FORK.Pipe(duplex=False)
        self._err, err = _FORK.Pipe(duplex=False)
        begin, self._begin = _FORK.Pipe(duplex=False)
        self._process = _FORK.Process(
            target=_work, args=(list(arguments), folder, dict(environment), begin, out, err), daemon=True
        )
        self._process.start()
        for end in (out, err, begin):
            end.close()
        assert self._process.pid
        self.pid = self._process.pid

    def communicate(self) -> tuple[int, str, str]:
        """Let it begin, and wait for its end. Returns exit code (a signal's number below 0), output and errors.

        Raises:
            RunTookTooLong: it took longer than five minutes.
        """
        with ThreadPoolExecutor(2) as readers:
            texts = [readers.submit(_everything, end) for end in (self._out, self._err)]
            self._begin.send(None)
            self._begin.close()
            self._process.join(_SECONDS)
            late = self._process.exitcode is None
            if late:
                self._process.kill()
                self._process.join()
            out, err = (text.result() for text in texts)
        if late:
            raise RunTookTooLong(f"{out}\n{err}")
        assert self._process.exitcode is not None
        return self._process.exitcode, out, err


def _everything(end: Connection) -> str:
    with end, open(end.fileno(), encoding="utf-8", closefd=False) as file:
        return file.read()


def _work(
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    begin: Connection,
    out: Connection,
    err: Connection,
) -> None:
    for end, number in ((out, 1), (err, 2)):
        os.dup2(end.fileno(), number)
        end.close()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
        for number, mode in ((0, "r"), (1, "w"), (2, "w"))
    )
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["orchestrator", *arguments]
    begin.recv()
    begin.close()
    from orchestrator.__main__ import main

    main()
