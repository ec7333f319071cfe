"""The certificate that a server presents, seen without trusting it: for a person who compares its fingerprint."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from orchestrator.proxmox.answers import NoAnswer
from orchestrator.proxmox.budget import connect

_FINGERPRINT = re.compile(r"(?:[0-9A-F]{2}:?){31}[0-9A-F]{2}")


@dataclass(frozen=True, kw_only=True)
class Presented:
    """A certificate that nobody has verified.

    Attributes:
        pem: the certificate.
        fingerprint: SHA-256, as Proxmox shows it: pairs of hexadecimal digits with colons.
    """

    pem: str
    fingerprint: str


def presented(url: str, *, timeout_seconds: float) -> Presented:
    """Ask a server for its certificate. Nothing is sent but the handshake, above all no token.

    Args:
        url: of the API.
        timeout_seconds: for the name, the connection and the handshake together.

    Raises:
        NoAnswer: there is no connection, or no TLS.
    """
    import ssl

    ends = time.monotonic() + timeout_seconds

    def left() -> float:
        if (seconds := ends - time.monotonic()) <= 0:
            raise TimeoutError(f"no connection and handshake within {timeout_seconds:g} s")
        return seconds

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    parts = urlsplit(url)
    try:
        with connect(parts.hostname or "", parts.port or 8006, left) as plain:
            plain.settimeout(left())
            with context.wrap_socket(plain, server_hostname=parts.hostname) as secured:
                shown = secured.getpeercert(binary_form=True) or b""
    except OSError as error:
        raise NoAnswer(f"no connection to {url}: {error.strerror or error}", sent=False) from None
    digest = hashlib.sha256(shown).hexdigest().upper()
    return Presented(
        pem=ssl.DER_cert_to_PEM_cert(shown),
        fingerprint=":".join(digest[place : place + 2] for place in range(0, len(digest), 2)),
    )


def parse_fingerprint(text: str) -> str:
    """A SHA-256 fingerprint as :attr:`Presented.fingerprint` has it, however it was written.

    Raises:
        ValueError: it is none.
    """
    plain = text.strip().upper().removeprefix("SHA256:").removeprefix("SHA-256:").strip()
    if not _FINGERPRINT.fullmatch(plain):
        raise ValueError("a fingerprint is SHA-256: 32 pairs of hexadecimal digits, such as AB:CD:…")
    digits = plain.replace(":", "")
    return ":".join(digits[place : place + 2] for place in range(0, len(digits), 2))
