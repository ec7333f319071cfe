"""Answers recorded from nodes of Proxmox VE 8.4.1 and 9.1.7, and the state in which each of the calls was made.

What a call found is mostly said by its answer: "VM is locked (backup)" was said of a locked machine. So
the state is prepared from the recorded words, and from the little that the words do not tell.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.lab_handle import Client, Lab

BACKUP_STORAGE = "backup-lyon"
_RECORDED_BACKUP_STORAGE = "backup-b"
_ARCHIVE = "vzdump-qemu-150-2026_11_23-05_59_30.vma.zst"
_NODE = "/nodes/pve1"


@dataclass(frozen=True)
class Recorded:
    """One call and its answer; `data` is the kind of what a success held, `exitstatus` how its task ended."""

    user: str
    method: str
    path: str
    params: dict[str, Any]
    status: int
    reason: str
    message: str | None
    errors: dict[str, str]
    data: str
    exitstatus: str | None

    @property
    def words(self) -> str:
        """All that was said against the call, in the answer or at the task's end."""
        return " ".join([self.reason, *self.errors.values(), self.exitstatus or ""])

    @property
    def call(self) -> str:
        """Method, path and parameters, to be read."""
        return f"{self.method} {self.path} {json.dumps(self.params, sort_keys=True, ensure_ascii=False)}"


RELEASES = {"8.4.1": "recorded_answers.jsonl", "9.1.7": "recorded_answers_9.jsonl"}


def recorded_answers(release: str) -> list[Recorded]:
    """All of a release, with the name that the lab gives the storage for backups."""
    text = (Path(__file__).parent / RELEASES[release]).read_text()
    lines = text.replace(_RECORDED_BACKUP_STORAGE, BACKUP_STORAGE).splitlines()
    return [_read(json.loads(line)) for line in lines]


def _read(line: dict[str, Any]) -> Recorded:
    return Recorded(
        user=line["as"],
        method=line["method"],
        path=line["path"],
        params=line["params"],
        status=line["status"],
        reason=line.get("reason", "OK"),
        message=line.get("message"),
        errors=line.get("errors", {}),
        data=line.get("data", ""),
        exitstatus=line.get("exitstatus"),
    )


class Bench:
    """A lab whose machines are put into the state that a recorded call found."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.root = lab.client(user="root@pam")
        self.users: dict[str, Client] = {name: lab.client(user=name) for name in ("root", "orchestrator")}
        self._untouched: set[int] = set()

    def prepare(self, line: Recorded) -> dict[str, Any]:
        """Prepare the state for a call; return the parameters to send."""
        params = dict(line.params)
        subject = re.match(rf"{_NODE}/qemu/(\d+)", line.path)
        for vmid in (int(params[key]) for key in ("newid", "vmid") if str(params.get(key, "")).isdigit()):
            self._arrange(vmid, exists=_presupposed(line, vmid))
        if subject:
            vmid = int(subject[1])
            self._arrange(vmid, exists=_presupposed(line, vmid))
            for pattern, step in _STATES:
                if found := re.search(pattern, f"{line.call} {line.words}"):
                    step(self, vmid, found)
            if line.method != "GET":
                self._untouched.discard(vmid)
        if _ARCHIVE in line.path:
            self._prepare_archive(line)
        if "archive" in params:
            self._make_archive(str(params["archive"]))
        self._prepare_pools(line)
        if len(params.get("digest", "")) == 40 and line.status == 200:
            params["digest"] = self.root.get(f"{line.path}")["digest"]
        if params.get("sshkeys") == "<public key>":
            key = (self.lab.state / "management_key.pub").read_text().strip()
            params["sshkeys"] = (
                key.replace(" ", "%20").replace("+", "%2B").replace("/", "%2F").replace("@", "%40")
            )
        return params

    def path(self, vmid: int, rest: str = "") -> str:
        """The path of a machine's calls."""
        return f"{_NODE}/qemu/{vmid}{rest}"

    def start(self, vmid: int) -> None:
        """Let it run."""
        self.root.run("POST", self.path(vmid, "/status/start"))

    def set(self, vmid: int, **options: object) -> None:
        """Change its configuration."""
        self.root.put(self.path(vmid, "/config"), **options)

    def snapshot(self, vmid: int, name: str) -> None:
        """Take a snapshot of it."""
        self.root.run("POST", self.path(vmid, "/snapshot"), snapname=name)

    def _arrange(self, vmid: int, *, exists: bool) -> None:
        if vmid in self._untouched and exists:
            return
        self.remove(vmid)
        if exists:
            self.rebuild(vmid)

    def rebuild(self, vmid: int, format: str = "qcow2") -> None:
        """Make it anew: tiny, without a system."""
        self.remove(vmid)
        self.root.run(
            "POST",
            f"{_NODE}/qemu",
            vmid=vmid,
            name=f"vm-{vmid}",
            memory=128,
            kvm=0,
            agent="enabled=1",
            scsihw="virtio-scsi-pci",
            scsi0=f"local:0.01,format={format}",
            net0="virtio,bridge=vmbr0",
        )
        self._untouched.add(vmid)

    def remove(self, vmid: int) -> None:
        """Take a machine away, whatever state it is in."""
        self._untouched.discard(vmid)
        current = self.root.call("GET", self.path(vmid, "/config"))
        if current.status != 200:
            return
        if "lock" in current.data:
            self.set(vmid, delete="lock", skiplock=1)
        self.root.run("POST", self.path(vmid, "/status/stop"))
        if "protection" in current.data:
            self.set(vmid, protection=0)
        self.root.run("DELETE", self.path(vmid), purge=1)

    def _prepare_archive(self, line: Recorded) -> None:
        put_files(self.lab)
        protected = int("protected volume" in line.words)
        self.root.put(line.path, protected=protected)

    def _make_archive(self, volid: str) -> None:
        """Make a backup of a tiny machine, under the name that the call knows."""
        storage, _, name = volid.partition(":")
        folder = storage_folders(self.root)[storage] / "dump"
        (folder / Path(name).name).unlink(missing_ok=True)
        before = set(folder.iterdir())
        self._arrange(190, exists=True)
        self.root.run("POST", f"{_NODE}/vzdump", vmid=190, storage=storage, compress="zstd")
        (made,) = set(folder.iterdir()) - before
        made.rename(folder / Path(name).name)

    def _prepare_pools(self, line: Recorded) -> None:
        wanted = str(
            line.params.get("poolid") or line.params.get("pool") or line.path.rpartition("/pools/")[2]
        )
        if not wanted.startswith("client-"):
            return
        present = {entry["poolid"] for entry in self.root.get("/pools")}
        if line.method == "POST" and line.path == "/pools" and line.status == 200:
            if wanted in present:
                self._empty(wanted)
                self.root.call("DELETE", f"/pools/{wanted}")
        elif wanted not in present:
            self.root.call("POST", "/pools", {"poolid": wanted})
        if line.method == "DELETE" and line.status == 200:
            self._empty(wanted)
        if found := re.search(r"not empty \(contains VM (\d+)\)", line.words):
            self._empty(wanted)
            self._arrange(int(found[1]), exists=True)
            self.root.put("/pools", poolid=wanted, vms=found[1], **{"allow-move": 1})

    def _empty(self, pool: str) -> None:
        members = self.root.get(f"/pools/{pool}")["members"]
        if vms := ",".join(str(member["vmid"]) for member in members if "vmid" in member):
            self.root.put("/pools", poolid=pool, vms=vms, delete=1)


def _presupposed(line: Recorded, vmid: int) -> bool:
    """Whether the call found a machine of this number."""
    if re.search(rf"\b{vmid}\.conf' does not exist|configuration file for VM {vmid}\b", line.words):
        return False
    creates = line.method == "POST" and line.path.endswith(("/qemu", "/clone"))
    if creates and vmid in (line.params.get("vmid"), line.params.get("newid")):
        return "already exists" in line.words
    return True


def _step_lock(bench: Bench, vmid: int, found: re.Match[str]) -> None:
    bench.set(vmid, lock=found[1])


def _step_without_agent(bench: Bench, vmid: int, found: re.Match[str]) -> None:
    bench.set(vmid, delete="agent")


def _step_extra_disk(bench: Bench, vmid: int, found: re.Match[str]) -> None:
    bench.set(vmid, scsi5="local:0.01")
    if found[1] == "unused0":
        bench.set(vmid, delete="scsi5")


def _step_missing_snippet(bench: Bench, vmid: int, found: re.Match[str]) -> None:
    bench.set(vmid, scsi1="local:cloudinit")
    bench.set(vmid, cicustom=f"user={found[1]}")


def _step_snapshot(bench: Bench, vmid: int, found: re.Match[str]) -> None:
    bench.snapshot(vmid, found[1])


def _step_linked_clone(bench: Bench, vmid: int, found: re.Match[str]) -> None:
    template = int(found[1])
    bench.rebuild(template)
    bench.root.run("POST", bench.path(template, "/template"))
    bench.remove(vmid)
    bench.root.run("POST", bench.path(template, "/clone"), newid=vmid, full=0)


_STATES: tuple[tuple[str, Callable[[Bench, int, re.Match[str]], None]], ...] = (
    (r"No QEMU guest agent configured", _step_without_agent),
    (r"guest agent is not running|is running", lambda bench, vmid, _: bench.start(vmid)),
    (r"/status/(?:stop|shutdown) .*VM is locked", lambda bench, vmid, _: bench.start(vmid)),
    (r"VM is locked \((\w+)\)", _step_lock),
    (r"/snapshot/(\w[\w-]+)(?:/\w+)? \{.*\} (?!.*(?:does not exist|invalid))", _step_snapshot),
    (r"snapshot name '(\S+)' already used", _step_snapshot),
    (r"for a snapshot of 'local:(\d+)/base-", _step_linked_clone),
    (r'"snapname": "(snapx)"', _step_snapshot),
    (r"VM contains snapshots", lambda bench, vmid, _: bench.snapshot(vmid, "aa")),
    (r"protection mode enabled", lambda bench, vmid, _: bench.set(vmid, protection=1)),
    (r'"delete": "(scsi5|unused0)"', _step_extra_disk),
    (r"volume '(local:snippets/\S+)' does not exist", _step_missing_snippet),
    (r"snapshot feature is not available", lambda bench, vmid, _: bench.rebuild(vmid, "raw")),
    (r"KVM virtualisation configured", lambda bench, vmid, _: bench.set(vmid, delete="kvm")),
    (
        r"if it's a template",
        lambda bench, vmid, _: bench.root.run("POST", bench.path(vmid, "/template")),
    ),
)
"""What the words of a call and of its answer say of the machine."""


def storage_folders(client: Client) -> dict[str, Path]:
    """Where the storages stand."""
    return {entry["storage"]: Path(entry["path"]) for entry in client.get("/storage")}


def put_files(lab: Lab) -> None:
    """Put the files into the storages that some calls are about."""
    storages = storage_folders(lab.client(user="root"))
    image = storages["local"] / "import" / "debian12.qcow2"
    image.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(image), "16M"], check=True)
    archive = storages[BACKUP_STORAGE] / "dump" / _ARCHIVE
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(b"")
