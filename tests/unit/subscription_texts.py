"""Texts of subscription files for tests, and places marked in them."""

from __future__ import annotations

from pathlib import Path

from orchestrator.sites import Provider
from orchestrator.subscriptions import Loaded, load

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMg1Bl/wH1SydQoVGPUVW0mIrhq6uCjSHOqPM3D1ETuc alice@dupont"

MACHINE = """\
      - name: web-1
        image: debian-12
        vcpus: 2
        memory: 4GiB
        disks: [{ name: system, size: 20GiB }]
        address: auto
        firewall:
          open:
            - { port: 443, protocol: tcp, from: any }
"""

HEAD = f"""\
client: dupont
contract: {{ reference: C-2026-0042, starts: 2026-03-01, site: paris }}
administration:
  ssh_keys:
    - {KEY}
  allowed_from: [198.51.100.0/24]
managed_services:
  level: supervision
  maintenance_window: {{ days: [tuesday], from: "22:00", to: "02:00" }}
services:
"""


def file_of(machines: str, offer: str = "cloud-vm-advanced") -> str:
    """Return a subscription file with these machines."""
    return f"{HEAD}  - offer: {offer}\n    machines:\n{machines}"


def machine(extra: str = "", name: str = "web-1") -> str:
    """Return a machine of a file, with more keys (one a line, not indented)."""
    lines = "".join(f"        {line}\n" for line in extra.splitlines())
    return MACHINE.replace("web-1", name) + lines


def marked(text: str) -> tuple[str, tuple[int, int, int]]:
    """Take the marks «…» out of a text; return it with line, column and end column of what they enclosed."""
    before, _, rest = text.partition("«")
    enclosed, _, after = rest.partition("»")
    assert enclosed and "«" not in after, "exactly one marked place"
    column = len(before) - before.rfind("\n")
    return before + enclosed + after, (before.count("\n") + 1, column, column + len(enclosed))


def load_text(folder: Path, text: str | bytes, provider: Provider | None = None) -> Loaded:
    """Load a text as the only file."""
    path = folder / "client.yaml"
    if isinstance(text, str):
        text = text.encode()
    path.write_bytes(text)
    return load([path], provider)
