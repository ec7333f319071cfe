"""Pools and tags by which the cluster's list shows whose a VM is. Little is loaded for them: reading begins early."""

from __future__ import annotations

OWNER_TAG = "orchestrator"
"""The tag on every machine of ours."""

RETIRED_TAG = "retired"
"""The tag on machines that were taken out of their file."""

CLIENT_POOL = "client-"
"""How the names of clients' pools, and of their tags, begin."""


def pool_of(client: str) -> str:
    """The name of a client's pool, which is also the client's tag."""
    return f"{CLIENT_POOL}{client}"
