"""What the firewalls of machines dropped (articles 3.6 and 7: with managed services the provider watches it)."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from orchestrator.guests.answers import UnreadableAnswer, lines_of, shortened, whole_number
from orchestrator.guests.playbooks import TaskResult

MOST_TOP = 20
"""Sources of dropped packets that a machine may name, and destinations of refused ones; its program names five."""

_TOKEN = re.compile(r"[A-Za-z0-9-]{1,100}")
_PROTOCOL = re.compile(r"[a-z0-9-]{1,20}")
_PORT = re.compile(r"[0-9]{1,5}|-")

READ = "Read the alerts of the firewall"
"""The task that reads them."""


@dataclass(frozen=True, kw_only=True)
class FirewallAlerts:
    """The counters of one machine's firewall.

    Attributes:
        dropped: packets.
        dropped_bytes: their bytes.
        refused_ssh: new connections to SSH from addresses that may not.
        since: names the counters: with another one they began anew (a reboot, rules loaded).
        top: of the last day's log, a sample: how often, and what (``203.0.113.9 tcp 3389``).
        refused_out: outgoing packets that were refused; None where all may go out, or the program does not tell.
        top_out: as ``top``, where these were to go.
    """

    dropped: int = 0
    dropped_bytes: int = 0
    refused_ssh: int = 0
    since: str = ""
    top: tuple[tuple[int, str], ...] = ()
    refused_out: int | None = None
    top_out: tuple[tuple[int, str], ...] = ()

    def to_data(self) -> dict[str, Any]:
        """As the history keeps it."""
        lists = {name: [list(item) for item in getattr(self, name)] for name in ("top", "top_out")}
        return {**asdict(self), **lists}

    @classmethod
    def from_details(cls, details: str) -> FirewallAlerts | None:
        """Read what the history kept; None if it is something else. Earlier versions had no ``refused_out``."""
        try:
            data = json.loads(details)
            numbers = {name: data[name] for name in ("dropped", "dropped_bytes", "refused_ssh")}
            top = tuple((count, what) for count, what in data["top"])
            top_out = tuple((count, what) for count, what in data.get("top_out", ()))
            out = data.get("refused_out")
            counts = (*numbers.values(), *(count for count, _ in top + top_out), 0 if out is None else out)
            texts = (data["since"], *(what for _, what in top + top_out))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        sound = all(type(number) is int and number >= 0 for number in counts) and all(
            isinstance(text, str) for text in texts
        )
        if not sound:
            return None
        return cls(**numbers, since=data["since"], top=top, refused_out=out, top_out=top_out)


def parse_alerts(lines: Iterable[str]) -> FirewallAlerts | None:
    """Read the lines of ``orchestrator-firewall alerts``; None if they are something else (an older program).

    Raises:
        UnreadableAnswer: a line of it holds what that program never prints.
    """
    counters: dict[str, tuple[int, int]] = {}
    since = ""
    named: dict[str, list[tuple[int, str]]] = {"top": [], "out": []}
    for line in lines:
        word, _, rest = line.partition(" ")
        fields = rest.split(" ")
        if word in ("dropped", "refused_ssh", "refused_out"):
            count, volume = _fields(word, fields, 2)
            counters[word] = whole_number(count, word), whole_number(volume, f"the bytes of {word}")
        elif word == "since":
            if not _TOKEN.fullmatch(rest):
                raise UnreadableAnswer("the name of its counters is invalid")
            since = rest
        elif word in named:
            count, *what = _fields(word, fields, 4)
            if len(named[word]) == MOST_TOP:
                raise UnreadableAnswer(f"it names more than {MOST_TOP} sources or destinations of packets")
            named[word].append((whole_number(count, word), _dropped(*what)))
    if not since or "dropped" not in counters:
        return None
    packets, size = counters["dropped"]
    return FirewallAlerts(
        dropped=packets,
        dropped_bytes=size,
        refused_ssh=counters.get("refused_ssh", (0, 0))[0],
        since=since,
        top=tuple(named["top"]),
        refused_out=counters["refused_out"][0] if "refused_out" in counters else None,
        top_out=tuple(named["out"]),
    )


def _fields(word: str, fields: list[str], count: int) -> list[str]:
    if len(fields) != count:
        raise UnreadableAnswer(f"a line {word!r} has {len(fields)} fields, not {count}")
    return fields


def _dropped(source: str, protocol: str, port: str) -> str:
    """What was dropped, as people write it: the kernel's log writes all eight groups of IPv6."""
    try:
        address = source if source == "-" else ipaddress.ip_address(source).compressed
    except ValueError:
        raise UnreadableAnswer(
            f"a source or destination of packets is not an address: {shortened(source, 40)!a}"
        ) from None
    if not _PROTOCOL.fullmatch(protocol) or not _PORT.fullmatch(port):
        raise UnreadableAnswer(
            f"no protocol and port of dropped packets: {shortened(protocol + ' ' + port, 40)!a}"
        )
    return f"{address} {protocol} {port}"


def since_last(now: FirewallAlerts, before: FirewallAlerts | None) -> FirewallAlerts:
    """What came since an earlier reading; all of it if there was none, or the counters began anew."""
    if before is None or before.since != now.since or before.dropped > now.dropped:
        return now
    return replace(
        now,
        dropped=now.dropped - before.dropped,
        dropped_bytes=max(now.dropped_bytes - before.dropped_bytes, 0),
        refused_ssh=max(now.refused_ssh - before.refused_ssh, 0),
        refused_out=None if now.refused_out is None else max(now.refused_out - (before.refused_out or 0), 0),
    )


def alerts_in(results: Mapping[str, TaskResult]) -> FirewallAlerts | str | None:
    """What the task read in one guest; the reason if it makes no sense; None if it did not, or nothing counts there.

    Args:
        results: the last result of each task on it by the task's name, without starts and skipped ones.
    """
    result = results.get(READ)
    if result is None or result.kind != "ok":
        return None
    try:
        return parse_alerts(lines_of(result))
    except UnreadableAnswer as error:
        return f"what its firewall counted cannot be read: {error}"
