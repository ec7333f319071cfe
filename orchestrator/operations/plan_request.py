"""What a plan is asked for, as people say it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """What to plan for.

    Attributes:
        inventory: where the site file is.
        paths: subscription files or folders.
        only: ``CLIENT[/MACHINE]``; None: everything.
        restart_now: restart machines also outside their maintenance window.
        guests: look into the guests as well.
        order: the order or amendment that asks for more, fewer or larger machines.
        catalogue: the catalogue's reference for what is charged by it.
        quote: the accepted quote of the files that covers what is charged.
        classes: ``CLIENT/MACHINE=CLASS``, against the rules.
        allow: ``RISK:WHERE``.
        history: a file or URL; None: the usual one.
        save_to: a file for the plan; None: it is not saved.
    """

    inventory: str | None
    paths: tuple[Path, ...] = ()
    only: str | None = None
    restart_now: bool = False
    guests: bool = False
    order: str | None = None
    catalogue: str | None = None
    quote: str | None = None
    classes: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    history: str | None = None
    save_to: Path | None = None
