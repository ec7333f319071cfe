"""How the Interface is run."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.interface.console_tickets import Limits


@dataclass(frozen=True, kw_only=True)
class ConsolePace:
    """How long things of a console may take. Seconds.

    Attributes:
        opening: for a hypervisor to open one.
        idle: after so long without anything typed it is closed.
        longest: after so long it is closed in any case.
        check: how often it is looked whether session, account and contract still allow it.
        contract: how often the client's file is read for that.
        goodbye: for the browser to hear that it is closed.
    """

    opening: float = 15.0
    idle: float = 15 * 60.0
    longest: float = 8 * 3600.0
    check: float = 5.0
    contract: float = 60.0
    goodbye: float = 5.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the Interface is run.

    Attributes:
        public_url: how browsers reach it: scheme and host, and the port if it is not the usual one. Requests for
            another host are refused.
        inventory: where the site file is.
        files: the clients' files and folders; none: ./subscriptions.
        history: the database, a file or a URL.
        reports: the folder with the nights' reports.
        procedures: the provider's own folders of procedures, which go before the shipped one.
        idle: how long a session lives without a request.
        longest: how long a session lives at most.
        request_seconds: how long the head of a connection's first request may be on its way.
        body_seconds: how long a body may be on its way.
        look_every: how old the last look becomes before it is renewed; zero: only when somebody asks.
        consoles: how many may be open.
        console_pace: how long things of a console may take.
    """

    public_url: str
    inventory: str | None
    history: str
    reports: Path
    files: tuple[Path, ...] = ()
    procedures: tuple[Path, ...] = ()
    idle: dt.timedelta = field(default=dt.timedelta(minutes=30))
    longest: dt.timedelta = field(default=dt.timedelta(hours=12))
    request_seconds: float = 20.0
    body_seconds: float = 30.0
    look_every: dt.timedelta = field(default=dt.timedelta(minutes=5))
    consoles: Limits = field(default_factory=Limits)
    console_pace: ConsolePace = field(default_factory=ConsolePace)

    @property
    def origin(self) -> str:
        """What browsers send as ``Origin``: scheme, host and port."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def host(self) -> str:
        """What browsers send as ``Host``."""
        return urlsplit(self.public_url).netloc
