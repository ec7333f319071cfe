"""Writing values as YAML that :mod:`orchestrator.yaml_reader` reads back the same."""

from __future__ import annotations

from typing import Any

import yaml

from orchestrator.yaml_reader.scalars import read_plain

_TAG = "tag:yaml.org,2002:"


class Dumper(yaml.SafeDumper):
    """Decides about quotes by the reader's own rules: exactly the text gets them that needs them."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """The tag that a value would be read with."""
        if kind is not yaml.ScalarNode or not implicit[0]:
            return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]
        meaning = read_plain(value)
        return _TAG + (type(meaning).__name__ if isinstance(meaning, (str, bool, int, float)) else "other")


def _represent_text(dumper: Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(f"{_TAG}str", text, style=None if read_plain(text) == text else '"')


Dumper.add_representer(str, _represent_text)


def inline(value: str | list[str]) -> str:
    """Return a text, or a list of texts, as a file has it on one line; quoted wherever it could mean something else."""
    text = yaml.dump(value, Dumper=Dumper, default_flow_style=True, allow_unicode=True, width=10_000)
    return str(text).removesuffix("...\n").rstrip("\n")


def inline_item(value: str) -> str:
    """As :func:`inline`, for a text inside ``{ … }`` or ``[ … ]``, where a comma or a bracket would end it."""
    return inline([value])[1:-1]
