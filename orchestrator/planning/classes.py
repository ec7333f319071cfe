"""The class of every change (article 3.8.4): rules as data, in one place, each with its reason.

The article knows three classes. *Standard*: little work, well mastered, little risk, the system is not modified.
*Significant*: an engineer prepares, tests and hands over; charged. *Major*: a project; charged, quote first.
The first rule that fits a change decides. A change that no rule knows is significant: somebody has to look at it.

Two things are no interventions of change management. What the offers list (creation, stop, start, snapshots, SSH keys:
articles 3.2 and 3.3) is the service itself: neither counted nor charged. And more, fewer or larger machines change what
the client buys: they name the order, or the amendment of the contract, that asks for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from orchestrator.resources.attributes import ATTRIBUTES, BOOKKEEPING, OPTION, SIZE
from orchestrator.resources.change import CLIENT, QUIET, RENAMED, Change, ChangeClass, Effect, Judged
from orchestrator.resources.kinds import CLIENT_KINDS, GUEST_KINDS, KINDS

WORST_FIRST = (ChangeClass.MAJOR, ChangeClass.SIGNIFICANT, ChangeClass.STANDARD)


@dataclass(frozen=True, kw_only=True)
class ClassRule:
    """One rule.

    Attributes:
        effects: of the changes that it speaks of.
        what: patterns of the thing that changes; ``*`` and ``?`` as in file names.
        judged: what they are to the contract; None: no intervention of its change management, for nothing is done.
    """

    effects: frozenset[Effect]
    what: tuple[str, ...] = ("*",)
    judged: Judged | None

    def fits(self, change: Change) -> bool:
        """Whether it speaks of a change."""
        return change.effect in self.effects and any(
            fnmatchcase(change.what, pattern) for pattern in self.what
        )


def _rule(judged: Judged | None, effects: Collection[Effect], *what: str) -> ClassRule:
    return ClassRule(judged=judged, effects=frozenset(effects), what=what or ("*",))


def _offered(reason: str) -> Judged:
    """What the offers list, and what is done without being asked: neither counted nor charged."""
    return Judged(ChangeClass.STANDARD, reason, counted=False)


def _order(reason: str) -> Judged:
    """What changes what the client buys."""
    return Judged(ChangeClass.SIGNIFICANT, reason, counted=False, ordered="always")


_UPDATE = (Effect.UPDATE,)

RULES: tuple[ClassRule, ...] = (
    _rule(
        Judged(
            ChangeClass.MAJOR, "moving a machine to another data centre, or to another system, is a project"
        ),
        (Effect.REFUSED,),
        "site",
        "image",
    ),
    _rule(None, QUIET),
    *(_rule(kind.judged, set(Effect) - QUIET, kind.name) for kind in CLIENT_KINDS if kind.by_itself),
    _rule(
        _order("one machine more is an order; its creation is part of the offer (art. 3.2, 3.3)"),
        (Effect.CREATE,),
    ),
    _rule(
        Judged(
            ChangeClass.SIGNIFICANT,
            "an existing machine is taken over (art. 4.2): part of what was agreed with the client",
            counted=False,
        ),
        (Effect.ADOPT,),
    ),
    _rule(_order("one machine less is an order; what depends on it must be known"), (Effect.RETIRE,)),
    _rule(_order("a machine comes back into service: one machine more is an order"), _UPDATE, "service"),
    *(_rule(row.judged, _UPDATE, row.name) for row in ATTRIBUTES),
    *(_rule(kind.judged, _UPDATE, *kind.changes) for kind in KINDS),
    _rule(BOOKKEEPING, _UPDATE, "tags", "pool", "settings", "cloud-init drive", "contract", "suspension"),
    _rule(SIZE, _UPDATE, "disk *"),
    _rule(
        _offered("what follows from an amendment of the contract is not the client's request"),
        _UPDATE,
        "offer",
    ),
    _rule(BOOKKEEPING, _UPDATE, CLIENT),
    _rule(
        Judged(ChangeClass.STANDARD, "a name: light and mastered, and nothing in the system is modified"),
        _UPDATE,
        RENAMED,
    ),
    _rule(OPTION, _UPDATE, "backup", "copies of the backup", "backup of disk *", "updates excluded"),
    *(_rule(kind.judged, (kind.effect, Effect.UPDATE), kind.part.name) for kind in GUEST_KINDS),
    _rule(BOOKKEEPING, (Effect.GUEST,), "SSH host key"),
    _rule(_offered("a snapshot of the offer (art. 3.2, 3.3)"), (Effect.SNAPSHOT,)),
    _rule(_offered("the contract's own seven days are over (art. 3.2, 3.3)"), (Effect.EXPIRE,)),
    _rule(
        _offered("power, on the client's behalf: part of the offer (art. 3.2)"), (Effect.START, Effect.STOP)
    ),
    _rule(_offered("part of the change that it completes"), (Effect.RESTART,)),
)
"""Every rule; the first that fits a change decides."""

UNKNOWN = ClassRule(
    effects=frozenset(Effect),
    judged=Judged(ChangeClass.SIGNIFICANT, "no rule knows this change: an engineer looks at it"),
)
"""What decides where no rule fits."""


def rule_for(change: Change) -> ClassRule:
    """The rule that decides about a change."""
    return next((rule for rule in RULES if rule.fits(change)), UNKNOWN)


def counts(change: Change) -> bool:
    """Whether a change is an intervention for the client: not where what was changed outside is put right."""
    judged = rule_for(change).judged
    return judged is not None and judged.counted and not change.drift and not is_ordered(change)


def is_ordered(change: Change) -> bool:
    """Whether a change is more, less or larger of what the client buys: it needs an order's reference."""
    judged = rule_for(change).judged
    if judged is None or change.drift or judged.ordered == "no":
        return False
    return judged.ordered == "always" or _grows(change)


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
    judged = rule_for(change).judged
    if part or judged is None:
        return change
    reason = judged.reason
    if change.drift and change.effective:
        reason = "put right what was changed outside (art. 3.8.1): not counted"
    return replace(change, change_class=judged.change_class, class_reason=reason)
