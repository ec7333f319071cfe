"""The services of a test guest: each TCP and UDP port named on the command line sends back what it gets."""

import selectors
import socket
import sys


def main() -> None:
    waiting = selectors.DefaultSelector()
    for port in map(int, sys.argv[1:]):
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        waiting.register(listener, selectors.EVENT_READ, "listener")
        datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        datagrams.bind(("::", port))
        waiting.register(datagrams, selectors.EVENT_READ, "datagrams")
    sys.stdout.write("services ready\n")
    sys.stdout.flush()
    while True:
        for key, _ in waiting.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if key.data == "listener":
                waiting.register(sock.accept()[0], selectors.EVENT_READ, "connection")
            elif key.data == "datagrams":
                # Answered from the address that was asked, of several.
                data, asked, _, sender = sock.recvmsg(65536, 64)
                sock.sendmsg([data], asked, 0, sender)
            elif data := sock.recv(65536):
                sock.sendall(data)
            else:
                waiting.unregister(sock)
                sock.close()


if __name__ == "__main__":
    main()
