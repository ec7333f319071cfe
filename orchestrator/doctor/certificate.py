"""The certificate of a cluster's API: trusted, for this host, and for how long still."""

from __future__ import annotations

import datetime as dt
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.contract.calendar import day_in_paris
from orchestrator.counting import counted
from orchestrator.doctor.findings import Finding, Place
from orchestrator.proxmox.budget import connect
from orchestrator.proxmox.tls import trusting_file, without_form_checks

SOON = dt.timedelta(days=21)
"""Proxmox renews its own certificates when less than two weeks are left; later than this it did not."""

_EXPIRED, _NOT_YET, _WRONG_HOST = 10, 9, {62, 64}
"""OpenSSL's codes of verification errors (X509_V_ERR_*)."""


@dataclass(frozen=True, kw_only=True)
class Handshake:
    """How a TLS handshake ended.

    Attributes:
        expires: until when the certificate is good; None if it was refused.
        refused: OpenSSL's code of the reason why it was refused; None if it was not.
        reason: OpenSSL's words, or why there was no connection.
    """

    expires: dt.datetime | None = None
    refused: int | None = None
    reason: str = ""


def shake_hands(url: str, ca_file: Path | None, *, timeout_seconds: float) -> Handshake:
    """Connect to an API's host and look at its certificate, trusting whom the program trusts.

    Args:
        url: of the API.
        ca_file: whom to trust; the system's certificates if None.
        timeout_seconds: for the name, the connection and the handshake together.
    """
    ends = time.monotonic() + timeout_seconds

    def left() -> float:
        if (seconds := ends - time.monotonic()) <= 0:
            raise TimeoutError(f"no connection and handshake within {timeout_seconds:g} s")
        return seconds

    parts = urlsplit(url)
    try:
        context = trusting_file(ca_file) if ca_file else without_form_checks(ssl.create_default_context())
    except (OSError, ssl.SSLError) as error:
        return Handshake(
            refused=0, reason=f"{ca_file} cannot be used: {getattr(error, 'strerror', None) or error}"
        )
    try:
        with connect(parts.hostname or "", parts.port or 8006, left) as plain:
            plain.settimeout(left())  # of the handshake as a whole
            with context.wrap_socket(plain, server_hostname=parts.hostname) as secured:
                details = secured.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return Handshake(refused=error.verify_code, reason=error.verify_message)
    except OSError as error:
        return Handshake(reason=error.strerror or str(error))
    seconds = ssl.cert_time_to_seconds(str(details["notAfter"]))
    return Handshake(expires=dt.datetime.fromtimestamp(seconds, dt.UTC))


def judge(
    place: Place,
    url: str,
    ca_file: Path | None,
    shaken: Handshake,
    now: dt.datetime,
    *,
    subject: str = "certificate",
) -> Iterator[Finding]:
    """Say what a handshake means.

    Args:
        place: the site.
        url, ca_file: of its API.
        shaken: how it ended.
        now: the time, aware.
        subject: what the findings are about.
    """
    host = urlsplit(url).hostname
    renew = "renew it on its node (`pvecm updatecerts --force`, or Node > Certificates for an ACME one)"
    if shaken.expires is not None:
        left = shaken.expires - now
        until = (
            f"trusted, names {host}, good until {day_in_paris(shaken.expires)} ({counted(left.days, 'day')})"
        )
        yield place.warning(subject, until, renew) if left < SOON else place.ok(subject, until)
    elif shaken.refused is None:
        yield place.error(
            "API",
            f"no connection to {url}: {shaken.reason}",
            "see that the node is up, that pveproxy runs there (systemctl status pveproxy), and that no firewall is in "
            "between; the host and port are api.url of the site file",
        )
    elif shaken.refused == _EXPIRED:
        yield place.error(subject, f"it has expired ({shaken.reason})", renew)
    elif shaken.refused == _NOT_YET:
        yield place.error(
            subject, f"it is not yet good ({shaken.reason})", "set the clocks right, here and there"
        )
    elif shaken.refused in _WRONG_HOST:
        yield place.error(
            subject,
            f"it does not name {host} ({shaken.reason})",
            "write a name or address into api.url that the certificate has (`openssl x509 -noout -ext subjectAltName "
            "-in /etc/pve/local/pve-ssl.pem` on the node shows them)",
        )
    else:
        trusted = str(ca_file) if ca_file else "the system's certificates"
        yield place.error(
            subject,
            f"it is not signed by whom is trusted ({trusted}): {shaken.reason}",
            "copy /etc/pve/pve-root-ca.pem from a node of this cluster over a way you trust, and name it as "
            "ca_file. If it was right yesterday, find out who answers at this address before anything else",
        )
