"""Answers of modelled sites, recorded once and given again in-process, so that thousands of wrong ones can be tried."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.proxmox import calls
from orchestrator.proxmox.budget import Limits
from orchestrator.proxmox.connection import Connection, Endpoint, Refusal, parse_body

Call = tuple[str, str, str]
"""URL of the site, path, parameters."""

Answers = dict[Call, Any]


def _call(endpoint: Endpoint, path: str, params: Mapping[str, Any]) -> Call:
    return endpoint.url, path, json.dumps(dict(params), sort_keys=True)


@contextmanager
def recorded(answers: Answers) -> Iterator[None]:
    """Write down what is answered meanwhile."""

    class Recording(Connection):
        def __init__(self, endpoint: Endpoint) -> None:
            super().__init__(endpoint)
            self._endpoint = endpoint

        def ask(self, method: str, path: str, params: Mapping[str, Any], *, seconds: float) -> Any:
            data = super().ask(method, path, params, seconds=seconds)()
            assert method == "GET", (method, path)
            answers[_call(self._endpoint, path, params)] = deepcopy(data)
            return lambda: data

    with _connections(Recording):
        yield


@contextmanager
def replayed(answers: Mapping[Call, bytes]) -> Iterator[None]:
    """Give the bytes of answers again, read as they are when they come over a connection."""

    class Replaying:
        date = "Mon, 23 Nov 2026 21:00:00 GMT"

        def __init__(self, endpoint: Endpoint) -> None:
            self._endpoint = endpoint

        def ask(self, method: str, path: str, params: Mapping[str, Any], *, seconds: float) -> Any:
            body = answers.get(_call(self._endpoint, path, params))
            if body is None:
                raise Refusal(500, f"nothing was recorded for {method} {path}", {})
            return lambda: parse_body(200, "OK", bytearray(body), Limits())

        def close(self) -> None:
            """Nothing is open."""

    with _connections(Replaying):
        yield


@contextmanager
def _connections(kind: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "Connection", kind)
        yield


@dataclass(frozen=True)
class Mutation:
    """A change of one answer.

    Attributes:
        told: what was changed, to be read when a test fails.
        call: of which answer.
        body: what is answered instead.
    """

    told: str
    call: Call
    body: bytes


_DEEP = "@deep@"
_RAW = "@raw {}@"
_ODD: tuple[Any, ...] = (
    None,
    [],
    {},
    [[]],
    {"x": 1},
    True,
    False,
    0,
    -1,
    -(2**40),
    1.5,
    1e20,
    10**18,
    10**30,
    "",
    " ",
    "x",
    "0",
    "-1",
    "1e20",
    "9" * 30,
    "²",
    "soon",
    "../x",
    "../../access/users",
    "a/b",
    "x?y=1#z",
    "\x1b[31mred\x1b[0m",
    "line\nline\r\nline",
    "\x00",
    "\u2028\u202e",
    "\ud800",
    "x" * 70_000,
    "{{ 7*7 }}",
    "<script>alert(1)</script>",
    "local:backup/../../etc/passwd",
    "UPID:../x:1:1:1:qmstart:1:root@pam:",
    _RAW.format("NaN"),
    _RAW.format("-Infinity"),
    _RAW.format("1e999"),
    _RAW.format("9" * 5000),
    _DEEP,
)


def mutations(answers: Answers, url: str, *, count: int, seed: int) -> Iterator[Mutation]:
    """Yield ``count`` changes of the answers of one site, each of one place of one answer."""
    chance = random.Random(seed)
    calls = sorted(call for call in answers if call[0] == url)
    for number in range(count):
        call = calls[number % len(calls)]
        document = {"data": deepcopy(answers[call])}
        told = _mutate(document, chance)
        text = json.dumps(document)
        for raw in ("NaN", "-Infinity", "1e999", "9" * 5000):
            text = text.replace(json.dumps(_RAW.format(raw)), raw)
        text = text.replace(json.dumps(_DEEP), "[" * 20_000 + "]" * 20_000)
        if number % 97 == 0:
            text, told = text[: chance.randrange(len(text))], "cut off"
        elif number % 101 == 0:
            text, told = text.replace('"data":', '"data": 1, "data":', 1), "data twice"
        yield Mutation(f"{number}: {call[1]}: {told}", call, text.encode())


def _mutate(document: Any, chance: random.Random) -> str:
    """Change one place of a document, and say what was changed."""
    places = list(_places(document, ""))
    # Lists have many places that are alike; the frame of the answer is changed as often as what is in it.
    told, container, key = places[0] if chance.random() < 0.1 else chance.choice(places)
    if isinstance(container, list) and chance.random() < 0.3:
        container.insert(0, deepcopy(container[key]))
        return f"{told} twice"
    if isinstance(container, dict) and key != "data" and chance.random() < 0.2:
        del container[key]
        return f"{told} missing"
    odd = chance.choice(_ODD)
    container[key] = deepcopy(odd)
    return f"{told} = {str(odd)[:40]!r}"


def _places(value: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    keys: Any = (
        value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield f"{where}/{key}", value, key
        yield from _places(value[key], f"{where}/{key}")
