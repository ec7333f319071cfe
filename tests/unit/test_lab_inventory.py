"""The inventory that the lab writes is one for which the examples of this repository have no warnings."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

from lab.api.access import Credentials
from lab.inventory import write_inventory
from lab.settings import LabSettings, SiteSettings
from orchestrator.sites import load_provider
from orchestrator.subscriptions import load

_EXAMPLES = Path(__file__).parents[2] / "examples"
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKURtZCucXETzzcQIDs1+Vtfi1dn37SdGSoJus4g4ca3 lab"


def test_clients_of_the_lab_are_told_where_their_machines_are(tmp_path: Path) -> None:
    sites = tuple(
        SiteSettings(name, f"pve-{name}", 18006 + number, IPv4Network(f"10.77.{number + 1}.0/24"))
        for number, name in enumerate(("paris", "lyon"))
    )
    settings = LabSettings("of-a-test", tmp_path, "127.0.0.1", sites)
    shells = dict.fromkeys(("paris", "lyon"))
    path = write_inventory(settings, Credentials(tmp_path), tmp_path / "key", _KEY, shells)
    provider = load_provider(path)
    assert provider.data_centre_of("lyon", "pve-lyon") == "Lab lyon"
    assert [problem.message for problem in load([_EXAMPLES], provider).problems] == []
