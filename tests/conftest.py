"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# No test asserts how long something takes: a busy machine proves nothing.
settings.register_profile("orchestrator", deadline=None)
settings.load_profile("orchestrator")
