"""From a report's content to text: the templates in ``templates/reports``, with every value escaped for its form."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Literal

from orchestrator.guests.places import template_folder

if TYPE_CHECKING:
    from jinja2 import Environment

Form = Literal["md", "html"]
"""Markdown as GitLab and GitHub read it, or one HTML file that needs nothing else."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_MARKDOWN = re.compile(r"[\\`*\[\]<>|~$&]|(?<![^\W_])_|_(?![^\W_])")


def render(template: str, form: Form, **content: object) -> str:
    """Fill a report's template.

    Args:
        template: its name without the form, such as ``night``.
        form: Markdown or HTML.
        content: what it shows.
    """
    return _environment(form).get_template(f"{template}.{form}.j2").render(content)


def _clean(value: object) -> object:
    """Replace what no text should hold: a task's log may bring a terminal's control characters along."""
    # what a macro made is markup already, and a substitution would make a plain text of it again
    return _CONTROL.sub("\ufffd", value) if type(value) is str else value


def _markdown(value: object) -> object:
    """Escape a text for Markdown: its signs mean themselves, and a cell stays in its line."""
    if not isinstance(value, str):
        return value
    lines = [line.strip() for line in value.splitlines()]
    return "<br>".join(_MARKDOWN.sub(_escaped, str(_clean(line))) for line in lines)


def _escaped(sign: re.Match[str]) -> str:
    return "&amp;" if sign[0] == "&" else "&lt;" if sign[0] == "<" else f"\\{sign[0]}"


@cache
def _environment(form: Form) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(template_folder() / "reports"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=form == "html",  # noqa: S701  (Jinja has none for Markdown: finalize escapes every value)
        finalize=_clean if form == "html" else _markdown,
    )
