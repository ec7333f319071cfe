"""A provider's own wording: one file that corrects texts of reports, for every command that writes some.

The file names texts as :class:`~orchestrator.reports.words.Words` and its subclasses do; ``orchestrator wording``
prints all of them. What it does not name stays as it is. Like a catalogue of messages it holds for the whole process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Formatter
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field

from orchestrator.reports.gap_words import GapWords
from orchestrator.reports.graph_words import GraphWords
from orchestrator.reports.monthly_words import MonthlyWords
from orchestrator.reports.portal_words import PortalWords
from orchestrator.reports.spelling import NO_BREAK, Language
from orchestrator.reports.words import Counted, Said, Text, Words, correct
from orchestrator.yaml_reader.checking import Finding, check
from orchestrator.yaml_reader.files import read_trusted_text
from orchestrator.yaml_reader.problems import Problem, ProblemsFound, count_errors, first_problems
from orchestrator.yaml_reader.reading import read
from orchestrator.yaml_reader.shape import keys_of
from orchestrator.yaml_reader.values import Strict

_TABLES: tuple[type[Words], ...] = (Words, MonthlyWords, GraphWords, GapWords, PortalWords)
_LONGEST = 2000
_FORMS = 2


def _said(value: object) -> Said:
    if not isinstance(value, list):
        return _line(value)
    if len(value) != _FORMS:
        raise ValueError("a text with a number has two wordings: [ONE, MANY]")
    return (_line(value[0]), _line(value[1]))


def _line(text: object) -> str:
    if not isinstance(text, str) or not text.strip() or not text.isprintable() or len(text) > _LONGEST:
        raise ValueError(f"a text is one line of 1 to {_LONGEST} characters that can be printed")
    return text


_Said = Annotated[Any, AfterValidator(_said)]


class WordingFile(Strict):
    """What a file of wording holds: texts by their names; a text with a number has two, for one and for many."""

    fr: dict[str, _Said] = Field(default={}, description="French texts, by their names")
    en: dict[str, _Said] = Field(default={}, description="English texts, by their names")


def texts() -> Mapping[str, Text | Counted]:
    """Every text that clients and engineers read in reports, by its name."""
    found: dict[str, Text | Counted] = {}
    for table in _TABLES:
        for owner in reversed(table.__mro__):
            found |= {name: text for name, text in vars(owner).items() if isinstance(text, Text | Counted)}
    return found


def catalogue(language: Language) -> str:
    """All texts of a language as a file of wording, as they are in force."""
    corrected = Words(language).corrections
    said: dict[str, str | list[str]] = {}
    for name, text in texts().items():
        ours = corrected.get(name, text.fr if language == "fr" else text.en)
        said[name] = _plain(ours) if isinstance(ours, str) else [_plain(form) for form in ours]
    return yaml.safe_dump({language: said}, allow_unicode=True, sort_keys=False, width=100)


def _plain(text: str) -> str:
    """A text as people type it: what French keeps together is put together again when the file is read."""
    return text.replace(NO_BREAK, " ")


def use_wording(path: Path | None) -> None:
    """Put a file of wording in force, for this process; None: the texts are ours again.

    Raises:
        ProblemsFound: the file has errors; every one of them is in the exception, and no text has changed.
    """
    if path is None:
        correct("fr", {})
        correct("en", {})
        return
    text = read_trusted_text(path)
    if isinstance(text, Problem):
        raise ProblemsFound([text])
    document = read(text, str(path), keys=keys_of(WordingFile), kind="wording file")
    checked = check(document, WordingFile)
    problems = [*checked.problems]
    if checked.value is not None:
        problems += checked.judge(_findings(checked.value))
    if checked.value is None or count_errors(problems):
        raise ProblemsFound(first_problems(problems))
    correct("fr", checked.value.fr)
    correct("en", checked.value.en)


def _findings(file: WordingFile) -> Iterator[Finding]:
    known = texts()
    for language, said in (("fr", file.fr), ("en", file.en)):
        for name, corrected in said.items():
            text = known.get(name)
            path = (language, name)
            if text is None:
                yield Finding(
                    path,
                    f"there is no text {name}",
                    "take a name that `orchestrator wording` prints",
                    key=True,
                )
                continue
            yield from _fitting(path, text.fr if language == "fr" else text.en, corrected)


def _fitting(path: tuple[str, str], ours: Said, theirs: Said) -> Iterator[Finding]:
    if isinstance(ours, str) != isinstance(theirs, str):
        yield Finding(
            path,
            "this text has a number: it needs two wordings"
            if isinstance(theirs, str)
            else "this text needs one wording",
            "write [ONE, MANY]" if isinstance(theirs, str) else "write one text",
        )
        return
    wanted = _fields(ours if isinstance(ours, str) else ours[1])
    for said in [theirs] if isinstance(theirs, str) else theirs:
        found = _fields(said)
        if found is None or wanted is None or not found <= wanted:
            yield Finding(
                path,
                "it has braces that mean nothing here"
                if found is None
                else "it has a placeholder of its own",
                f"the placeholders are {', '.join(f'{{{name}}}' for name in sorted(wanted or ()))}"
                if wanted
                else "this text has no placeholders: leave the braces out",
            )


def _fields(text: str) -> set[str] | None:
    """The placeholders of a text; None if there is more than their names, for nothing else is ever filled in."""
    try:
        parts: list[tuple[Any, ...]] = list(Formatter().parse(text))
    except ValueError:
        return None
    found = {name for _, name, _, _ in parts if name is not None}
    plain = all(not form and not conversion for _, _, form, conversion in parts)
    return found if plain and all(name.isidentifier() for name in found) else None
