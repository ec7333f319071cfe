"""Subscription files as accidents leave them: a good file, and a mistake or a few in it. One seed, one file."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

Mutation = Callable[[bytes, random.Random], bytes]

_SCALARS = (
    *(
        b"true",
        b"no",
        b"null",
        b"~",
        b"[]",
        b"{}",
        b"''",
        b'""',
        b"-1",
        b"0",
        b"1.5",
        b"0x10",
        b"1_000",
        b"22:00",
    ),
    *(b"9" * 400, b"1e999", b"-.inf", b".nan", b"2026-13-45", b"4GB", b"999999999999GiB", b"!!python/none x"),
    *(
        b"[1, [2, [3]]]",
        b"{ a: { b: { c: d } } }",
        b"|",
        b">-",
        b"&a x",
        b"*a",
        b"@x",
        b"`x`",
        b"%x",
        b"- -",
        b"? x",
    ),
    *("é".encode(), "\u202e".encode(), "١٢".encode(), "𝟚".encode(), "\ud7ff".encode(), b"x" * 9000),
)
_SCRAPS = (
    *(b"\x00", b"\x07", b"\x1b[31m", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\t", b"\r", b"\x0b", b"\x0c"),
    *("\u2028".encode(), "\u0085".encode(), "\ufeff".encode(), "\U0001f4a5".encode(), "\u200b".encode()),
    *(
        b": ",
        b"- ",
        b"#",
        b"'",
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b"&",
        b"*",
        b"!",
        b"|\n",
        b">\n",
        b"%",
        b"---\n",
    ),
    *(b"...\n", b"<<: *x\n", b"? ", b"\\", b"\n\n", b"\r\n"),
)


def _lines(content: bytes) -> list[bytes]:
    return content.splitlines(keepends=True)


def _delete_lines(content: bytes, chance: random.Random) -> bytes:
    lines = _lines(content)
    start = chance.randrange(len(lines))
    del lines[start : start + chance.randint(1, 3)]
    return b"".join(lines)


def _duplicate_line(content: bytes, chance: random.Random) -> bytes:
    """A line twice: often a key that stands twice."""
    lines = _lines(content)
    place = chance.randrange(len(lines))
    lines[place:place] = [lines[place]] * chance.randint(1, 2)
    return b"".join(lines)


def _swap_lines(content: bytes, chance: random.Random) -> bytes:
    lines = _lines(content)
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def _change_value(content: bytes, chance: random.Random) -> bytes:
    """Another value, of another type as a rule, behind a key or as an item."""
    places = list(re.finditer(rb"(?<=: )[^\s,{}\[\]][^,}\]\n]*|(?<=- )[^\s{\[][^\n:]*(?=\n)", content))
    place = chance.choice(places)
    return content[: place.start()] + chance.choice(_SCALARS) + content[place.end() :]


def _misspell_key(content: bytes, chance: random.Random) -> bytes:
    place = chance.choice(list(re.finditer(rb"\b\w+(?=:)", content)))
    wrong = chance.choice((place[0][::-1], place[0].upper(), place[0] + b"s", b"", b"[a]", b"<<", b"1"))
    return content[: place.start()] + wrong + content[place.end() :]


def _truncate(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def _insert_bytes(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(content) + 1)
    return content[:place] + chance.randbytes(chance.randint(1, 8)) + content[place:]


def _insert_scrap(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(content) + 1)
    return content[:place] + chance.choice(_SCRAPS) + content[place:]


def _flip_bits(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]


def _nest_deeply(content: bytes, chance: random.Random) -> bytes:
    depth = chance.choice((30, 40, 300, 20_000))
    opening, closing = chance.choice(((b"[", b"]"), (b"{a: ", b"}"), (b"[", b""), (b"- ", b"")))
    place = chance.choice(list(re.finditer(rb"(?<=: )\S+", content)))
    return content[: place.start()] + opening * depth + b"x" + closing * depth + content[place.end() :]


def _indent_wrongly(content: bytes, chance: random.Random) -> bytes:
    lines = _lines(content)
    place = chance.randrange(len(lines))
    lines[place] = chance.choice((b" ", b"   ", b"\t", b" \t ", b"")) + (
        lines[place].lstrip(b" ") if chance.random() < 0.5 else lines[place]
    )
    return b"".join(lines)


def _anchor(content: bytes, chance: random.Random) -> bytes:
    """An anchor on one value and an alias of it, or of itself, in the place of another."""
    places = list(re.finditer(rb"(?<=: )\S[^\n]*", content))
    first, second = sorted((chance.choice(places), chance.choice(places)), key=lambda place: place.start())
    text = content[: second.start()] + b"*a" + content[second.end() :]
    return text if first is second else text[: first.start()] + b"&a " + text[first.start() :]


def _carriage_returns(content: bytes, chance: random.Random) -> bytes:
    return content.replace(b"\n", chance.choice((b"\r\n", b"\r", b"\n\r", "\u2028".encode())))


def _byte_order_mark(content: bytes, chance: random.Random) -> bytes:
    text = content.decode(errors="replace")
    return chance.choice(
        (
            b"\xef\xbb\xbf" + content,
            b"\xef\xbb\xbf" * 2 + content,
            text.encode("utf-16"),
            text.encode("utf-16-be"),
            text.encode("latin-1", errors="replace"),
        )
    )


def _repeat(content: bytes, chance: random.Random) -> bytes:
    return chance.choice((b"", b"---\n")).join([content] * chance.randint(2, 3))


MUTATIONS: tuple[Mutation, ...] = (
    _delete_lines,
    _duplicate_line,
    _swap_lines,
    _change_value,
    _change_value,
    _misspell_key,
    _truncate,
    _insert_bytes,
    _insert_scrap,
    _insert_scrap,
    _flip_bits,
    _nest_deeply,
    _indent_wrongly,
    _anchor,
    _carriage_returns,
    _byte_order_mark,
    _repeat,
)


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Return the file with one mistake in it, sometimes with up to three."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        try:
            content = chance.choice(MUTATIONS)(content, chance)
        except (IndexError, ValueError):  # what an earlier mistake left has no such place any more
            continue
    return content
