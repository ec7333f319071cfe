"""What a kind of managed thing says of itself, as pure data and pure functions, in one file for each kind.

A kind is listed in :mod:`orchestrator.resources.kinds`, and nothing else knows it by name: planning shows its steps,
applying makes their calls, marks and histories name it, the privileges that it needs are asked for where it is used.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from orchestrator.resources.change import Change, ChangeClass, Effect, Judged, State

if TYPE_CHECKING:
    from orchestrator.guests.inside import InsideReading
    from orchestrator.guests.part import Part
    from orchestrator.proxmox import Cluster, ClusterState, Need
    from orchestrator.resources.change import Asked
    from orchestrator.resources.desired import DesiredClient, DesiredMachine
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine

Found = TypeVar("Found")
"""What is observed of a kind: for one machine, or at a site."""

Params = dict[str, str | int | float]


@dataclass(frozen=True, kw_only=True)
class Call:
    """A write to the API that is part of a change."""

    action: str
    method: Literal["POST", "PUT", "DELETE"]
    path: str
    params: Params = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One change with what it takes; nothing is called for refusals and notices.

    Attributes:
        last: of a client's things: it comes after the machines, for something goes that they may still use.
    """

    change: Change
    calls: tuple[Call, ...] = ()
    last: bool = False


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One change of a machine's configuration with what it takes in Proxmox.

    Attributes:
        change: how it reads in a plan. None for settings that only we care about (marks, protection).
        params: parameters of ``PUT .../config``.
        resize: a slot and its new size in GiB, for ``PUT .../resize``.
        slot: a disk's name and slot to be noted in the mark.
    """

    change: Change | None
    params: dict[str, str | int] = field(default_factory=dict)
    resize: tuple[str, int] | None = None
    slot: tuple[str, str] | None = None


class AnyKind(ABC):
    """What is said of every kind of thing.

    Attributes:
        name: in addresses, marks, errors and messages.
        needs: the privileges that it needs.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[Need, ...]] = ()


class ClientKind(AnyKind, Generic[Found]):
    """A kind of thing that a client has at a site for its machines: one, or several with names.

    What is made or changed comes before the machines of the run, what goes after them. Calls are made for all clients
    of a site together, so that what has to be activated as a whole is activated once (:meth:`commit`).

    Attributes:
        where: where people see in Proxmox who else changes it.
        judged: what its changes are to the contract (article 3.8.4).
        by_itself: whether it is planned though none of the client's machines changes, and can be applied alone. What is
            not is made for the client's first machine, and is no line of a plan.
    """

    where: ClassVar[str]
    judged: ClassVar[Judged] = Judged(ChangeClass.STANDARD, "the provider's own bookkeeping", counted=False)
    by_itself: ClassVar[bool] = True

    @abstractmethod
    def asked(self, client: DesiredClient) -> Collection[str]:
        """The names of the things that a client's file asks for."""

    @abstractmethod
    def uses(self, desired: DesiredMachine) -> Collection[str]:
        """The names of those that a machine needs: where one is missing, the machine is left as it is."""

    @abstractmethod
    def read(self, cluster: Cluster, state: ClusterState, clients: Sequence[DesiredClient]) -> Found:
        """Read what there is of it at a site.

        Args:
            cluster: the API.
            state: the cluster's lists.
            clients: those of the files that it concerns; none if no files are read: whatever is ours.

        Raises:
            ProxmoxError: it could not be read.
        """

    @abstractmethod
    def steps(self, client: DesiredClient, found: Found) -> list[Step]:
        """Every step from what was read to what a client's file asks for. The change's ``part`` is the thing's name.

        What belongs to others is no client's: it is not touched. Steps that are :attr:`Step.last` come after the
        machines of the run.
        """

    def shown(self, client: str, found: Found) -> Iterator[tuple[str, str]]:
        """The names of a client's things as they are, each with what ``show`` says of it."""
        yield from ()

    def listed(self, state: ClusterState) -> Found | None:
        """What the cluster's lists say of it; None if it has to be read."""
        return None

    def concerns(self, client: DesiredClient) -> bool:
        """Whether a client has, or may have, something of it: then it is read."""
        return bool(self.asked(client))

    def needed(self, client: DesiredClient) -> Collection[Need]:
        """The privileges that it needs for what a file asks."""
        return self.needs if self.asked(client) else ()

    def unable(self, reason: str) -> Step:
        """What a plan says where it could not be read: nothing of it is made or removed."""
        why = f"nothing is made or removed: {reason}"
        change = Change(effect=Effect.UNABLE, what=self.name, thing=self.name, after=State.NOT_READ, why=why)
        return Step(change=change)

    def objection(self, change: Change, found: Found) -> str:
        """Why a step of a plan is not made now that the machines are as they are; empty if it is."""
        return ""

    def commit(self, found: Found) -> Sequence[Call]:
        """What activates the calls of all clients of a site; the calls made, it is looked at again.

        What an interrupted run made and did not activate is a step without calls: this is all that is left of it.
        """
        return ()

    def words(self, before: object, after: object) -> tuple[str | None, str | None] | None:
        """Both sides of a change for people; None where they are told as they are."""
        return None

    def joining(self, desired: DesiredMachine, observed: ObservedMachine) -> Change | None:
        """The change that makes a machine part of it; None if it is, or no machine is part of it."""
        return None

    def join(self, cluster: Cluster, desired: DesiredMachine, observed: ObservedMachine) -> Sequence[Call]:
        """What makes a machine part of it, as it is now.

        Raises:
            ProxmoxError: it could not be read.
        """
        return ()


class ResourceKind(AnyKind, Generic[Found]):
    """A kind of thing that belongs to a machine.

    Attributes:
        changes: how plans name what it changes.
        judged: what these changes are to the contract (article 3.8.4).
        where: where people see in Proxmox who else changes it.
        leaving: what becomes of it when its machine leaves its file, for people; empty if nothing does.
    """

    changes: ClassVar[tuple[str, ...]]
    judged: ClassVar[Judged]
    where: ClassVar[str]
    leaving: ClassVar[str] = ""

    @abstractmethod
    def asked(self, desired: DesiredMachine) -> Asked:
        """What a file asks for; empty if nothing. The mark keeps it, to tell drift from an edit."""

    @abstractmethod
    def words(self, asked: Asked) -> str:
        """What a file asks for, for people."""

    @abstractmethod
    def read(
        self,
        cluster: Cluster,
        state: ClusterState,
        machines: Sequence[tuple[ObservedMachine, DesiredMachine | None]],
    ) -> Mapping[int, Found]:
        """Read what there is of it, for machines of one site with their files' sides, by VM id.

        Raises:
            ProxmoxError: it could not be read.
        """

    @abstractmethod
    def steps(self, desired: DesiredMachine | None, observed: ObservedMachine, found: Found) -> list[Step]:
        """Every step from what was read to what the file asks for; what there was goes where no file asks."""

    def refusals(self, desired: DesiredMachine, state: ClusterState) -> list[Change]:
        """Why a machine cannot be made as its file says."""
        return []

    def needed(self, desired: DesiredMachine) -> Collection[Need]:
        """The privileges that it needs for what a file asks."""
        return self.needs if self.asked(desired) else ()

    def noted(self, mark: Mark) -> bool:
        """Whether a mark says that there is, or may be, something of it though no file asks for it."""
        return False

    def note(self, mark: Mark, *, there: bool) -> Mark:
        """The mark that says so: written before the first step, taken back after the last."""
        return mark

    def concerns(self, machine: ObservedMachine, desired: DesiredMachine | None) -> bool:
        """Whether a machine of ours has something of it, or is to have."""
        asked = desired is not None and bool(self.asked(desired))
        return asked or (machine.mark is not None and self.noted(machine.mark))

    def as_applied(self, desired: DesiredMachine, mark: Mark) -> bool:
        """Whether the file asked for the same when it was last applied, and got it: a difference is drift then."""
        asked = self.asked(desired)
        got = mark == self.note(mark, there=bool(asked))
        noted = mark.applied.kinds.get(self.name, {}) if mark.applied else {}
        return mark.ready and got and noted == asked


class GuestKind(AnyKind):
    """A kind of thing inside a machine. A part of the playbook for machines brings it to what is asked, over SSH.

    All parts of all machines are one Ansible run, so a kind has a part of the playbook and no steps of its own; the
    mark says what was brought into the guest. Most ask for a few values (:meth:`asked`) and have no more to say.

    Attributes:
        part: of the playbook; its name is what plans and the history call it.
        effect: of its changes.
        judged: what its changes are to the contract (article 3.8.4).
        waits: what is told of a change while the machine does not run.
    """

    part: ClassVar[Part]
    effect: ClassVar[Effect] = Effect.GUEST
    judged: ClassVar[Judged]
    waits: ClassVar[str] = "done when the machine has started"

    def asked(self, desired: DesiredMachine) -> Asked:
        """What a file asks for; empty if nothing."""
        return {}

    def brought(self, mark: Mark) -> Asked:
        """What was asked for when it was last brought into the guest; empty if nothing."""
        return mark.inside.get(self.name, {})

    def variables(self, asked: Asked, before: Asked) -> Mapping[str, Any]:
        """The variables of its role, all of which begin with its name.

        Args:
            asked: for.
            before: what was asked for when it was last brought into the guest.
        """
        return {f"{self.name}_wanted": dict(asked), f"{self.name}_before": dict(before)}

    def change(self, desired: DesiredMachine, observed: ObservedMachine | None, mark: Mark) -> Change | None:
        """What leads from what the mark knows of the guest to what the file asks for; None if nothing does.

        Args:
            desired: the file's side.
            observed: the machine; None if it is to be made.
            mark: what is known to have been brought into the guest.
        """
        asked, before = self.asked(desired), self.brought(mark)
        return self.changed(before or None, asked or None) if asked != before else None

    def note(self, mark: Mark, desired: DesiredMachine) -> Mark:
        """The mark once the guest is as the file asks."""
        asked = dict(self.asked(desired))
        others = {name: values for name, values in mark.inside.items() if name != self.name}
        return mark.with_(inside=others | ({self.name: asked} if asked else {}))

    def kept(self, observed: ObservedMachine, mark: Mark) -> Mark:
        """The mark with what the configuration alone knows, before that is written."""
        return mark

    def edits(self, desired: DesiredMachine, observed: ObservedMachine, mark: Mark) -> Iterator[Edit]:
        """What of it stands in the machine's configuration as well."""
        yield from ()

    def notices(self, reading: InsideReading) -> Iterator[Change]:
        """What was seen in the guest and is left alone."""
        yield from ()

    def words(self, before: object, after: object) -> tuple[str | None, str | None] | None:
        """Both sides of a change for people; None where they are told as they are."""
        return None

    def changed(
        self, before: object, after: object, *, drift: bool = False, why: str | None = None
    ) -> Change:
        """A change of it."""
        return Change(
            effect=self.effect,
            what=self.part.name,
            thing=self.name,
            before=before,
            after=after,
            drift=drift,
            why=why,
        )
