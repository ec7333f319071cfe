"""Sends packets from inside a network namespace and prints what came of each, as JSON.

Standard input is a JSON list of [KIND, SOURCE, DESTINATION, PORT]; KIND is tcp, udp or ping. The answers are
"open" (somebody answered), "closed" (refused by name), "dropped" (silence) and "kept" (our own firewall refused it).
"""

import errno
import json
import random
import socket
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

_SILENCE_SECONDS = 1.5


def probe(kind: str, source: str, destination: str, port: int) -> str:
    try:
        return {"tcp": _tcp, "udp": _udp, "ping": _ping}[kind](source, destination, port)
    except ConnectionRefusedError:
        return "closed"
    except TimeoutError:
        return "dropped"
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES, errno.EHOSTUNREACH):
            return "kept"
        raise


def _tcp(source: str, destination: str, port: int) -> str:
    socket.create_connection((destination, port), _SILENCE_SECONDS, (source, 0)).close()
    return "open"


def _udp(source: str, destination: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.settimeout(_SILENCE_SECONDS)
        sock.connect((destination, port))
        sock.send(b"x")
        sock.recv(1)
    return "open"


def _ping(source: str, destination: str, _: int) -> str:
    six = ":" in destination
    family, protocol = (
        (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    )
    number = random.randrange(1, 1 << 15)  # an earlier one would be of a conversation that the firewall knows
    body = struct.pack("!HH", number, 1)
    # The kernel sums up ICMPv6 itself; of a raw IPv4 socket the sender does.
    header = bytes([128, 0, 0, 0]) if six else struct.pack("!BBH", 8, 0, 0xFFFF - (0x0800 + number + 1))
    with socket.socket(family, socket.SOCK_RAW, protocol) as sock:
        sock.bind((source, 0))
        sock.settimeout(_SILENCE_SECONDS)
        sock.sendto(header + body, (destination, 0))
        while True:
            answer = sock.recv(1024)
            message = answer if six else answer[(answer[0] & 15) * 4 :]
            if message[0] == (129 if six else 0) and message[4:6] == body[:2]:
                return "open"


if __name__ == "__main__":
    questions = json.load(sys.stdin)
    with ThreadPoolExecutor(max(len(questions), 1)) as pool:
        json.dump(list(pool.map(lambda question: probe(*question), questions)), sys.stdout)
