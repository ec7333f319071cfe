"""The lab's own piece of network: a namespace without a way out.

Everything the lab connects lives in one network namespace, `orchlab-NAME`. Each node has a bridge
in it, with the gateway address of the node's subnet and, where a test or the demo wants to connect
from somewhere else, further addresses. No veth pair leads out of the namespace and forwarding is
off, so that nothing in it can reach the machine's networks or the other node's guests; and since
addresses belong to a namespace, none can collide with one of the machine's, or of a second lab's.

Everything here needs root, a kernel with tun and bridge support, and `ip` and `nsenter`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path
from typing import Any

_LAB_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_NAMESPACES = Path("/run/netns")
_TUN = Path("/dev/net/tun")


class NetworkError(RuntimeError):
    """The machine refused a change of the lab's network; the message says which and what to do."""


@dataclass(frozen=True)
class Bridge:
    """The bridge of one node, inside the lab's namespace.

    Proxmox calls every node's bridge `vmbr0`; here the nodes share one namespace, so that each
    bridge has a name of its own (see `bridge_name`).
    """

    node: str
    name: str
    addresses: tuple[IPv4Interface | IPv6Interface, ...]
    """The gateway of the node's subnet first, then the addresses that tests connect from."""


def bridge_name(index: int) -> str:
    """Name inside the namespace of the bridge of node number `index` (0, 1, …)."""
    return f"br{index}"


def tap_name(index: int, vmid: int, nic: int) -> str:
    """Name of the tap behind `net<nic>` of machine `vmid` on node number `index`.

    Two clusters may both have a machine 100, so that the node's number is part of it. It stays within
    the kernel's 15 characters for every VMID that Proxmox allows (up to 999999999).
    """
    return f"t{index}-{vmid}i{nic}"


def namespace_of(lab_name: str) -> str:
    """Name of the network namespace of a lab.

    Raises:
        ValueError: the lab's name is not one to four words of lower-case letters, digits and dashes.
    """
    if not _LAB_NAME.fullmatch(lab_name):
        raise ValueError(
            f"lab name {lab_name!r}: use 1 to 31 lower-case letters, digits and dashes, not beginning with a dash"
        )
    return f"orchlab-{lab_name}"


def inside(lab_name: str, *command: str) -> list[str]:
    """The argument list that runs `command` inside the lab's namespace.

    `nsenter` rather than `ip netns exec`: the latter also makes a mount namespace, and a guest that
    outlives the server would then pin mounts that the machine wants to undo.
    """
    return ["nsenter", f"--net={_NAMESPACES / namespace_of(lab_name)}", "--", *command]


class LabNetwork:
    """The namespace of one lab and the bridges in it. Safe to use from several processes in turn."""

    def __init__(self, lab_name: str, bridges: Sequence[Bridge]) -> None:
        self.lab_name = lab_name
        self.namespace = namespace_of(lab_name)
        self.bridges = tuple(bridges)

    def exists(self) -> bool:
        """Whether the namespace is there."""
        return (_NAMESPACES / self.namespace).exists()

    def ensure(self) -> None:
        """Make the namespace and its bridges, or complete what is there. Changes nothing when all is as asked.

        Raises:
            NetworkError: not root, no tun device, or the kernel refused a step.
        """
        if not _TUN.exists():
            raise NetworkError(
                f"{_TUN} is missing: guests cannot be connected; load the module `tun`, or let the container have it"
            )
        if not self.exists():
            _ip("netns", "add", self.namespace)
        self._ip("link", "set", "lo", "up")
        self._forbid_forwarding()
        present = {link["ifname"]: link for link in self._show("address", "show")}
        for number, bridge in enumerate(self.bridges):
            self._ensure_bridge(bridge, number, present.get(bridge.name))

    def remove(self) -> None:
        """Remove the namespace with all that is in it. Guests must be stopped first; nothing there is fine."""
        if self.exists():
            _ip("netns", "delete", self.namespace)

    def _forbid_forwarding(self) -> None:
        """Turn routing between the bridges off: a new namespace inherits the machine's setting for IPv4."""
        for setting in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            if _run(inside(self.lab_name, "sysctl", "-n", setting)).strip() != "0":
                _run(inside(self.lab_name, "sysctl", "-qw", f"{setting}=0"))

    def _ensure_bridge(self, bridge: Bridge, number: int, present: dict[str, Any] | None) -> None:
        if present is None:
            # A bridge without an address of its own takes the lowest one of its ports, so that it
            # would change whenever a guest starts, and the other guests would lose their gateway.
            mac = f"02:6f:6c:61:62:{number:02x}"
            self._ip("link", "add", bridge.name, "address", mac, "type", "bridge", "forward_delay", "0")
        have = {f"{item['local']}/{item['prefixlen']}" for item in (present or {}).get("addr_info", ())}
        for address in bridge.addresses:
            if str(address) not in have:
                options = ["nodad"] if address.version == 6 else []
                self._ip("address", "add", str(address), "dev", bridge.name, *options)
        self._ip("link", "set", bridge.name, "up")

    def _show(self, *arguments: str) -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = json.loads(_ip("-n", self.namespace, "-json", *arguments) or "[]")
        return shown

    def _ip(self, *arguments: str) -> str:
        return _ip("-n", self.namespace, *arguments)


def add_tap(lab_name: str, tap: str, bridge: str) -> None:
    """Make tap `tap` a port of `bridge` inside the lab's namespace; one that is there already is taken over.

    Raises:
        NetworkError: the namespace or the bridge is missing, or the kernel refused.
    """
    namespace = namespace_of(lab_name)
    if not _has_link(namespace, tap):
        _ip("-n", namespace, "tuntap", "add", "dev", tap, "mode", "tap")
    _ip("-n", namespace, "link", "set", tap, "master", bridge, "up")


def remove_tap(lab_name: str, tap: str) -> None:
    """Remove tap `tap` from the lab's namespace; one that is not there is fine."""
    namespace = namespace_of(lab_name)
    if (_NAMESPACES / namespace).exists() and _has_link(namespace, tap):
        _ip("-n", namespace, "link", "delete", tap)


def _has_link(namespace: str, link: str) -> bool:
    shown = json.loads(_ip("-n", namespace, "-json", "link", "show") or "[]")
    return any(item["ifname"] == link for item in shown)


def _ip(*arguments: str) -> str:
    return _run(["ip", *arguments])


def _run(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        raise NetworkError(f"`{command[0]}` is not installed: install iproute2, util-linux and procps")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NetworkError(
            f"`{' '.join(command)}` failed: {done.stderr.strip() or f'exit status {done.returncode}'}; "
            "the lab needs root and a kernel with network namespaces, bridges and tun"
        )
    return done.stdout
