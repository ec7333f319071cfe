"""Running the system's programs from asynchronous code, with errors that say what was tried."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class CommandFailedError(RuntimeError):
    """A program ended with an error.

    Attributes:
        command: what was run, as one would type it.
        reason: what the program said, or its exit status where it said nothing.
    """

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"`{command}` failed: {reason}")
        self.command = command
        self.reason = reason


async def run(*command: str) -> str:
    """Run a program to its end and return its standard output.

    Raises:
        CommandFailedError: it is not installed, or ended with another status than 0.
    """
    process = await _started(command)
    with _killed_when_interrupted(process):
        output, errors = await process.communicate()
    _check(command, process.returncode, errors)
    return output.decode(errors="replace")


async def run_reporting(*command: str, report: Callable[[str], None]) -> None:
    r"""Run a program to its end and pass each piece of its output on (ended by `\r` or `\n`) as it comes.

    Raises:
        CommandFailedError: it is not installed, or ended with another status than 0.
    """
    process = await _started(command)
    assert process.stdout is not None and process.stderr is not None  # noqa: S101 (both are pipes)
    errors = asyncio.create_task(process.stderr.read())
    unfinished = ""
    with _killed_when_interrupted(process):
        while chunk := await process.stdout.read(4096):
            *pieces, unfinished = (
                (unfinished + chunk.decode(errors="replace")).replace("\r", "\n").split("\n")
            )
            for piece in pieces:
                report(piece)
        await process.wait()
    _check(command, process.returncode, await errors)


@contextmanager
def _killed_when_interrupted(process: asyncio.subprocess.Process) -> Iterator[None]:
    """Kill a program whose task is interrupted: it would go on writing to what its caller then removes."""
    try:
        yield
    except asyncio.CancelledError:
        if process.returncode is None:
            process.kill()
        raise


async def _started(command: tuple[str, ...]) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise CommandFailedError(shlex.join(command), f"{command[0]} is not installed") from error


def _check(command: tuple[str, ...], status: int | None, errors: bytes) -> None:
    if status:
        reason = errors.decode(errors="replace").strip() or f"exit status {status}"
        raise CommandFailedError(shlex.join(command), reason)
