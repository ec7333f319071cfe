"""The configuration of a VM as it stands in one of its archives: who the VM was when it was backed up.

vzdump writes the VM's configuration file into the archive, without snapshots and without what was pending, and with
lines of its own (``#qmdump#map:…``). The notes of an archive can be edited later; this cannot.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from orchestrator.proxmox.errors import BadAnswer
from orchestrator.proxmox.vm_configuration import VmConfig, vm_config

if TYPE_CHECKING:
    from orchestrator.proxmox.archives import StoredArchive
    from orchestrator.proxmox.client import Cluster

_LONGEST = 256 * 1024
"""Characters: Proxmox itself writes no file of so many."""

_SETTING = re.compile(r"([a-z][a-z_-]*[0-9]*):[ \t]*(\S(?:.*\S)?)[ \t]*")
_MAP = "#qmdump#"


def read_archived(cluster: Cluster, stored: StoredArchive) -> VmConfig:
    """Read the configuration that an archive holds: one call. It has no digest: nothing can be written to it.

    Raises:
        BadAnswer: it cannot be understood.
        ProxmoxError: the archive is gone, or could not be read.
    """
    call = f"/nodes/{stored.node}/vzdump/extractconfig"
    text = str(cluster.get(call, volume=stored.volid))
    current = parse_archived(text)
    if current is None:
        raise BadAnswer(
            f"the configuration in {stored.volid} cannot be understood", site=cluster.site, call=f"GET {call}"
        )
    return vm_config(stored.node, stored.vmid, current, {}, (), "", checked=False)


def parse_archived(text: str) -> dict[str, str] | None:
    """The settings of a configuration in an archive, its description among them; None if it cannot be understood.

    Args:
        text: as vzdump wrote it. Lines of no known form are left out, as Proxmox leaves them out when it restores.
    """
    if len(text) > _LONGEST:
        return None
    settings: dict[str, str] = {}
    comments: list[str] = []
    for line in text.split("\n"):
        if line.startswith("["):
            break  # snapshots and pending values: vzdump leaves them out, so this is not what the VM ran with
        if line.startswith("#"):
            if not line.startswith(_MAP):
                comments.append(unquote_to_bytes(line[1:]).decode(errors="replace"))
        elif found := _SETTING.fullmatch(line):
            settings[found[1]] = found[2]
    if comments:
        settings["description"] = "\n".join(comments).rstrip()
    return settings or None
