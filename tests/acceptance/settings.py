"""What the suite is run against, and how its machines are: an inventory, and ``acceptance.yaml`` beside it."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.sites import load_provider
from orchestrator.sites.model import Provider

PREFIX = "acceptance-"
"""Every client of the suite begins so. No client of a provider may."""

INVENTORY = "ACCEPTANCE_INVENTORY"
RUN = "ACCEPTANCE_RUN"
"""Environment variables: the folder of the inventory, and the run's own name (chosen if it is not given)."""


class Settings(BaseModel):
    """``acceptance.yaml``. Everything has a default that fits most clusters."""

    model_config = ConfigDict(extra="forbid")

    site: str | None = Field(
        default=None, description="where machines are made; default: the inventory's first"
    )
    image: str | None = Field(default=None, description="what they are made of; default: the site's first")
    vmids: str = Field(default="990000-990999", description="numbers that nothing else uses")
    memory: str = "512MiB"
    more_memory: str = Field(default="640MiB", description="what one machine gets at a restart")
    system_disk: str = Field(default="4GiB", description="not smaller than the image's")
    data_disk: str = "1GiB"
    boot_seconds: int = Field(default=600, description="how long a restored machine may take to boot")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of the suite.

    Attributes:
        client: the client whose machines it makes, and that nobody else has.
        provider: the inventory, with the suite's own range of numbers.
    """

    client: str
    provider: Provider
    settings: Settings

    @property
    def site(self) -> str:
        """Where machines are made."""
        return self.settings.site or next(iter(self.provider.sites))

    @property
    def image(self) -> str:
        """What they are made of."""
        return self.settings.image or next(iter(self.provider.sites[self.site].images))

    @property
    def ids(self) -> range:
        """The numbers that its VMs may have."""
        first, last = self.provider.sites[self.site].vmids or (0, -1)
        return range(first, last + 1)

    def inventory(self) -> dict[str, Any]:
        """The inventory as it is written out for the command: no secret is in it, only where they are."""
        data: dict[str, Any] = self.provider.model_dump(mode="json", exclude_none=True)
        return data


def read_run() -> Run | None:
    """What the environment says; None if it names no inventory.

    Raises:
        ProblemsFound, ValueError: inventory or settings cannot be used.
    """
    folder = os.environ.get(INVENTORY)
    if not folder:
        return None
    path = Path(folder).resolve()
    path = path.parent if path.is_file() else path
    own = path / "acceptance.yaml"
    settings = Settings.model_validate(yaml.safe_load(own.read_text()) or {} if own.exists() else {})
    provider = load_provider(path)
    first, _, last = settings.vmids.partition("-")
    sites = {
        name: site.model_copy(update={"vmids": (int(first), int(last))})
        for name, site in provider.sites.items()
    }
    for name in (settings.site,):
        if name is not None and name not in sites:
            raise ValueError(f"{own}: there is no site {name}: the inventory has {', '.join(sorted(sites))}")
    provider = provider.model_copy(update={"sites": sites, "erasure": False})
    name = os.environ.get(RUN) or secrets.token_hex(3)
    return Run(client=PREFIX + name, provider=provider, settings=settings)
