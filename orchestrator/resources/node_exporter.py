"""The supervision inside a machine (article 3.8.1): a node exporter, for the provider's monitoring alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.guests.inside import SUPERVISION as NAME
from orchestrator.guests.plain_part import plain_part
from orchestrator.resources.change import Change, ChangeClass, Judged
from orchestrator.resources.kind import GuestKind

if TYPE_CHECKING:
    from orchestrator.resources.change import Asked
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine

_ASKED = {"supervised": True}

_WORDS: Mapping[object, str] = {
    True: "node exporter, for the provider's monitoring alone (art. 3.8.1)",
    False: "none: it is no longer part of the subscription",
}


class SupervisionKind(GuestKind):
    """The node exporter of a guest; the mark says whether it was installed by us."""

    name = NAME
    part = plain_part(NAME, task="Bring the supervision to what is wanted")
    judged = Judged(ChangeClass.STANDARD, "the provider's own supervision (art. 3.8.1)", counted=False)

    def change(self, desired: DesiredMachine, observed: ObservedMachine | None, mark: Mark) -> Change | None:
        """What leads from one to the other; both sides are whether it is there."""
        if desired.supervised == mark.supervised:
            return None
        return self.changed(mark.supervised or None, desired.supervised)

    def asked(self, desired: DesiredMachine) -> Asked:
        """It comes with managed services, and goes with them."""
        return _ASKED if desired.supervised else {}

    def brought(self, mark: Mark) -> Asked:
        """Whether it was installed by us."""
        return _ASKED if mark.supervised else {}

    def variables(self, asked: Asked, before: Asked) -> Mapping[str, Any]:
        """Two variables: whether it is to be there, and whether it was put there."""
        return {"supervision_wanted": bool(asked), "supervision_before": bool(before)}

    def note(self, mark: Mark, desired: DesiredMachine) -> Mark:
        """The mark once it is as the file asks."""
        return mark.with_(supervised=desired.supervised)

    def words(self, before: object, after: object) -> tuple[str | None, str | None] | None:
        """Both sides; lines from a guest are told as they are."""
        return None if isinstance(before, tuple) else (_WORDS.get(before), _WORDS.get(after))


SUPERVISION = SupervisionKind()
