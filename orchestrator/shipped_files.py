"""Where playbooks, templates and procedures are: in the clone that the program runs from, or where a wheel put them."""

from __future__ import annotations

from pathlib import Path

_SHIPPED = Path(__file__).parent / "shipped"


def _folder(name: str) -> Path:
    in_clone = Path(__file__).parents[1] / name
    return in_clone if in_clone.is_dir() else _SHIPPED / name


def template_folder() -> Path:
    """The folder of the Jinja2 templates."""
    return _folder("templates")


def playbook_folder() -> Path:
    """The folder of the playbooks, with their roles and their ``ansible.cfg``."""
    return _folder("playbooks")


def procedure_folder() -> Path:
    """The folder of the procedures: a page for each alert rule (article 3.8.1)."""
    return _folder("procedures")
