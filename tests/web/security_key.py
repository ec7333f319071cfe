"""A security key in software: it answers as a real one does, with a key pair and a counter of its own."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn.helpers import bytes_to_base64url

_PRESENT, _WITH_KEY = 0x01, 0x40


@dataclass
class SecurityKey:
    """One key, for one account.

    Attributes:
        host, origin: what the browser says it is at.
        counter: goes up with each answer; a key that was copied falls behind.
    """

    host: str
    origin: str
    counter: int = 0
    identity: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    pair: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def created(self, options: str) -> str:
        """Answer a registration."""
        public = self.pair.public_key().public_numbers()
        key = cbor2.dumps(
            {1: 2, 3: -7, -1: 1, -2: public.x.to_bytes(32, "big"), -3: public.y.to_bytes(32, "big")}
        )
        described = bytes(16) + len(self.identity).to_bytes(2, "big") + self.identity + key
        data = self._data(_PRESENT | _WITH_KEY) + described
        attested = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        said = self._said("webauthn.create", json.loads(options)["challenge"])
        return self._answer(clientDataJSON=said, attestationObject=attested)

    def signed(self, options: str) -> str:
        """Answer a login."""
        said = self._said("webauthn.get", json.loads(options)["challenge"])
        data = self._data(_PRESENT)
        signature = self.pair.sign(data + hashlib.sha256(said).digest(), ec.ECDSA(hashes.SHA256()))
        return self._answer(clientDataJSON=said, authenticatorData=data, signature=signature)

    def _data(self, flags: int) -> bytes:
        self.counter += 1
        return hashlib.sha256(self.host.encode()).digest() + bytes([flags]) + self.counter.to_bytes(4, "big")

    def _said(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin}).encode()

    def _answer(self, **response: bytes) -> str:
        identity = bytes_to_base64url(self.identity)
        parts: dict[str, Any] = {name: bytes_to_base64url(value) for name, value in response.items()}
        return json.dumps({"id": identity, "rawId": identity, "type": "public-key", "response": parts})
