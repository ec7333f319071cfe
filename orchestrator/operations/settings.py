"""Defaults of options from a configuration file: which there are, where the file is, and what is in force.

An option goes before the environment, the environment before the account's file, that before the computer's. No file is
ever taken from the working directory: a folder of clients' files comes from others, and a file in it could name an
inventory, whose secrets are read by commands, or send the history elsewhere.

Nothing is loaded here that takes time: most commands run without such a file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.errors import RequestRefused
from orchestrator.redaction import secrets_of

FILE_VARIABLE = "ORCHESTRATOR_CONFIG"
"""Names one file instead of the usual two."""

_NAME = Path("orchestrator") / "config.yaml"
_SYSTEM = Path("/etc")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A default that a file may set.

    Attributes:
        key: in the file.
        parameter: of commands, as Python names it.
        variable: of the environment that goes before it; empty: none does.
        usual: what holds where nobody says anything, in words.
        example: as the file has it.
        meaning: in words.
    """

    key: str
    parameter: str
    variable: str
    usual: str
    example: str
    meaning: str


SETTINGS = (
    Setting(
        key="inventory",
        parameter="inventory",
        variable="ORCHESTRATOR_INVENTORY",
        usual="none: --inventory is needed",
        example="/srv/hosting/inventories/mine",
        meaning="the sites: a folder with sites.yaml",
    ),
    Setting(
        key="history",
        parameter="history",
        variable="ORCHESTRATOR_HISTORY",
        usual="history.db in the state directory",
        example="/var/lib/orchestrator/history.db",
        meaning="a file, or a database URL",
    ),
    Setting(
        key="language",
        parameter="language",
        variable="",
        usual="fr",
        example="en",
        meaning="of reports and documents: fr or en",
    ),
    Setting(
        key="reports",
        parameter="report_dir",
        variable="",
        usual="reports in the state directory",
        example="/srv/hosting/reports",
        meaning="folder of the nightly reports",
    ),
    Setting(
        key="log_format",
        parameter="log_format",
        variable="ORCHESTRATOR_LOG_FORMAT",
        usual="auto",
        example="json",
        meaning="auto, text or json",
    ),
    Setting(
        key="wording",
        parameter="wording",
        variable="ORCHESTRATOR_WORDING",
        usual="none",
        example="/etc/orchestrator/wording.yaml",
        meaning="your own texts of reports",
    ),
    Setting(
        key="rules",
        parameter="rules",
        variable="ORCHESTRATOR_RULES",
        usual="the shipped ones",
        example="[/etc/prometheus/own.yml]",
        meaning="files of alert rules",
    ),
    Setting(
        key="procedures",
        parameter="procedures",
        variable="ORCHESTRATOR_PROCEDURES",
        usual="the shipped ones",
        example="[/srv/procedures]",
        meaning="folders of your own procedures",
    ),
    Setting(
        key="ping_url",
        parameter="ping_url",
        variable="ORCHESTRATOR_PING_URL",
        usual="none",
        example="https://ping.example.net/0a1b2c",
        meaning="dead man's switch of the nightly run",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A value of a file.

    Attributes:
        value: a text, or several.
        file, line: where it stands.
    """

    value: str | tuple[str, ...]
    file: Path
    line: int


@dataclass(frozen=True, kw_only=True)
class Configured:
    """What the files say.

    Attributes:
        files: those that are looked for, the first one first, each with whether it was read.
        values: by key.
    """

    files: Mapping[Path, bool] = field(default_factory=dict)
    values: Mapping[str, Chosen] = field(default_factory=dict)

    @property
    def secrets(self) -> frozenset[str]:
        """What of them no message may hold."""
        found: frozenset[str] = frozenset()
        for key, item in self.values.items():
            if isinstance(item.value, str) and "://" in item.value:
                found |= secrets_of(item.value) | ({item.value} if key == "ping_url" else set())
        return found


_known: list[Configured] = []


def configured() -> Configured:
    """Read the configuration files, once.

    Raises:
        ProblemsFound: one has errors.
        RequestRefused: one is named that is not there, or others could change it.
    """
    if not _known:
        _known.append(_read())
    return _known[0]


def secrets_known() -> frozenset[str]:
    """What of the files that were read no message may hold. Reads nothing."""
    return _known[0].secrets if _known else frozenset()


def forget() -> None:
    """Let the files be read again: a process may run several commands, each in an environment of its own."""
    _known.clear()


def _read() -> Configured:
    named = os.environ.get(FILE_VARIABLE)
    places = [Path(named)] if named else _usual_places()
    there = {path: _is_there(path) for path in places}
    if named and not there[places[0]]:
        raise RequestRefused(f"{FILE_VARIABLE} names {named}, which does not exist: correct it, or unset it")
    values: dict[str, Chosen] = {}
    for path in reversed(places):
        if there[path]:
            from orchestrator.operations.settings_file import read_settings  # few have such a file

            found = read_settings(path)
            values.update(
                {key: Chosen(value=value, file=path, line=line) for key, (value, line) in found.items()}
            )
    return Configured(files=there, values=values)


def _usual_places() -> list[Path]:
    """The account's file, then the computer's."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    places = [_SYSTEM / _NAME]
    if Path(home).is_absolute():  # the XDG specification has relative ones ignored
        places.insert(0, Path(home) / _NAME)
    else:
        with suppress(RuntimeError):  # an account without a home has the computer's alone
            places.insert(0, Path.home() / ".config" / _NAME)
    return places


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)  # one that may not be read is there, and an error
