"""The class of every change (article 3.8.4): rules as data, in one place, each with its reason.

The article knows three classes. *Standard*: little work, well mastered, little risk, the system is not modified.
*Significant*: an engineer prepares, tests and hands over; charged. *Major*: a project; charged, quote first.
The first rule that fits a change decides. A change that no rule knows is significant: somebody has to look at it.

Two things are no interventions of change management. What the offers list (creation, stop, start, snapshots, SSH keys:
articles 3.2 and 3.3) is the service itself: neither counted nor charged. And more, fewer or larger machines change what
the client buys: they name the order, or the amendment of the contract, that asks for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from orchestrator.resources.attributes import ATTRIBUTES, BOOKKEEPING, OPTION, SIZE
from orchestrator.resources.change import CLIENT, QUIET, RENAMED, Change, ChangeClass, Effect
from orchestrator.resources.kinds import CLIENT_KINDS, GUEST_KINDS, KINDS

WORST_FIRST = (ChangeClass.MAJOR, ChangeClass.SIGNIFICANT, ChangeClass.STANDARD)


@dataclass(frozen=True, kw_only=True)
class ClassRule:
    """One rule.

    Attributes:
        effects: of the changes that it speaks of.
        what: patterns of the thing that changes; ``*`` and ``?`` as in file names.
        change_class: the class; None: no intervention of the contract's change management.
        reason: why, as reviewers read it.
        counted: whether it is an intervention for the client: counted against the month's free ones, or charged.
        ordered: whether it needs an order's reference, and is then no intervention: ``larger`` where only a growing
            value does.
    """

    effects: frozenset[Effect]
    what: tuple[str, ...] = ("*",)
    change_class: ChangeClass | None
    reason: str
    counted: bool = True
    ordered: Literal["no", "always", "larger"] = "no"

    def fits(self, change: Change) -> bool:
        """Whether it speaks of a change."""
        return change.effect in self.effects and any(
            fnmatchcase(change.what, pattern) for pattern in self.what
        )


def _of(*effects: Effect) -> frozenset[Effect]:
    return frozenset(effects)


RULES: tuple[ClassRule, ...] = (
    ClassRule(
        effects=_of(Effect.REFUSED),
        what=("site", "image"),
        change_class=ChangeClass.MAJOR,
        reason="moving a machine to another data centre, or to another system, is a project",
    ),
    ClassRule(effects=QUIET, change_class=None, reason="nothing is done", counted=False),
    *(
        ClassRule(effects=frozenset(Effect) - QUIET, what=(kind.name,), **kind.judged._asdict())
        for kind in CLIENT_KINDS
        if kind.by_itself
    ),
    ClassRule(
        effects=_of(Effect.CREATE),
        change_class=ChangeClass.SIGNIFICANT,
        reason="one machine more is an order; its creation is part of the offer (art. 3.2, 3.3)",
        counted=False,
        ordered="always",
    ),
    ClassRule(
        effects=_of(Effect.ADOPT),
        change_class=ChangeClass.SIGNIFICANT,
        reason="an existing machine is taken over (art. 4.2): part of what was agreed with the client",
        counted=False,
    ),
    ClassRule(
        effects=_of(Effect.RETIRE),
        change_class=ChangeClass.SIGNIFICANT,
        reason="one machine less is an order; what depends on it must be known",
        counted=False,
        ordered="always",
    ),
    ClassRule(
        effects=_of(Effect.UPDATE),
        what=("service",),
        change_class=ChangeClass.SIGNIFICANT,
        reason="a machine comes back into service: one machine more is an order",
        counted=False,
        ordered="always",
    ),
    *(ClassRule(effects=_of(Effect.UPDATE), what=(row.name,), **row.judged._asdict()) for row in ATTRIBUTES),
    *(
        ClassRule(
            effects=_of(Effect.UPDATE),
            what=kind.changes,
            **kind.judged._asdict(),
        )
        for kind in KINDS
    ),
    ClassRule(
        effects=_of(Effect.UPDATE),
        what=("tags", "pool", "settings", "cloud-init drive", "contract", "suspension"),
        **BOOKKEEPING._asdict(),
    ),
    ClassRule(effects=_of(Effect.UPDATE), what=(CLIENT,), **BOOKKEEPING._asdict()),
    ClassRule(
        effects=_of(Effect.UPDATE),
        what=(RENAMED,),
        change_class=ChangeClass.STANDARD,
        reason="a name: light and mastered, and nothing in the system is modified",
    ),
    ClassRule(effects=_of(Effect.UPDATE), what=("disk *",), **SIZE._asdict()),
    ClassRule(
        effects=_of(Effect.UPDATE),
        what=("offer",),
        change_class=ChangeClass.STANDARD,
        reason="what follows from an amendment of the contract is not the client's request",
        counted=False,
    ),
    ClassRule(
        effects=_of(Effect.UPDATE),
        what=("SSH keys",),
        change_class=ChangeClass.STANDARD,
        reason="managing SSH keys is part of the offer (art. 3.2)",
        counted=False,
    ),
    ClassRule(
        effects=_of(Effect.UPDATE),
        what=("backup", "copies of the backup", "backup of disk *", "updates excluded"),
        **OPTION._asdict(),
    ),
    *(
        ClassRule(effects=_of(kind.effect), what=(kind.part.name,), **kind.judged._asdict())
        for kind in GUEST_KINDS
    ),
    ClassRule(effects=_of(Effect.GUEST), what=("SSH host key",), **BOOKKEEPING._asdict()),
    ClassRule(
        effects=_of(Effect.SNAPSHOT),
        change_class=ChangeClass.STANDARD,
        reason="a snapshot of the offer (art. 3.2, 3.3)",
        counted=False,
    ),
    ClassRule(
        effects=_of(Effect.EXPIRE),
        change_class=ChangeClass.STANDARD,
        reason="the contract's own seven days are over (art. 3.2, 3.3)",
        counted=False,
    ),
    ClassRule(
        effects=_of(Effect.START, Effect.STOP),
        change_class=ChangeClass.STANDARD,
        reason="power, on the client's behalf: part of the offer (art. 3.2)",
        counted=False,
    ),
    ClassRule(
        effects=_of(Effect.RESTART),
        change_class=ChangeClass.STANDARD,
        reason="part of the change that it completes",
        counted=False,
    ),
)
"""Every rule; the first that fits a change decides."""

UNKNOWN = ClassRule(
    effects=frozenset(Effect),
    change_class=ChangeClass.SIGNIFICANT,
    reason="no rule knows this change: an engineer looks at it",
)
"""What decides where no rule fits."""


def rule_for(change: Change) -> ClassRule:
    """The rule that decides about a change."""
    return next((rule for rule in RULES if rule.fits(change)), UNKNOWN)


def counts(change: Change) -> bool:
    """Whether a change is an intervention for the client: not where what was changed outside is put right."""
    return rule_for(change).counted and not change.drift and not is_ordered(change)


def is_ordered(change: Change) -> bool:
    """Whether a change is more, less or larger of what the client buys: it needs an order's reference."""
    ordered = rule_for(change).ordered
    if change.drift or not change.effective or ordered == "no":
        return False
    return ordered == "always" or _grows(change)


def _grows(change: Change) -> bool:
    before, after = change.before, change.after
    if before is None:
        return True  # a further disk
    return isinstance(before, int) and isinstance(after, int) and after > before


def classified(changes: Iterable[Change]) -> tuple[Change, ...]:
    """The changes with their class and its reason.

    What belongs to a creation, and is done by it, has no class of its own.
    """
    found = list(changes)
    creation = any(change.effect is Effect.CREATE for change in found)
    return tuple(
        _classified(change, part=creation and change.effect is not Effect.CREATE) for change in found
    )


def _classified(change: Change, *, part: bool) -> Change:
    rule = rule_for(change)
    if part or rule.change_class is None:
        return change
    reason = rule.reason
    if change.drift and change.effective:
        reason = "put right what was changed outside (art. 3.8.1): not counted"
    return replace(change, change_class=rule.change_class, class_reason=reason)
