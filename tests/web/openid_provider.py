"""A small OpenID Connect provider over HTTPS: discovery, keys, codes with PKCE, signed tokens; faults on demand."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from lab.certificates import ensure_certificates

CLIENT, SECRET = "orchestrator", "a-client-secret"


@dataclass
class Provider:
    """The provider while it answers.

    Attributes:
        url: the issuer.
        authority: the PEM file of who signed its certificate.
        person: the claims of whoever signs in next.
        wrong: claims that are put into tokens instead of the right ones.
        issuer: what the discovery document says; empty: the right one.
        signs_with: the key that signs; by default the one that is published.
        algorithm: that is written and used.
    """

    url: str
    authority: Path
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "s-1", "preferred_username": "olga"})
    wrong: dict[str, Any] = field(default_factory=dict)
    issuer: str = ""
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "one", "use": "sig"}))
    signs_with: Any = None
    algorithm: str = "ES256"
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def token(self, asked: dict[str, str]) -> str:
        """What it signs for a login."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **self.person,
            **self.wrong,
        }
        header = {"alg": self.algorithm, "kid": "one"}
        if self.algorithm == "none":
            parts = [json.dumps(one).encode() for one in (header, claims)]
            return ".".join(base64.urlsafe_b64encode(one).decode().rstrip("=") for one in parts) + "."
        return jwt.encode(header, claims, self.signs_with or self.key, algorithms=[self.algorithm])


@contextmanager
def openid_provider(folder: Path) -> Iterator[Provider]:
    """Start a provider on this computer's loopback."""
    certificate, key = ensure_certificates(folder, "login", "127.0.0.1")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            if parts.path == "/.well-known/openid-configuration":
                url = provider.url
                self._say(
                    {
                        "issuer": provider.issuer or url,
                        "authorization_endpoint": f"{url}/authorize",
                        "token_endpoint": f"{url}/token",
                        "jwks_uri": f"{url}/keys",
                    }
                )
            elif parts.path == "/keys":
                self._say(KeySet([provider.key]).as_dict(private=False))
            elif parts.path == "/authorize" and asked["client_id"] == CLIENT:
                code = secrets.token_urlsafe(16)
                provider.codes[code] = asked
                self.send_response(302)
                back = urlencode({"code": code, "state": asked["state"]})
                self.send_header("location", f"{asked['redirect_uri']}?{back}")
                self.end_headers()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            sent = {name: values[-1] for name, values in parse_qs(body).items()}
            asked = provider.codes.pop(sent.get("code", ""), None)
            verifier = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
            challenge = base64.urlsafe_b64encode(verifier).decode().rstrip("=")
            basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
            if (
                asked is None
                or asked["code_challenge_method"] != "S256"
                or asked["code_challenge"] != challenge
                or asked["redirect_uri"] != sent["redirect_uri"]
                or self.headers["authorization"] != f"Basic {basic}"
            ):
                self._say({"error": "invalid_grant"}, status=400)
                return
            self._say({"access_token": "a", "token_type": "Bearer", "id_token": provider.token(asked)})

        def _say(self, told: Any, *, status: int = 200) -> None:
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing on standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    provider = Provider(url=f"https://127.0.0.1:{server.server_port}", authority=folder / "ca.pem")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
