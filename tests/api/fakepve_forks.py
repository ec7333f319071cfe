# SPDX-License-Identifier: AGPL-3.0-or-later
"""Start fakepve clusters at once: a process that has loaded fakepve forks one process for each cluster.

    python -m tests.api.fakepve_forks --socket FD

Each message on the socket names a cluster's directory and carries the descriptor that becomes its standard input and
output; from then on the new process is one of ``tests.api.fakepve_process``. It ends when the socket is closed; the
clusters go on until their own standard input ends. Loading fakepve takes longer than most tests. Licensed as fakepve.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import tempfile
import traceback
from pathlib import Path

from tests.api.fakepve_faults import TroubledNode
from tests.api.fakepve_process import HOST, make_certificates, serve

_PATH_BYTES = 4096


def _play(connection: int, directory: Path) -> None:
    """Be the process of one cluster, to its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    status = 1
    try:
        for number in (0, 1):
            os.dup2(connection, number)
        os.close(connection)
        asyncio.run(serve(directory))
        status = 0
    except BaseException:  # nothing of this process may go on in the loop below
        traceback.print_exc()
    finally:
        os._exit(status)


async def _compile() -> None:
    """Have the API's schema read and the patterns of its paths compiled, which are kept, before anybody forks."""
    with tempfile.TemporaryDirectory() as folder:
        _, certificate = make_certificates(Path(folder))
        node = TroubledNode(host=HOST, port=0)
        await node.start(*certificate)
        await node.stop()


def main() -> None:
    """Fork until the socket is closed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--socket", type=int, required=True, help="an open socket that keeps messages apart")
    asked = socket.socket(fileno=parser.parse_args().socket)
    asyncio.run(_compile())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    while True:
        path, descriptors, _, _ = socket.recv_fds(asked, _PATH_BYTES, 1)
        if not path:
            return
        (connection,) = descriptors
        if os.fork() == 0:
            asked.close()
            _play(connection, Path(os.fsdecode(path)))
        os.close(connection)


if __name__ == "__main__":
    main()
