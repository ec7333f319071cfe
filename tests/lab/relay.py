"""A ProxyCommand: joins standard input and output to a TCP connection. Run it inside a network namespace.

relay.py SOURCE HOST PORT
"""

import os
import selectors
import socket
import sys


def main() -> None:
    source, host, port = sys.argv[1:]
    with socket.create_connection((host, int(port)), source_address=(source, 0)) as far:
        waiting = selectors.DefaultSelector()
        waiting.register(0, selectors.EVENT_READ)
        waiting.register(far, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                data = os.read(key.fd, 65536)
                if not data:
                    return
                if key.fd == 0:
                    far.sendall(data)
                else:
                    view = memoryview(data)
                    while view:
                        view = view[os.write(1, view) :]


if __name__ == "__main__":
    main()
