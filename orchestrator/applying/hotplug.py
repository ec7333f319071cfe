"""Settings that a running machine did not take: Proxmox answers 400, and keeps them pending all the same.

At the next start they would become current. For memory and processors that is what is wanted. For a network card it is
not: with a bridge that does not exist the machine would not start in its window.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator.applying.settle import PAUSE_SECONDS
from orchestrator.applying.stopped import Stopped
from orchestrator.proxmox import BadParameters, DigestMismatch, read_vm

if TYPE_CHECKING:
    from orchestrator.applying.vm import Vm

_AT_THE_NEXT_START = frozenset({"memory", "cores", "sockets"})
_CARD = re.compile(r"net\d+")
_REFUSED = "hotplug problem - "
_TRIES = 3


def after_refusal(vm: Vm, error: BadParameters, notes: str) -> None:
    """See to what a configuration write left pending that the running machine did not take.

    Args:
        vm: the machine.
        error: how the write was answered.
        notes: the machine's notes as they were before it.

    Returns:
        Nothing, if all of it may wait for the next start, as it does where hotplug is off.

    Raises:
        BadParameters: the same again, if it is about something else: nothing was written then.
        Stopped: something was refused that must not wait. Network cards were taken back, with the notes.
        ProxmoxError: the hypervisor refused that.
    """
    refused = {key: text for key, text in error.errors.items() if text.startswith(_REFUSED)}
    if not refused or len(refused) < len(error.errors):
        raise error
    wrong = {key: text for key, text in refused.items() if key not in _AT_THE_NEXT_START}
    if not wrong:
        return
    told = "; ".join(f"{key}: {text.removeprefix(_REFUSED).strip()}" for key, text in sorted(wrong.items()))
    cards = sorted(key for key in wrong if _CARD.fullmatch(key))
    if not cards:
        raise Stopped(
            f"the running machine did not take a setting, which waits for its next start now: {told}: see its task "
            "log, and restart it"
        ) from error
    _take_back(vm, cards, notes)
    raise Stopped(
        f"the running machine did not take a setting, which was taken back: {told}: correct it in the site file or "
        "in Proxmox, then apply again"
    ) from error


def _take_back(vm: Vm, keys: list[str], notes: str) -> None:
    for attempt in range(1, _TRIES + 1):
        digest = read_vm(vm.cluster, vm.node, vm.vmid).digest
        try:
            params = {"revert": ",".join(keys), "description": notes, "digest": digest}
            vm.cluster.put(f"{vm.path}/config", params=params)
            return
        except DigestMismatch:
            if attempt == _TRIES:
                raise
            vm.pause(PAUSE_SECONDS)
