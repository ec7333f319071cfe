"""OpenID Connect's own part: the discovery document, the address to go to, the code exchanged, what was signed.

Everything is asked over TLS that is verified; every answer has a limit in size and time.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from orchestrator.operations.signing_in import SignInRefused
from orchestrator.proxmox.tls import trusting
from orchestrator.sites.secrets import resolve

if TYPE_CHECKING:
    import httpx

    from orchestrator.interface.provider_logins import Begun
    from orchestrator.sites.interface import IdentityProvider

_LOG = logging.getLogger("orchestrator.web")
_SECONDS = 10.0
_LARGEST = 1024 * 1024
_LEEWAY_SECONDS = 60
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""By which an identity provider may sign: with its own key pair. None that this program could sign with as well."""

_REMEDY = (
    "try again; if it stays so, the provider's administrators find the reason in the log of the Interface"
)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What the identity provider has signed.

    Attributes:
        subject: who, for ever.
        methods: how whoever it is has shown it (``amr``).
        claims: all of it.
    """

    subject: str
    methods: tuple[str, ...]
    claims: Mapping[str, Any]


def authorization_url(provider: IdentityProvider, begun: Begun, address: str) -> str:
    """Where the browser goes to sign in.

    Args:
        provider: at whom.
        begun: the login.
        address: of ours, where the browser is to be sent back to.

    Raises:
        SignInRefused: the identity provider cannot be reached, or is another one than the site file names.
    """
    from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    with _client(provider) as client:
        document = _discovered(client, provider)
    return str(
        prepare_grant_uri(
            document["authorization_endpoint"],
            client_id=provider.client_id,
            response_type="code",
            redirect_uri=address,
            scope=" ".join(("openid", *provider.scopes)),
            state=begun.state,
            nonce=begun.nonce,
            code_challenge=create_s256_code_challenge(begun.verifier),
            code_challenge_method="S256",
        )
    )


def exchanged(
    provider: IdentityProvider, begun: Begun, code: str, address: str, now: dt.datetime
) -> Answered:
    """Exchange the code for what the identity provider has signed, and check that.

    Raises:
        SignInRefused: the provider refuses the code, or what it gives is not signed by it for this program and login.
        SecretUnavailable: the client's secret cannot be read.
    """
    import httpx

    secret = None if provider.client_secret is None else resolve(provider.client_secret)
    # RFC 6749, 2.3.1: both are encoded as in a form before they become a user and a password.
    auth = httpx.Auth() if secret is None else httpx.BasicAuth(quote(provider.client_id), quote(secret))
    sent = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": address,
        "code_verifier": begun.verifier,
        **({"client_id": provider.client_id} if secret is None else {}),
    }
    with _client(provider) as client:
        document = _discovered(client, provider)
        try:
            answer = client.post(document["token_endpoint"], data=sent, auth=auth)
            given = _json_of(answer)
            keys = _json_of(client.get(document["jwks_uri"]))
        except (httpx.HTTPError, ValueError, TypeError) as error:
            raise _not_signed_in("did not exchange the code", error) from None
    return _checked(provider, begun, given, keys, now)


def _checked(
    provider: IdentityProvider, begun: Begun, given: Mapping[str, Any], keys: Any, now: dt.datetime
) -> Answered:
    from authlib.oidc.core import CodeIDToken
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    try:
        token = jwt.decode(str(given["id_token"]), KeySet.import_key_set(keys), algorithms=_ALGORITHMS)
        claims = CodeIDToken(
            token.claims,
            token.header,
            options={
                "iss": {"essential": True, "value": provider.issuer},
                "aud": {"essential": True, "value": provider.client_id},
                "sub": {"essential": True},
                "exp": {"essential": True},
                "nonce": {"essential": True, "value": begun.nonce},
            },
            params={
                "nonce": begun.nonce,
                "client_id": provider.client_id,
                "access_token": given.get("access_token"),
            },
        )
        claims.validate(now=int(now.timestamp()), leeway=_LEEWAY_SECONDS)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise _not_signed_in("signed something else than was asked", error) from None
    subject, methods = claims.get("sub"), claims.get("amr")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise SignInRefused("the identity provider names no subject", remedy=_REMEDY)
    listed = methods if isinstance(methods, list) else []
    return Answered(
        subject=subject, methods=tuple(one for one in listed if isinstance(one, str)), claims=dict(claims)
    )


def _discovered(client: httpx.Client, provider: IdentityProvider) -> Mapping[str, str]:
    import httpx

    try:
        document = _json_of(client.get(f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration"))
        if document["issuer"] != provider.issuer:
            raise ValueError(f"its issuer is {str(document['issuer'])[:200]}")
        found = {name: document[name] for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
        if not all(isinstance(url, str) and url.startswith("https://") for url in found.values()):
            raise ValueError("an address is not https")
    except (httpx.HTTPError, ValueError, TypeError, KeyError) as error:
        raise _not_signed_in("could not be asked", error) from None
    return found


def _json_of(answer: httpx.Response) -> Any:
    answer.raise_for_status()
    return json.loads(answer.content)


def _client(provider: IdentityProvider) -> httpx.Client:
    """A client that trusts whom the site file says, follows nobody elsewhere, and reads no more than is sensible."""
    import httpx

    class Limited(httpx.BaseTransport):
        def __init__(self) -> None:
            self._inner = httpx.HTTPTransport(verify=trusting(provider.ca_file, verify=True), trust_env=False)

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = self._inner.handle_request(request)
            answer.stream = LimitedStream(answer.stream)
            return answer

        def close(self) -> None:
            self._inner.close()

    class LimitedStream(httpx.SyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream
            self._until = time.monotonic() + _SECONDS

        def __iter__(self) -> Iterator[bytes]:
            read = 0
            for piece in self._stream:
                read += len(piece)
                if read > _LARGEST or time.monotonic() > self._until:
                    raise httpx.ReadError("the answer is too long, or too slow")
                yield piece

        def close(self) -> None:
            self._stream.close()

    return httpx.Client(transport=Limited(), timeout=_SECONDS, follow_redirects=False, trust_env=False)


def _not_signed_in(what: str, error: Exception) -> SignInRefused:
    _LOG.warning("identity provider: %s: %s: %s", what, type(error).__name__, error)
    return SignInRefused(f"the identity provider {what}", remedy=_REMEDY)
