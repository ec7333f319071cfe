"""Second factors of an account: setting them up, and showing one to sign in."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.interface import accounts, attempts, second_factors, sessions
from orchestrator.interface.accounts import Account
from orchestrator.interface.second_factors import Factor
from orchestrator.interface.sessions import Opened, Session
from orchestrator.operations.interface_desk import InterfaceDesk, recorded
from orchestrator.operations.signing_in import (
    AccountRefused,
    Caller,
    SignInRefused,
    address_subject,
    count_code,
    enter,
    note_refused,
    renewed,
)

if TYPE_CHECKING:
    from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor
    from webauthn.registration.verify_registration_response import VerifiedRegistration

_STEP_SECONDS = 30
_STEPS_AROUND = 1
"""Codes of the step before and the step after are taken as well: clocks differ."""

_ISSUER = "orchestrator"
_MOST = 10
"""Second factors of an account."""

_LONGEST_ANSWER = 16_384


@dataclass(frozen=True, kw_only=True)
class Place:
    """What security keys are bound to: an answer given to another host is worth nothing here.

    Attributes:
        host: without a port.
        origin: scheme, host and port.
    """

    host: str
    origin: str


@dataclass(frozen=True, kw_only=True)
class Enrolled:
    """A second factor was set up.

    Attributes:
        opened: the same session under another token; it counts as signed in with a second factor.
        codes: recovery codes, to be shown once; empty: there are some already.
    """

    opened: Opened
    codes: Sequence[str]


def begin_codes(desk: InterfaceDesk, account: Account) -> None:
    """Choose a secret for an application that shows codes. It opens nothing before a code was shown."""
    import pyotp

    _refuse_many(desk, account)
    with desk.database.writing() as connection:
        second_factors.add(
            connection,
            account.name,
            kind="totp",
            name="application",
            secret=pyotp.random_base32(),
            now=desk.now(),
            confirmed=False,
        )


def begun_codes(desk: InterfaceDesk, account: Account) -> tuple[str, str] | None:
    """The secret that was chosen last, and its URI for the application; None: there is none to confirm."""
    import pyotp

    with desk.database.reading() as connection:
        begun = second_factors.factors_of(connection, account.name, confirmed=False)
    if not begun:
        return None
    secret = begun[-1].secret
    return secret, pyotp.TOTP(secret).provisioning_uri(name=account.name, issuer_name=_ISSUER)


def confirm_codes(
    desk: InterfaceDesk, account: Account, session: Session, code: str, caller: Caller
) -> Enrolled:
    """Confirm the secret that was chosen last by a code of it.

    Raises:
        SignInRefused: the code is wrong; nothing was changed.
        TooManyAttempts: there were too many before.
    """
    count_code(desk, account, caller)
    with desk.database.reading() as connection:
        begun = second_factors.factors_of(connection, account.name, confirmed=False)
    step = _step_of(begun[-1], code, desk) if begun else None
    if step is None:
        raise SignInRefused(
            "this is not the code of now: wait for the next one, and see that the clock of the device is right",
            reason="code",
        )
    with (
        recorded(
            desk,
            who=account.name,
            why="access",
            action="second factor added",
            client=account.client,
            details={"kind": "totp"},
        ),
        desk.database.writing() as connection,
    ):
        second_factors.move_counter(connection, begun[-1], step)
    return _enrolled(desk, account, session, caller, "totp")


def begin_key(desk: InterfaceDesk, account: Account, session: Session, place: Place) -> str:
    """What the browser needs to make credentials with a security key, as JSON."""
    import webauthn
    from webauthn.helpers import bytes_to_base64url
    from webauthn.helpers.structs import AuthenticatorSelectionCriteria, UserVerificationRequirement

    _refuse_many(desk, account)
    with desk.database.reading() as connection:
        known = second_factors.factors_of(connection, account.name)
    options = webauthn.generate_registration_options(
        rp_id=place.host,
        rp_name=_ISSUER,
        user_name=account.name,
        user_id=account.name.encode(),
        exclude_credentials=_descriptors(known),
        authenticator_selection=AuthenticatorSelectionCriteria(
            user_verification=UserVerificationRequirement.DISCOURAGED
        ),
    )
    with desk.database.writing() as connection:
        sessions.put_challenge(connection, session.identity, bytes_to_base64url(options.challenge))
    return webauthn.options_to_json(options)


def add_key(
    desk: InterfaceDesk,
    account: Account,
    session: Session,
    answer: str,
    *,
    name: str,
    place: Place,
    caller: Caller,
) -> Enrolled:
    """Add a security key by what the browser answered.

    Raises:
        SignInRefused: it answers no question of this session, or was made for another place.
        RequestRefused: some account has the key already.
    """
    from webauthn.helpers import bytes_to_base64url

    made = _registered(_challenge(desk, session), answer, place)
    credential = bytes_to_base64url(made.credential_id)
    _refuse_many(desk, account)
    with (
        recorded(
            desk,
            who=account.name,
            why="access",
            action="second factor added",
            client=account.client,
            details={"kind": "webauthn"},
        ),
        desk.database.writing() as connection,
    ):
        if second_factors.is_taken(connection, credential):
            raise AccountRefused("this security key is set up already: use another one", reason="key_known")
        second_factors.add(
            connection,
            account.name,
            kind="webauthn",
            name=" ".join(name.split()) or "security key",
            secret=bytes_to_base64url(made.credential_public_key),
            now=desk.now(),
            credential=credential,
            counter=made.sign_count,
            confirmed=True,
        )
    return _enrolled(desk, account, session, caller, "webauthn")


def _enrolled(desk: InterfaceDesk, account: Account, session: Session, caller: Caller, kind: str) -> Enrolled:
    with desk.database.writing() as connection:
        attempts.forget(connection, f"second {account.name}")
        if not session.second:  # other sessions were opened without one
            sessions.end_all(connection, account.name, but=session.identity)
        left = second_factors.codes_left(connection, account.name)
        codes = () if left else second_factors.make_codes(connection, account.name)
    return Enrolled(
        opened=renewed(desk, session, caller, second=session.second or kind),
        codes=codes,
    )


def _refuse_many(desk: InterfaceDesk, account: Account) -> None:
    with desk.database.reading() as connection:
        count = len(second_factors.factors_of(connection, account.name))
    if count >= _MOST:
        raise AccountRefused(
            f"an account has {_MOST} second factors at most: remove one first", reason="factors"
        )


def ways_of(desk: InterfaceDesk, name: str) -> tuple[Account | None, Sequence[Factor]]:
    """An account and its second factors, by its exact name."""
    with desk.database.reading() as connection:
        return accounts.find(connection, name), second_factors.factors_of(connection, name)


def codes_left(desk: InterfaceDesk, account: Account) -> int:
    """How many recovery codes an account has."""
    with desk.database.reading() as connection:
        return second_factors.codes_left(connection, account.name)


def show_code(desk: InterfaceDesk, session: Session, code: str, caller: Caller) -> Opened:
    """Sign in with a code of the application, or a recovery code.

    Args:
        session: waits for it.

    Raises:
        SignInRefused: it is wrong, or was used before.
        TooManyAttempts: there were too many before.
    """
    account, factors = _waiting(desk, session)
    count_code(desk, account, caller)
    typed = "".join(code.split())
    for factor in factors:
        step = _step_of(factor, typed, desk) if factor.kind == "totp" else None
        if step is not None:
            with desk.database.writing() as connection:
                first = second_factors.move_counter(connection, factor, step)
            if first:
                return _entered(desk, account, session, caller, "totp")
    with desk.database.writing() as connection:
        recovered = second_factors.use_code(connection, account.name, typed)
    if recovered:
        return _entered(desk, account, session, caller, "recovery")
    note_refused(desk, account, "second factor", caller)
    raise SignInRefused(
        "this code is wrong, or was used before: wait for the next one, or take a recovery code"
    )


def ask_key(desk: InterfaceDesk, session: Session, place: Place) -> str | None:
    """What the browser needs to ask a security key, as JSON; None: the account has none."""
    import webauthn
    from webauthn.helpers import bytes_to_base64url
    from webauthn.helpers.structs import UserVerificationRequirement

    _, factors = _waiting(desk, session)
    keys = [factor for factor in factors if factor.kind == "webauthn"]
    if not keys:
        return None
    options = webauthn.generate_authentication_options(
        rp_id=place.host,
        allow_credentials=_descriptors(keys),
        user_verification=UserVerificationRequirement.DISCOURAGED,
    )
    with desk.database.writing() as connection:
        sessions.put_challenge(connection, session.identity, bytes_to_base64url(options.challenge))
    return webauthn.options_to_json(options)


def show_key(desk: InterfaceDesk, session: Session, answer: str, place: Place, caller: Caller) -> Opened:
    """Sign in with what a security key has signed.

    Raises:
        SignInRefused: it is no key of the account, or answers no question of this session.
        TooManyAttempts: there were too many before.
    """
    account, factors = _waiting(desk, session)
    count_code(desk, account, caller)
    challenge = _challenge(desk, session)
    for factor in factors:
        signed = _signed(factor, challenge, answer, place) if factor.kind == "webauthn" else None
        if signed is not None:
            with desk.database.writing() as connection:
                first = second_factors.move_counter(connection, factor, signed.new_sign_count)
            if first:
                return _entered(desk, account, session, caller, "webauthn")
    note_refused(desk, account, "second factor", caller)
    raise SignInRefused("the security key's answer does not fit: try again")


def _entered(desk: InterfaceDesk, account: Account, session: Session, caller: Caller, second: str) -> Opened:
    with desk.database.writing() as connection:
        attempts.forget(connection, f"second {account.name}")
        attempts.take_back(connection, address_subject(caller))
    first = "identity provider" if account.by_provider else "password"
    return enter(
        desk,
        account,
        caller,
        how=f"{first} and {second}",
        second=second,
        instead=session,
    )


def _waiting(desk: InterfaceDesk, session: Session) -> tuple[Account, Sequence[Factor]]:
    account, factors = ways_of(desk, session.account)
    if account is None or not session.waiting:
        raise SignInRefused("this login is over", remedy="sign in again")
    return account, factors


def remove_factor(desk: InterfaceDesk, account: Account, session: Session, identity: int) -> None:
    """Remove a second factor of one's own.

    Raises:
        RequestRefused: there is none of that number, or this session has not shown one.
    """
    _refuse_unproved(session)
    with desk.database.reading() as connection:
        found = [
            one for one in second_factors.factors_of(connection, account.name) if one.identity == identity
        ]
    if not found:
        raise AccountRefused("there is no such second factor: reload the page", reason="factor")
    details = {"kind": found[0].kind}
    with (
        recorded(
            desk,
            who=account.name,
            why="access",
            action="second factor removed",
            client=account.client,
            details=details,
        ),
        desk.database.writing() as connection,
    ):
        second_factors.remove(connection, account.name, identity)


def new_codes(desk: InterfaceDesk, account: Account, session: Session) -> Sequence[str]:
    """Make new recovery codes; the earlier ones are void.

    Raises:
        RequestRefused: this session has not shown a second factor.
    """
    _refuse_unproved(session)
    with (
        recorded(
            desk, who=account.name, why="access", action="recovery codes renewed", client=account.client
        ),
        desk.database.writing() as connection,
    ):
        return second_factors.make_codes(connection, account.name)


def _refuse_unproved(session: Session) -> None:
    if not session.second:
        raise AccountRefused(
            "this needs a session with a second factor: set one up, or sign in with it", reason="unproved"
        )


def _step_of(factor: Factor, code: str, desk: InterfaceDesk) -> int | None:
    """The time step that a code is of; None if it is of none of now, or of one that was used."""
    import pyotp

    totp = pyotp.TOTP(factor.secret)
    now = int(desk.now().timestamp()) // _STEP_SECONDS
    for step in range(now - _STEPS_AROUND, now + _STEPS_AROUND + 1):
        expected = totp.generate_otp(step).encode()
        if step > factor.counter and hmac.compare_digest(expected, code.encode(errors="replace")):
            return step
    return None


def _challenge(desk: InterfaceDesk, session: Session) -> bytes:
    from webauthn.helpers import base64url_to_bytes

    with desk.database.writing() as connection:
        challenge = sessions.take_challenge(connection, session.identity)
    if challenge is None:
        raise SignInRefused("nothing was asked of a security key, or it was answered before", reason="key")
    return base64url_to_bytes(challenge)


def _registered(challenge: bytes, answer: str, place: Place) -> VerifiedRegistration:
    import webauthn
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        return webauthn.verify_registration_response(
            credential=answer[:_LONGEST_ANSWER],
            expected_challenge=challenge,
            expected_rp_id=place.host,
            expected_origin=place.origin,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError):
        raise SignInRefused(
            "the security key's answer does not fit", remedy="try again", reason="key"
        ) from None


def _signed(factor: Factor, challenge: bytes, answer: str, place: Place) -> VerifiedAuthentication | None:
    import webauthn
    from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        parsed = webauthn.helpers.parse_authentication_credential_json(answer[:_LONGEST_ANSWER])
        if bytes_to_base64url(parsed.raw_id) != factor.credential:
            return None
        return webauthn.verify_authentication_response(
            credential=parsed,
            expected_challenge=challenge,
            expected_rp_id=place.host,
            expected_origin=place.origin,
            credential_public_key=base64url_to_bytes(factor.secret),
            credential_current_sign_count=factor.counter,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError):
        return None


def _descriptors(factors: Sequence[Factor]) -> list[PublicKeyCredentialDescriptor]:
    from webauthn.helpers import base64url_to_bytes
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor as Descriptor

    return [Descriptor(id=base64url_to_bytes(one.credential)) for one in factors if one.credential]


def shown(factors: Sequence[Factor]) -> list[Mapping[str, Any]]:
    """Second factors as pages show them: without secrets."""
    return [
        {"identity": one.identity, "kind": one.kind, "name": one.name, "created": one.created}
        for one in factors
    ]
