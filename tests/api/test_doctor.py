"""``orchestrator doctor``: what is wrong is named with its place and a remedy, and nothing is changed."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from orchestrator.proxmox import Cluster, PermissionDenied, ProxmoxError, TaskFailed, read_lists
from orchestrator.resources.privileges import TABLE, check_privileges, role_privileges
from orchestrator.resources.redundancy import REDUNDANCY
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve

FIT = {"scsi1": "local:9000/vm-9000-cloudinit.qcow2,media=cdrom", "agent": "enabled=1"}


class Practice(Desk):
    """A provider whose things are all in order: one site, backups at Lyon."""

    def __init__(self, folder: Path, fake: FakePve) -> None:
        self.fake = fake
        fake.control("add_template", vmid=9000, name="debian-12")
        fake.control("set_config", vmid=9000, **FIT)
        fake.control(
            "add_storage", name="backup-lyon", type="nfs", content="backup", shared=True, total=10**12
        )
        super().__init__(folder, {"paris": fake})
        site = self.sites["paris"]
        site["images"] = {"debian-12": {"template": "debian-12"}}
        site["backup_storages"] = [{"name": "backup-lyon", "site": "lyon"}]
        key = ed25519.Ed25519PrivateKey.generate()
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        (folder / "id").write_bytes(private)
        (folder / "id").chmod(0o600)
        public = key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        self.public = public.decode()
        self.write_sites()

    def write_sites(self) -> None:
        super().write_sites()
        if hasattr(self, "public"):
            path = self.folder / "sites.yaml"
            lines = path.read_text().splitlines()
            at = next(n for n, line in enumerate(lines) if "ssh_public_key" in line)
            end = next(n for n in range(at + 1, len(lines)) if ":" in lines[n])
            lines[at:end] = [f"  ssh_public_key: {self.public}"]
            path.write_text("\n".join(lines) + "\n")

    def examine(self, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
        """Exit code and findings."""
        answer = self.run("doctor", "--format", "json", *arguments)
        assert answer.out, answer
        return answer.code, json.loads(answer.out)["findings"]

    def wrong(self, *arguments: str) -> list[dict[str, Any]]:
        """What is not in order; every one of it has a remedy."""
        code, findings = self.examine(*arguments)
        found = [finding for finding in findings if finding["severity"] != "ok"]
        assert code == max((1 if item["severity"] == "warning" else 2 for item in found), default=0)
        assert all(item["remedy"] for item in found)
        return found

    def only(self, *arguments: str) -> dict[str, Any]:
        """The one thing that is not in order."""
        found = self.wrong(*arguments)
        assert len(found) == 1, found
        return found[0]


@pytest.fixture(scope="module")
def practice(fakepve_module: FakePve, tmp_path_factory: pytest.TempPathFactory) -> Practice:
    built = Practice(tmp_path_factory.mktemp("practice"), fakepve_module)
    fakepve_module.save()
    return built


@pytest.fixture(autouse=True)
def _as_before(practice: Practice) -> Iterator[None]:
    sites = json.loads(json.dumps(practice.sites))
    yield
    practice.fake.bring_back()
    practice.fake.control("release", release="9")
    practice.fake.control("set_quorum", quorate=True)
    practice.fake.control("forget_grants")
    practice.sites = sites
    practice.write(*[])
    practice.write_sites()


def test_a_site_in_order_is_said_to_be_and_nothing_is_changed(practice: Practice) -> None:
    practice.fake.control("reset_calls")
    code, findings = practice.examine()
    assert code == 0, findings
    subjects = {finding["subject"] for finding in findings}
    assert {
        "certificate",
        "API",
        "version",
        "privileges",
        "clocks",
        "storage local",
        "Ansible",
        "SSH key",
    } <= subjects
    assert {"two sites: backup-lyon", "image debian-12", "bridge vmbr0", "snapshots on local"} <= subjects
    assert set(practice.fake.calls()) == set(practice.fake.calls("GET"))
    text = practice.run("doctor")
    assert text.code == 0 and "0 errors, 0 warnings" in text.out


# Privileges

ROLES = [(9, privilege) for privilege in role_privileges(9, consoles=False)] + [
    (8, "VM.Monitor"),
    (8, "Sys.Audit"),
]


@pytest.mark.parametrize(("release", "privilege"), ROLES)
def test_each_missing_privilege_is_named_with_what_needs_it(
    practice: Practice, release: int, privilege: str
) -> None:
    practice.fake.control("release", release=str(release))
    practice.fake.control(
        "regrant", grants={"/": [name for name in role_privileges(release) if name != privilege]}
    )
    found = practice.wrong()
    named = [item for item in found if item["subject"] == f"privilege {privilege}"]
    needed = [need for need in TABLE if need.privilege == privilege]
    assert len(named) == len(needed)
    assert all(feature in named[0]["found"] for feature in needed[0].features)
    assert f"--privs {privilege} --append 1" in named[0]["remedy"]
    with pytest.raises(PermissionDenied, match=privilege):  # a plan refuses itself for the same reason
        check_privileges(read_lists(practice.fake.cluster()), site="paris")


def test_consoles_are_asked_for_where_they_are_wanted(practice: Practice) -> None:
    practice.fake.control("regrant", grants={"/": role_privileges(9, consoles=False)})
    found = practice.only()
    assert (found["severity"], found["subject"]) == ("warning", "privilege VM.Console")
    assert "consoles in the Interface" in found["found"]
    assert "--privs VM.Console --append 1" in found["remedy"] and "consoles: false" in found["remedy"]
    check_privileges(read_lists(practice.fake.cluster()), site="paris")  # nothing else needs it
    practice.sites["paris"]["consoles"] = False
    practice.write_sites()
    assert practice.wrong() == []


Call = Callable[[Cluster], object]
_VM = "/nodes/pve1/qemu/100"
_BACKUP = {"vmid": 100, "storage": "backup-lyon"}
PROVEN: dict[str, Call] = {
    "VM.Audit": lambda api: api.get(f"{_VM}/status/current"),
    "VM.Allocate": lambda api: api.delete("/nodes/pve1/qemu/101"),
    "VM.Clone": lambda api: api.post("/nodes/pve1/qemu/9000/clone", newid=102, name="web"),
    "VM.Config.CDROM": lambda api: api.put(f"{_VM}/config", ide2="none,media=cdrom"),
    "VM.Config.CPU": lambda api: api.put(f"{_VM}/config", cores=2),
    "VM.Config.Cloudinit": lambda api: api.put(f"{_VM}/config", ciuser="admin"),
    "VM.Config.Disk": lambda api: api.put(f"{_VM}/config", scsi5="local:1"),
    "VM.Config.HWType": lambda api: api.put(f"{_VM}/config", vga="serial0"),
    "VM.Config.Memory": lambda api: api.put(f"{_VM}/config", memory=1024),
    "VM.Config.Network": lambda api: api.put(f"{_VM}/config", net1="virtio,bridge=vmbr0"),
    "VM.Config.Options": lambda api: api.put(f"{_VM}/config", description="x"),
    "VM.GuestAgent.Audit": lambda api: api.post(f"{_VM}/agent/ping"),
    "VM.GuestAgent.FileRead": lambda api: api.get(f"{_VM}/agent/file-read", file="/etc/hostname"),
    "VM.PowerMgmt": lambda api: api.post(f"{_VM}/status/start"),
    "VM.Snapshot": lambda api: api.post(f"{_VM}/snapshot", snapname="one"),
    "VM.Backup": lambda api: api.run_task("POST", "/nodes/pve1/vzdump", params=_BACKUP, timeout_seconds=60),
    "VM.Migrate": lambda api: api.post(f"{_VM}/migrate", target="pve1"),
    "VM.Replicate": lambda api: api.post("/cluster/replication", id="100-0", type="local", target="pve2"),
    "Datastore.AllocateSpace": lambda api: api.post("/nodes/pve1/vzdump", params=_BACKUP),
    "Pool.Allocate": lambda api: api.post("/pools", poolid="client-x"),
    "Sys.Audit": lambda api: api.get("/cluster/ha/resources"),
    "Sys.Console": lambda api: api.post("/cluster/ha/resources", sid="vm:100"),
    "VM.Console": lambda api: api.post(f"{_VM}/termproxy"),
    "SDN.Use": lambda api: api.put(f"{_VM}/config", net1="virtio,bridge=vmbr0"),
}
SILENT: dict[str, Call] = {
    "Pool.Audit": lambda api: api.get("/pools"),
    "Datastore.Audit": lambda api: [
        entry for entry in api.get("/cluster/resources") if entry["type"] == "storage"
    ],
}
"""What is not refused without them, but left out."""


def test_every_privilege_of_the_table_is_one_that_proxmox_asks_for(practice: Practice) -> None:
    """Without it a call of its feature is refused in its name; with it, it is not refused."""
    full = role_privileges(9, REDUNDANCY.needs)
    assert PROVEN.keys() | SILENT.keys() == set(full)
    practice.fake.add_vms(2, first=100)
    practice.fake.cluster().post("/pools", poolid="client-dupont")
    api = practice.fake.cluster()
    for privilege, call in PROVEN.items():
        practice.fake.control("regrant", grants={"/": [name for name in full if name != privilege]})
        with pytest.raises(ProxmoxError) as refused:
            call(api)
        cause = refused.value.cause if isinstance(refused.value, TaskFailed) else refused.value
        assert isinstance(cause, PermissionDenied), privilege
        assert privilege in str(cause), privilege
        practice.fake.control("regrant", grants={"/": full})
        try:
            call(api)
        except ProxmoxError as error:  # something else may be wrong with it: it was let in
            assert not isinstance(error, PermissionDenied), (privilege, error)
    for privilege, call in SILENT.items():
        practice.fake.control("regrant", grants={"/": [name for name in full if name != privilege]})
        assert call(api) == [], privilege
        practice.fake.control("regrant", grants={"/": full})
        assert call(api), privilege


def test_what_clients_use_decides_which_privileges_are_needed(practice: Practice) -> None:
    practice.fake.control("regrant", grants={"/": role_privileges(9)})
    assert practice.wrong() == []
    practice.fake.control("add_nodes", names=["pve2", "pve3"])
    practice.write(subscription("dupont", [machine("web-1", redundancy={"hardware": True})]))
    assert practice.only()["subject"] == "privilege Sys.Console"
    check = {"retention_days": 7, "check": {"run": "true"}}
    practice.write(subscription("dupont", [machine("web-1", backup=check)]))
    assert practice.only()["subject"] == "privilege VM.GuestAgent.Unrestricted"


# Certificates


def _signed(folder: Path, *, days: int) -> tuple[str, str, str]:
    """A CA, and a certificate of 127.0.0.1 by it that ends in so many days. Return the three files."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("CA", "pve1")]
    now = dt.datetime.now(dt.UTC)
    begins, ends = now - dt.timedelta(days=40), now + dt.timedelta(days=days)

    def made(n: int, extension: x509.ExtensionType, last: dt.datetime) -> bytes:
        built = x509.CertificateBuilder().subject_name(names[n]).issuer_name(names[0])
        built = built.public_key(keys[n].public_key()).serial_number(x509.random_serial_number())
        built = built.not_valid_before(begins).not_valid_after(last).add_extension(extension, n == 0)
        certificate = built.sign(keys[0], hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM)

    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    files = [folder / name for name in ("doctor-ca.pem", "doctor.pem", "doctor.key")]
    files[0].write_bytes(made(0, x509.BasicConstraints(ca=True, path_length=0), now + dt.timedelta(days=99)))
    files[1].write_bytes(made(1, address, ends))
    private = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files[2].write_bytes(private)
    return str(files[0]), str(files[1]), str(files[2])


@pytest.fixture
def server(practice: Practice, tmp_path: Path) -> Iterator[Callable[[int], None]]:
    """Let the cluster show another certificate, which ends in so many days."""

    def show(days: int) -> None:
        ca, certificate, key = _signed(tmp_path, days=days)
        practice.fake.control("show_certificate", certificate=certificate, key=key)
        practice.sites["paris"]["api"]["ca_file"] = ca
        practice.write_sites()

    yield show
    practice.fake.control("show_certificate")


@pytest.mark.parametrize(
    ("days", "severity", "words"),
    [(-1, "error", "it has expired"), (10, "warning", "good until"), (90, None, "")],
)
def test_a_certificate_that_ends_is_said_to(
    practice: Practice, server: Callable[[int], None], days: int, severity: str | None, words: str
) -> None:
    server(days)
    found = practice.wrong()
    assert [(item["subject"], item["severity"]) for item in found] == (
        [("certificate", severity)] if severity else []
    )
    assert not found or (words in found[0]["found"] and "pvecm updatecerts" in found[0]["remedy"])


def test_a_wrong_ca_is_told_from_an_expired_certificate(practice: Practice, tmp_path: Path) -> None:
    ca, _, _ = _signed(tmp_path, days=30)
    practice.sites["paris"]["api"]["ca_file"] = ca
    practice.write_sites()
    found = practice.only()
    assert found["subject"] == "certificate" and found["severity"] == "error"
    assert "not signed by whom is trusted" in found["found"] and "pve-root-ca.pem" in found["remedy"]


def test_a_host_that_the_certificate_does_not_name(practice: Practice) -> None:
    api = practice.sites["paris"]["api"]
    api["url"] = api["url"].replace("127.0.0.1", "localhost")
    practice.write_sites()
    assert "does not name localhost" in practice.only()["found"]


def test_a_site_that_trusts_anybody_is_warned_of(practice: Practice) -> None:
    practice.sites["paris"]["api"]["verify_tls"] = False
    practice.write_sites()
    found = practice.only()
    assert (found["subject"], found["severity"]) == ("certificate", "warning")


def test_a_node_that_does_not_listen(practice: Practice) -> None:
    practice.fake.control("listen", listening=False)
    try:
        found = practice.only()
    finally:
        practice.fake.control("listen", listening=True)
    assert found["subject"] == "API" and "systemctl status pveproxy" in found["remedy"]


def test_a_token_that_is_not_known_any_more(practice: Practice) -> None:
    secret = practice.folder / "paris.token"
    text = secret.read_text()
    secret.write_text("0" * 32)
    try:
        assert "401" in practice.only()["found"] or "token" in practice.only()["found"]
    finally:
        secret.write_text(text)


# The cluster


def test_a_cluster_without_quorum(practice: Practice) -> None:
    practice.fake.control("set_quorum", quorate=False)
    found = practice.only()
    assert found["subject"] == "quorum" and "read-only" in found["found"]


def test_a_node_that_is_offline(practice: Practice) -> None:
    practice.fake.control("add_nodes", names=["pve2", "pve3"])
    practice.fake.control("set_node", name="pve2", online=False)
    assert practice.only()["subject"] == "node pve2"


def test_two_nodes_are_too_few_for_high_availability(practice: Practice) -> None:
    practice.fake.control("add_nodes", names=["pve2"])
    practice.write(subscription("dupont", [machine("web-1", redundancy={"hardware": True})]))
    found = practice.only()
    assert found["subject"] == "high availability" and "qdevice" in found["remedy"]


@pytest.mark.parametrize("seconds", [40, -40])
def test_a_clock_that_is_wrong(practice: Practice, seconds: int) -> None:
    practice.fake.control("set_clock_skew", node="pve1", seconds=seconds)
    try:
        found = practice.only()
    finally:
        practice.fake.control("set_clock_skew", node="pve1", seconds=0)
    assert found["subject"] == "clock of pve1" and ("ahead" if seconds > 0 else "behind") in found["found"]


def test_a_bridge_that_is_not_there(practice: Practice) -> None:
    practice.fake.control("set_bridges", node="pve1", names=["vmbr7"])
    try:
        found = practice.only()
    finally:
        practice.fake.control("set_bridges", node="pve1", names=["vmbr0"])
    assert found["subject"] == "bridge vmbr0" and "network public" in found["found"]


def test_a_freeze_is_shown(practice: Practice) -> None:
    assert practice.run("freeze", "ticket 99").code == 0
    found = practice.only()
    assert (found["subject"], found["severity"]) == ("freeze", "warning") and "ticket 99" in found["found"]


# Storages and images


@pytest.mark.parametrize(
    ("name", "change", "severity", "subject", "words"),
    [
        ("backup-lyon", {"content": "iso"}, "error", "storage backup-lyon", "it does not take backup"),
        ("local", {"content": "backup"}, "error", "storage local", "it does not take images"),
        ("backup-lyon", {"active": False}, "error", "storage backup-lyon", "it cannot be used on pve1"),
        ("backup-lyon", {"used": 96 * 10**10}, "error", "storage backup-lyon", "96%"),
        ("backup-lyon", {"used": 90 * 10**10}, "warning", "storage backup-lyon", "90%"),
        (
            "backup-lyon",
            {"type": "dir", "shared": None, "path": "/srv/backup"},
            "warning",
            "two sites: backup-lyon",
            "/srv/backup",
        ),
    ],
)
def test_a_storage_that_is_not_fit(
    practice: Practice, name: str, change: dict[str, Any], severity: str, subject: str, words: str
) -> None:
    practice.fake.control("set_storage", name=name, **change)
    found = practice.only()
    assert (found["severity"], found["subject"]) == (severity, subject)
    assert words in found["found"]


def test_a_storage_that_cannot_snapshot(practice: Practice) -> None:
    practice.sites["paris"]["disk_format"] = "raw"
    practice.write_sites()
    found = practice.only()
    assert found["subject"] == "snapshots on local" and "disk_format: qcow2" in found["remedy"]


def test_a_storage_that_is_not_there(practice: Practice) -> None:
    practice.sites["paris"]["backup_storages"][0]["name"] = "backup-lille"
    practice.write_sites()
    assert practice.only()["subject"] == "storage backup-lille"


@pytest.mark.parametrize(
    ("change", "severity", "words"),
    [
        ({"scsi1": None}, "warning", "has no cloud-init drive"),
        ({"scsi1": None, "ide2": FIT["scsi1"]}, "warning", "has its cloud-init drive on ide2"),
        ({"scsi2": "local:9000/base-9000-disk-1.raw,size=1G"}, "warning", "has a further disk scsi2 (1GiB)"),
        ({"net1": "virtio,bridge=vmbr7"}, "warning", "has a further network card net1 (vmbr7)"),
        ({"scsi0": None}, "error", "has no disk to boot from"),
        ({"scsi2": "size=4,x,y"}, "error", "has a setting that cannot be understood"),
        ({"agent": None}, "warning", "has its guest agent switched off"),
        ({"agent": "enabled=0"}, "warning", "has its guest agent switched off"),
        (
            {"scsi0": None, "virtio0": "local:9000/base-9000-disk-0.qcow2,size=2G"},
            "error",
            "boots from none of its disks (its boot order is scsi0)",
        ),
    ],
)
def test_a_template_that_is_not_fit(
    practice: Practice, change: dict[str, Any], severity: str, words: str
) -> None:
    practice.fake.control("set_config", vmid=9000, **change)
    found = practice.only()
    assert (found["severity"], found["subject"]) == (severity, "image debian-12")
    assert f"template 9000 on pve1 {words}" in found["found"] and found["remedy"]


def test_an_image_without_a_template(practice: Practice) -> None:
    practice.sites["paris"]["images"]["debian-13"] = {"template": "debian-13"}
    practice.write_sites()
    found = practice.only()
    assert found["subject"] == "image debian-13" and "no template is called debian-13" in found["found"]


# Here


def test_keys_that_do_not_fit_or_are_open_to_others(practice: Practice) -> None:
    key = practice.folder / "id"
    key.chmod(0o644)
    try:
        assert practice.only()["remedy"] == f"chmod 600 {key}"
    finally:
        key.chmod(0o600)
    own, practice.public = (
        practice.public,
        practice.public.split()[0] + " AAAAC3NzaC1lZDI1NTE5AAAAIKURtZCucXETzzcQIDs1+Vtfi1dn37SdGSoJus4g4ca3",
    )
    practice.write_sites()
    try:
        assert "does not belong to management.ssh_public_key" in practice.only()["found"]
    finally:
        practice.public = own


def test_a_machine_that_cannot_be_entered_is_named(practice: Practice) -> None:
    practice.write(subscription("dupont", [machine("web-1", address="203.0.113.77")]))
    assert practice.apply().code == 0
    practice.put_in_service(host_keys=(practice.public,))
    sites = practice.folder / "sites.yaml"  # a way that leads nowhere: no packet leaves this computer
    sites.write_text(sites.read_text().replace("management:", "management:\n  ssh_proxy_command: 'false'", 1))
    found = practice.only()
    assert found["subject"] == "SSH to machines" and "dupont/web-1" in found["found"]
    assert practice.wrong("--no-guests") == []


def test_an_inventory_that_cannot_be_read_is_unknown(practice: Practice) -> None:
    (practice.folder / "sites.yaml").write_text("sites: {}\n")
    assert practice.run("doctor").code == 3


def test_a_machine_that_nothing_is_done_to_is_named_with_the_reason(practice: Practice) -> None:
    practice.write(subscription("dupont", [machine("web-1"), machine("db-1")]))
    assert practice.apply().code == 0
    practice.put_in_service()
    assert practice.wrong("--no-guests") == []
    vm = practice.machines()["web-1"]
    practice.fake.control("set_config", vmid=vm["vmid"], description="<!-- orchestrator {broken -->")
    found = practice.only("--no-guests")
    assert found["subject"] == "machines" and found["found"].startswith(
        f"not touched: VM {vm['vmid']} web-1 on "
    )
    text = practice.run("doctor", "--no-guests").out
    assert text.splitlines()[-1].startswith("1 error, 0 warnings, ")
