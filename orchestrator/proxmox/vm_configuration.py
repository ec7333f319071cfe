"""The configuration of one VM, as the API tells it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.proxmox.errors import BadAnswer
from orchestrator.proxmox.properties import wrong_setting

if TYPE_CHECKING:
    from orchestrator.proxmox.calls import Calls


@dataclass(frozen=True, kw_only=True)
class VmConfig:
    """A VM's configuration with what waits for its next start.

    Values are texts, whatever type the answer had (``memory`` comes as a text, ``kvm`` as a number).

    Attributes:
        current: what it runs with.
        pending: what it will have after the next start.
        deleted: keys that will be gone after the next start.
        digest: of the whole configuration file, to be given back with a write.
        wrong: what of it cannot be understood (:func:`read_vm`); empty if nothing.
    """

    node: str
    vmid: int
    current: Mapping[str, str]
    pending: Mapping[str, str]
    deleted: frozenset[str]
    digest: str
    wrong: str = ""

    def effective(self, key: str) -> str | None:
        """Return the value that was last set: the pending one, else the current one. None if there is none."""
        if key in self.pending:
            return self.pending[key]
        return None if key in self.deleted else self.current.get(key)


def read_vm(cluster: Calls, node: str, vmid: int, *, odd: bool = False) -> VmConfig:
    """Read one VM's configuration, current and pending, with its digest: one call.

    Args:
        cluster: the API.
        node: where it is.
        vmid: its number.
        odd: return it even if a value of it cannot be understood, with :attr:`VmConfig.wrong`.

    Raises:
        NotFound: there is no such VM on this node.
        BadAnswer: a value of it cannot be read: it was edited by hand, or is of a form not known here.
        ProxmoxError: it could not be read.
    """
    config = _config(cluster, node, "qemu", vmid, cluster.get(_pending(node, "qemu", vmid)))
    if config.wrong and not odd:
        text = f"the configuration of VM {vmid} cannot be read: {config.wrong}"
        raise BadAnswer(text, site=cluster.site, call=f"GET /nodes/{node}/qemu/{vmid}/pending")
    return config


def read_vm_later(cluster: Calls, node: str, vmid: int) -> Callable[[], VmConfig]:
    """As :func:`read_vm` with ``odd``, but the answer is parsed only when what this returns is called: one call.

    Raises:
        NotFound: there is no such VM on this node.
        ProxmoxError: it could not be read; so does what is returned.
    """
    answer = cluster.get_later(_pending(node, "qemu", vmid))
    return lambda: _config(cluster, node, "qemu", vmid, answer())


def read_container(cluster: Calls, node: str, vmid: int) -> VmConfig:
    """Read one container's configuration, as :func:`read_vm` reads a VM's: one call.

    Raises:
        NotFound: there is no such container on this node.
        ProxmoxError: it could not be read.
    """
    return _config(cluster, node, "lxc", vmid, cluster.get(_pending(node, "lxc", vmid)))


def _pending(node: str, kind: str, vmid: int) -> str:
    return f"/nodes/{node}/{kind}/{vmid}/pending"


def _config(
    cluster: Calls, node: str, kind: str, vmid: int, entries: Iterable[Mapping[str, Any]]
) -> VmConfig:
    current: dict[str, str] = {}
    pending: dict[str, str] = {}
    deleted: set[str] = set()
    for entry in entries:
        key = entry["key"]
        if entry.get("value") is not None:
            current[key] = str(entry["value"])
        if entry.get("pending") is not None:
            pending[key] = str(entry["pending"])
        elif int(entry.get("delete") or 0):
            deleted.add(key)
    digest = current.pop("digest", "")
    if not digest and kind == "qemu":
        text = f"the configuration of VM {vmid} cannot be read: expected digest, which is missing"
        raise BadAnswer(text, site=cluster.site, call=f"GET {_pending(node, kind, vmid)}")
    return vm_config(node, vmid, current, pending, deleted, digest, checked=kind == "qemu")


def vm_config(
    node: str,
    vmid: int,
    current: Mapping[str, str],
    pending: Mapping[str, str],
    deleted: Collection[str],
    digest: str,
    *,
    checked: bool = True,
) -> VmConfig:
    """A configuration with what of it cannot be understood, if that is ``checked``."""
    told = (wrong_setting(key, value) for values in (current, pending) for key, value in values.items())
    return VmConfig(
        node=node,
        vmid=vmid,
        current=current,
        pending=pending,
        deleted=frozenset(deleted),
        digest=digest,
        wrong=next(filter(None, told), "") if checked else "",
    )
