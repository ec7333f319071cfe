"""Writing a subscription as the text of a file that reads back the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from orchestrator.documents.scalars import read_plain

if TYPE_CHECKING:
    from orchestrator.subscriptions.model import Subscription


class _Dumper(yaml.SafeDumper):
    """Quotes exactly the text that would not be read back as the same text."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None if read_plain(text) == text else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
# Without PyYAML's guesses (dates, base 60) only our own rule decides about quotes.
_Dumper.yaml_implicit_resolvers = {}


def dump(subscription: Subscription) -> str:
    """Return the subscription as YAML that ``load`` reads back the same; defaults are left out.

    Comments and the layout of a file that it was read from are not kept.
    """
    data = subscription.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
