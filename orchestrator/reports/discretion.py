"""What a text of the provider's may not show a client: names of its own equipment, other clients, its people.

A text that somebody of the provider typed (a reason, an answer) is shown to a client whole or not at all. It is
withheld if it has a name that the client has no business with, or a form that such things have: an address that is not
the client's, an e-mail address, a task, a volume, a path, the name of a host.
"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

_FORMS = re.compile(
    r"[^\s<>()\"',;]+@[^\s<>()\"',;]*[^\s<>()\"',;.:!?]"  # an e-mail address, a user of a realm
    r"|\bUPID:\S+"
    r"|\S+://\S*"
    r"|(?<![^\s\"'(=:,])~?/[\w.-]+\S*"  # a path
    r"|\b[\w.-]+:(?:vm-|base-|backup/|[0-9]+/|\S*vzdump|\S*snapshot)\S*"  # a volume
    r"|\b(?:vmid|vm|ct)\W{0,2}[0-9]{3,9}\b"
    r"|\b(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,24}\b",  # the name of a host
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    r"(?<![\w.:])(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|(?=[0-9a-f]*:)[0-9a-f:.]*[0-9a-f:])(?!\w)", re.I
)
_WORD = re.compile(r"\w+")
_SHORTEST = 2
"""Characters of a name: a node called ``a`` would be found in every text."""


@dataclass(frozen=True, kw_only=True)
class Discretion:
    """What one client may be shown. Made by :meth:`of`.

    Attributes:
        names: of nodes, storages, networks, templates, other clients, the provider's people.
        own: the client's own words: its name, its machines, its people, its references, its addresses.
    """

    names: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()

    @classmethod
    def of(cls, *, names: Iterable[str], own: Iterable[str]) -> Discretion:
        """Of names as they are written."""
        ours = {name.strip().casefold() for name in names}
        theirs = {_plain(word.casefold()) for word in own}
        return cls(
            names=frozenset(name for name in ours if len(name) >= _SHORTEST and name not in theirs),
            own=frozenset(theirs),
        )

    def withholds(self, text: str) -> str:
        """The first thing in a text that a client is not shown; empty if all of it may be."""
        folded = text.casefold()
        for word in dict.fromkeys(_WORD.findall(folded)):
            for name in self._by_word.get(word, ()):
                if name in folded and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", folded):
                    return name
        addresses = filter(_is_address, _ADDRESS.findall(text))
        found = (*addresses, *(match[0] for match in _FORMS.finditer(text)))
        return next((one.strip() for one in found if not self._is_own(one)), "")

    def shown(self, text: str) -> str:
        """A text, or nothing if a part of it is not for the client."""
        return "" if self.withholds(text) else text

    @cached_property
    def _by_word(self) -> Mapping[str, list[str]]:
        """The names by their first word: there are thousands, and a text has a few words."""
        found: dict[str, list[str]] = defaultdict(list)
        for name in sorted(self.names):
            if words := _WORD.search(name):
                found[words[0]].append(name)
        return found

    def _is_own(self, found: str) -> bool:
        return _plain(found.strip().casefold()) in self.own


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _plain(word: str) -> str:
    """An address, or a network's first one, as it is written usually; other words as they are."""
    try:
        return str(ipaddress.ip_interface(word).ip)
    except ValueError:
        return word
