"""Reading an inventory: the sites of a provider, from ``sites.yaml``."""

from __future__ import annotations

from pathlib import Path

from orchestrator.documents.checking import check
from orchestrator.documents.files import read_text
from orchestrator.documents.problems import Problem, ProblemsFound, count_errors
from orchestrator.documents.reading import read
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
    file = path / FILE_NAME if path.is_dir() else path
    text = read_text(file)
    if isinstance(text, Problem):
        raise ProblemsFound([text])
    checked = check(read(text, str(file)), Provider, {"folder": file.absolute().parent})
    problems = [*checked.problems]
    if checked.value is not None:
        problems += checked.judge(check_sites(checked.value))
    if checked.value is None or count_errors(problems):
        raise ProblemsFound(sorted(problems, key=lambda problem: (problem.line, problem.column)))
    return checked.value
