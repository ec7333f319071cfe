r"""Text from elsewhere, made safe for the place where it is shown: a terminal, Markdown, JSON, a metric's label.

Names, notes, comments, logs, answers and file names come from clients' files, guests, hypervisors and task logs. None
of it may move a cursor, colour a line, hide or reorder what is read, end a line, or mean anything to Markdown. What a
reader cannot see is shown as the escape that programmers know: ``\x1b``, ``\r``, ``\u202e``. (HTML needs no more than
:func:`visible`: its templates escape ``<``, ``>``, ``&`` and quotes themselves, see :mod:`orchestrator.pages`.)

Nothing is imported here that takes time.
"""

from __future__ import annotations

import html
import re

LONGEST = 10_000
"""Characters of one value that are shown; how many more there are is said."""

LONGEST_LABEL = 256
"""Characters of a metric's label."""

_MARKS = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
"""Marks that stand above or below the letter before them."""

_CLASS = (
    "\x00-\x1f\x7f-\x9f"  # controls: C0, DEL, C1
    "\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e"  # formats, the soft hyphen among them
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb\ufffe\uffff"  # zero width, separators, bidirectional
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufe00-\ufe0f"  # invisible letters and variants
    "\ud800-\udfff\ue000-\uf8ff"  # halves of characters (file names that are no UTF-8), private ones
    "\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff\U000f0000-\U0010ffff"
)

_UNSAFE = re.compile(f"[{_CLASS}]|(?<=[{_MARKS}]{{3}})[{_MARKS}]")
_UNSAFE_IN_LINES = re.compile(f"(?![\\n\\t])(?:{_UNSAFE.pattern})")

_NAMED = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}


_ONE_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._/#+-]*")


def visible(text: str, *, lines: bool = False, longest: int | None = LONGEST) -> str:
    r"""Return a text in which every character can be seen, and is what it seems.

    Doing it twice changes nothing.

    Args:
        text: from anywhere.
        lines: keep line ends and tabs: the place has room for several lines.
        longest: how many characters are shown; None: all.
    """
    text = shortened(text, longest)
    if not lines:
        return _UNSAFE.sub(_escape, text)
    return _UNSAFE_IN_LINES.sub(_escape, text.replace("\r\n", "\n"))


def shortened(text: str, longest: int | None) -> str:
    """Return at most so many characters of a text, and say how many are left out."""
    if longest is None or len(text) <= longest:
        return text
    return f"{text[:longest]}… and {len(text) - longest} more characters"


def hanging(text: str, indent: int) -> str:
    """A text of several lines for a terminal: every line but the first is indented, so that none passes for another."""
    return visible(text.strip("\n"), lines=True).replace("\n", "\n" + " " * indent)


_TWICE = re.compile(r"(?i)(?<![^\s(])([^\s:][^:\n]{0,79}): (?:\1: )+")


def said_once(text: str) -> str:
    """A message without prefixes that stand twice in a row: ``error: error: x`` is ``error: x``.

    Errors are passed on with what they are about before them, and some say it themselves.
    """
    return _TWICE.sub(lambda match: f"{match[1]}: ", text)


def quoted(text: str) -> str:
    """A reference, a comment or another short text of a file as it stands in our sentences.

    What has blanks, or is more than letters, digits and ``@ . _ / # + -``, is in quotes: it cannot pass for words of
    ours, be padded to look like a line of its own, or end the sentence that it stands in.
    """
    if _ONE_WORD.fullmatch(text):
        return text
    return '"' + visible(text).replace('"', "'") + '"'


def utf8(text: str) -> str:
    """A text that UTF-8 can hold: halves of characters as escapes, the rest as it is."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def storable(text: str) -> str:
    """A text that every database can hold: as :func:`utf8`, and without NUL."""
    return utf8(text).replace("\x00", r"\x00")


def json_safe(text: str) -> str:
    r"""JSON text that says the same, with what no terminal and no log should get as ``\uXXXX``.

    Such characters can stand only inside JSON's strings, where the escape means the same.
    """
    return _UNSAFE_IN_LINES.sub(_json_escape, text)


def label(text: str) -> str:
    """A metric's label: in one line, and of limited length. prometheus-client escapes quotes and backslashes."""
    return visible(text, longest=LONGEST_LABEL)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    number = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    return (
        f"\\x{number:02x}"
        if number < 0x100
        else f"\\u{number:04x}"
        if number < 0x10000
        else f"\\U{number:08x}"
    )


def _json_escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number < 0x10000:
        return f"\\u{number:04x}"
    number -= 0x10000
    return f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"


# Markdown. GitLab and GitHub read more than Markdown: after it is rendered, @names, #1, !1, addresses and :names: in
# its texts become mentions, links and pictures, whatever was escaped. They leave code alone, so such words become code.

_REFERENCE = re.compile(
    r"@|#|\$|\^|://|[\[\]{}]"
    r"|[!&]\d|[%~][\w\"]|\w>"
    r"|(?i:\bwww\.|\b(?:mailto|xmpp|tel):|\bGH-\d)"
    r"|:(?:[^\W\d][\w+-]*|[+-]1|100|1234|8ball):"
    r"|\b[0-9a-f]{7,40}\b"
)
"""What GitLab or GitHub may take for more than a word."""

_MARKDOWN = re.compile(r"[\\`*<>&|~]|(?<![^\W_])_|_(?![^\W_])")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "|": "&#124;", "`": "&#96;"}
_BEGINS_A_BLOCK = re.compile(r"[-+=/:]|\d+(?=[.)])")
_UNCODED = re.compile(r"([|`<>&]+)")


def markdown(text: str, *, between: str = "<br>") -> str:
    """Return a text that Markdown, and what GitLab and GitHub make of it, shows as it is, in one line of its source.

    Args:
        text: from anywhere.
        between: what stands for a line end of it.
    """
    lines = visible(text, lines=True).replace("\t", " ").split("\n")
    return between.join(_markdown_line(line.strip()) for line in lines)


def markdown_html(text: str) -> str:
    """Return a text for HTML inside Markdown, where GitLab and GitHub look for names and addresses as well."""
    shown = visible(text)
    escaped = html.escape(shown)
    return f"<code>{escaped}</code>" if _REFERENCE.search(shown) else escaped


def code(text: str) -> str:
    """Return a text as Markdown's code, safe in a table, too."""
    return _code(visible(text))


def _markdown_line(line: str) -> str:
    words = (_code(word) if _REFERENCE.search(word) else _literal(word) for word in line.split(" "))
    return _not_a_block(" ".join(words))


def _literal(word: str) -> str:
    return _MARKDOWN.sub(lambda sign: _ENTITIES.get(sign[0]) or f"\\{sign[0]}", word)


def _code(text: str) -> str:
    """Code never holds what would end it, or a cell of a table: those signs stand between its pieces."""
    pieces = _UNCODED.split(text)
    return "".join(
        _literal(piece) if place % 2 else f"`{piece}`" if piece.strip() else piece
        for place, piece in enumerate(pieces)
    )


def _not_a_block(line: str) -> str:
    """No value begins a heading, a list, a quotation or a command (``/close``), wherever a template puts it."""
    found = _BEGINS_A_BLOCK.match(line)
    if found is None:
        return line
    last = found.end() if found[0].isdigit() else 0
    return f"{line[:last]}&#{ord(line[last])};{line[last + 1 :]}"
