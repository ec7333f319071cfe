"""Making pages of templates: every value is escaped, a name that is not there is an error, no value is a template."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from orchestrator.web.formatting import FILTERS, shown
from orchestrator.web.tones import tone_of


def render(template: str, values: Mapping[str, Any]) -> str:
    """Make a page.

    Args:
        template: in ``templates/``.
        values: what is shown; ``visit`` is the request.
    """
    return environment().get_template(template).render(values)


@cache
def environment() -> jinja2.Environment:
    """The templates, with their filters."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("orchestrator.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    made.filters.update(FILTERS)
    made.filters["tone"] = tone_of
    made.globals["token_field"] = token_field
    return made


@jinja2.pass_context
def token_field(context: jinja2.runtime.Context) -> Markup:
    """The hidden field by which a form shows that it is one of ours, and of this session."""
    return Markup('<input type="hidden" name="form_token" value="{}">').format(context["visit"].form_token)
