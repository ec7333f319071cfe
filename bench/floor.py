"""The floor: the calls of a command, made by ``http.client`` in bare loops, each over a connection of its own.

    python -m bench.floor CA TOKEN < PLAN

PLAN is JSON: ``{"URL": [PATH, …]}`` for each connection, or a list of such. All loops run at once, each answer's JSON
is decoded, nothing else is done. Prints the seconds from the first connection to the last answer.
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

Loop = tuple[str, list[str]]
"""URL and paths of one connection."""


def floor(loops: Sequence[Loop], ca_file: Path, token: str) -> float:
    """Seconds that the loops need, in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.floor", str(ca_file), token],
        input=json.dumps(loops),
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    return float(done.stdout)


def _loop(url: str, paths: Sequence[str], context: ssl.SSLContext, token: str) -> None:
    address = urlsplit(url)
    connection = http.client.HTTPSConnection(str(address.hostname), address.port, context=context)
    headers = {"Authorization": f"PVEAPIToken={token}"}
    for path in paths:
        connection.request("GET", path, headers=headers)
        json.loads(connection.getresponse().read())
    connection.close()


def main() -> None:
    """Run the loops and print how long they took."""
    ca_file, token = sys.argv[1:]
    loops: list[Loop] = json.load(sys.stdin)
    context = ssl.create_default_context(cafile=ca_file)
    started = time.perf_counter()
    threads = [threading.Thread(target=_loop, args=(url, paths, context, token)) for url, paths in loops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
