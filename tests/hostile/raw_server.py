"""A TLS server that answers with whatever bytes a test wants, at whatever pace: what no HTTP library would send."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Behaviour = Callable[["Wire"], None]


class Wire:
    """A connection that came in.

    Attributes:
        sent: how many bytes went out.
    """

    def __init__(self, plain: socket.socket, context: ssl.SSLContext, closing: threading.Event) -> None:
        self.plain = plain
        self.secured: ssl.SSLSocket | None = None
        self.sent = 0
        self._context = context
        self._closing = closing

    def shake_hands(self) -> None:
        """Begin TLS."""
        self.secured = self._context.wrap_socket(self.plain, server_side=True)

    def request(self) -> bytes:
        """Wait for one request without a body, with TLS if it has not begun."""
        if self.secured is None:
            self.shake_hands()
        assert self.secured is not None
        got = b""
        while b"\r\n\r\n" not in got:
            chunk = self.secured.recv(65536)
            if not chunk:
                raise ConnectionError
            got += chunk
        return got

    def say(self, data: bytes) -> None:
        """Send."""
        (self.secured or self.plain).sendall(data)
        self.sent += len(data)

    def drip(self, data: bytes, seconds: float = 0.02) -> None:
        """Send one byte after the other, again and again, until the other side hangs up."""
        while True:
            for byte in data:
                self.say(bytes([byte]))
                if self._closing.wait(seconds):
                    raise ConnectionError

    def pour(self, data: bytes, most: int) -> None:
        """Send the same again and again, until the other side hangs up, or so many bytes went out."""
        while self.sent < most:
            self.say(data)


class RawServer:
    """Listens on a loopback port with a certificate of its own; every connection gets one behaviour."""

    def __init__(self, folder: Path, behaviour: Behaviour) -> None:
        self.ca_file, key = _certificate(folder)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.ca_file, key)
        self._behaviour = behaviour
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._closing = threading.Event()
        self.wires: list[Wire] = []
        self.url = f"https://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._listening.accept()
                wire = Wire(plain, self._context, self._closing)
                self.wires.append(wire)
                threading.Thread(target=self._serve, args=(wire,), daemon=True).start()

    def _serve(self, wire: Wire) -> None:
        with contextlib.suppress(OSError):
            self._behaviour(wire)
        with contextlib.suppress(OSError):
            (wire.secured or wire.plain).close()

    def close(self) -> None:
        """Stop listening, and let every behaviour that waits end."""
        self._closing.set()
        self._listening.close()


@contextlib.contextmanager
def raw_server(folder: Path, behaviour: Behaviour) -> Iterator[RawServer]:
    """Serve a behaviour."""
    server = RawServer(folder, behaviour)
    try:
        yield server
    finally:
        server.close()


def _certificate(folder: Path) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key_file = folder / "raw.pem", folder / "raw.key"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "raw")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate, key_file
