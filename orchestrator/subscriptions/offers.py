"""What a file may not ask for under its offers: every rule, with its article and its words.

A rule is a small generator over one subscription. What an offer covers is a row of
:class:`orchestrator.contract.offers.Offer`. Rules that need the provider's sites are in
:mod:`orchestrator.subscriptions.placement`, rules between files in :mod:`orchestrator.subscriptions.across`.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from orchestrator.contract.calendar import WORK_ENDS, WORK_STARTS
from orchestrator.contract.offers import RETENTIONS, Offer, Terms
from orchestrator.contract.snapshots import RESERVED_NAMES, SNAPSHOT_LIFE, SNAPSHOTS_AT_A_TIME
from orchestrator.counting import counted
from orchestrator.subscriptions.contract_rules import (
    a_usual_retention_needs_no_quote,
    orders_cover_some_day,
    quotes_name_machines_of_the_file,
    the_contract_has_its_number,
    the_probation_belongs_to_managed_services,
)
from orchestrator.subscriptions.exposure import (
    administration_is_not_from_everywhere,
    fully_managed_servers_open_no_ssh,
    ssh_is_not_open_to_everybody,
    updates_can_be_fetched,
)
from orchestrator.subscriptions.model import Machine, MaintenanceWindow, Subscription, Traffic
from orchestrator.subscriptions.openings import Opening, sources_over_ports
from orchestrator.subscriptions.renames import a_client_was_not_called_as_it_is, former_names_are_free
from orchestrator.yaml_reader.checking import Finding
from orchestrator.yaml_reader.places import YamlPath

MOST_SOURCES = 50_000
"""Sources of a machine's firewall, counted for each stretch of ports within which nothing begins or ends."""

_MOST_NAMED = 20

Rule = Callable[[Subscription], Iterator[Finding]]


def check_offers(subscription: Subscription) -> Iterator[Finding]:
    """Yield everything in the file that its offers, or the format as a whole, do not allow."""
    for rule in RULES:
        yield from rule(subscription)


def machines_with_offer(subscription: Subscription) -> Iterator[tuple[Offer, YamlPath, YamlPath, Machine]]:
    """Yield each machine with its offer, the offer's path and its own."""
    for number, service in enumerate(subscription.services):
        for index, machine in enumerate(service.machines):
            path: YamlPath = ("services", number, "machines", index)
            yield service.offer, ("services", number, "offer"), path, machine


def machines_with_path(subscription: Subscription) -> Iterator[tuple[YamlPath, Machine]]:
    """Yield each machine with its path."""
    for _, _, path, machine in machines_with_offer(subscription):
        yield path, machine


def _others(covers: Callable[[Terms], bool]) -> str:
    """The offers that cover something, for people."""
    return " or ".join(offer for offer in Offer if offer.terms.carried_out and covers(offer.terms))


def _not_covered(offer: Offer, covers: Callable[[Terms], bool], what: str) -> str:
    """What to do about something that an offer does not cover."""
    return (
        f"the offer covers {offer.terms.words} only; move the machine to {_others(covers)}, "
        f"or take {what} out"
    )


def only_offers_that_are_carried_out(subscription: Subscription) -> Iterator[Finding]:
    """Cloud Datacenter is sold (3.1), but not carried out by this version."""
    for number, service in enumerate(subscription.services):
        if not service.offer.terms.carried_out:
            allowed = ", ".join(offer for offer in Offer if offer.terms.carried_out)
            yield Finding(
                ("services", number, "offer"),
                f"{service.offer} is not carried out by this version",
                f"allowed: {allowed}; keep virtual data centres out of these files",
                article=service.offer.terms.article,
            )


def status_agrees_with_its_dates(subscription: Subscription) -> Iterator[Finding]:
    """9, 10: a suspension and an end have a day and a letter, and the status says which holds."""
    contract = subscription.contract
    for status, key, block, article in (
        ("suspended", "suspension", contract.suspension, "9"),
        ("terminated", "termination", contract.termination, "10"),
    ):
        if contract.status == status and block is None:
            yield Finding(
                ("contract", "status"),
                f"the contract is {status}, and no {key} says since when",
                "add suspension: { since: DATE, reference: LETTER }"
                if status == "suspended"
                else "add termination: { notice: DATE, reference: LETTER }, the day the registered letter was received",
                article,
            )
    if contract.suspension is not None and contract.status == "active":
        yield Finding(
            ("contract", "suspension"),
            "there is a suspension, yet the status is active",
            "say status: suspended, or take the suspension out: the services then resume as they were",
            "9",
            key=True,
        )
    if contract.termination is not None and contract.status != "terminated":
        yield Finding(
            ("contract", "termination"),
            f"there is a termination, yet the status is {contract.status}",
            "say status: terminated (a suspension may stay beside it), or take the termination out",
            "10",
            key=True,
        )
    for key, name, day in (
        ("suspension", "since", contract.suspension.since if contract.suspension else None),
        ("termination", "notice", contract.termination.notice if contract.termination else None),
    ):
        if day is not None and day < contract.starts:
            yield Finding(
                ("contract", key, name),
                f"{day} is before the contract, which starts on {contract.starts}",
                "correct one of the two dates",
                relies_on=(("contract", "starts"),),
            )


def an_offer_without_backup_has_none(subscription: Subscription) -> Iterator[Finding]:
    """3.3 lists what Essential covers, exclusively; by article 7 the client backs up."""
    for offer, place, path, machine in machines_with_offer(subscription):
        if machine.backup is not None and not offer.terms.backup:
            yield Finding(
                (*path, "backup"),
                f"backup is not part of {offer}",
                _not_covered(offer, lambda terms: terms.backup, "the backup")
                + " (the client backs up, art. 7)",
                offer.terms.article,
                relies_on=(place,),
            )


def an_offer_without_redundancy_has_none(subscription: Subscription) -> Iterator[Finding]:
    """3.3: one single data centre, neither redundant hardware nor a second site."""
    for offer, place, path, machine in machines_with_offer(subscription):
        redundancy = machine.redundancy
        if redundancy is None or offer.terms.redundancy:
            continue
        if redundancy.hardware:
            yield Finding(
                (*path, "redundancy", "hardware"),
                f"redundant hardware is not part of {offer}",
                _not_covered(offer, lambda terms: terms.redundancy, "the redundancy"),
                offer.terms.article,
                relies_on=(place,),
                key=True,
            )
        if redundancy.second_site is not None:
            yield Finding(
                (*path, "redundancy", "second_site"),
                f"a second site is not part of {offer}: one single data centre",
                _not_covered(offer, lambda terms: terms.redundancy, "the second site"),
                offer.terms.article,
                relies_on=(place,),
                key=True,
            )


def an_offer_without_power_stops_no_machine(subscription: Subscription) -> Iterator[Finding]:
    """3.3 leaves out what 3.2 lists: stop and restart on the client's behalf."""
    for offer, place, path, machine in machines_with_offer(subscription):
        if machine.power == "stopped" and not offer.terms.power:
            yield Finding(
                (*path, "power"),
                f"stopping a machine on the client's behalf is not part of {offer}",
                "take power out (the client stops it from inside), or move the machine to "
                + _others(lambda terms: terms.power),
                offer.terms.article,
                relies_on=(place,),
            )


def a_backup_is_kept_for_days_that_its_offer_has(subscription: Subscription) -> Iterator[Finding]:
    """3.5: 7 or 31 days; a retention of the client's own is for Cloud Datacenter, on an accepted quote."""
    for offer, place, path, machine in machines_with_offer(subscription):
        backup = machine.backup
        if backup is None or backup.retention_days in RETENTIONS or not offer.terms.backup:
            continue
        if not offer.terms.other_retentions:
            others = ", ".join(other for other in Offer if other.terms.other_retentions)
            yield Finding(
                (*path, "backup", "retention_days"),
                f"a backup of {offer} cannot be kept {counted(backup.retention_days, 'day')}",
                f"allowed: 7 or 31 calendar days; others are for {others}, on an accepted quote",
                "3.5",
                relies_on=(place,),
            )
        elif backup.quote is None:
            yield Finding(
                (*path, "backup", "retention_days"),
                f"a backup that is kept {counted(backup.retention_days, 'day')} needs an accepted quote",
                "name it (quote: REFERENCE), or keep the backup 7 or 31 calendar days",
                "3.5",
                relies_on=(place,),
            )


def second_site_is_another_site(subscription: Subscription) -> Iterator[Finding]:
    """3.2: geographic redundancy is on two distinct sites."""
    for offer, place, path, machine in machines_with_offer(subscription):
        redundancy = machine.redundancy
        if redundancy is None or not offer.terms.redundancy:
            continue
        if redundancy.second_site == subscription.contract.site:
            yield Finding(
                (*path, "redundancy", "second_site"),
                f"the second site is {subscription.contract.site}, which is where the machine is",
                "name another site than contract.site: the redundancy is on two distinct sites",
                "3.2",
                relies_on=(place, ("contract", "site")),
            )


def at_most_two_snapshots_at_a_time(subscription: Subscription) -> Iterator[Finding]:
    """3.2, 3.3: at most two snapshots at a time, each kept seven days."""
    for offer, _, path, machine in machines_with_offer(subscription):
        by_day = sorted(enumerate(machine.snapshots), key=lambda pair: (pair[1].taken_on, pair[0]))
        for position, (index, snapshot) in enumerate(by_day):
            kept = [
                (other, earlier)
                for other, earlier in by_day[:position]
                if snapshot.taken_on - earlier.taken_on < SNAPSHOT_LIFE
            ]
            if len(kept) >= SNAPSHOTS_AT_A_TIME:
                names = ", ".join(earlier.name for _, earlier in kept)
                yield Finding(
                    (*path, "snapshots", index),
                    f"snapshot {snapshot.name} would be one more than {SNAPSHOTS_AT_A_TIME} at a time: "
                    f"on {snapshot.taken_on} {names} are still kept",
                    "at most 2 at a time, each kept 7 days: take one out, or choose a later day",
                    offer.terms.article,
                    relies_on=tuple(
                        (*path, "snapshots", number, "taken_on") for number, _ in (*kept, (index, snapshot))
                    ),
                )


def snapshot_names_are_unique(subscription: Subscription) -> Iterator[Finding]:
    """Proxmox knows a snapshot of a machine by its name alone."""
    for path, machine in machines_with_path(subscription):
        named = [
            ((*path, "snapshots", index, "name"), snapshot.name)
            for index, snapshot in enumerate(machine.snapshots)
        ]
        yield from _repeated(named, "snapshot", "a machine's snapshots have different names")
        for place, name in named:
            if name.lower() in RESERVED_NAMES:
                yield Finding(
                    place, f"the name {name} is reserved by Proxmox", "choose another name for the snapshot"
                )


def machine_names_are_unique(subscription: Subscription) -> Iterator[Finding]:
    """A machine is known by its client and its name."""
    named = [((*path, "name"), machine.name) for path, machine in machines_with_path(subscription)]
    yield from _repeated(named, "machine", "the machines of a client have different names")


def adopted_machines_are_described_once(subscription: Subscription) -> Iterator[Finding]:
    """A machine is taken over as one machine, at an address that is known."""
    named = []
    for path, machine in machines_with_path(subscription):
        if machine.adopt is None:
            continue
        named.append(((*path, "adopt"), str(machine.adopt)))
        if machine.address == "auto":
            yield Finding(
                (*path, "adopt"),
                "a machine that is taken over keeps its address, and none is given",
                "write the address that it has: address: 203.0.113.20",
                "4.2",
                relies_on=((*path, "address"),),
                key=True,
            )
    yield from _repeated(named, "adopted machine", "each machine is taken over once")


def disks_have_names_of_their_own(subscription: Subscription) -> Iterator[Finding]:
    """A disk is known by its name; the first one holds the system."""
    for path, machine in machines_with_path(subscription):
        named = [((*path, "disks", index, "name"), disk.name) for index, disk in enumerate(machine.disks)]
        yield from _repeated(named, "disk", "the disks of a machine have different names")
        if machine.disks and machine.disks[0].name != "system":
            yield Finding(
                (*path, "disks", 0, "name"),
                f"the first disk is named {machine.disks[0].name}",
                "the first disk holds the system and is named system; list other disks after it",
            )


def disks_left_out_of_the_backup_are_data(subscription: Subscription) -> Iterator[Finding]:
    """3.5: the client defines which data are saved; a machine without its system disk could not be restored."""
    for path, machine in machines_with_path(subscription):
        for index, disk in enumerate(machine.disks):
            if disk.backup:
                continue
            where = (*path, "disks", index, "backup")
            if index == 0:
                yield Finding(
                    where,
                    f"the disk {disk.name} holds the system, and cannot be left out of the backup",
                    "take backup: false out: without the system disk nothing could be restored; others can be left out",
                    "3.5",
                )
            elif machine.backup is None:
                yield Finding(
                    where,
                    f"the machine has no backup, so leaving the disk {disk.name} out of it has no effect",
                    "take it out, or order the backup: backup: { retention_days: 7 }",
                    "3.5",
                    severity="warning",
                )


def ports_are_opened_once(subscription: Subscription) -> Iterator[Finding]:
    """Two entries for one port are easily changed in one place only, and then mean something else."""
    for path, machine in machines_with_path(subscription):
        firewall: YamlPath = (*path, "firewall")
        yield from _repeated_traffic((*firewall, "open"), machine.firewall.open, "opened")
        yield from _repeated_traffic((*firewall, "outgoing"), machine.firewall.outgoing or (), "let out")


def _repeated_traffic(path: YamlPath, entries: Sequence[Traffic], done: str) -> Iterator[Finding]:
    """Two entries for one port are easily changed in one place only, and then mean something else."""
    painted: dict[str, _Painted] = defaultdict(_Painted)
    for index, entry in enumerate(entries):
        first, last = entry.first_last
        earlier = painted[entry.protocol].paint(first, last, index)
        if earlier is not None:
            low, high = max(first, entries[earlier].first_last[0]), min(last, entries[earlier].first_last[1])
            yield Finding(
                (*path, index),
                f"{Opening(low, high, entry.protocol, ()).what} is {done} by entry {earlier + 1} already",
                "both apply; one entry with all its addresses is easier to review",
                severity="warning",
                relies_on=((*path, earlier),),
            )


def firewalls_are_of_a_size(subscription: Subscription) -> Iterator[Finding]:
    """A policy is kept in the machine's notes, which are short; and to work out thousands of overlaps takes minutes."""
    for path, machine in machines_with_path(subscription):
        firewall = machine.firewall
        for key, openings, what in (
            (
                "open",
                [Opening(*one.first_last, one.protocol, one.sources) for one in firewall.open],
                "sources",
            ),
            (
                "outgoing",
                [Opening(*one.first_last, one.protocol, one.destinations) for one in firewall.outgoing or ()],
                "destinations",
            ),
        ):
            found = sources_over_ports(openings)
            if found > MOST_SOURCES:
                yield Finding(
                    (*path, "firewall", key),
                    f"the entries name {found} {what}, those of overlapping ports counted for each overlap",
                    f"at most {MOST_SOURCES}: name networks instead of addresses, and each port in one entry",
                    key=True,
                )


def window_has_a_length(subscription: Subscription) -> Iterator[Finding]:
    """A window that ends when it begins could mean nothing, or the whole day."""
    managed = subscription.managed_services
    if managed is None or managed.maintenance_window is None:
        return
    window = managed.maintenance_window
    path: YamlPath = ("managed_services", "maintenance_window")
    if window.starts == window.ends:
        yield Finding(
            (*path, "to"),
            f"the maintenance window ends when it begins, at {window.ends}",
            'give it a length, such as from: "22:00" to: "02:00"; it may cross midnight',
            relies_on=((*path, "from"),),
        )
    named = [((*path, "days", index), str(day)) for index, day in enumerate(window.days)]
    yield from _repeated(named, "day", "name each day once")


def automatic_updates_have_a_window(subscription: Subscription) -> Iterator[Finding]:
    """3.8.3: automatic updates may restart machines, which happens in an agreed window only."""
    managed = subscription.managed_services
    if managed is None or managed.updates != "automatic":
        return
    path: YamlPath = ("managed_services", "maintenance_window")
    if managed.maintenance_window is None:
        yield Finding(
            ("managed_services", "updates"),
            "automatic updates need a maintenance window: they are installed in it, and may restart machines",
            'agree on one, such as maintenance_window: { days: [tuesday], from: "22:00", to: "02:00" }, or choose '
            "updates: on-request",
            "3.8.3",
        )
    elif _in_working_hours_only(managed.maintenance_window):
        yield Finding(
            path,
            "this window opens in working hours alone, and the nights' run begins after them: automatic updates would "
            "never be installed",
            "let it begin before 08:00, end after 18:00, or fall on a Saturday or Sunday, or choose on-request",
            "3.8.3",
            relies_on=(("managed_services", "updates"),),
        )


def apart_machines_are_of_the_same_file(subscription: Subscription) -> Iterator[Finding]:
    """A pair that serves together: both members are machines of one client."""
    names = {machine.name for _, machine in subscription.machines()}
    known = sorted(names)
    for path, machine in machines_with_path(subscription):
        named = [((*path, "apart_from", index), name) for index, name in enumerate(machine.apart_from)]
        yield from _repeated(named, "machine", "name each machine once")
        for place, name in named:
            if name == machine.name:
                yield Finding(
                    place, f"{name} cannot be apart from itself", "name the other member of the pair"
                )
            elif name not in names:
                some = [other for other in known[: _MOST_NAMED + 1] if other != machine.name][:_MOST_NAMED]
                others = ", ".join(some) or "no other machine"
                if len(known) - 1 > _MOST_NAMED:
                    others += f" and {len(known) - 1 - _MOST_NAMED} more"
                yield Finding(place, f"this file has no machine {name}", f"there are {others}")


def exclusions_need_managed_services(subscription: Subscription) -> Iterator[Finding]:
    """3.8.3: installing updates is part of the managed services."""
    if subscription.managed_services is not None:
        return
    for path, machine in machines_with_path(subscription):
        if machine.updates.exclude:
            yield Finding(
                (*path, "updates"),
                "without managed services only the client installs updates: this has no effect",
                "take it out, or subscribe to managed_services",
                "3.8.3",
                severity="warning",
            )


def fully_managed_servers_have_no_client_access(subscription: Subscription) -> Iterator[Finding]:
    """3.8.2: the provider administers the server; the client has no direct access."""
    managed = subscription.managed_services
    if managed is None or managed.level != "full":
        return
    administration = subscription.administration
    for key, given, effect in (
        ("ssh_keys", administration.ssh_keys, "the keys will not be installed"),
        ("allowed_from", administration.allowed_from, "SSH will not be opened to these sources"),
    ):
        if given:
            yield Finding(
                ("administration", key),
                f"with managed services at level full the client has no direct access: {effect}",
                f"take {key} out, or choose level: supervision",
                "3.8.2",
                severity="warning",
                relies_on=(("managed_services", "level"),),
            )


RULES: tuple[Rule, ...] = (
    the_contract_has_its_number,
    only_offers_that_are_carried_out,
    status_agrees_with_its_dates,
    an_offer_without_backup_has_none,
    an_offer_without_redundancy_has_none,
    an_offer_without_power_stops_no_machine,
    a_backup_is_kept_for_days_that_its_offer_has,
    second_site_is_another_site,
    at_most_two_snapshots_at_a_time,
    snapshot_names_are_unique,
    machine_names_are_unique,
    a_client_was_not_called_as_it_is,
    former_names_are_free,
    adopted_machines_are_described_once,
    disks_have_names_of_their_own,
    disks_left_out_of_the_backup_are_data,
    ports_are_opened_once,
    firewalls_are_of_a_size,
    ssh_is_not_open_to_everybody,
    administration_is_not_from_everywhere,
    updates_can_be_fetched,
    window_has_a_length,
    automatic_updates_have_a_window,
    apart_machines_are_of_the_same_file,
    exclusions_need_managed_services,
    fully_managed_servers_have_no_client_access,
    fully_managed_servers_open_no_ssh,
    the_probation_belongs_to_managed_services,
    quotes_name_machines_of_the_file,
    orders_cover_some_day,
    a_usual_retention_needs_no_quote,
)
"""Every rule, in the order of the contract and then of the file."""


def _in_working_hours_only(window: MaintenanceWindow) -> bool:
    """Whether every opening lies within working hours (article 6), public holidays aside."""
    begins, ends = dt.time.fromisoformat(window.starts), dt.time.fromisoformat(window.ends)
    weekend = {"saturday", "sunday"} & set(window.days)
    return not weekend and WORK_STARTS <= begins < ends <= WORK_ENDS


class _Painted:
    """Ports that were opened, each with the number of the last entry that did."""

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._stretches: list[tuple[int, int]] = []  # last port, entry

    def paint(self, first: int, last: int, entry: int) -> int | None:
        """Note that an entry opens ports; return an earlier one that opens some of them, if there is any."""
        begin = bisect_right(self._begins, first) - 1
        if begin < 0 or self._stretches[begin][0] < first:
            begin += 1
        end = bisect_right(self._begins, last)
        covered = list(zip(self._begins[begin:end], self._stretches[begin:end], strict=True))
        kept = [(first, (last, entry))]
        if covered and covered[0][0] < first:
            kept.insert(0, (covered[0][0], (first - 1, covered[0][1][1])))
        if covered and covered[-1][1][0] > last:
            kept.append((last + 1, covered[-1][1]))
        self._begins[begin:end] = [port for port, _ in kept]
        self._stretches[begin:end] = [stretch for _, stretch in kept]
        return min((stretch[1] for _, stretch in covered), default=None)


def _repeated(named: list[tuple[YamlPath, str]], thing: str, allowed: str) -> Iterator[Finding]:
    first: dict[str, YamlPath] = {}
    for path, name in named:
        if name in first:
            yield Finding(path, f"two {thing}s are named {name}", allowed, relies_on=(first[name],))
        first.setdefault(name, path)
