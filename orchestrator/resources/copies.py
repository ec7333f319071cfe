"""Copies: machines that a restore made beside the original. Marked as what they are, never as the original.

A restored VM carries the notes of the machine it was made of. So every restore asks Proxmox to write a copy's mark in
their place: the original's mark must stand in the notes of the original alone.

A mark is a claim. It names the VM that it was written for, so notes that were copied with a VM (``qm clone``) are not
its own; and a copy stands in the pool of the client whose archive it was made of, with the tag of copies.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic.dataclasses import dataclass as model

from orchestrator.errors import Reason
from orchestrator.resources.marks import EXACT, Codec, Label, Moment, Version, Vmid, matching

if TYPE_CHECKING:
    from orchestrator.proxmox import VmSummary

COPY_TAG = "orchestrator-copy"
"""The tag on every copy."""

Purpose = Literal["restore-test", "restored", "in-place"]


@model(frozen=True, kw_only=True, slots=True, config=EXACT)
class CopyMark:
    """What the notes of a copy say.

    Attributes:
        purpose: ``restore-test`` copies are removed by the run that made them, or by the next one; ``in-place``
            copies give their disks to the original; ``restored`` ones are the engineer's.
        client, machine: whose archive it was made of.
        volid: the archive.
        made_at: when (aware).
        boot: for ``in-place``, the original's boot order: Proxmox shortens it while its disks change hands.
        vmid: the VM that the mark was written for; None in marks of version 1.
    """

    v: Version = 3
    purpose: Purpose
    client: Label
    machine: Label
    volid: Annotated[str, matching(re.compile(r"[!-~]{1,512}"), "an archive")]
    made_at: Moment
    boot: Annotated[str, matching(re.compile(r"[A-Za-z0-9=;,]{0,512}"), "a boot order")] | None = None
    vmid: Vmid | None = None

    def objection(self, vm: VmSummary) -> Reason:
        """Why a VM that carries this mark is not the copy it speaks of; empty if it is."""
        if self.vmid is not None and self.vmid != vm.vmid:
            return f"its mark was written for VM {self.vmid}"
        if COPY_TAG not in vm.tags:
            return f"it does not have the tag {COPY_TAG}"
        if vm.pool != (pool := f"client-{self.client}"):
            return f"its mark names the client {self.client}, but it is not in the pool {pool}"
        if self.vmid is None and self.purpose == "restore-test":
            return "its mark is of an earlier version, which does not name its VM"
        return ""


def _earlier(version: int, data: dict[str, Any]) -> dict[str, Any]:
    """A mark of version 1, which named no VM, or 2."""
    return data if version > 1 else {**data, "vmid": None}


_CODEC = Codec(name="orchestrator-copy", form=CopyMark, earlier=_earlier)
read_copy_mark = _CODEC.read


def copy_notes(mark: CopyMark) -> str:
    """The notes of a copy: a line for people, and the mark."""
    kind = {
        "restore-test": "restore test, removed by itself",
        "restored": "restored beside the original",
        "in-place": "on its way into the original",
    }[mark.purpose]
    return f"Copy of {mark.client} / {mark.machine} from {mark.volid}: {kind}.\n\n{_CODEC.comment(mark)}"
