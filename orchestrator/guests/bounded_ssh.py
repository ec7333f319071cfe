#!/bin/sh
"""exec" "${ORCHESTRATOR_PYTHON:-python3}" -I -S "$0" "$@"
The ssh that Ansible runs: OpenSSH's, ended when a guest prints more than it may.

Ansible collects whatever a guest prints, without end. This program stands between: it hands on at most so many bytes,
and then ends ssh with the reason, as a connection that failed. It also ends ssh when nobody reads any more, because
Ansible gave up waiting or was ended itself. How long a command may take is said by the tasks (``timeout``).

    bounded_ssh.py --limits=STDOUT,STDERR [argument of ssh ...]

It is a program of its own, without this package and without slow imports: it starts for each task on each machine. The
first two lines make the shell start it with the Python that is wanted.
"""

import os
import select
import signal
import sys

_LIMITS = "--limits="
_CONNECTION_FAILED = 255  # as ssh says it
_GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL
_TOO_MUCH = (
    b"\nThe guest printed more than a command may print, so the connection was closed: see what its login shell and "
    b"that shell's start-up files print.\n"
)


def main(arguments: list[str]) -> int:
    """Run ssh; return its exit status."""
    limits = next((argument for argument in arguments if argument.startswith(_LIMITS)), None)
    command = ["ssh", *(argument for argument in arguments if not argument.startswith(_LIMITS))]
    if limits is None:
        os.execvp("ssh", command)  # noqa: S606
    left = dict(zip((1, 2), map(int, limits.removeprefix(_LIMITS).split(",")), strict=True))
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(_CONNECTION_FAILED))
    sources, ends = {}, []
    for target in (1, 2):
        source, end = os.pipe()
        sources[source] = target
        ends.append((os.POSIX_SPAWN_DUP2, end, target))
    # A group of its own, so that its proxy command ends with it. Python ignores SIGPIPE; ssh is to end by it.
    ssh = os.posix_spawnp(
        "ssh", command, os.environ, file_actions=ends, setpgroup=0, setsigdef=[signal.SIGPIPE]
    )
    for _, end, _ in ends:
        os.close(end)
    try:
        if not _hand_on(os.pidfd_open(ssh), sources, left):
            os.killpg(ssh, signal.SIGKILL)
    except SystemExit:
        os.killpg(ssh, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(ssh, 0)[1])
    return status if status >= 0 else _CONNECTION_FAILED


def _hand_on(ssh: int, sources: dict[int, int], left: dict[int, int]) -> bool:
    """Copy what ssh prints until it ends; false if its reader went before, or there is too much of it.

    The end of stderr is not waited for: a connection that is kept for later commands may hold it open.
    """
    poll = select.poll()
    for descriptor in (ssh, *sources):
        poll.register(descriptor, select.POLLIN)
    for target in (1, 2):
        poll.register(target, 0)  # of these, nothing but the end of the reader is of interest
    ended = False
    while True:
        events = dict(poll.poll(0 if ended else None))
        if any(events.get(target, 0) & _GONE for target in (1, 2)):
            return False
        if events.pop(ssh, 0):
            poll.unregister(ssh)
            ended = True
        elif ended and not events:
            return True
        for source in events:
            target = sources[source]
            data = os.read(source, 65536)
            if not data:
                poll.unregister(source)
            elif not _written(target, data[: left[target]]):
                return False
            left[target] -= len(data)
            if left[target] < 0:
                _written(2, _TOO_MUCH)
                return False


def _written(target: int, data: bytes) -> bool:
    """Write all; false if nobody reads."""
    try:
        while data:
            data = data[os.write(target, data) :]
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
