"""Restarts that are held back: a machine did not come back with new settings, or its guest did not shut down.

What was tried is in the mark, so nothing is tried every night for ever: the hold lasts until the file asks for other
settings, or somebody has looked (``orchestrator restart CLIENT/MACHINE --release``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.contract.calendar import paris_time
from orchestrator.errors import Reason
from orchestrator.resources.attributes import ATTRIBUTES, Applied
from orchestrator.resources.change import Effect

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orchestrator.proxmox import VmConfig
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.kind import Edit
    from orchestrator.resources.notes import Mark, RestartNote
    from orchestrator.resources.observed import ObservedMachine


def held_for(mark: Mark, waiting: Mapping[str, str]) -> RestartNote | None:
    """The hold that concerns settings which wait for a restart; None if there is none.

    Args:
        mark: the machine's mark.
        waiting: the settings, as Proxmox keeps them pending; empty if they are cloud-init's.
    """
    note = mark.restart
    if note is None or note.state != "held" or dict(note.settings) != dict(waiting):
        return None
    written = mark.restart_due or 0
    return None if not waiting and written > note.since.timestamp() else note


def hold_of(
    desired: DesiredMachine, observed: ObservedMachine, mark: Mark, waiting: Mapping[str, str] | None
) -> RestartNote | None:
    """The hold that keeps a machine from what its file asks for; None if there is none, or it asks for something else.

    Args:
        desired: the file's side.
        observed: the machine.
        mark: its mark.
        waiting: the settings that wait for its next start; None if nothing does.
    """
    if waiting is not None and (note := held_for(mark, waiting)) is not None:
        return note
    note, address = mark.restart, observed.address
    if note is None or note.state != "held" or not note.settings or address is None:
        return None
    tried = replace(observed.config, current={**observed.config.current, **note.settings}, pending={})
    asked = any(
        row.asked(desired, address) == row.read(tried) != row.read(observed.config)
        for row in ATTRIBUTES
        if note.settings.keys() & set(row.at_restart)
    )
    return note if asked else None


def after_restart(mark: Mark, taken_up: Mapping[str, str] | None) -> Mark:
    """The mark once a machine was restarted: its hold is over if the settings that it was about are in force."""
    note = mark.restart
    over = note is not None and taken_up is not None and dict(taken_up) == dict(note.settings)
    return mark.with_(restart=None) if over else mark


def with_hold(edit: Edit, config: VmConfig, mark: Mark) -> Edit:
    """An edit, or, if its settings were tried and taken back, a notice in its place: ``apply`` does not set them again.

    Pending settings take effect whenever the machine starts, also after a failure of its node: it would not come back.

    Args:
        edit: what the file asks for.
        config: the machine's configuration.
        mark: its mark.
    """
    note, change = mark.restart, edit.change
    if note is None or note.state == "running" or change is None or not edit.params:
        return edit
    wanted = {key: str(value) for key, value in edit.params.items()}
    new = {key: value for key, value in wanted.items() if config.effective(key) != value}
    if not new or any(note.settings.get(key) != value for key, value in new.items()):
        return edit
    return replace(
        edit,
        change=replace(change, effect=Effect.NOTICE, drift=False, why=hold_words(mark, note)),
        params={},
    )


def hold_words(mark: Mark, note: RestartNote) -> Reason:
    """Since when and why a machine's restart is held back, and how that ends."""
    return (
        f"its restart is held back since {paris_time(note.since)}: {note.reason}; look at it, then change the file, "
        f"or: orchestrator restart {mark.client}/{mark.machine} --release"
    )


def applied_under_hold(wanted: Applied, mark: Mark, found: Iterable[Edit]) -> Applied:
    """What is noted as applied, where some of it was taken back: that is noted as it was before.

    Else it would read as changed outside the files once it is released.

    Args:
        wanted: what the file asks for.
        mark: the machine's mark.
        found: the edits, taken back ones among them.
    """
    back = {edit.change.what for edit in found if edit.change and edit.change.effect is Effect.NOTICE}
    fields = [row.noted[0] for row in ATTRIBUTES if row.noted and row.at_restart and row.name in back]
    if mark.applied is None:
        return wanted
    return replace(wanted, **{name: getattr(mark.applied, name) for name in fields})
