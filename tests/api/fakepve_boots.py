# SPDX-License-Identifier: AGPL-3.0-or-later
"""Guests that do not come back from a start, depending on their settings. Licensed as fakepve, which it extends.

In Proxmox a reboot's task ends when the guest has shut down; qmeventd starts the VM again, and what that start runs
into is in no answer: the VM stays stopped.
"""

from __future__ import annotations

from typing import Any

from tests.api.fakepve_metrics import Metrics


def _has(vm: Any, settings: dict[str, str] | None, config: dict[str, Any]) -> bool:
    return bool(settings) and all(str(config.get(key)) == value for key, value in (settings or {}).items())


class Boots(Metrics):
    """A cluster whose guests may hang, or not start, with some settings (``hangs_with``, ``fails_with`` of a VM)."""

    @staticmethod
    def hangs(vm: Any) -> bool:
        """Whether a running guest is stuck in its boot: no agent, no heed to the power button."""
        return vm.status == "running" and _has(vm, getattr(vm, "hangs_with", None), vm.config)

    def _vm_usage(self, vm: Any) -> dict[str, Any]:
        """A guest with ``at_work`` has written to its disks since anybody looked last."""
        usage: dict[str, Any] = super()._vm_usage(vm)
        if getattr(vm, "at_work", False):
            vm.written = usage["diskwrite"] = getattr(vm, "written", 0) + 4096
        return usage

    async def _powerdown(self, vm: Any, p: Any) -> Any:
        usual, vm.acpi = vm.acpi, vm.acpi and not self.hangs(vm)
        try:
            return await super()._powerdown(vm, p)
        finally:
            vm.acpi = usual

    async def _do_reboot(self, vm: Any, user: Any, p: Any) -> Any:
        answer = await super()._do_reboot(vm, user, p)
        if _has(vm, getattr(vm, "fails_with", None), vm.config):
            vm.status = vm.qmpstatus = "stopped"
        return answer

    async def _do_start(self, vm: Any, user: Any, p: Any) -> Any:
        after = {**vm.config, **{key: value for key, value in vm.pending.items() if value is not None}}
        before = vm.start_error
        if _has(vm, getattr(vm, "fails_with", None), after):
            vm.start_error = "start failed: QEMU exited with code 1"
        try:
            return await super()._do_start(vm, user, p)
        finally:
            vm.start_error = before
