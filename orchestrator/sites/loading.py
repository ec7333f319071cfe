"""Reading an inventory: the sites of a provider, from ``sites.yaml``."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from orchestrator.sites.model import Api, Provider
from orchestrator.sites.rules import check_sites
from orchestrator.yaml_reader.checking import check
from orchestrator.yaml_reader.files import read_trusted_text
from orchestrator.yaml_reader.problems import Problem, ProblemsFound, count_errors, first_problems
from orchestrator.yaml_reader.reading import read
from orchestrator.yaml_reader.shape import keys_of

FILE_NAME = "sites.yaml"


def load_provider(path: Path) -> Provider:
    """Read an inventory.

    Paths inside it (certificates, keys, secrets' files) are made absolute: they are relative to the file.

    Args:
        path: the inventory's folder, or the file itself.

    Raises:
        ProblemsFound: the file has errors; every one of them is in the exception.
    """
    file = _file(path)
    text = read_trusted_text(file)
    if isinstance(text, Problem):
        raise ProblemsFound([text])
    document = read(text, str(file), keys=keys_of(Provider), kind="site file")
    checked = check(document, Provider, {"folder": file.absolute().parent})
    problems = [*checked.problems]
    if checked.value is not None:
        problems += checked.judge(check_sites(checked.value))
    if checked.value is None or count_errors(problems):
        raise ProblemsFound(first_problems(problems))
    return checked.value


def load_apis(path: Path) -> dict[str, Api | None]:
    """Read how the sites' clusters are reached, and nothing else: for what has to work while the file has errors.

    Args:
        path: the inventory's folder, or the file itself.

    Returns:
        By site; None where that part of the file has errors itself. Empty where the text cannot be read at all.
    """
    file = _file(path)
    text = read_trusted_text(file)
    data = None
    if not isinstance(text, Problem):
        data = read(text, str(file), keys=keys_of(Provider), kind="site file").data
    sites = data.get("sites") if isinstance(data, dict) else None
    if not isinstance(sites, dict):
        return {}
    return {str(name): _api(site, file.absolute().parent) for name, site in sites.items()}


def _api(site: object, folder: Path) -> Api | None:
    try:
        return Api.model_validate(site["api"] if isinstance(site, dict) else None, context={"folder": folder})
    except (KeyError, ValidationError, RuntimeError):  # a path in the home of nobody is the last one
        return None


def _file(path: Path) -> Path:
    return path / FILE_NAME if os.path.isdir(path) else path  # noqa: PTH112  (Path's raises where it may not look)
