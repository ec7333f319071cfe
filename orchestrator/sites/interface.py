"""What the Interface needs of the provider: who signs its people in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from orchestrator.sites.access import AnchoredPath, SecretReference, no_literal_secret
from orchestrator.yaml_reader.values import Strict

_URL = r"^https://[A-Za-z0-9.:\[\]-]{1,255}(/[A-Za-z0-9._~/-]*)?$"

RoleName = Literal["reader", "operator", "approver", "administrator"]


class IdentityProvider(Strict):
    """An OpenID Connect provider that signs people in (authorization code with PKCE)."""

    issuer: str = Field(
        pattern=_URL,
        examples=["https://login.example.net/realms/staff"],
        description="as the provider writes it: its discovery document is below it",
    )
    client_id: str = Field(min_length=1, max_length=200, examples=["orchestrator"])
    client_secret: (
        Annotated[SecretReference, BeforeValidator(no_literal_secret, json_schema_input_type=SecretReference)]
        | None
    ) = Field(default=None, description="none: the provider knows it as a public client")
    ca_file: AnchoredPath | None = Field(
        default=None,
        examples=["login-ca.pem"],
        description="trusted certificates (PEM); the system's if absent",
    )
    scopes: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9._:/-]{1,100}$")], ...] = Field(
        default=("profile", "email"), description="asked for beside openid"
    )
    account_claim: str = Field(
        default="preferred_username",
        pattern=r"^[A-Za-z0-9_.:/-]{1,100}$",
        description="names the account at the first login; after that the subject does",
    )
    role_claim: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.:/-]{1,100}$",
        examples=["groups"],
        description="with roles: whoever has one of them gets an account of the provider, and its role at each login",
    )
    roles: dict[Annotated[str, Field(min_length=1, max_length=200)], RoleName] = Field(
        default={}, examples=[{"hosting-operators": "operator"}], description="by values of role_claim"
    )
    second_factor: tuple[Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,40}$")], ...] = Field(
        default=(),
        examples=[["mfa", "hwk"]],
        description="values of the claim amr that count as a second factor; none: one is asked for here",
    )


class Interface(Strict):
    """The Interface: ``orchestrator serve``."""

    identity_provider: IdentityProvider | None = None
