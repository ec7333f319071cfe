# SPDX-License-Identifier: AGPL-3.0-or-later
"""fakepve's model of a cluster, corrected where a real Proxmox VE was seen to answer differently.

What fakepve 0.5 leaves out and the orchestrator relies on: digests that cover pending changes and are part of
``/pending``, disks that a config write allocates, detaches and erases, resize, ``nextid``, privileges of 8.x.
Licensed as fakepve, which it extends; it only ever runs as a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import urllib.parse
from functools import cache
from typing import Any

from aiohttp import web
from fakepve import FakeVm, PveError, TaskError
from fakepve import schema as pve_schema
from fakepve.lxc import SIZE_UNITS, format_size
from fakepve.qemu import DRIVE_KEY, NEW_DISK, drives_of, join_drive, split_drive, volume_ref, with_mac
from fakepve.server import USER

from tests.api.fakepve_archives import Archive
from tests.api.fakepve_boots import Boots
from tests.api.fakepve_files import configuration_file

SECRET = "**********"
_NOTHING: Any = object()
"""No answers were arranged, not even silence."""
_VERSIONS = {"8": ("8.4.1", "8.4"), "9": ("9.0.10", "9.0")}
_LIVE = re.compile(r"(scsi|virtio|net)\d+")
"""What a running VM takes at once ("hotplug: network,disk,usb" is the default); the rest waits as pending."""


def _digest(vm: Any) -> str:
    """Of the whole configuration file: pending changes and snapshots count."""
    return hashlib.sha1(configuration_file(vm).encode()).hexdigest()


FakeVm.digest = _digest


@cache
def _is_key(line: str) -> bool:
    """As Proxmox asks: ``PVE::Tools::validate_ssh_public_keys`` hands each line to ssh-keygen."""
    asked = subprocess.run(["ssh-keygen", "-lf", "-"], input=line.encode(), capture_output=True, check=False)
    return asked.returncode == 0


def _bad(**errors: str) -> Any:
    return PveError(400, "Parameter verification failed.", errors)


class Node(Boots):
    """A cluster as fakepve models it, with the corrections."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.guest_agent: dict[str, Any] | None = None
        self.agent_asked: list[dict[str, Any]] = []
        self.agents: dict[int, dict[str, Any] | None] = {}
        self.take_ids = 0
        self.unpluggable: dict[str, str] = {}
        """Settings that no running VM takes, and what QEMU says to them."""
        self.storages: dict[str, dict[str, Any]] = {
            "local": {
                "type": "dir",
                "active": 1,
                "content": "images,rootdir,iso,vztmpl,backup,import,snippets",
                "files": set(),
                "path": "/var/lib/vz",
                "avail": 10 * 1024**4,
            }
        }

    def use_release(self, release: str) -> None:
        """Answer as Proxmox VE ``8`` or ``9``."""
        self.version, self.release_version = _VERSIONS[release]

    def _routes_corrections(self) -> list[tuple[str, str, Any]]:
        return [("PUT", "/nodes/{node}/qemu/{vmid}/resize", self._resize)]

    # Reading

    async def _nodes(self, request: Any) -> Any:
        """Every cluster's nodes have certificates of their own."""
        listed = json.loads((await super()._nodes(request)).text)["data"]
        for entry in listed:
            digest = hashlib.sha256(f"{id(self)} {os.getpid()} {entry['node']}".encode()).hexdigest().upper()
            entry["ssl_fingerprint"] = ":".join(digest[i : i + 2] for i in range(0, 64, 2))
        return web.json_response({"data": listed})

    async def _resources(self, request: Any) -> Any:
        response = await super()._resources(request)
        if self.acl is None:
            return response
        seen = [
            entry
            for entry in json.loads(response.text)["data"]
            if entry["type"] != "storage"
            or self.allowed(request[USER], f"/storage/{entry.get('storage')}", "Datastore.Audit")
        ]
        return web.json_response({"data": seen})

    async def _pending(self, request: Any) -> Any:
        vm = self._vm(request, "VM.Audit")
        answer = json.loads((await super()._pending(request)).text)["data"]
        for entry in answer:
            if entry["key"] == "cipassword":
                entry.update({side: SECRET for side in ("value", "pending") if side in entry})
            elif entry["key"] == "memory":
                entry.update({side: str(entry[side]) for side in ("value", "pending") if side in entry})
        answer.append({"key": "digest", "value": vm.digest()})
        return web.json_response({"data": answer})

    async def _nextid(self, values: dict[str, Any], user: str) -> str:
        vmid = str(await super()._nextid(values, user))
        if self.take_ids and values.get("vmid") is None:
            self.take_ids -= 1
            self.add_vm(int(vmid), "faster", config={"memory": 512})
        return vmid

    def allowed(self, user: str, path: str, priv: str) -> bool:
        """Whether a user holds a privilege. One on ``/`` is found without a look at every pool."""
        for holder in (user, user.partition("!")[0]) if self.acl is not None else ():
            if any(granted == "/" and priv in privs for granted, privs in self.acl.get(holder, ())):
                return True
        return bool(super().allowed(user, path, priv))

    async def _permissions(self, values: dict[str, Any], user: str) -> dict[str, dict[str, int]]:
        held: dict[str, dict[str, int]] = await super()._permissions(values, user)
        if self.version.startswith("8."):
            for privileges in held.values():
                agent = [name for name in privileges if name.startswith("VM.GuestAgent.")]
                for name in agent:
                    del privileges[name]
                if agent:
                    privileges["VM.Monitor"] = 1
        return held

    # Configuration

    async def _apply_config(self, vm: Any, user: str, p: dict[str, Any]) -> None:
        left_out = ("digest", "delete", "skiplock", "revert")
        updates = {key: value for key, value in p.items() if key not in left_out}
        deletes = [key for key in str(p.get("delete") or "").split(",") if key]
        reverts = [key for key in str(p.get("revert") or "").split(",") if key]
        if not updates and not deletes and not reverts:
            raise PveError(500, "no options specified")
        if p.get("digest") and p["digest"] != vm.digest():
            raise PveError(500, "checksum mismatch (file change by other user?)")
        self._check_lock(vm)
        self._check_changes(vm, updates, deletes)
        for key, value in updates.items():
            if re.fullmatch(r"net\d+", key) and (bridge := re.search(r"bridge=(\w+)", str(value))):
                self.require(user, f"/sdn/zones/localnet/{bridge[1]}", "SDN.Use")
        before = dict(vm.config)
        kept = {key: p[key] for key in ("skiplock",) if key in p}
        staged = {key: self._settle(vm, user, key, value) for key, value in updates.items()}
        await super()._apply_config(vm, user, {**kept, **staged, "delete": ",".join(deletes)})
        for key in reverts:
            vm.pending.pop(key, None)
        refused = {
            key: text for key, text in self.unpluggable.items() if vm.status == "running" and key in updates
        }
        for key in [key for key in vm.pending if _LIVE.fullmatch(key) and key not in self.unpluggable]:
            value = vm.pending.pop(key)
            if value is None:
                vm.config.pop(key, None)
            else:
                vm.config[key] = value
        for key in deletes:
            self._detach(vm, key, before.get(key))
        for key in updates:
            if key in before and _volume(vm.config.get(key)) != _volume(before[key]):
                self._detach(vm, key, before[key])  # pushed out of its slot
        if refused:  # as recorded on 9.1.7: what the running QEMU refuses stays pending all the same
            raise _bad(**{key: f"hotplug problem - {text}\n" for key, text in refused.items()})

    def _check_changes(self, vm: Any, updates: dict[str, Any], deletes: list[str]) -> None:
        known = pve_schema.load().paths["/nodes/{node}/qemu/{vmid}/config"]["PUT"]["parameters"]["properties"]
        for key in deletes:
            if re.sub(r"\d+$", "[n]", key) not in known and key not in known:
                raise _bad(delete=f"unknown option '{key}'")
            if key in updates:
                raise _bad(delete=f"you can't use '-{key}' and -delete {key}' at the same time")
            if vm.config.get("protection") in (1, "1") and (DRIVE_KEY.match(key) or key.startswith("unused")):
                raise PveError(500, f"can't remove drive '{key}' - protection mode enabled")
        for key in ("args", "lock"):
            if key in updates or key in deletes:
                raise PveError(500, f"only root can set '{key}' config")
        for tag in _tags(updates.get("tags")):
            if not re.fullmatch(r"[a-z0-9_][a-z0-9_\-+.]*", tag):
                raise _bad(tags="invalid format - invalid characters in tag\n")

    def _config_priv(self, key: str) -> str:
        if re.fullmatch(r"ci\w+|sshkeys|ipconfig\d+|nameserver|searchdomain", key):
            return "VM.Config.Cloudinit"
        return str(super()._config_priv(key))

    def _settle(self, vm: Any, user: str, key: str, value: Any) -> Any:
        """The value as the configuration will hold it: disks allocated, tags in order, addresses chosen."""
        if key == "tags":
            return ";".join(sorted(_tags(value)))
        if key == "sshkeys":
            return self._ssh_keys(str(value))
        if re.fullmatch(r"net\d+", key):
            return with_mac(value)
        if not DRIVE_KEY.match(key):
            return value
        volume, properties = split_drive(str(value))
        held = split_drive(str(vm.config.get(key, "")))[0]
        if volume == held:
            return value
        sid = volume_ref(volume)[0]
        if volume.endswith(":cloudinit") or NEW_DISK.match(volume):
            self._qm_image_store(sid, user)
        if volume.endswith(":cloudinit"):
            return self._cloud_init(vm.vmid, sid, properties)
        made, _volumes = self._qm_new_drive(vm.vmid, key, value, None)
        return made

    def _cloud_init(self, vmid: int, sid: Any, properties: dict[str, str]) -> str:
        """Make a VM's cloud-init drive on a storage; return its value."""
        store = self.storages[sid]
        name = f"{vmid}/vm-{vmid}-cloudinit.qcow2" if store["type"] == "dir" else f"vm-{vmid}-cloudinit"
        if name in store.setdefault("volumes", {}):
            raise PveError(500, f"disk image '{self._volume_path(sid, name, 'images')}' already exists")
        store["volumes"][name] = {
            "content": "images",
            "format": "qcow2",
            "size": 4 * 1024**2,
            "vmid": vmid,
        }
        return str(join_drive(f"{sid}:{name}", {**properties, "media": "cdrom"}))

    @staticmethod
    def _ssh_keys(encoded: str) -> str:
        if re.search(r"[^A-Za-z0-9%._~!*'()-]", encoded):
            raise _bad(sshkeys=f"invalid format - invalid urlencoded string: {encoded}\n")
        for line in urllib.parse.unquote(encoded).split("\n"):
            if line.strip() and not _is_key(line):
                raise PveError(500, "SSH public key validation error")
        return encoded

    def _detach(self, vm: Any, key: str, value: Any) -> None:
        """A removed disk stays as ``unusedN``; a removed ``unusedN`` is erased."""
        if value is None:
            return
        volume, properties = split_drive(str(value))
        if key.startswith("unused") or "cloudinit" in volume:
            self._qm_free(volume)
        elif DRIVE_KEY.match(key) and properties.get("media") != "cdrom" and volume_ref(volume)[0]:
            free = next(number for number in range(256) if f"unused{number}" not in vm.config)
            vm.config[f"unused{free}"] = volume

    async def _resize(self, values: dict[str, Any], user: str) -> str:
        vm = self.find(values["node"], values["vmid"])

        async def body() -> None:
            if values.get("digest") and values["digest"] != vm.digest():
                raise TaskError("checksum mismatch (file change by other user?)")
            if vm.lock:
                raise TaskError(f"VM is locked ({vm.lock})")
            self._grow(vm, values["disk"], values["size"])

        return str(await self.task(vm.node, "resize", vm.vmid, user, body, vm=vm))

    def _grow(self, vm: Any, key: str, size: str) -> None:
        if key not in vm.config:
            raise TaskError(f"disk '{key}' does not exist")
        volume, properties = split_drive(str(vm.config[key]))
        sid, name = volume_ref(volume)
        found = re.fullmatch(r"(\+?)(\d+(?:\.\d+)?)([KMGT]?)", size)
        if not found:
            raise TaskError(f"unable to parse size '{size}'")
        plus, number, unit = found.groups()
        held = int((self._volumes(sid).get(name) or {}).get("size") or 0)
        wanted = int(float(number) * SIZE_UNITS.get(unit, 1)) + (held if plus else 0)
        if wanted < held:
            raise TaskError("shrinking disks is not supported")
        store = self.storages[sid]
        if wanted - held > store.get("avail", wanted):
            raise TaskError(f"unable to resize '{name}': No space left on device")
        if "avail" in store:
            store["avail"] -= wanted - held
        if name in store.get("volumes", {}):
            store["volumes"][name]["size"] = wanted
        vm.config[key] = join_drive(volume, {**properties, "size": format_size(wanted)})

    # Machines

    async def _qm_clone(self, v: dict[str, Any], user: str) -> Any:
        """Clone as fakepve does, but for what it leaves out: to which node, and drives of cloud-init."""
        node, target, storage = v["node"], v.get("target"), v.get("storage")
        source = self.vm(int(v["vmid"]))
        target = None if target in (node, "localhost") else target
        if storage and storage in self.storages and source is not None:
            for place in filter(None, (node, target)):
                self._check_enabled(storage, place)
        if target in self.nodes and source is not None and not self._is_shared(source):
            raise PveError(500, f"can't clone VM to node '{target}' (VM uses local storage)")
        upid = await super()._qm_clone(v, user)
        made = self.vm(int(v["newid"]))
        for key, value in list(made.config.items()) if made is not None else ():
            volume, properties = split_drive(str(value)) if DRIVE_KEY.match(key) else ("", {})
            if "cloudinit" in volume:
                made.config[key] = self._cloud_init(made.vmid, storage or volume_ref(volume)[0], properties)
        return upid

    async def _qm_rollback(self, v: dict[str, Any], user: str) -> Any:
        """Roll back; ZFS and chained volumes go back to the newest snapshot only, and say so in the task."""
        vm = self.find(v["node"], v["vmid"])
        rigid = [
            volume
            for _key, volume, _options in drives_of(vm.config, skip_cdrom=True)
            if (store := self.storages.get(volume_ref(volume)[0]) or {})
            and (store["type"] in ("zfspool", "zfs") or store.get("snapshot-as-volume-chain"))
        ]
        if not rigid or v["snapname"] not in vm.snapshots or vm.config.get("parent") == v["snapname"]:
            return await super()._qm_rollback(v, user)

        async def refuse() -> None:
            raise TaskError(f"can't rollback, '{v['snapname']}' is not most recent snapshot on '{rigid[0]}'")

        return await self.task(vm.node, "qmrollback", vm.vmid, user, refuse, vm=vm, lock=False)

    def _is_shared(self, vm: Any) -> bool:
        """Whether every volume of a VM is on a shared storage, media in drives included."""
        used = {volume_ref(volume)[0] for _key, volume, _options in drives_of(vm.config)} - {None}
        return all(self.storages[name].get("shared") for name in used if name in self.storages)

    async def ceph_io(self, vm: Any, keys: Any = None) -> None:
        """fakepve's hook for slow disks: here a clone takes its time, if told to."""
        if vm.lock == "clone":
            volumes = [volume for _key, volume, _options in drives_of(vm.config, skip_cdrom=True)]
            await self.cloned(vm.node, {volume_ref(volume)[0] for volume in volumes} - {None})
        await super().ceph_io(vm, keys)

    async def _agent_call(self, match: Any, values: dict[str, Any]) -> Any:
        vm = self.find(values["node"], values["vmid"])
        if str(vm.config.get("agent", "0")).split(",")[0].removeprefix("enabled=") != "1":
            raise PveError(500, "No QEMU guest agent configured")
        if vm.status != "running":
            raise PveError(500, f"VM {vm.vmid} is not running")
        answers = self._answers(vm)
        if answers is None or answers.get("ping") is False or self.hangs(vm):
            raise PveError(500, "QEMU guest agent is not running")
        path = values.get("file")
        if match.template.endswith("file-read") and path not in answers.get("files", {}):
            text = f"failed to open file '{path}' (mode: 'r'): No such file or directory"
            raise PveError(500, f"Agent error: {text}")
        kind = match.template.rpartition("/")[2]
        self.agent_asked.append({"vmid": vm.vmid, "kind": kind, "command": values.get("command")})
        if match.template.endswith("/agent/exec") and answers.get("exec") is None:
            raise PveError(500, "Agent error: Command guest-exec has been disabled")
        if match.template.endswith("/agent/exec-status"):
            return self._exec_status(vm, int(values["pid"]), answers["exec"])
        own, vm.agent = vm.agent, answers
        try:
            return await super()._agent_call(match, values)
        finally:
            vm.agent = own

    def _exec_status(self, vm: Any, pid: int, arranged: dict[str, Any]) -> dict[str, Any]:
        """How a program of a guest ended: as arranged for its last argument, each run in turn; else well.

        The agent tells the output once the program has ended, and forgets it then. Proxmox hands on each byte as a
        character. An answer ``{"hangs": true}`` never ends; ``{"silent": true}`` takes the agent away for that call.
        """
        argv = vm.agent_execs.get(pid)
        if argv is None:
            raise PveError(500, f"Agent error: PID {pid} does not exist")
        answers = arranged.get(argv[-1], [{}])
        said = dict(answers.pop(0) if len(answers) > 1 else answers[0])
        if said.pop("hangs", False):
            return {"exited": 0}
        if said.pop("silent", False):
            raise PveError(500, "QEMU guest agent is not running")
        del vm.agent_execs[pid]
        if "out-data" in said:
            said["out-data"] = said["out-data"].encode().decode("latin-1")
        if "signal" not in said:
            said.setdefault("exitcode", 0)
        return {"exited": 1, **said}

    def _answers(self, vm: Any) -> dict[str, Any] | None:
        """What a VM's agent answers: what was told for it, else what its original's does, else the usual."""
        arranged = self._arranged_answers(vm.vmid)
        answers: dict[str, Any] | None = self.guest_agent if arranged is _NOTHING else arranged
        if answers is None:
            return None
        named = {
            {"get-osinfo": "os", "network-get-interfaces": "interfaces"}.get(key, key): value
            for key, value in answers.items()
            if key != "ping"
        }
        ping = {"ping": False} if answers.get("ping") is False else {}
        return {"interfaces": _interfaces(vm), **named, **ping}

    def _arranged_answers(self, vmid: int) -> Any:
        if vmid in self.agents:
            return self.agents[vmid]
        vm = self.vm(vmid)
        if vm is not None and vm.agent is not None:
            return vm.agent
        origin: Archive | None = getattr(vm, "origin", None)
        if origin is None:
            return _NOTHING
        inherited = self._arranged_answers(origin.vmid) if origin.vmid != vmid else _NOTHING
        return origin.agent if inherited is _NOTHING and origin.agent is not None else inherited


def _volume(value: Any) -> str:
    return str(split_drive(str(value))[0]) if value is not None else ""


def _tags(text: Any) -> set[str]:
    return {tag.lower() for tag in re.split(r"[;,]+", str(text or "")) if tag}


def _interfaces(vm: Any) -> list[dict[str, Any]]:
    """What the guest would show: the card's address, and the IP address that cloud-init was given."""
    mac = re.search(r"=((?:[0-9A-F]{2}:){5}[0-9A-F]{2})", str(vm.config.get("net0", "")))
    address = re.search(r"ip=([\d.]+)/(\d+)", str(vm.config.get("ipconfig0", "")))
    card: dict[str, Any] = {
        "name": "eth0",
        "hardware-address": mac[1].lower() if mac else "",
        "ip-addresses": [],
    }
    if address:
        card["ip-addresses"] = [
            {"ip-address": address[1], "ip-address-type": "ipv4", "prefix": int(address[2])},
        ]
    return [card]
