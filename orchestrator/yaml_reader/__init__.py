"""YAML files that people write: read with the place of every value, checked, and answered with sentences.

What subscription files and site files share. Nothing here knows what a subscription or a site is.

Importing this package is cheap; pydantic and PyYAML are only loaded by the modules that need them.
"""

from orchestrator.yaml_reader.problems import Problem, ProblemsFound, render_problem

__all__ = ["Problem", "ProblemsFound", "render_problem"]
