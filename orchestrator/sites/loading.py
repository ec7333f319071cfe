"""Reading an inventory: the sites of a provider, from ``sites.yaml``."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.documents.checking import check
from orchestrator.documents.files import read_trusted_text
from orchestrator.documents.problems import Problem, ProblemsFound, count_errors, first_problems
from orchestrator.documents.reading import read
from orchestrator.documents.shape import keys_of
from orchestrator.sites.model import Provider
from orchestrator.sites.rules import check_sites

FILE_NAME = "sites.yaml"


def load_provider(path: Path) -> Provider:
    """Read an inventory.

    Paths inside it (certificates, keys, secrets' files) are made absolute: they are relative to the file.

    Args:
        path: the inventory's folder, or the file itself.

    Raises:
        ProblemsFound: the file has errors; every one of them is in the exception.
    """
    file = path / FILE_NAME if os.path.isdir(path) else path  # noqa: PTH112  (Path's raises where it may not look)
    text = read_trusted_text(file)
    if isinstance(text, Problem):
        raise ProblemsFound([text])
    document = read(text, str(file), keys=keys_of(Provider), kind="sites file")
    checked = check(document, Provider, {"folder": file.absolute().parent})
    problems = [*checked.problems]
    if checked.value is not None:
        problems += checked.judge(check_sites(checked.value))
    if checked.value is None or count_errors(problems):
        raise ProblemsFound(first_problems(problems))
    return checked.value
