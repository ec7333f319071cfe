"""``orchestrator serve`` as a process with TLS, and a real browser that trusts its certificate and no other."""

from __future__ import annotations

import base64
import hashlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, sync_playwright

from lab.certificates import ensure_certificates
from tests.api.desk import Desk
from tests.free_ports import free_port

CHROMIUM = shutil.which("chromium")
"""Debian's; Playwright's own is never downloaded."""


@dataclass(frozen=True)
class Served:
    """The program while it serves.

    Attributes:
        url: where, without a slash at the end.
        authority: the PEM file of who signed its certificate.
        certificate: its certificate.
        process: it.
    """

    url: str
    authority: Path
    certificate: Path
    process: subprocess.Popen[str]

    @property
    def key_hash(self) -> str:
        """Of the certificate's public key, as Chromium is told which one to trust."""
        key = x509.load_pem_x509_certificate(self.certificate.read_bytes()).public_key()
        digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
        return base64.b64encode(digest).decode()


@contextmanager
def serving(desk: Desk, *arguments: str) -> Iterator[Served]:
    """Start ``orchestrator serve`` over a desk's files; end it with SIGTERM, and see that it ends well."""
    folder = desk.folder / "tls"
    folder.mkdir(exist_ok=True)
    certificate, key = ensure_certificates(folder, "tests", "127.0.0.1")
    port = free_port()
    tls = ("--certificate", str(certificate), "--key", str(key))
    process = desk.start("serve", "--listen", f"127.0.0.1:{port}", *tls, *arguments)
    try:
        _await(process, port)
        yield Served(f"https://127.0.0.1:{port}", folder / "ca.pem", certificate, process)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def _await(process: subprocess.Popen[str], port: int) -> None:
    """Wait until it listens.

    Raises:
        AssertionError: it ended before.
    """
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None:
                pytest.fail(f"serve ended: {process.communicate()}")
            time.sleep(0.05)
            continue
        return


@contextmanager
def chromium(served: Served) -> Iterator[Browser]:
    """A browser without a window. Skips the test where there is none."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    trust = f"--ignore-certificate-errors-spki-list={served.key_hash}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", trust]
        )
        yield browser
        browser.close()
