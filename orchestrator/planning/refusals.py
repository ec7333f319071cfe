"""What stands in the way of a whole machine: each refusal with its reason and the way out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from orchestrator.planning.notes_room import notes_refusal
from orchestrator.resources.adoption import Unfit, adopted_mark
from orchestrator.resources.change import Change, Effect
from orchestrator.resources.copies import COPY_TAG, read_copy_mark
from orchestrator.resources.desired import DesiredMachine, pool_of
from orchestrator.resources.image import absence, notes_on, places, restricted
from orchestrator.resources.marks import UnreadableMark
from orchestrator.resources.notes import parse_mark
from orchestrator.resources.observed import ObservedMachine, ObservedSite, addresses_unknown
from orchestrator.resources.ownership import client_of, tags_of
from orchestrator.resources.unreadable import Unreadable, holding_up

_LISTED = 5
"""How many machines are named whose addresses are not known."""


@dataclass(frozen=True, kw_only=True)
class HeldUp:
    """A machine that nothing is done for, because of one that could not be read.

    Attributes:
        item: that one.
        change: the refusal.
        surely: whether it says itself that it is this machine; else it could be.
    """

    item: Unreadable
    change: Change
    surely: bool


def unread(
    desired: DesiredMachine, observed: Mapping[str, ObservedSite], known: Collection[str]
) -> HeldUp | None:
    """A machine that could not be read and is, or could be, this one: it is not made beside it.

    Args:
        desired: a machine that was not found among those that are ours.
        observed: every site: it may be at another than its file says.
        known: names of the client's machines that are in its file, or ours.

    Returns:
        It, with the refusal; None if there is none.
    """
    for name in (desired.site, *(name for name in observed if name != desired.site)):
        vmid = desired.adopt if name == desired.site else None
        found = holding_up(
            observed[name].unreadable, *desired.key, vmid=vmid, known=known, elsewhere=name != desired.site
        )
        if found is None:
            found = _under_a_former_name(desired, observed[name], known)
        if found is None:
            continue
        surely = (found.client, found.machine) in (
            desired.key,
            *desired.former_keys,
        ) or found.machine == desired.name
        what = "seems to be this machine" if surely else "may be this machine"
        where = "" if name == desired.site else f" ({name})"
        why = f"{found.subject}{where} {what}, so nothing is done to it and no other is made beside it: {found.reason}"
        change = Change(effect=Effect.REFUSED, what="machine", after=desired.name, why=why)
        return HeldUp(item=found, change=change, surely=surely)
    return None


def _under_a_former_name(
    desired: DesiredMachine, site: ObservedSite, known: Collection[str]
) -> Unreadable | None:
    """What could not be read and says itself that it is the machine under the name that it had before."""
    found = (holding_up(site.unreadable, *key, known=known, elsewhere=True) for key in desired.former_keys)
    return next((item for item in found if item is not None), None)


def namesake(desired: DesiredMachine, site: ObservedSite) -> Change | None:
    """A machine of that name that is not ours."""
    namesakes = [vm for vm in site.strangers if vm.name == desired.name]
    if not namesakes:
        return None
    vm = namesakes[0]
    return Change(
        effect=Effect.REFUSED,
        what="machine",
        after=desired.name,
        why=f"VM {vm.vmid} on {vm.node} is called {vm.name} and is not ours (its notes carry no mark of ours), so it "
        "is not touched and no second machine of that name is made: rename one of the two",
    )


def image_refusal(desired: DesiredMachine, site: ObservedSite) -> Change | None:
    """Why no machine can be made of the image: its template is not there, or not fit, or on no node that can."""
    listed = [vm for vm in site.state.vms if vm.template and vm.name == desired.template]
    if not listed:
        why = absence(desired, site.state)
    elif site.templates is None:  # nobody read them: nothing is concluded
        return None
    else:
        found, reasons = places(desired, site.state, site.templates)
        if found:
            return None
        why = f"the template {desired.template} cannot be used at {desired.site}: {'; '.join(reasons)}"
    return Change(effect=Effect.REFUSED, what="machine", after=desired.name, why=why)


def only_on(desired: DesiredMachine, site: ObservedSite) -> tuple[str, ...]:
    """The nodes that the machine's template binds it to; none if it binds it to none."""
    if site.templates is None:
        return ()
    found, _ = places(desired, site.state, site.templates)
    return restricted(found, desired, site.state)


def image_notices(desired: DesiredMachine, site: ObservedSite) -> list[Change]:
    """What the machine gets from its template that its file does not name, or that may not work."""
    templates = {template.summary.vmid: template for template in site.templates or ()}
    found, _ = places(desired, site.state, tuple(templates.values()))
    return [
        Change(effect=Effect.NOTICE, what="image", after=f"{desired.template} {note.found}", why=note.remedy)
        for note in notes_on(found, templates)
    ]


def no_address(desired: DesiredMachine, site: ObservedSite) -> Change:
    """The range is used up, or nobody knows what of it is free."""
    if unknown := addresses_unknown(site):
        listed = "; ".join(unknown[:_LISTED]) + (
            f"; {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
        )
        return Change(
            effect=Effect.REFUSED,
            what="address",
            after="auto",
            why=f"no address at {site.site} is known to be free: those of some machines could not be read ({listed}). "
            "See that they can be read, and plan again; or name an address in the file that you know to be free",
        )
    first, last = desired.network.range
    return Change(
        effect=Effect.REFUSED,
        what="address",
        after="auto",
        why=f"no address is free in {first}-{last} of the network {desired.network.name}: widen the range in the "
        "site file",
    )


def address_conflict(desired: DesiredMachine, site: ObservedSite, address: IPv4Address) -> Change | None:
    """The address belongs to somebody."""
    holder = site.register.get(address)
    if holder is None:
        return None
    return Change(
        effect=Effect.REFUSED,
        what="address",
        after=str(address),
        why=f"{holder} is configured with {address} already: choose another address, or write auto",
    )


def identity_refusal(
    desired: DesiredMachine, own: list[ObservedMachine], site: ObservedSite, address: IPv4Address | None
) -> Change | None:
    """Copies, another site, a taken address, a lock: why this machine cannot be worked on."""
    machine = own[0]
    if (
        len({m.site for m in own}) == len(own) > 1
        and len({(m.summary.vmid, m.config.digest) for m in own}) == 1
    ):
        sites = " and ".join(sorted(m.site for m in own))
        why = (
            f"{sites} both list VM {machine.summary.vmid} on {machine.summary.node} with the same configuration: if "
            "they are one cluster, name it once in the site file; if one is a copy, take our mark out of its notes"
        )
        return Change(effect=Effect.REFUSED, what="machine", after=desired.name, why=why)
    if len(own) > 1:
        where = ", ".join(f"VM {m.summary.vmid} on {m.summary.node} ({m.site})" for m in own)
        why = f"{where} all carry the mark of this machine (a copy made by hand?): remove it from the notes of the copy"
        return Change(effect=Effect.REFUSED, what="machine", after=desired.name, why=why)
    if machine.site != desired.site:
        why = (
            f"it runs at {machine.site} as VM {machine.summary.vmid}; a machine is never moved by making it again: "
            "set the site back, or have it migrated and moved by an engineer (a major change, art. 3.8.4)"
        )
        return Change(effect=Effect.REFUSED, what="site", before=machine.site, after=desired.site, why=why)
    holder = site.register.get(address) if address else None
    if address and machine.address != address and holder:
        why = f"{holder} is configured with {address} already: choose another address, or write auto"
        return Change(
            effect=Effect.REFUSED, what="address", before=str(machine.address), after=str(address), why=why
        )
    return locked(machine)


def adoption_refusal(
    desired: DesiredMachine, site: ObservedSite, found: ObservedMachine | None, address: IPv4Address | None
) -> Change | None:
    """Why an existing machine cannot be taken over; None if it can."""

    def refused(why: str) -> Change:
        return Change(effect=Effect.REFUSED, what="machine", after=f"VM {desired.adopt} taken over", why=why)

    if found is None or address is None:
        owner = next((item for item in site.machines if item.summary.vmid == desired.adopt), None)
        if owner and owner.mark:
            return refused(
                f"VM {desired.adopt} is {owner.mark.client}/{owner.mark.machine} already: correct adopt"
            )
        template = any(vm.vmid == desired.adopt and vm.template for vm in site.state.vms)
        container = any(guest.vmid == desired.adopt for guest in site.state.containers)
        what = (
            "is a template"
            if template
            else "is a container"
            if container
            else f"does not exist at {site.site}"
        )
        return refused(f"VM {desired.adopt} {what}: correct adopt, or take it out to have the machine made")
    if refusal := locked(found):
        return refusal
    if why := _of_another(desired, found):
        return refused(why)
    if found.summary.pool not in (None, pool_of(desired.client)):
        return refused(f"it is in the pool {found.summary.pool}: take it out there, or ask who needs it")
    twin = next((item for item in site.machines if address in item.addresses), None)
    if twin and twin.mark:
        return refused(
            f"{twin.mark.client}/{twin.mark.machine} (VM {twin.summary.vmid}) has {address}: give one of the two "
            "another address first"
        )
    holder = site.register.get(address)
    if holder and found.address != address:
        return refused(f"{holder} is configured with {address} already: correct address")
    try:
        adopted_mark(desired, found, address)
    except Unfit as error:
        return refused(
            f"the machine is not as its file says: {error}. Taking over changes nothing: correct the file"
        )
    return notes_refusal(desired, found, address)


def _of_another(desired: DesiredMachine, found: ObservedMachine) -> str | None:
    """Whose a machine says that it is, by its notes and tags, where that is not the client that wants it."""
    notes = found.config.effective("description") or ""
    copy = read_copy_mark(notes)
    if COPY_TAG in tags_of(found.config) and copy and copy.purpose != "restored":
        return (
            "it is a copy that a restore is working with: it goes by itself, or when that restore is finished"
        )
    try:
        mark = parse_mark(notes)
    except UnreadableMark as error:
        claims = error.client
    else:
        claims = mark.client if mark else None
    bearing = claims or (copy.client if copy else None) or client_of(found.summary)
    if bearing in (None, desired.client):
        return None
    return (
        f"its notes or tags say that it is {bearing}'s: a machine never changes hands by a file; if it shall, take the "
        "mark out of its notes and the tags off it first"
    )


def locked(machine: ObservedMachine) -> Change | None:
    """A task, or what a crashed one left, holds the machine."""
    lock = machine.summary.lock
    if lock in (None, "", "suspended"):
        return None
    summary = machine.summary
    if lock in ("clone", "create"):
        why = (
            "its clone is still running, or was left behind by a crash: plan again when the task on "
            f"{summary.node} has ended; if none runs, `qm unlock {summary.vmid}` and `qm destroy {summary.vmid}` there"
        )
    else:
        why = (
            f"a {lock} holds VM {summary.vmid}: plan again when its task on {summary.node} has ended; if none runs, "
            f"`qm unlock {summary.vmid}` there lifts the lock"
        )
    return Change(effect=Effect.REFUSED, what="lock", before=lock, why=why)
