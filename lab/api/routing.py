"""Which call a method and a path mean, what it takes, and who may make it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from lab.api.access import Caller
from lab.api.values import Parameters, Property

if TYPE_CHECKING:
    from lab.api.cluster import Cluster


@dataclass(frozen=True)
class Need:
    """Privileges that a call needs on a path, whose `{names}` are parameters of the call."""

    path: str
    privileges: tuple[str, ...]
    any_of: bool = False

    def demand(self, caller: Caller, given: Mapping[str, object]) -> None:
        """Refuse a caller without them.

        Raises:
            Forbidden: with path and privileges, as Proxmox says it.
        """
        path = re.sub(r"\{(\w+)\}", lambda found: str(given.get(found[1], "")), self.path)
        caller.check(path, *self.privileges, any_of=self.any_of)


def needs(path: str, *privileges: str) -> tuple[Need, ...]:
    """All of `privileges` on `path`."""
    return (Need(path, privileges),)


def needs_any(path: str, *privileges: str) -> tuple[Need, ...]:
    """One of `privileges` on `path`."""
    return (Need(path, privileges, any_of=True),)


@dataclass(frozen=True)
class Call:
    """One request that may be made: where, by whom, with what."""

    cluster: Cluster
    caller: Caller
    parameters: Parameters = field(default_factory=dict)

    @property
    def vmid(self) -> int:
        """The VM of the path (or the parameter `vmid`)."""
        return int(str(self.parameters["vmid"]))

    def text(self, name: str) -> str | None:
        """A parameter as text, or None where it was not given."""
        value = self.parameters.get(name)
        return None if value is None else str(value)

    def required(self, name: str) -> str:
        """A parameter that the call's schema demands, as text."""
        return str(self.parameters[name])

    def number(self, name: str, default: int) -> int:
        """A parameter as a whole number."""
        value = self.parameters.get(name)
        return default if value is None else int(str(value))

    def flag(self, name: str, default: bool = False) -> bool:
        """A parameter as yes or no."""
        value = self.parameters.get(name)
        return default if value is None else bool(value)


@dataclass(frozen=True)
class Upgrade:
    """An answer that changes to another protocol: `serve` takes the request over."""

    serve: Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Listing:
    """An answer with a `total` beside its `data`."""

    data: list[dict[str, Any]]
    total: int


Handler = Callable[[Call], Awaitable[object]]


@dataclass(frozen=True)
class Endpoint:
    """One call of the API.

    Attributes:
        handler: what answers it.
        schema: its parameters, those in the path included.
        needs: privileges; none means that any user may call.
        world: callable without credentials.
    """

    handler: Handler
    schema: Mapping[str, Property]
    needs: tuple[Need, ...]
    world: bool


class Routes:
    """A set of calls, filled by decorating their handlers."""

    def __init__(self) -> None:
        self._patterns: list[tuple[str, re.Pattern[str], Endpoint]] = []

    def add(
        self,
        method: str,
        path: str,
        schema: Mapping[str, Property] | None = None,
        needs: tuple[Need, ...] = (),
        *,
        world: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Register the decorated handler. `{name}` in `path` is one part of it; `{name+}` takes the rest."""

        def register(handler: Handler) -> Handler:
            pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))
            pattern = re.sub(r"\\\{(\w+)\\\+\\\}", r"(?P<\1>.+)", pattern)
            endpoint = Endpoint(handler, schema or {}, needs, world)
            self._patterns.append((method, re.compile(pattern), endpoint))
            return handler

        return register

    def include(self, others: Iterable[Routes]) -> None:
        """Take over all calls of other sets."""
        for other in others:
            self._patterns += other._patterns

    def find(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]] | None:
        """The call for a method and a path with the parameters in the path, or None."""
        for known_method, pattern, endpoint in self._patterns:
            if known_method == method and (found := pattern.fullmatch(path)):
                return endpoint, found.groupdict()
        return None
