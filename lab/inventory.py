"""What a lab hands to its user: an SSH key for the machines and a ready site file for the orchestrator.

The site file is written from its documented format: the lab knows nothing of the orchestrator's code.
"""

from __future__ import annotations

from pathlib import Path

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from lab.certificates import Certificates, write_private
from lab.settings import BRIDGE, LabSettings, SiteSettings

ADMIN = "admin"
"""The user that machines are given."""

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
    private = ensure_management_key(settings.state)
    public = private.with_name(f"{private.name}.pub").read_text().strip()
    content = {
        "management": {
            "addresses": [f"{site.gateway}/32" for site in settings.sites],
            "user": ADMIN,
            "ssh_public_key": public,
            "ssh_private_key": str(private),
            "ssh_proxy_command": f"ip netns exec {settings.namespace} nc %h %p",
        },
        "sites": {
            site.name: _site(settings, site, token_id=token_id, token_file=token_file)
            for site in settings.sites
        },
    }
    folder = settings.state / "inventory"
    folder.mkdir(exist_ok=True)
    scratch = folder / ".sites.new"
    heading = f"# The sites of the lab {settings.name!r}, written by `python -m lab start`.\n"
    scratch.write_text(heading + yaml.safe_dump(content, sort_keys=False, width=200))
    scratch.replace(folder / "sites.yaml")
    return folder


def _site(settings: LabSettings, site: SiteSettings, *, token_id: str, token_file: Path) -> dict[str, object]:
    first, last = site.offered
    others = [other for other in settings.sites if other is not site]
    return {
        "api": {
            "url": settings.url(site),
            "token_id": token_id,
            "token_secret": {"file": str(token_file)},
            "ca_file": str(Certificates(settings.state).ca),
        },
        "storage": "local",
        "disk_format": "qcow2",
        "networks": [
            {
                "name": "public",
                "bridge": BRIDGE,
                "subnet": site.subnet,
                "gateway": str(site.gateway),
                "range": f"{first}-{last}",
            }
        ],
        "images": {TEMPLATE: {"template": TEMPLATE}},
        "backup_storages": [{"name": other.backup_storage, "site": other.name} for other in others],
    }
