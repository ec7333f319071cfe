"""A glance at the clients' files, before they are read: whom they seem to be about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from orchestrator.yaml_reader.files import read_text, yaml_files
from orchestrator.yaml_reader.problems import Problem

_CLIENT_LINE = re.compile(r"^client:[ \t]*[\"']?([a-z0-9-]+)", re.MULTILINE)


def clients_named(paths: Sequence[Path]) -> frozenset[str]:
    """The clients that files seem to be about, by their lines ``client:``. A hint: nothing is checked."""
    texts = (read_text(file) for file in yaml_files(paths) if not isinstance(file, Problem))
    return frozenset(
        name for text in texts if not isinstance(text, Problem) for name in _CLIENT_LINE.findall(text)
    )
