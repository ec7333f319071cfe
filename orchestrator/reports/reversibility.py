"""The reversibility plan that a client gets at the end of its contract (article 10): in French, or in English."""

from __future__ import annotations

import datetime as dt
import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from orchestrator.guests.places import template_folder
from orchestrator.reports.speech import Speech
from orchestrator.reports.words import Language
from orchestrator.subscriptions.model import format_mebibytes

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from jinja2 import Environment

    from orchestrator.resources.desired import DesiredMachine

_MARKDOWN = re.compile(r"([\\`*\[\]<>|~$])")


class NoReversibility(ValueError):
    """The client gets no such plan. The text says why, with the article."""


@dataclass(frozen=True, kw_only=True)
class MachineToCopy:
    """One machine of the plan, in words."""

    name: str
    address: str
    vcpus: int
    memory: str
    disks: str


def render_reversibility(
    machines: Iterable[DesiredMachine],
    addresses: Mapping[tuple[str, str], IPv4Address | None],
    now: dt.datetime,
    *,
    language: Language,
    managed_fully: bool,
) -> str:
    """Return the plan as Markdown.

    Args:
        machines: the client's, at least one.
        addresses: of those that were found at their site.
        now: the time, aware.
        language: of the plan.
        managed_fully: whether the client has no direct access (article 3.8.2).

    Raises:
        NoReversibility: nobody ended the contract, or the client is in default of payment.
    """
    found = list(machines)
    life = found[0].life
    client = found[0].client
    if life.notice is None or life.last_day is None:
        raise NoReversibility(
            f"{client}: nobody ended the contract, there is nothing to plan (art. 10): say status: terminated, with "
            "the letter's date, in its file"
        )
    if life.default_of_payment:
        raise NoReversibility(
            f"{client}: in default of payment there is no reversibility (art. 10): take default_of_payment out of the "
            "file once the client has paid"
        )
    speech = Speech(language)
    content = {
        "client": found[0].client,
        "contract": life.reference,
        "site": found[0].site,
        "today": speech.day(now.date()),
        "letter": life.notice_reference,
        "notice": speech.day(life.notice),
        "last_day": speech.day(life.last_day),
        "erased_from": speech.day(life.last_day + dt.timedelta(days=1)),
        "days_left": life.days_left(now),
        "managed_fully": managed_fully,
        "machines": [_machine(machine, addresses.get(machine.key), language) for machine in found],
        "total": sum(size for machine in found for _, size in machine.disks),
    }
    return _environment().get_template(f"reversibility.{language}.md.j2").render(plan=content)


def as_html(markdown: str, language: Language) -> str:
    """The plan as one HTML page that needs nothing else: to be read, printed, and signed."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    title = html.escape(markdown.splitlines()[0].lstrip("# "))
    style = (
        "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse;width:100%}th,td{border:1px solid #8888;padding:.3rem .6rem;text-align:left}"
    )
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{style}</style></head>\n<body>\n{body}</body>\n</html>\n"
    )


def _machine(machine: DesiredMachine, address: IPv4Address | None, language: Language) -> MachineToCopy:
    unit = "Gio" if language == "fr" else "GiB"
    memory = format_mebibytes(machine.memory)
    return MachineToCopy(
        name=machine.name,
        address=str(address or machine.address or ""),
        vcpus=machine.vcpus,
        memory=re.sub(r"i?B$", "io", memory) if language == "fr" else memory,
        disks=", ".join(f"{name} {size} {unit}" for name, size in machine.disks),
    )


def _plain(value: object) -> object:
    return _MARKDOWN.sub(r"\\\1", value) if isinstance(value, str) else value


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(template_folder() / "reports"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  (Markdown: finalize escapes every value)
        finalize=_plain,
    )
