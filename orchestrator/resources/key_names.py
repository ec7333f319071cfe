"""What people call SSH keys: their comments, and where those do not tell two keys apart, their fingerprints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Self

from orchestrator.guests.keys import fingerprint
from orchestrator.shown import quoted

_SHORT = len("SHA256:") + 12
"""So much of a fingerprint is shown, or more if two begin alike."""


@dataclass(frozen=True, order=True)
class NamedKey:
    """A public key and what it is called.

    Attributes:
        fingerprint: as OpenSSH writes it; two keys are the same if theirs are.
        comment: the rest of the key's line; empty if there is none.
    """

    fingerprint: str
    comment: str = ""

    @classmethod
    def of(cls, line: str) -> Self:
        """The key of a line such as ``ssh-ed25519 AAAA… name@host``.

        Raises:
            ValueError: it is not a public key.
        """
        return cls(fingerprint(line), " ".join(line.split()[2:]))


def key_names(keys: Iterable[NamedKey]) -> dict[NamedKey, str]:
    """A name for each key; no two different keys get the same."""
    groups: defaultdict[str, set[NamedKey]] = defaultdict(set)
    for key in keys:
        groups[key.comment].add(key)
    names: dict[NamedKey, str] = {}
    for comment, members in groups.items():
        length = _telling_length([key.fingerprint for key in members])
        for key in members:
            short = key.fingerprint[:length]
            called = quoted(comment) if comment else ""
            names[key] = called if called and len(members) == 1 else f"{called} ({short})".lstrip()
    if len(set(names.values())) < len(names):  # a comment that imitates another key's name
        return {
            key: f"{quoted(key.comment) if key.comment else ''} ({key.fingerprint})".lstrip() for key in names
        }
    return names


def _telling_length(fingerprints: list[str]) -> int:
    """How many characters tell these fingerprints apart."""
    longest = max(map(len, fingerprints))
    return next(
        length
        for length in range(_SHORT, max(longest, _SHORT) + 1)
        if length >= longest or len({text[:length] for text in fingerprints}) == len(set(fingerprints))
    )


def key_words(before: Collection[NamedKey], after: Collection[NamedKey]) -> tuple[str | None, str | None]:
    """Both sides of a change of keys, in words that differ where the keys do; None for a side without any."""
    names = key_names([*before, *after])
    sides = [_listed(names[key] for key in side) for side in (before, after)]
    if sides[0] == sides[1] and set(before) != set(after):  # commas in comments can make one list of two
        sides = [_listed(key.fingerprint for key in side) for side in (before, after)]
    return sides[0], sides[1]


def _listed(names: Iterable[str]) -> str | None:
    return ", ".join(sorted(set(names))) or None
