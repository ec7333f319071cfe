"""Making pages of templates: every value is escaped, a name that is not there is an error, no value is a template."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from orchestrator.contract.calendar import PARIS, paris_time


def render(template: str, visit: object, values: Mapping[str, Any]) -> str:
    """Make a page.

    Args:
        template: in ``templates/``.
        visit: the request; templates see it as ``visit``.
        values: what is shown.
    """
    return _environment().get_template(template).render({**values, "visit": visit})


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("orchestrator.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["when"] = when
    environment.globals["token_field"] = token_field
    return environment


@jinja2.pass_context
def token_field(context: jinja2.runtime.Context) -> Markup:
    """The hidden field by which a form shows that it is one of ours, and of this session."""
    return Markup('<input type="hidden" name="form_token" value="{}">').format(context["visit"].form_token)


def when(moment: dt.datetime) -> Markup:
    """A moment, as people are shown it everywhere."""
    return Markup('<time datetime="{}">{}</time>').format(
        moment.astimezone(PARIS).isoformat(timespec="seconds"), paris_time(moment)
    )
