"""Writing a subscription as the text of a file that reads back the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from orchestrator.yaml_reader.scalars import read_plain

if TYPE_CHECKING:
    from orchestrator.subscriptions.model import Subscription


_TAG = "tag:yaml.org,2002:"


class _Dumper(yaml.SafeDumper):
    """Decides about quotes by the reader's own rules: exactly the text gets them that needs them."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is not yaml.ScalarNode or not implicit[0]:
            return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]
        meaning = read_plain(value)
        return _TAG + (type(meaning).__name__ if isinstance(meaning, (str, bool, int, float)) else "other")


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(f"{_TAG}str", text, style=None if read_plain(text) == text else '"')


_Dumper.add_representer(str, _represent_text)


def dump(subscription: Subscription) -> str:
    """Return the subscription as YAML that ``load`` reads back the same; defaults are left out.

    Comments and the layout of a file that it was read from are not kept.
    """
    data = subscription.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def inline(value: str | list[str]) -> str:
    """Return a text, or a list of texts, as a file has it on one line; quoted wherever it could mean something else."""
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=10_000)
    return str(text).removesuffix("...\n").rstrip("\n")
