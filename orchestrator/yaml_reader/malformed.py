"""What is wrong with a text that is not YAML, in a sentence: the parser's own words are about tokens."""

from __future__ import annotations

from dataclasses import dataclass

import yaml
from yaml.reader import Reader, ReaderError

from orchestrator.yaml_reader.places import Mark, lines_of, position


@dataclass(frozen=True)
class Mistake:
    """Where the text stops being YAML, what stands there and what to do."""

    mark: Mark
    message: str
    allowed: str


_SENTENCES: tuple[tuple[str, str, str], ...] = (
    # Part of the parser's words (libyaml's or PyYAML's), what was found, what to do.
    (
        "but found another document",
        "a second document begins here (---)",
        "one file holds one document: make it two files",
    ),
    (
        "mapping values are not allowed",
        "a colon that is not allowed here",
        "give the key its own line and the indentation "
        "of its neighbours, or put text that contains ': ' in quotes",
    ),
    (
        "sequence entries are not allowed",
        "a list item that cannot begin here",
        "begin the list on a line of its own",
    ),
    ("unexpected end of stream", "the file ends inside quotes", "close the quotes"),
    (
        "expected ',' or ']'",
        "a list in brackets that is not closed, or lacks a comma",
        "separate items by commas and end with ]",
    ),
    (
        "expected ',' or '}'",
        "a mapping in braces that is not closed, or lacks a comma",
        "separate keys by commas and end with }",
    ),
    (
        "could not find expected ':'",
        "a line that is neither 'key: value' nor a list item",
        "write 'key: value', with a space after the colon",
    ),
    (
        "did not find expected key",
        "this line does not continue the mapping above",
        "give it the indentation of its neighbours, or put the whole value in quotes",
    ),
    (
        "expected <block end>",
        "this line does not continue the block above",
        "give it the indentation of its neighbours, or put the whole value in quotes",
    ),
    (
        "did not find expected '-' indicator",
        "this line does not continue the list above",
        "begin an item with '- ', or give the key the indentation of the mapping that it belongs to",
    ),
    (
        "unknown escape character",
        "an escape that YAML does not know",
        "inside \"…\" write \\\\ for a backslash, or use '…'",
    ),
    (
        "alphabetic or numeric character",
        "a * or & that begins no name",
        "put text that begins with * or & in quotes",
    ),
    ("undefined alias", "an alias that nothing defines", "put text that begins with * in quotes"),
    ("expected <document start>", "text after the end of the document", "one file holds one document"),
    ("document start", "text after the end of the document", "one file holds one document"),
    ("expected comment or line break", "text after | or >", "begin the text on the next line"),
    (
        "directive",
        "a line that begins with %",
        "directives are not used here: take it out, or put the value in quotes",
    ),
    ("incompatible YAML document", "a YAML version that is not known", "take the %YAML line out"),
    ("tag", "a tag that cannot be read", "tags are not used here: put text that begins with ! in quotes"),
    (
        "expected node content",
        "a value that does not begin here",
        "put text that begins with one of , ] } in quotes",
    ),
    ("found unexpected ':'", "a colon that is not allowed here", "put text that contains a colon in quotes"),
)


def explain(error: yaml.YAMLError, text: str) -> Mistake:
    """Turn a parser's error into a place and a sentence.

    Args:
        error: what the parser raised.
        text: what it was reading.
    """
    if isinstance(error, ReaderError):
        return _unprintable(text)
    if not isinstance(error, yaml.MarkedYAMLError):
        return Mistake(Mark(0, 0, 1), "this is not YAML", f"the parser says: {error}")
    problem = error.problem or error.context or ""
    place = error.problem_mark or error.context_mark
    if "could not find expected ':'" in problem:
        place = error.context_mark or place  # the parser only notices on the next line
    mark = _inside(text, place.line, place.column) if place else Mark(0, 0, 1)
    if "cannot start any token" in problem:
        return _strange_character(text, mark)
    begun = _begun(error)
    for words, message, allowed in _SENTENCES:
        if words in problem:
            return Mistake(mark, message + begun, allowed)
    return Mistake(mark, "this is not YAML", f"the parser says: {problem}")


def _begun(error: yaml.MarkedYAMLError) -> str:
    start, end = error.context_mark, error.problem_mark
    if start is None or end is None or start.line == end.line:
        return ""
    return f" (begun on line {start.line + 1})"


def _unprintable(text: str) -> Mistake:
    found = Reader.NON_PRINTABLE.search(text)
    index = found.start() if found else 0
    line, column = position(text, index)
    character = f"U+{ord(text[index]):04X}" if text else ""
    return Mistake(
        Mark(line, column, column + 1),
        f"a control character ({character}) in the text",
        "take it out: it is invisible",
    )


def _strange_character(text: str, mark: Mark) -> Mistake:
    lines = lines_of(text)
    character = lines[mark.line][mark.column : mark.column + 1]
    if character == "\t":
        return Mistake(mark, "a tab in the indentation", "indent with spaces")
    return Mistake(mark, f"a value cannot begin with {character}", "put the text in quotes")


def _inside(text: str, line: int, column: int) -> Mark:
    """Return the place; at the very end of the text, the end of the last line that holds something."""
    lines = lines_of(text)
    line = min(line, len(lines) - 1)
    while line > 0 and not lines[line].strip():
        line -= 1
        column = len(lines[line])
    return Mark(line, column, column + 1)
