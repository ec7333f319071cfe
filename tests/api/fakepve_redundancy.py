# SPDX-License-Identifier: AGPL-3.0-or-later
"""HA resources, groups and rules, and replication jobs, as Proxmox VE keeps them.

Read off pve-ha-manager and pve-manager: who may write, what is refused and with which words. The HA manager itself is
fakepve's: what is asked of it happens. Licensed as fakepve, which it extends; it only ever
runs as a process of its own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fakepve import PveError

from tests.api.fakepve_console import Consoles

_HA = "/cluster/ha"
_JOBS = "/cluster/replication"


def _given(values: dict[str, Any], *without: str) -> dict[str, Any]:
    kept = {key: value for key, value in values.items() if value is not None and key not in without}
    return {key: int(value) if isinstance(value, bool) else value for key, value in kept.items()}


class Redundancies(Consoles):
    """A cluster with high availability and replication."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.ha_resources: dict[int, dict[str, Any]] = {}
        self.ha_groups: dict[str, dict[str, Any]] = {}
        self.ha_rules: dict[str, dict[str, Any]] = {}
        self.replications: dict[str, dict[str, Any]] = {}
        self.files: Path | None = None

    def _routes_redundancy(self) -> list[tuple[str, str, Any]]:
        return [
            ("GET", f"{_HA}/resources", self._list_resources),
            ("POST", f"{_HA}/resources", self._add_resource),
            ("PUT", f"{_HA}/resources/{{sid}}", self._set_resource),
            ("DELETE", f"{_HA}/resources/{{sid}}", self._end_resource),
            ("GET", f"{_HA}/groups", self._list_groups),
            ("POST", f"{_HA}/groups", self._add_group),
            ("PUT", f"{_HA}/groups/{{group}}", self._set_group),
            ("DELETE", f"{_HA}/groups/{{group}}", self._remove_group),
            ("GET", f"{_HA}/rules", self._list_rules),
            ("POST", f"{_HA}/rules", self._add_rule),
            ("PUT", f"{_HA}/rules/{{rule}}", self._set_rule),
            ("DELETE", f"{_HA}/rules/{{rule}}", self._remove_rule),
            ("GET", _JOBS, self._list_jobs),
            ("POST", _JOBS, self._add_job),
            ("PUT", f"{_JOBS}/{{id}}", self._set_job),
            ("DELETE", f"{_JOBS}/{{id}}", self._end_job),
            ("GET", "/nodes/{node}/replication/{id}/status", self._job_status),
            ("POST", "/nodes/{node}/qemu/{vmid}/migrate", self._migrate),
        ]

    # Resources

    @staticmethod
    def _number(sid: str) -> int:
        return int(str(sid).removeprefix("vm:"))

    def _state_of(self, vmid: int) -> str:
        return "ignored" if self.ha_resources[vmid]["ignored"] else str(self.vm(vmid).ha_state)

    def _use_state(self, vmid: int, state: str) -> None:
        self.ha_resources[vmid]["ignored"] = state == "ignored"
        self.vm(vmid).ha_state = None if state == "ignored" else state

    async def _list_resources(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        self.ha_resources = {key: entry for key, entry in self.ha_resources.items() if self.vm(key)}
        return [
            {**_given(entry, "ignored"), "sid": f"vm:{vmid}", "type": "vm", "state": self._state_of(vmid)}
            for vmid, entry in self.ha_resources.items()
        ]

    async def _add_resource(self, values: dict[str, Any], user: str) -> None:
        vmid = self._number(values["sid"])
        if self.vm(vmid) is None:
            raise PveError(500, f"resource 'vm:{vmid}' does not exist in cluster")
        if vmid in self.ha_resources:
            raise PveError(500, f"create resource failed: resource ID 'vm:{vmid}' already defined")
        if values.get("group"):
            self._check_group(values["group"])
        self.ha_resources[vmid] = {"ignored": False, **_given(values, "sid", "state", "type")}
        self._use_state(vmid, values.get("state") or "started")

    async def _set_resource(self, values: dict[str, Any], user: str) -> None:
        vmid = self._number(values["sid"])
        if vmid not in self.ha_resources:
            raise PveError(500, f"no such resource 'vm:{vmid}'")
        if values.get("group"):
            self._check_group(values["group"])
        self.ha_resources[vmid] |= _given(values, "sid", "state")
        if values.get("state"):
            self._use_state(vmid, values["state"])

    async def _end_resource(self, values: dict[str, Any], user: str) -> None:
        vmid = self._number(values["sid"])
        if self.ha_resources.pop(vmid, None) is None:
            raise PveError(500, f"cannot delete service 'vm:{vmid}', not HA managed!")
        if vm := self.vm(vmid):
            vm.ha_state = None
        for name, rule in list(self.ha_rules.items()):
            left = [sid for sid in rule["resources"].split(",") if sid != f"vm:{vmid}"]
            rule["resources"] = ",".join(left)
            if not left:
                del self.ha_rules[name]

    # Groups of Proxmox VE 8, rules of 9

    def _need_groups(self, verb: str) -> None:
        if not self.version.startswith("8."):
            raise PveError(500, f"cannot {verb}: ha groups have been migrated to rules")

    def _check_group(self, name: str) -> None:
        self._need_groups("use group")
        if name not in self.ha_groups:
            raise PveError(500, f"HA group '{name}' does not exist")

    async def _list_groups(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        self._need_groups("index groups")
        return [{**entry, "group": name, "type": "group"} for name, entry in self.ha_groups.items()]

    async def _add_group(self, values: dict[str, Any], user: str) -> None:
        self._need_groups("create group")
        if values["group"] in self.ha_groups:
            raise PveError(500, f"create ha group failed: ha group ID '{values['group']}' already defined")
        self.ha_groups[values["group"]] = _given(values, "group", "type")

    async def _set_group(self, values: dict[str, Any], user: str) -> None:
        self._check_group(values["group"])
        self.ha_groups[values["group"]] |= _given(values, "group")

    async def _remove_group(self, values: dict[str, Any], user: str) -> None:
        self._need_groups("delete group")
        for vmid, entry in self.ha_resources.items():
            if entry.get("group") == values["group"]:
                raise PveError(500, f"delete ha group failed: ha group is used by service 'vm:{vmid}'")
        self.ha_groups.pop(values["group"], None)

    def _need_rules(self) -> None:
        if self.version.startswith("8."):
            raise PveError(501, "Method 'GET /cluster/ha/rules' not implemented")

    async def _list_rules(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        self._need_rules()
        return [{"type": "node-affinity", **entry, "rule": name} for name, entry in self.ha_rules.items()]

    async def _add_rule(self, values: dict[str, Any], user: str) -> None:
        self._need_rules()
        if values["rule"] in self.ha_rules:
            raise PveError(500, f"create ha rule failed: HA rule '{values['rule']}' already defined")
        self._check_rule(values["rule"], values)
        self.ha_rules[values["rule"]] = _given(values, "rule")

    def _check_rule(self, name: str, values: dict[str, Any]) -> None:
        for sid in filter(None, (values.get("resources") or "").split(",")):
            if self._number(sid) not in self.ha_resources:
                raise PveError(500, f"create ha rule failed: cannot use unmanaged resource(s) {sid}.")
            if any(sid in rule["resources"].split(",") for key, rule in self.ha_rules.items() if key != name):
                text = f"resource '{sid}' is already used in another node affinity rule"
                raise PveError(400, f"Rule '{name}' is invalid.", {"resources": text})

    async def _set_rule(self, values: dict[str, Any], user: str) -> None:
        self._need_rules()
        rule = self.ha_rules.get(values["rule"])
        if rule is None:
            raise PveError(500, f"update HA rules failed: HA rule '{values['rule']}' does not exist")
        self._check_rule(values["rule"], values)
        rule |= _given(values, "rule", "delete")
        for key in filter(None, (values.get("delete") or "").split(",")):
            rule.pop(key, None)

    async def _remove_rule(self, values: dict[str, Any], user: str) -> None:
        self._need_rules()
        self.ha_rules.pop(values["rule"], None)

    # Replication

    def _may_replicate(self, user: str, name: str) -> None:
        if self.version.startswith("8."):
            self.require(user, "/storage", "Datastore.Allocate")
        else:
            self.require(user, f"/vms/{name.partition('-')[0]}", "VM.Replicate")

    async def _list_jobs(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        self.replications = {
            name: job for name, job in self.replications.items() if self.vm(int(name.partition("-")[0]))
        }
        return [
            {**job, "id": name, "guest": int(name.partition("-")[0]), "jobnum": int(name.partition("-")[2])}
            for name, job in self.replications.items()
            if self.allowed(user, f"/vms/{name.partition('-')[0]}", "VM.Audit")
        ]

    async def _add_job(self, values: dict[str, Any], user: str) -> None:
        name = str(values["id"])
        self._may_replicate(user, name)
        vm = self.vm(int(name.partition("-")[0]))
        target = values["target"]
        if vm is None:
            raise PveError(500, f"Guest '{name.partition('-')[0]}' does not exist.")
        if target not in self.nodes:
            raise PveError(500, f"Target '{target}' does not exist.")
        if target == vm.node:
            raise PveError(500, "Source and target must not be identical")
        if name in self.replications:
            raise PveError(500, f"replication job '{name}' already exists")
        for other, job in self.replications.items():
            if other.startswith(f"{vm.vmid}-") and job["target"] == target:
                text = f"replication job for guest '{vm.vmid}' to target '{target}' already exists"
                raise PveError(500, text)
        volumes = [str(value) for key, value in vm.config.items() if re.fullmatch(r"scsi\d+", key)]
        kinds = {self.storages[text.partition(":")[0]]["type"] for text in volumes if "cdrom" not in text}
        if kinds != {"zfspool"}:
            raise PveError(500, "missing replicate feature on volume")
        self.replications[name] = {"source": vm.node, **_given(values, "id")}

    async def _set_job(self, values: dict[str, Any], user: str) -> None:
        name = str(values["id"])
        self._may_replicate(user, name)
        if name not in self.replications:
            raise PveError(500, f"no such job '{name}'")
        self.replications[name] |= _given(values, "id", "delete")
        for key in filter(None, (values.get("delete") or "").split(",")):
            self.replications[name].pop(key, None)

    async def _end_job(self, values: dict[str, Any], user: str) -> None:
        """Mark it; it goes when its node comes to it (``op_finish_replications``)."""
        name = str(values["id"])
        self._may_replicate(user, name)
        if name not in self.replications:
            raise PveError(500, f"no such job '{name}'")
        self.replications[name]["remove_job"] = "full"

    async def _job_status(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        """State of a job as the node of its VM keeps it: after a fail-over it has sent nothing yet."""
        name = str(values["id"])
        if name not in self.replications or self.replications[name]["source"] != values["node"]:
            raise PveError(500, f"no such replication job '{name}'")
        job = self.replications[name]
        return {"id": name, "target": job["target"], "last_sync": job.get("last_sync", 0), "fail_count": 0}

    async def _migrate(self, values: dict[str, Any], user: str) -> str:
        """Between nodes with replicated disks: jobs turn round (QemuMigrate, switch_replication_job_target)."""
        vm, target = self.vm(int(values["vmid"])), str(values["target"])
        self.require(user, f"/vms/{vm.vmid}", "VM.Migrate")
        if not self.nodes[target].get("online", True):
            raise PveError(500, f"target node '{target}' is not online")
        if vm.status == "running" and not values.get("online"):
            raise PveError(500, "can't migrate running VM without --online")

        async def body() -> None:
            self.use_node(vm, target)

        return str(await self.task(vm.node, "qmigrate", vm.vmid, user, body, vm=vm))

    def use_node(self, vm: Any, node: str) -> None:
        """Let a VM be on a node: its jobs run the other way then ("fix jobs for stolen guest", ReplicationState)."""
        old, vm.node = vm.node, node
        for name, job in self.replications.items():
            if name.startswith(f"{vm.vmid}-"):
                job["source"] = node
                job.pop("last_sync", None)
                if job["target"] == node:
                    job["target"] = old

    def follow_files(self) -> None:
        """A VM is where its configuration file is: one whose file somebody moved is there, and is stopped."""
        for path in self.files.glob("*/qemu-server/*.conf") if self.files else ():
            vm = self.vm(int(path.stem))
            if vm is not None and vm.node != path.parts[-3]:
                self.use_node(vm, path.parts[-3])
                vm.status = vm.qmpstatus = "stopped"
                self.report([vm.vmid])


class RedundancyOps:
    """Part of what the process can be told."""

    node: Any

    def op_redundancy(self) -> dict[str, Any]:
        """What is configured: ``resources`` by VM, ``groups``, ``rules``, ``jobs``."""
        return {
            "resources": {
                str(vmid): {**entry, "state": self.node._state_of(vmid)}
                for vmid, entry in self.node.ha_resources.items()
                if self.node.vm(vmid)
            },
            "groups": self.node.ha_groups,
            "rules": self.node.ha_rules,
            "jobs": self.node.replications,
        }

    def op_finish_replications(self) -> None:
        """Let the jobs that are marked for removal be gone."""
        jobs = self.node.replications
        self.node.replications = {name: job for name, job in jobs.items() if "remove_job" not in job}

    def op_fail_over(self, vmid: int, node: str) -> None:
        """Let a VM run on another node, as the HA manager recovers it: its jobs run the other way then."""
        self.node.use_node(self.node.vm(vmid), node)

    def op_follow_files(self, folder: str | None) -> None:
        """Let VMs be where their configuration files are in a folder as ``/etc/pve/nodes``."""
        self.node.files = Path(folder) if folder else None

    def op_replicated(self, name: str, at: int) -> None:
        """Let a job have run well."""
        self.node.replications[name]["last_sync"] = at
