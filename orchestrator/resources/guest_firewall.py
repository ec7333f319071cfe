"""The basic firewall inside a machine (article 3.6): what leads from the loaded rules to those of its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.guests import firewall
from orchestrator.guests.rules import describe_changes, policy_from_data, policy_to_data
from orchestrator.resources.change import FIREWALL, Change, ChangeClass, Effect, Judged
from orchestrator.resources.kind import GuestKind

if TYPE_CHECKING:
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine


class GuestFirewallKind(GuestKind):
    """The rules that nftables has loaded in a guest."""

    name = FIREWALL
    part = firewall.PART
    effect = Effect.FIREWALL
    judged = Judged(
        ChangeClass.STANDARD, "a firewall rule: tried first, and taken back if the way in is lost"
    )
    waits = "loaded when the machine has started"

    def change(self, desired: DesiredMachine, observed: ObservedMachine | None, mark: Mark) -> Change | None:
        """The rules that come and go; the mark has those that were loaded last."""
        if mark.ready and mark.firewall == policy_to_data(desired.policy):
            return None
        loaded = policy_from_data(mark.firewall) if mark.firewall else None
        return self.changed(None, tuple(describe_changes(loaded, desired.policy)))

    def note(self, mark: Mark, desired: DesiredMachine) -> Mark:
        """A machine is in service once its firewall is loaded."""
        return mark.with_(firewall=policy_to_data(desired.policy), ready=True)


GUEST_FIREWALL = GuestFirewallKind()
