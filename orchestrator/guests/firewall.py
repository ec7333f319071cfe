"""Load the firewalls of many machines in one Ansible run, and say for each how it went.

Nothing is sent that would shut the provider out: a policy without management addresses, or one that does not
admit SSH from the address that the guest sees us come from, is refused first. What slips through (a route that
differs, a firewall between) is caught by the guest itself: it goes back to its previous rules unless a new
connection confirms the new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.guests.target import GuestTarget, SshSettings

Status = Literal["unchanged", "changed", "refused", "rolled-back", "unreachable", "failed"]


@dataclass(frozen=True, kw_only=True)
class FirewallOutcome:
    """How it went in one guest.

    Attributes:
        status: ``unchanged`` (the rules were loaded already), ``changed`` (loaded, confirmed over a new
            connection and kept across reboots), ``refused`` (nothing was sent), ``rolled-back`` (the previous
            rules are in force), ``unreachable`` (nothing is known beyond that), ``failed``.
        message: the reason and what to do; empty when all went well.
        seconds: how long it took.
    """

    status: Status
    message: str = ""
    seconds: float = 0.0


def apply_firewalls(
    targets: Sequence[GuestTarget],
    ssh: SshSettings,
    *,
    on_event: Callable[[tuple[str, str], str], None] | None = None,
    artifact_dir: Path | None = None,
) -> dict[tuple[str, str], FirewallOutcome]:
    """Load the rules."""
    raise NotImplementedError
