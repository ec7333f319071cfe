# SPDX-License-Identifier: AGPL-3.0-or-later
"""The files in which a cluster keeps its VMs' configurations, as ``write_vm_config`` of qemu-server writes them.

Their SHA-1 is the digest that the API tells. Licensed as fakepve, whose VMs they describe.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

_PLAIN = "".join(map(chr, [*range(0x20, 0x25), *range(0x26, 0x3A), *range(0x3B, 0x7F)]))
_NOT_WRITTEN = frozenset({"digest", "description", "pending", "snapshots"})


def section(values: Mapping[str, Any], *, pending: bool = False) -> str:
    """One part of a file: the settings, with the description before them as comments."""
    text = ""
    description = values.get("description")
    if description:
        text = "".join(f"#{quote(line, safe=_PLAIN)}\n" for line in str(description).rstrip("\n").split("\n"))
    elif description is not None and pending:
        text = "#\n"
    keys = sorted(key for key in values if key not in _NOT_WRITTEN)
    return text + "".join(f"{key}: {values[key]}\n" for key in keys)


def configuration_file(vm: Any) -> str:
    """The file of a VM of fakepve."""
    text = section(vm.config)
    if vm.pending:
        waiting = {key: value for key, value in vm.pending.items() if value is not None}
        deleted = sorted(key for key, value in vm.pending.items() if value is None)
        text += "\n[PENDING]\n" + section(
            {**waiting, **({"delete": ",".join(deleted)} if deleted else {})}, pending=True
        )
    for name in sorted(vm.snapshots):
        text += f"\n[{name}]\n" + section(vm.snapshots[name])
    return text


class FileOps:
    """What the process can be told about files; part of its ``Control``."""

    node: Any

    def op_write_files(self, folder: str) -> None:
        """Write the files as they are at this moment, as in ``/etc/pve/nodes``; those that were there are gone."""
        for old in Path(folder).glob("*/qemu-server/*.conf"):
            old.unlink()
        for vm in self.node.vms:
            if re.fullmatch(r"qemu/\d+", vm.guest):
                path = Path(folder) / vm.node / "qemu-server" / f"{vm.vmid}.conf"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(configuration_file(vm))
