"""What a lab hands to its user: an SSH key for the machines and a ready site file for the orchestrator.

The site file is written from its documented format: the lab knows nothing of the orchestrator's code.
"""

from __future__ import annotations

from pathlib import Path

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from lab.certificates import Certificates, write_private
from lab.network import namespace_of
from lab.settings import LabSettings, SiteSettings

_OFFERED = (20, 200)
"""First and last address of a subnet that machines get."""

ADMIN = "admin"
"""The user that machines are given."""

BRIDGE = "vmbr0"
"""The bridge of every node, by the name its users know."""

TEMPLATE = "debian-12"
"""The name of template 9000, and of the image it makes in the site file."""


def ensure_management_key(state: Path) -> Path:
    """Make the provider's key pair where it is missing; return the private key's file."""
    private = state / "management_key"
    public = private.with_name(f"{private.name}.pub")
    if not (private.exists() and public.exists()):
        key = ed25519.Ed25519PrivateKey.generate()
        openssh = serialization.PrivateFormat.OpenSSH
        encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        write_private(private, key.private_bytes(encoding, openssh, plain))
        line = key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        public.write_text(f"{line.decode()} provider@orchestrator-lab\n")
    return private


def write_inventory(settings: LabSettings, *, token_id: str, token_file: Path) -> Path:
    """Write the site file; return the folder it is in, which is the orchestrator's inventory.

    Args:
        settings: the lab.
        token_id: whom the orchestrator calls the APIs as.
        token_file: the token's secret.
    """
    private = ensure_management_key(settings.state_dir)
    public = private.with_name(f"{private.name}.pub").read_text().strip()
    content = {
        "management": {
            "addresses": [f"{site.gateway}/32" for site in settings.sites],
            "user": ADMIN,
            "ssh_public_key": public,
            "ssh_private_key": str(private),
            "ssh_proxy_command": f"ip netns exec {namespace_of(settings.name)} nc %h %p",
        },
        "sites": {
            site.name: _site(settings, site, token_id=token_id, token_file=token_file)
            for site in settings.sites
        },
    }
    folder = settings.state_dir / "inventory"
    folder.mkdir(exist_ok=True)
    scratch = folder / ".sites.new"
    heading = f"# The sites of the lab {settings.name!r}, written by `python -m lab start`.\n"
    scratch.write_text(heading + yaml.safe_dump(content, sort_keys=False, width=200))
    scratch.replace(folder / "sites.yaml")
    return folder


def _site(settings: LabSettings, site: SiteSettings, *, token_id: str, token_file: Path) -> dict[str, object]:
    first, last = (site.subnet[index] for index in _OFFERED)
    other = settings.other(site)
    return {
        "api": {
            "url": f"https://{settings.address}:{site.port}",
            "token_id": token_id,
            "token_secret": {"file": str(token_file)},
            "ca_file": str(Certificates(settings.state_dir).ca),
        },
        "storage": "local",
        "disk_format": "qcow2",
        "networks": [
            {
                "name": "public",
                "bridge": BRIDGE,
                "subnet": str(site.subnet),
                "gateway": site.gateway,
                "range": f"{first}-{last}",
            }
        ],
        "images": {TEMPLATE: {"template": TEMPLATE}},
        "backup_storages": [{"name": f"backup-{other.name}", "site": other.name}],
    }
