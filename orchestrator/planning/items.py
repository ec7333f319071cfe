"""The items of a plan as data for other programs: what each change is made to, by address, both sides as values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from itertools import groupby
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from orchestrator.planning.plan import Plan
from orchestrator.resources.change import Address, Change, ChangeClass, Effect
from orchestrator.shown import utf8

Told = Annotated[str, BeforeValidator(lambda text: utf8(text) if isinstance(text, str) else text)]
"""A text that may come from a hypervisor or a guest: any character that JSON can hold."""


class Document(BaseModel):
    """A part of a plan in the published format."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class ItemChangeDocument(Document):
    """One attribute of one thing: both sides as values, in the units of Proxmox's API where they have some."""

    attribute: Told = Field(description="what changes: memory, disk data, firewall")
    before: JsonValue = Field(description="what is there; null if nothing is. Memory in MiB, disks in bytes")
    after: JsonValue = Field(description="what the file asks for; null if it goes")
    effect: Effect = Field(description="what happens: create, update, restart, refused, …")
    change_class: ChangeClass | None = Field(description="article 3.8.4")
    drift: bool = Field(description="the hypervisor was changed, not the file")
    risk: Literal["erase", "restart", "retire"] | None = Field(description="of the change by itself")
    restart: Literal["now", "window", "not-planned"] | None = Field(
        description="when the machine restarts for it"
    )
    restart_at: dt.datetime | None = Field(description="when the window of a planned restart opens")
    why: Told | None = Field(description="reason and way out, for refusals and notices")


class ItemDocument(Document):
    """One thing that the plan says something of."""

    client: Told = Field(description="whose it is")
    kind: Told = Field(description="machine, snapshot, firewall, …")
    name: Told = Field(description="the machine's; MACHINE:PART where a machine has several; a pool's own")
    address: Told = Field(
        description="CLIENT/KIND/NAME; --only takes those of machines and of what belongs to them"
    )
    site: Told = Field(description="the data centre")
    done: bool = Field(
        description="whether apply does what it says: not if its machine is refused or lacks a reference"
    )
    changes: list[ItemChangeDocument] = Field(description="in the order in which they are made; at least one")


_RISKS: Mapping[Effect, Literal["restart", "retire"]] = {
    Effect.RESTART: "restart",
    Effect.STOP: "restart",
    Effect.RETIRE: "retire",
}


def _item(address: Address, site: str, changes: Iterable[Change], *, done: bool) -> ItemDocument:
    return ItemDocument(
        client=address.client,
        kind=address.kind,
        name=address.name,
        address=str(address),
        site=site,
        done=done,
        changes=[
            ItemChangeDocument(
                attribute=change.what,
                before=_json(change.before),
                after=_json(change.after),
                effect=change.effect,
                change_class=change.change_class,
                drift=change.drift,
                risk="erase" if change.erases else _RISKS.get(change.effect),
                restart=change.restart.when if change.restart else None,
                restart_at=change.restart_at,
                why=change.why,
            )
            for change in changes
        ],
    )


def items_of(plan: Plan) -> Iterator[ItemDocument]:
    """The plan by the addresses of what it speaks of."""
    for (address, site), items in groupby(plan.shared, key=lambda item: (item.address, item.site)):
        yield _item(address, site, [item.change for item in items], done=True)
    for machine in plan.machines:
        done = not (machine.refused or machine.lacks_reference)
        for address, changes in machine.items.items():
            yield _item(address, machine.site, changes, done=done)


def _json(value: object) -> JsonValue:
    """A value of a change as JSON has it."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return utf8(value)
    if is_dataclass(value):
        return {field.name: _json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {utf8(str(key)): _json(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_json(item) for item in value]
    return value.isoformat() if isinstance(value, dt.date) else str(value)
