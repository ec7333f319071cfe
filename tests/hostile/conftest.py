"""What hostile files, guests and answers meet: a site that fakepve models, and an engineer's desk."""

from __future__ import annotations

from tests.api.conftest import cluster, desk, fakepve

__all__ = ["cluster", "desk", "fakepve"]
