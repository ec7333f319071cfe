"""Setting a cluster up for the orchestrator: one role, one user without a password, one token."""

from orchestrator.bootstrap.account import Account, pveum_lines
from orchestrator.bootstrap.carrying_out import CannotSetUp, Step, carry_out

__all__ = ["Account", "CannotSetUp", "Step", "carry_out", "pveum_lines"]
