"""Everything that the command may import, for the server of ``tests.api.forked``."""

import importlib
import pkgutil

import sqlalchemy.dialects.sqlite  # noqa: F401  (SQLAlchemy imports it by its name)

import orchestrator

for _module in pkgutil.walk_packages(orchestrator.__path__, "orchestrator."):
    importlib.import_module(_module.name)
