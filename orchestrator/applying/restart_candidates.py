"""Which machines wait for a restart that their maintenance window allows, and why others of those do not get it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.applying.guest_of_machine import guest_of
from orchestrator.applying.restart_outcome import MachineRestart, RestartEnding
from orchestrator.errors import Reason
from orchestrator.planning.machine import waits_for_start
from orchestrator.planning.window import current_or_next
from orchestrator.resources.attributes import ATTRIBUTES, BY_NAME
from orchestrator.resources.machine import RESTART_KEYS, is_cloud_init, is_drive
from orchestrator.resources.restart_hold import held_for, hold_of, hold_words

if TYPE_CHECKING:
    from orchestrator.guests import Guest
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.notes import Mark, RestartNote
    from orchestrator.resources.observed import ObservedMachine, ObservedSite

_WRITTEN = frozenset(
    {"boot", "ciupgrade", "description", "kvm", "name", "onboot", "protection", "scsihw", "sshkeys", "tags"}
)
"""Settings that this program writes besides those that it compares: pending ones are ours."""


@dataclass(frozen=True, kw_only=True)
class Restartable:
    """A machine that waits for a restart, or whose restart has not ended, or is held back.

    Attributes:
        desired: what its file says.
        observed: the machine.
        mark: its mark.
        cluster: the API of its site.
        waiting: the settings that its next start takes up; empty if they are cloud-init's, or nothing waits.
        waits: whether anything waits.
        partners: machines that are not to be down at the same time (``apart_from``), and shall run.
    """

    desired: DesiredMachine
    observed: ObservedMachine
    mark: Mark
    cluster: Cluster
    waiting: Mapping[str, str]
    waits: bool = True
    partners: tuple[ObservedMachine, ...] = field(default=(), repr=False)

    @property
    def key(self) -> tuple[str, str]:
        """Client and machine."""
        return self.desired.key

    @property
    def held(self) -> RestartNote | None:
        """Since when and why its restart is held back; None if it is not."""
        return hold_of(self.desired, self.observed, self.mark, self.waiting if self.waits else None)

    @property
    def why_held(self) -> Reason:
        """Since when and why, in words; empty if it is not held back."""
        return hold_words(self.mark, self.held) if self.held else ""

    @property
    def unfinished(self) -> bool:
        """Whether an earlier run was killed in the middle of its restart."""
        return self.mark.restart is not None and self.mark.restart.state != "held"

    @property
    def has_agent(self) -> bool:
        """Whether it has a guest agent."""
        return bool(BY_NAME["guest agent"].read(self.observed.config))

    def guest(self) -> Guest:
        """The guest, with the host keys that were learnt when it was last applied."""
        return guest_of(
            self.desired,
            self.observed,
            self.mark,
            address=str(self.observed.address),
            host_keys=self.mark.host_keys,
        )

    def ended(self, result: RestartEnding, **more: Any) -> MachineRestart:
        """How its restart ended."""
        return MachineRestart(
            client=self.desired.client,
            machine=self.desired.name,
            site=self.observed.site,
            result=result,
            **{"settings": dict(self.waiting), **more},
        )


def concerned_machines(
    desired: Iterable[DesiredMachine],
    sites: Mapping[str, ObservedSite],
    clusters: Mapping[str, Cluster],
    now: dt.datetime,
) -> list[Restartable]:
    """The machines that wait for a restart, or whose restart an earlier run left unfinished, or is held back.

    Clients out of service have none (articles 9 and 10), nor have machines that are not delivered, or that their file
    has stopped; a machine that is stopped takes its settings up when it is started.

    Args:
        desired: the machines that are asked for.
        sites: what was read of the clusters.
        clusters: their API.
        now: the time, aware.
    """
    own: dict[tuple[str, str], list[ObservedMachine]] = {}
    for site in sites.values():
        for item in site.machines:
            if item.mark:
                own.setdefault((item.mark.client, item.mark.machine), []).append(item)
    wanted = {machine.key: machine for machine in desired}
    found = []
    for key, machine in wanted.items():
        candidates = own.get(key, [])
        if len(candidates) != 1 or candidates[0].site not in clusters:
            continue
        observed = candidates[0]
        mark = observed.mark
        if mark is None or not in_service(machine, observed, mark, now):
            continue
        waiting = waits_for_start(observed, mark, now)
        if waiting is None and mark.restart is None:
            continue
        one = Restartable(
            desired=machine,
            observed=observed,
            mark=mark,
            cluster=clusters[observed.site],
            waiting=waiting or {},
            waits=waiting is not None,
            partners=tuple(
                partner
                for name in machine.apart_from
                if (other := wanted.get((machine.client, name))) is not None and other.power == "running"
                for partner in own.get(other.key, [])
            ),
        )
        if one.waits or one.unfinished or one.held:
            found.append(one)
    return found


def unwell_clients(machines: Iterable[Restartable], now: dt.datetime) -> frozenset[str]:
    """The clients with a machine that another run restarted in the window that is open now, and that did not come back.

    Their other machines are left as they are until that window has closed: what they stand in for may be down. A guest
    that did not shut down still runs as before, so it stops nobody: its settings wait.

    Args:
        machines: those of :func:`concerned_machines`, held ones among them.
        now: the time, aware.
    """
    found = set()
    for machine in machines:
        note, window = machine.held, machine.desired.window
        if note is None or window is None:
            continue
        if machine.waits and held_for(machine.mark, machine.waiting) is not None:
            continue
        opens, _ = current_or_next(window, now)
        if opens <= now and note.since >= opens:
            found.add(machine.desired.client)
    return frozenset(found)


def in_service(machine: DesiredMachine, observed: ObservedMachine, mark: Mark, now: dt.datetime) -> bool:
    """Whether a machine is one that may be restarted at all (articles 2, 9 and 10). ``now`` is aware."""
    return (
        mark.ready
        and mark.retired is None
        and mark.suspended is None
        and observed.site == machine.site
        and machine.power == "running"
        and not machine.life.why(now)
        and not machine.life.not_begun(now)
    )


def objection(machine: Restartable) -> Reason:
    """Why a machine that waits is not restarted, whatever its window; empty if it may be.

    A restart takes up all that is pending, so all of it has to be what a file asked for when it was last applied:
    what needs an order, a catalogue's reference or a quote was applied with one (article 3.8.4).
    """
    mark, config = machine.mark, machine.observed.config
    if mark.update is not None and mark.update.state != "held":
        return "an update of it has not ended: the next run of updates goes on with it"
    if machine.held:
        return machine.why_held
    foreign = sorted(
        key
        for key in config.pending.keys() | config.deleted
        if key in config.deleted or (key not in RESTART_KEYS | _WRITTEN and not _own_drive(machine, key))
    )
    foreign += [row.name for row in ATTRIBUTES if row.noted and _differs(machine, row.name)]
    if foreign:
        return (
            f"a restart would also take up what nobody applied from a file ({', '.join(foreign)} of VM "
            f"{config.vmid}): revert it in Proxmox, or write it into the file and apply"
        )
    return ""


def _own_drive(machine: Restartable, key: str) -> bool:
    pending = machine.observed.config.pending.get(key, "")
    return is_drive(key) and (key in machine.mark.slots.values() or is_cloud_init(pending))


def _differs(machine: Restartable, name: str) -> bool:
    """Whether an attribute that is pending is not what was applied last."""
    row, config, applied = BY_NAME[name], machine.observed.config, machine.mark.applied
    if not row.noted or not config.pending.keys() & set(row.at_restart) or applied is None:
        return False
    noted, found = getattr(applied, row.noted[0]), row.read(config)
    return noted is not None and (found is None or row.noted[1](found) != noted)
