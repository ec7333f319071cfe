"""Reading one configuration file, which must be nobody else's to change: it says where secrets are taken from."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from orchestrator.errors import RequestRefused
from orchestrator.redaction import secrets_of
from orchestrator.sites.access import AnchoredPath
from orchestrator.yaml_reader.checking import check
from orchestrator.yaml_reader.files import read_trusted_text
from orchestrator.yaml_reader.problems import Problem, ProblemsFound, count_errors, first_problems
from orchestrator.yaml_reader.reading import read
from orchestrator.yaml_reader.shape import keys_of
from orchestrator.yaml_reader.values import Strict


def _path_or_url(value: str, info: ValidationInfo) -> str:
    if "://" in value:
        return value
    path = Path(value).expanduser()
    folder = (info.context or {}).get("folder")
    return str(folder / path if isinstance(folder, Path) else path)


Found = tuple[str | tuple[str, ...], int]
"""A value, and its line."""


class SettingsFile(Strict):
    """The keys of a configuration file; :data:`orchestrator.operations.settings.SETTINGS` says what they mean."""

    inventory: AnchoredPath | None = Field(default=None, examples=["inventories/mine"])
    history: Annotated[str, Field(min_length=1), AfterValidator(_path_or_url)] | None = Field(
        default=None, examples=["history.db"]
    )
    language: Literal["fr", "en"] | None = None
    reports: AnchoredPath | None = Field(default=None, examples=["reports"])
    log_format: Literal["auto", "text", "json"] | None = None
    wording: AnchoredPath | None = Field(default=None, examples=["wording.yaml"])
    rules: tuple[AnchoredPath, ...] = Field(default=(), examples=[["rules.yml"]])
    procedures: tuple[AnchoredPath, ...] = Field(default=(), examples=[["procedures"]])
    ping_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s]+$",
        examples=["https://ping.example.net/x"],
        description="an address that begins with https:// or http://",
    )


def read_settings(path: Path) -> dict[str, Found]:
    """Read a file: the value and the line of each key. Paths in it are relative to it.

    Raises:
        ProblemsFound: it has errors, or cannot be read.
        RequestRefused: others could change it, or read a secret in it.
    """
    _refuse_changeable(path)
    text = read_trusted_text(path)
    if isinstance(text, Problem):
        raise ProblemsFound([text])
    if all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines()):
        return {}
    document = read(text, str(path), keys=keys_of(SettingsFile), kind="configuration file")
    checked = check(document, SettingsFile, {"folder": path.absolute().parent})
    if checked.value is None or count_errors(checked.problems):
        raise ProblemsFound(first_problems(list(checked.problems)))
    found: dict[str, Found] = {}
    for key in sorted(checked.value.model_fields_set):
        value = getattr(checked.value, key)
        told = tuple(map(str, value)) if isinstance(value, tuple) else str(value)
        found[key] = told, document.mark((key,)).line + 1
    _refuse_readable_secret(path, found)
    return found


def _refuse_changeable(path: Path) -> None:
    try:
        states = {place: place.stat() for place in (path, path.resolve(), path.resolve().parent, path.parent)}
    except OSError:
        return  # reading it says why
    for place, status in states.items():
        sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        if status.st_uid not in (os.geteuid(), 0):
            raise RequestRefused(
                f"the configuration file {path} is not used: {place} belongs to user {status.st_uid}, who could "
                "change what this program does; chown it, or move it away"
            )
        if status.st_mode & 0o022 and not sticky:
            raise RequestRefused(
                f"the configuration file {path} is not used: others may write {place} (mode "
                f"{stat.S_IMODE(status.st_mode):04o}); chmod go-w {place}"
            )


def _refuse_readable_secret(path: Path, found: dict[str, Found]) -> None:
    history = found["history"][0] if "history" in found else None
    secret = next(
        (
            key
            for key, held in (
                ("ping_url", "ping_url" in found),
                ("history", isinstance(history, str) and bool(secrets_of(history))),
            )
            if held
        ),
        None,
    )
    if secret is not None and path.stat().st_mode & 0o077:
        raise RequestRefused(f"{path} holds a secret ({secret}), and others may read it: chmod 600 {path}")
