"""Alert rules and their procedures (article 3.8.1: "procédures et consignes fiables et documentées").

A rule names its procedure in the annotation ``procedure``; the procedure is a page of that name, ``NAME.md``, in the
provider's own folders or in the shipped one, the provider's first. A rule without a page is listed every month.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.errors import OrchestratorError, local_reason
from orchestrator.shown import visible

_LARGEST = 1024**2
_MOST_RULES = 10_000
_NAME = re.compile(r"[a-z0-9-]{1,64}")


class RulesUnreadable(OrchestratorError):
    """A file of alert rules that cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An alert rule.

    Attributes:
        severity: its label; empty if it has none.
        procedure: the name of its page; empty if it names none.
        page: where the page is; None if there is none.
        file: the file of rules.
    """

    name: str
    severity: str
    procedure: str
    page: Path | None
    file: Path


def rules_of(files: Sequence[Path], folders: Sequence[Path]) -> tuple[Rule, ...]:
    """The alert rules of some files, by their names.

    Args:
        files: of Prometheus' alert rules.
        folders: of procedures, in the order in which a page is looked for.

    Raises:
        RulesUnreadable: a file cannot be read, or is none of rules.
    """
    found = [rule for file in files for rule in _rules(file, folders)]
    return tuple(sorted(found, key=lambda rule: (rule.name, str(rule.file))))


def without_procedure(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The rules that lack a page: they are listed every month, until each has one."""
    return tuple(rule for rule in rules if rule.page is None)


def page_of(procedure: str, folders: Sequence[Path]) -> Path | None:
    """Where a procedure's page is; None if there is none, or the name is none."""
    if not _NAME.fullmatch(procedure):
        return None
    paths = (folder / f"{procedure}.md" for folder in folders)
    return next((path for path in paths if path.is_file()), None)


def _rules(file: Path, folders: Sequence[Path]) -> Iterable[Rule]:
    for rule in _alerts(_content(file), file):
        labels, annotations = rule.get("labels"), rule.get("annotations")
        procedure = str(annotations.get("procedure", "")) if isinstance(annotations, dict) else ""
        yield Rule(
            name=visible(str(rule["alert"]), longest=200),
            severity=visible(str(labels.get("severity", "")), longest=40) if isinstance(labels, dict) else "",
            procedure=procedure if _NAME.fullmatch(procedure) else "",
            page=page_of(procedure, folders),
            file=file,
        )


def _alerts(content: object, file: Path) -> list[dict[str, Any]]:
    groups = content.get("groups") if isinstance(content, dict) else None
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise RulesUnreadable(f"{file} has no groups of alert rules: name a file of Prometheus' rules")
    rules = [rule for group in groups for rule in group.get("rules") or () if isinstance(rule, dict)]
    if len(rules) > _MOST_RULES:
        raise RulesUnreadable(f"{file} has {len(rules)} rules: split it, {_MOST_RULES} are read of one file")
    return [rule for rule in rules if "alert" in rule]


def _content(file: Path) -> object:
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST + 1)
    except OSError as error:
        raise RulesUnreadable(f"the alert rules cannot be read: {local_reason(error)}") from error
    if len(text) > _LARGEST:
        raise RulesUnreadable(f"{file} is larger than {_LARGEST // 1024**2} MiB: split it")
    try:
        # Anchors could make a small file endless; rules need none.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise RulesUnreadable(f"{file} has aliases (*name): write them out")
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RulesUnreadable(f"{file} is not valid YAML: promtool check rules {file} says where") from error
