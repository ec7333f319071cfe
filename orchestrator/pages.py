"""From content to Markdown or HTML: templates in ``templates/``, every value escaped for its form by construction."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Literal

from orchestrator.shipped_files import template_folder
from orchestrator.shown import code, markdown, markdown_html, visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2 import Environment

Form = Literal["md", "html"]
"""Markdown as GitLab and GitHub read it, or one HTML file that needs nothing else."""


def fill(folder: Literal["plan", "reports"], template: str, form: Form, **content: object) -> str:
    """Fill a template.

    Args:
        folder: which of ``templates/``.
        template: its name without the form, such as ``night``.
        form: Markdown or HTML.
        content: what it shows. Whatever a template prints of it is escaped, unless a filter made it safe.
    """
    return _environment(folder, form).get_template(f"{template}.{form}.j2").render(content)


def _for_html(value: object) -> object:
    from markupsafe import Markup

    # What a macro made is markup already, and a substitution would make a plain text of it again.
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return visible(value, lines=True)


def _for_markdown(value: object) -> object:
    from markupsafe import Markup

    return value if isinstance(value, Markup) or not isinstance(value, str) else Markup(markdown(value))  # noqa: S704


def _safe(make: Callable[[str], str], value: object) -> object:
    from markupsafe import Markup

    return Markup(make(str(value)))  # noqa: S704  (made safe for its place)


@cache
def _environment(folder: str, form: Form) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(template_folder() / folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=form == "html",  # noqa: S701  (Jinja has none for Markdown: finalize escapes every value)
        finalize=_for_html if form == "html" else _for_markdown,
    )
    made.filters["code"] = partial(_safe, code)
    made.filters["in_summary"] = partial(_safe, markdown_html)
    return made
