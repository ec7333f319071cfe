"""Paths and secrets in the site file: where they are, never what they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from orchestrator.yaml_reader.problems import shorten
from orchestrator.yaml_reader.values import Strict

_REFERENCES = "{ env: NAME }, { file: PATH } or { command: [PROGRAM, ARGUMENT] }"


def _anchor(path: Path, info: ValidationInfo) -> Path:
    """Make a path absolute: ``~`` is the user's home, anything else is relative to the file it stands in."""
    if "PRIVATE KEY" in str(path):
        raise PydanticCustomError("literal_secret", "name the file that holds the key; the key stays there")
    if not str(path).isprintable():
        raise ValueError("a path without characters that cannot be printed")
    folder = (info.context or {}).get("folder")
    try:
        path = path.expanduser()
    except RuntimeError:
        user = shorten(path.parts[0].removeprefix("~")) or "whoever runs this"
        raise ValueError(f"this computer has no home folder of {user}: write the path from / on") from None
    return folder / path if isinstance(folder, Path) else path


def no_literal_secret(value: object) -> object:
    """Refuse a secret itself where a reference to one belongs."""
    if isinstance(value, (str, int, float)):
        raise PydanticCustomError("literal_secret", "say where to get the secret: " + _REFERENCES)
    return value


AnchoredPath = Annotated[Path, AfterValidator(_anchor)]


class SecretReference(Strict):
    """Where to get a secret: exactly one of the three. The secret itself never stands in a file."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"env": "PVE_TOKEN_SECRET"}],
            "oneOf": [{"required": ["env"]}, {"required": ["file"]}, {"required": ["command"]}],
        }
    )

    env: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        examples=["PVE_PARIS_TOKEN"],
        description="the name of an environment variable",
    )
    file: AnchoredPath | None = Field(
        default=None, examples=["secrets/paris"], description="a file that only its owner can read"
    )
    command: tuple[str, ...] | None = Field(
        default=None, min_length=1, examples=[["pass", "show", "pve/paris"]], description="prints the secret"
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(source is not None for source in (self.env, self.file, self.command)) != 1:
            raise ValueError("exactly one of " + _REFERENCES)
        return self
