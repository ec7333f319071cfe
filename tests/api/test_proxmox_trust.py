"""Whom the client trusts, who it says it is, and that it keeps secrets."""

from __future__ import annotations

import logging
import ssl
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3.connection
import urllib3.util.ssl_

from orchestrator.doctor.certificate import shake_hands
from orchestrator.proxmox import Cluster, ProxmoxError, TlsRefused, TokenRefused, Unreachable
from tests.api.fakepve_handle import FakePve

CONFIG = "/nodes/pve1/qemu/1000/config"
WRONG_SECRET = "wrong-secret-4711"
PASSWORD = "hunter2"


def test_a_refused_token(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.control("revoke_token")
    with pytest.raises(TokenRefused, match="authentication failure"):
        cluster.get("/version")


def test_an_unknown_token(fakepve: FakePve) -> None:
    with pytest.raises(TokenRefused, match="no such token 'other' for user 'orchestrator@pve'"):
        fakepve.cluster(token_id="orchestrator@pve!other").get("/version")


@pytest.fixture
def other_ca(tmp_path: Path) -> Path:
    """The certificate of a CA that has nothing to do with the cluster."""
    with FakePve() as other:
        copy = tmp_path / "other-ca.pem"
        copy.write_bytes(other.ca_file.read_bytes())
    return copy


def test_a_certificate_of_somebody_else(fakepve: FakePve, other_ca: Path) -> None:
    cluster = fakepve.cluster(ca_file=other_ca)
    with pytest.raises(TlsRefused, match="its certificate is not trusted"):
        cluster.post("/pools", poolid="client-dupont")
    assert cluster.calls == {"POST": 1}
    assert fakepve.calls() == {}


@pytest.fixture
def newer_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wants of a certificate's form what Python 3.13 wants; under a newer one this changes nothing."""

    def strict(make: Callable[..., ssl.SSLContext]) -> Callable[..., ssl.SSLContext]:
        def made(*arguments: Any, **options: Any) -> ssl.SSLContext:
            context = make(*arguments, **options)
            context.verify_flags |= ssl.VERIFY_X509_STRICT
            return context

        return made

    monkeypatch.setattr(ssl, "create_default_context", strict(ssl.create_default_context))
    for module in (urllib3.util.ssl_, urllib3.connection):
        monkeypatch.setattr(
            module, "create_urllib3_context", strict(urllib3.util.ssl_.create_urllib3_context)
        )


@pytest.mark.usefixtures("newer_python")
def test_the_ca_of_an_older_cluster_is_trusted_under_a_newer_python(
    fakepve: FakePve, cluster: Cluster, other_ca: Path
) -> None:
    """It has no ``keyUsage``, as those of Proxmox before 2026."""
    with requests.Session() as session, pytest.raises(requests.exceptions.SSLError):
        session.get(f"{fakepve.url}/api2/json/version", verify=str(fakepve.ca_file))
    assert cluster.get("/version")["version"]
    assert shake_hands(fakepve.url, fakepve.ca_file, timeout_seconds=10).expires is not None
    with pytest.raises(TlsRefused, match="its certificate is not trusted"):
        fakepve.cluster(ca_file=other_ca).get("/version")
    assert shake_hands(fakepve.url, other_ca, timeout_seconds=10).refused is not None


def test_a_certificate_for_another_host(fakepve: FakePve) -> None:
    with pytest.raises(TlsRefused, match="localhost"):
        fakepve.cluster(url=fakepve.url.replace("127.0.0.1", "localhost")).get("/version")


def test_without_a_ca_file_the_system_decides(fakepve: FakePve) -> None:
    with pytest.raises(TlsRefused):
        fakepve.cluster(ca_file=None).get("/version")


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_environment_cannot_add_trust(
    fakepve: FakePve, other_ca: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(fakepve.ca_file))
    for ca_file in (other_ca, None):
        with pytest.raises(TlsRefused):
            fakepve.cluster(ca_file=ca_file).get("/version")


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_environment_cannot_take_trust_away(
    cluster: Cluster, other_ca: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(other_ca))
    assert cluster.get("/version")["version"]


def test_the_environment_cannot_put_a_proxy_in_between(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert cluster.get("/version")["version"]


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_trusting_anybody_is_a_choice(fakepve: FakePve, other_ca: Path) -> None:
    assert fakepve.cluster(ca_file=other_ca, verify_tls=False).get("/version")["version"]


def test_a_server_that_sends_one_elsewhere_does_not_pass_the_token_on(
    fakepve: FakePve, cluster: Cluster
) -> None:
    with FakePve() as other:
        elsewhere = f"{other.url}/api2/json/version"
        fakepve.fault("GET", "/version", "redirect", status=301, text=elsewhere, times=100)
        with pytest.raises(Unreachable, match="it redirects elsewhere"):
            cluster.get("/version")
        assert other.control("connections") == 0


def test_a_ca_file_that_is_missing_is_named(fakepve: FakePve, tmp_path: Path) -> None:
    with pytest.raises(TlsRefused, match=r"missing\.pem: no such file"):
        fakepve.cluster(ca_file=tmp_path / "missing.pem").get("/version")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8006", "127.0.0.1:8006", "https://"])
def test_only_https_is_spoken(url: str) -> None:
    with pytest.raises(ValueError, match="https://HOST:PORT"):
        Cluster(site="paris", url=url, token_id="u@pve!t", token_secret="s")


# Secrets


def failures(fakepve: FakePve) -> list[Callable[[], object]]:
    """Calls that fail in as many ways, with a password among the parameters."""
    secret = {"params": {"cipassword": PASSWORD, "ciuser": "admin"}}
    good, bad = fakepve.cluster(), fakepve.cluster(token_secret=WRONG_SECRET, ca_file=None)
    return [
        lambda: good.put(CONFIG, **secret),
        lambda: good.put(CONFIG, **secret),
        lambda: good.put(CONFIG, **secret),
        lambda: good.put("/nodes/pve1/qemu/7/config", **secret),
        lambda: bad.put(CONFIG, **secret),
        lambda: fakepve.cluster(token_secret=WRONG_SECRET).put(CONFIG, **secret),
        lambda: fakepve.cluster(url="https://127.0.0.1:9").put(CONFIG, **secret),
    ]


def test_no_error_and_no_log_shows_a_secret(fakepve: FakePve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("requests", "urllib3", "stamina"):
        caplog.set_level(logging.DEBUG, logger=name)
    fakepve.add_vms(1)
    echo = {"cipassword": f"got '{PASSWORD}' from {fakepve.token_secret}"}
    fakepve.fault("PUT", CONFIG, "error", status=400, text="Parameter verification failed.", errors=echo)
    fakepve.fault("PUT", CONFIG, "error", text=f"{PASSWORD} {fakepve.token_secret} - got timeout", times=4)
    fakepve.fault("PUT", CONFIG, "reset")
    told = [repr(fakepve.cluster())]
    for call in failures(fakepve):
        with pytest.raises(ProxmoxError) as caught:
            call()
        told += [str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)]
    everything = "\n".join([*told, caplog.text, *(str(vars(record)) for record in caplog.records)])
    assert "***" in everything
    for secret in (PASSWORD, WRONG_SECRET, fakepve.token_secret):
        assert secret not in everything
