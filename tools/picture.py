"""Draw docs/plan.svg: a real plan of a real command, against fakepve.

python -m tools.picture
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from orchestrator.operations import preparing
from orchestrator.operations.inputs import open_desired
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.run import open_clusters
from orchestrator.planning.text import render_plan
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve

_WINDOW = {
    "level": "supervision",
    "standard_changes_per_month": 4,
    "maintenance_window": {"days": ["tuesday"], "from": "22:00", "to": "23:30"},
}
_OPEN = {"open": [{"port": 443, "protocol": "tcp", "from": "any"}]}


def _disks(*sizes: int) -> dict[str, object]:
    names = ("system", "data")
    return {"disks": [{"name": name, "size": f"{size}GiB"} for name, size in zip(names, sizes, strict=False)]}


def _dupont(machines: list[dict[str, Any]]) -> dict[str, Any]:
    """A managed client who ordered these machines."""
    made = subscription("dupont", machines, managed_services=_WINDOW)
    del made["contract"]["quotes"]
    made["contract"]["orders"] = [{"reference": "BC-2026-031", "date": "2026-03-01"}]
    return made


def main() -> None:
    """Set a scene, plan, and draw what the plan says."""
    with tempfile.TemporaryDirectory() as folder, FakePve() as fake:
        fake.control("add_template", vmid=9000, name="debian-12")
        fake.add_vms(3)
        desk = Desk(Path(folder), {"paris": fake})
        martin = subscription("martin", [machine("shop-1", power="stopped")])
        before = [machine("db-1", **_disks(20)), machine("mail-1", **_disks(20, 100)), machine("old-1")]
        desk.write(_dupont(before), martin)
        answer = desk.apply()
        if answer.code:
            raise SystemExit(str(answer))
        desk.put_in_service(firewall=True)
        after = [
            machine("web-1", vcpus=2, memory="4GiB", firewall=_OPEN, **_disks(20, 100)),
            machine("db-1", memory="8GiB", **_disks(40)),
            machine("mail-1", **_disks(20, 50)),
        ]
        desk.write(_dupont(after), martin)
        provider = open_provider(str(desk.folder / "sites.yaml"))
        desired = open_desired([desk.folder / "subscriptions"], provider, lambda _: None)
        with open_clusters(provider) as clusters:
            plan = preparing.prepare(preparing.Wanted(provider=provider, desired=desired), clusters, {}).plan
    with Path("/dev/null").open("w") as nowhere:
        console = Console(record=True, width=150, force_terminal=True, file=nowhere)
        console.print("$ orchestrator plan")
        for line in render_plan(plan):
            console.print(line)
    svg = console.export_svg(title="orchestrator plan")
    # Fonts from elsewhere would make the picture depend on the network.
    svg = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)
    Path("docs/plan.svg").write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")


if __name__ == "__main__":
    main()
