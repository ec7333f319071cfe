"""Bringing what clients have at a site for all their machines to what their files ask for: look, make the calls, look
again. All clients of a site together: what has to be activated as a whole is activated once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from orchestrator.applying.settle import PASSING, make_call, settle
from orchestrator.applying.stopping import Interrupted
from orchestrator.errors import OrchestratorError
from orchestrator.proxmox import TaskLeft
from orchestrator.resources.change import ALL, Effect
from orchestrator.resources.kinds import CLIENT_KINDS

if TYPE_CHECKING:
    from orchestrator.applying.machine_work import Surroundings
    from orchestrator.planning.plan import MachinePlan
    from orchestrator.planning.shared import SharedChange
    from orchestrator.resources.change import Address
    from orchestrator.resources.kind import ClientKind, Step

Problems = dict["Address", OrchestratorError]
"""Why things could not be brought to what their files ask for."""


def bring_shared(
    changes: Collection[SharedChange],
    around: Surroundings,
    found: Mapping[str, Mapping[str, Any]],
    *,
    last: bool,
) -> Problems:
    """Make a plan's changes of what clients have at sites, those before the machines or the last ones.

    Args:
        changes: the plan's.
        around: the run.
        found: what the plan was made from: by site, by the kind's name.
        last: which of them.

    Returns:
        Why some could not be made. One client's failure never stops the others.
    """
    problems: Problems = {
        item.address: NotNow(item.change.why or "it is refused")
        for item in changes
        if item.by_itself and not last and item.change.effect in (Effect.REFUSED, Effect.UNABLE)
    }
    todo = [item for item in changes if item.last is last and item.change.effective]
    for site, items in groupby(sorted(todo, key=lambda item: item.site), key=lambda item: item.site):
        here = list(items)
        for kind in reversed(CLIENT_KINDS) if last else CLIENT_KINDS:
            of_kind = [item for item in here if item.change.thing == kind.name]
            if of_kind:
                _Bringing(kind, site, of_kind, around, problems).bring(found.get(site, {}).get(kind.name))
    return problems


def lacking(machine: MachinePlan, problems: Problems) -> str:
    """Why what a machine needs of its client's is not there; empty if it is."""
    if machine.desired is None:
        return ""
    used = {
        kind.name: (*kind.uses(machine.desired), ALL) for kind in CLIENT_KINDS if kind.uses(machine.desired)
    }
    found = (
        str(error)
        for address, error in problems.items()
        if address.client == machine.client and address.name in used.get(address.kind, ())
    )
    return next(found, "")


class _Bringing:
    """One kind at one site, for all clients of a plan."""

    def __init__(
        self,
        kind: ClientKind[Any],
        site: str,
        items: list[SharedChange],
        around: Surroundings,
        problems: Problems,
    ) -> None:
        self.kind = kind
        self.site = site
        self.items = items
        self.around = around
        self.problems = problems
        self.cluster = around.clusters[site]

    @property
    def left(self) -> list[SharedChange]:
        """What has not failed."""
        return [item for item in self.items if item.address not in self.problems]

    def bring(self, found: Any) -> None:
        """Make the changes, and say why those that could not be made were not."""
        kind, state = self.kind, self.around.states[self.site]
        clients = sorted({item.client for item in self.items})
        try:
            first = self._look() if found is None and kind.listed(state) is None else found
            settle(
                kind.listed(state) if first is None else first,
                self._act,
                lambda _: self._look(),
                pause=self.around.pause,
                what=f"the {kind.name} of {' and '.join(clients)} at {self.site}",
                where=f"{kind.where} in Proxmox",
            )
        except OrchestratorError as error:
            self.problems |= {item.address: error for item in self.left}

    def _look(self) -> Any:
        owners = list({item.client: item.owner for item in self.items}.values())
        return self.kind.read(self.cluster, self.around.states[self.site], owners)

    def _act(self, found: Any) -> bool:
        called = False
        for item in self.left:
            try:
                called |= self._make(item, found)
            except (*PASSING, Interrupted, TaskLeft):
                raise
            except OrchestratorError as error:
                self.problems[item.address] = error
        if called:
            step = partial(self.around.journal.step, self.items[0].client, None, self.site)
            for call in self.kind.commit(found):
                make_call(self.cluster, call, step)
        return called and self.kind.by_itself

    def _make(self, item: SharedChange, found: Any) -> bool:
        """Make the calls of one change that are left. Return whether it is not done yet."""
        steps = [step for step in self.kind.steps(item.owner, found) if _is(step, item)]
        if not steps:
            return False
        if objection := self.kind.objection(item.change, found):
            raise NotNow(objection)
        for call in (call for step in steps for call in step.calls):
            make_call(self.cluster, call, partial(self.around.journal.step, item.client, None, self.site))
        return True


class NotNow(OrchestratorError):
    """A change of a plan is not made, as things are now. The text says why and what to do."""


def _is(step: Step, item: SharedChange) -> bool:
    change = item.change
    return step.last is item.last and (step.change.part, step.change.what) == (change.part, change.what)
