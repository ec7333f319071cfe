"""Plans in files: saved, reviewed, and applied later exactly as reviewed, or refused.

A saved plan is the plan's own document with what it was made from: the options, the files by their hashes, the
sites. Applying one makes the plan again, for the moment of the first one, and compares: whatever moved is named.
It holds no secret: what stands in it is what ``orchestrator plan`` prints.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.errors import OrchestratorError
from orchestrator.planning.document import MachineDocument, PlanDocument
from orchestrator.resources.change import QUIET, Effect

if TYPE_CHECKING:
    from orchestrator.planning.plan import Plan

SAVED_VERSION = 4
"""Raise it with every field that plans get: the hash of an earlier one covers the fields that it had."""

MAXIMUM_BYTES = 100 * 1024 * 1024
_YEARS = (1970, 2999)
"""As dates in files: what lies beyond cannot be calculated with."""


class SavedPlanUnusable(OrchestratorError):
    """A saved plan cannot be read, or must not be applied. The text says why, and what to do."""


class _Saved(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class PlanOptions(_Saved):
    """What the plan was limited to and what was decided for it: applying repeats it."""

    paths: list[str]
    only: str | None = None
    restart_now: bool = False
    guests: bool = False
    order: str | None = None
    catalogue: str | None = None
    quote: str | None = None
    classes: dict[str, str] = {}
    allow: list[str] = []


class SavedPlan(_Saved):
    """A plan in a file."""

    saved: Literal["orchestrator plan"] = "orchestrator plan"
    saved_version: int = SAVED_VERSION
    orchestrator: str
    made_by: str
    inventory: str
    sites: str
    options: PlanOptions
    files: dict[str, str]
    plan: PlanDocument
    hash: str = ""

    @property
    def made_at(self) -> dt.datetime:
        """When the plan was made."""
        return self.plan.made_at

    def sealed(self) -> SavedPlan:
        """The same with the hash of everything else in it."""
        return self.model_copy(update={"hash": self._digest()})

    def _digest(self) -> str:
        text = self.model_copy(update={"hash": ""}).model_dump_json()
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def sound(self) -> bool:
        """Whether nobody changed it since it was saved (or changed its hash as well: it is no signature)."""
        return self.hash == self._digest()


def read_saved(path: Path) -> SavedPlan:
    """Read a saved plan.

    Raises:
        SavedPlanUnusable: it cannot be read, is something else, of another version, or was changed.
    """
    again = "make it again with `orchestrator plan --out FILE`"
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise SavedPlanUnusable(f"{path} cannot be read: not a file: {again}")
        if status.st_size > MAXIMUM_BYTES:
            raise SavedPlanUnusable(f"{path} is not a saved plan: it is larger than any: {again}")
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SavedPlanUnusable(f"{path} cannot be read: {error}: {again}") from error
    return parse_saved(text, str(path))


def parse_saved(text: str, path: str) -> SavedPlan:
    """Read a saved plan.

    Args:
        text: of the file.
        path: what people call it.

    Raises:
        SavedPlanUnusable: it is something else, of another version, or was changed.
    """
    again = "make it again with `orchestrator plan --out FILE`"
    try:
        saved = SavedPlan.model_validate_json(text)
    except (ValidationError, RecursionError) as error:
        first = (
            error.errors()[0]
            if isinstance(error, ValidationError)
            else {"loc": (), "msg": "nested too deeply"}
        )
        place = ".".join(map(str, first["loc"])) or "the whole file"
        raise SavedPlanUnusable(f"{path} is not a saved plan: {place}: {first['msg']}: {again}") from error
    made_at = saved.made_at
    if made_at.utcoffset() is None or not _YEARS[0] <= made_at.year <= _YEARS[1]:
        raise SavedPlanUnusable(
            f"{path} is not a saved plan: plan.made_at: {made_at} is not a time of one: {again}"
        )
    if saved.saved_version != SAVED_VERSION:
        raise SavedPlanUnusable(
            f"{path} was saved by orchestrator {saved.orchestrator} in another form ({saved.saved_version}): {again}"
        )
    if not saved.sound:
        raise SavedPlanUnusable(f"{path} was changed after it was saved: {again}, and have it reviewed")
    return saved


def hash_files(paths: list[Path]) -> dict[str, str]:
    """The SHA-256 of each file, by its path.

    Raises:
        OSError: one cannot be read.
    """
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def moved(saved: SavedPlan, now: PlanDocument, files: Mapping[str, str]) -> Iterator[str]:
    """What moved since a plan was saved, in words: nothing, if it may be applied.

    Args:
        saved: the plan that was reviewed.
        now: the same plan made again for the same moment.
        files: the files' hashes now.
    """
    for path in sorted(saved.files.keys() | files.keys()):
        before, after = saved.files.get(path), files.get(path)
        if before != after:
            verb = "is new" if before is None else "is gone" if after is None else "was changed"
            yield f"file {path} {verb}"
    for failure in now.failures:
        yield f"site {failure.site} cannot be read: {failure.reason}"
    old, new = _concerned(saved.plan), _concerned(now)
    known = {(machine.client, machine.machine) for machine in saved.plan.machines}
    for key in sorted(old.keys() | new.keys()):
        yield from _machine_moved("/".join(key), old.get(key), new.get(key), key in known)
    if [item for item in saved.plan.shared if item.change.effect not in QUIET] != [
        item for item in now.shared if item.change.effect not in QUIET
    ]:
        yield "what clients have for all their machines: the changes are not the same any more"
    for risk in now.dangers:
        if risk not in saved.plan.dangers:
            yield f"{risk.name}: {risk.words}"


def contracts_moved(plan: Plan, now: dt.datetime) -> Iterator[str]:
    """The contracts that stand elsewhere than when a plan was saved, in words: what it says is not to be made any more.

    A suspension or an end that a file announces comes by itself at midnight (articles 9 and 10): no file changes then.

    Args:
        plan: the plan made again for the moment of the first one.
        now: the time, aware.
    """
    lives = {
        machine.client: machine.desired.life
        for machine in plan.machines
        if machine.desired is not None and machine.effective
    } | {item.client: item.owner.life for item in plan.shared if item.own_effect}
    for client, life in sorted(lives.items()):
        if life.standing(now) is not life.standing(plan.made_at):
            yield f"the contract of {client}: {life.why(now) or f'it is {life.standing(now)}'}"


def _concerned(plan: PlanDocument) -> dict[tuple[str, str], MachineDocument]:
    """The machines that the plan would do something to, or refuses to."""
    return {
        (machine.client, machine.machine): machine
        for machine in plan.machines
        if any(change.effect not in QUIET for change in machine.changes) or machine.refused
    }


def _refusals(machine: MachineDocument) -> Iterator[str]:
    for change in machine.changes:
        if change.effect is Effect.REFUSED:
            yield f"{change.what}: {change.why}"


def _machine_moved(
    name: str, before: MachineDocument | None, after: MachineDocument | None, known: bool
) -> Iterator[str]:
    if before is None:
        if after is not None and not after.refused:
            verb = "would be changed now" if known else "is new"
            yield f"{name} {verb}, and the plan does not say so"
    elif after is None:
        if not before.refused:
            yield f"{name}: nothing is left to do, somebody did it"
    elif after.refused and not before.refused:
        yield f"{name}: it is refused now: {'; '.join(_refusals(after))}"
    elif before.changes != after.changes or before.refused != after.refused:
        yield f"{name}: the changes are not the same any more"
    elif (before.vmid, before.address) != (after.vmid, after.address):
        yield f"{name}: it would be VM {after.vmid} with {after.address}, not VM {before.vmid} with {before.address}"
    elif before.digest != after.digest:
        yield f"{name}: its configuration was changed (digest {before.digest} is {after.digest} now)"
    elif before.intervention != after.intervention:
        yield f"{name}: what it is charged as is not the same any more (the month's free changes, or a reference)"
