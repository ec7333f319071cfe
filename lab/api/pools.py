"""Pools: named sets of VMs, kept in one file of the cluster. Names nest (`a/b`), parents first."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.api.errors import Refused


@dataclass
class Pool:
    """One pool: its comment, its VMs, its storages."""

    comment: str = ""
    vms: list[int] = field(default_factory=list)
    storages: list[str] = field(default_factory=list)


class Pools:
    """The pools of one cluster."""

    def __init__(self, path: Path, vm_exists: Callable[[int], bool]) -> None:
        self._path = path
        self._vm_exists = vm_exists
        stored = json.loads(path.read_text()) if path.exists() else {}
        self._pools = {name: Pool(**pool) for name, pool in stored.items()}

    def all(self) -> dict[str, Pool]:
        """All pools by their names."""
        return dict(sorted(self._pools.items()))

    def find(self, name: str) -> Pool:
        """A pool by its name.

        Raises:
            Refused: there is none.
        """
        if name not in self._pools:
            raise Refused(f"pool '{name}' does not exist")
        return self._pools[name]

    def members(self, name: str) -> list[int]:
        """The VMs of a pool that still exist, sorted.

        Raises:
            Refused: there is no such pool.
        """
        return sorted(vmid for vmid in self.find(name).vms if self._vm_exists(vmid))

    def pool_of(self, vmid: int) -> str | None:
        """The pool of a VM, or None."""
        return next((name for name, pool in self._pools.items() if vmid in pool.vms), None)

    def create(self, name: str, comment: str) -> None:
        """Make a pool.

        Raises:
            Refused: it exists, its parent does not, or the name begins with something else than a letter.
        """
        failed = "create pool failed:"
        parent, _, leaf = name.rpartition("/")
        if name in self._pools:
            raise Refused(f"{failed} pool '{name}' already exists")
        if parent and parent not in self._pools:
            raise Refused(f"{failed} parent '{parent}' of pool '{name}' does not exist")
        if not re.match(r"[A-Za-z]", leaf):
            raise Refused(f"{failed} pool name must start with a letter")
        self._pools[name] = Pool(comment)
        self._save()

    def comment(self, name: str, comment: str) -> None:
        """Change a pool's comment.

        Raises:
            Refused: there is no such pool.
        """
        self._find_for_update(name).comment = comment
        self._save()

    def add_vm(self, name: str, vmid: int, *, allow_move: bool = False) -> None:
        """Put a VM into a pool.

        Raises:
            Refused: it is in it, or in another one and `allow_move` is not set.
        """
        pool = self._find_for_update(name)
        if vmid in pool.vms:
            raise Refused(f"update pools failed: VM {vmid} is already a pool member")
        current = self.pool_of(vmid)
        if current is not None and not allow_move:
            text = f"VM {vmid} belongs already to pool '{current}' and 'allow-move' is not set"
            raise Refused(f"update pools failed: {text}")
        if current is not None:
            self._pools[current].vms.remove(vmid)
        pool.vms.append(vmid)
        self._save()

    def remove_vm(self, name: str, vmid: int) -> None:
        """Take a VM out of a pool.

        Raises:
            Refused: it is not in it.
        """
        pool = self._find_for_update(name)
        if vmid not in pool.vms:
            raise Refused(f"update pools failed: VM {vmid} is not a pool member")
        pool.vms.remove(vmid)
        self._save()

    def add_storage(self, name: str, storage: str) -> None:
        """Put a storage into a pool.

        Raises:
            Refused: it is in it.
        """
        pool = self._find_for_update(name)
        if storage in pool.storages:
            raise Refused(f"update pools failed: Storage '{storage}' is already a pool member")
        pool.storages.append(storage)
        self._save()

    def remove_storage(self, name: str, storage: str) -> None:
        """Take a storage out of a pool.

        Raises:
            Refused: it is not in it.
        """
        pool = self._find_for_update(name)
        if storage not in pool.storages:
            raise Refused(f"update pools failed: Storage '{storage}' is not a pool member")
        pool.storages.remove(storage)
        self._save()

    def forget_vm(self, vmid: int) -> None:
        """Take a removed VM out of whatever pool it was in."""
        name = self.pool_of(vmid)
        if name is not None:
            self._pools[name].vms.remove(vmid)
            self._save()

    def remove(self, name: str) -> None:
        """Remove an empty pool.

        Raises:
            Refused: there is none, or it is not empty.
        """
        failed = "delete pool failed: pool"
        if name not in self._pools:
            raise Refused(f"{failed} '{name}' does not exist")
        below = sorted(other for other in self._pools if other.startswith(f"{name}/"))
        members = self.members(name)
        if below or members or self._pools[name].storages:
            inside = (
                f"pool '{below[0]}'"
                if below
                else f"VM {members[0]}"
                if members
                else f"storage '{self._pools[name].storages[0]}'"
            )
            raise Refused(f"{failed} '{name}' is not empty (contains {inside})")
        del self._pools[name]
        self._save()

    def _find_for_update(self, name: str) -> Pool:
        if name not in self._pools:
            raise Refused(f"update pools failed: pool '{name}' does not exist")
        return self._pools[name]

    def _save(self) -> None:
        scratch = self._path.with_suffix(".new")
        scratch.write_text(json.dumps({name: asdict(pool) for name, pool in self._pools.items()}, indent=1))
        scratch.replace(self._path)
