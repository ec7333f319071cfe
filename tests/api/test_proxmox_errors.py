"""Every kind of refusal, by a real HTTPS call that is answered with a sentence a real Proxmox VE uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.proxmox import (
    AgentNotRunning,
    AlreadyExists,
    AlreadyRunning,
    BadParameters,
    Cluster,
    DigestMismatch,
    Locked,
    LockTimeout,
    NotFound,
    NotImplementedByServer,
    NotRunning,
    PermissionDenied,
    Protected,
    ProxmoxError,
    ServerError,
    StorageFull,
    TokenRefused,
    Uncertain,
    Unreachable,
)
from tests.api.fakepve_handle import FakePve

PATH = "/nodes/pve1/qemu/110/config"

# status, sentence, what it is, its attributes
SENTENCES: list[tuple[int, str, type[ProxmoxError], dict[str, str]]] = [
    (401, "no such token 'none' for user 'root@pam'", TokenRefused, {}),
    (401, "permission denied - invalid PVE ticket", TokenRefused, {}),
    (
        403,
        "Permission check failed (/vms/150, VM.Audit)",
        PermissionDenied,
        {"path": "/vms/150", "privilege": "VM.Audit"},
    ),
    (
        403,
        "Permission check failed (/storage/local, Datastore.Audit|Datastore.AllocateSpace)",
        PermissionDenied,
        {"path": "/storage/local", "privilege": "Datastore.Audit|Datastore.AllocateSpace"},
    ),
    (
        403,
        "Permission check failed (, Pool.Allocate)",
        PermissionDenied,
        {"path": "", "privilege": "Pool.Allocate"},
    ),
    (403, "Permission check failed", PermissionDenied, {"path": "", "privilege": ""}),
    (
        500,
        "proxmox-backup-client failed: Error: permission check failed - missing Datastore.Modify|Datastore.Prune on "
        "/datastore/tank",
        PermissionDenied,
        {"path": "/datastore/tank", "privilege": "Datastore.Modify|Datastore.Prune"},
    ),
    (500, "proxmox-backup-client failed: Error: cannot remove protected snapshot", Protected, {}),
    (403, "Permission check failed (pool 'nopool' does not exist)", NotFound, {}),
    (500, "only root can set 'args' config", PermissionDenied, {"privilege": ""}),
    (
        500,
        "Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm",
        PermissionDenied,
        {},
    ),
    (500, "Configuration file 'nodes/pve1/qemu-server/777.conf' does not exist", NotFound, {}),
    (500, "unable to find configuration file for VM 999 on node 'pve1'", NotFound, {}),
    (500, "storage 'nosuch' does not exist", NotFound, {}),
    (500, "delete pool failed: pool 'client-x' does not exist", NotFound, {}),
    (500, "no such cluster node 'nosuch'", NotFound, {}),
    (
        500,
        "hostname lookup 'pve9' failed - failed to get address info for: pve9: Name or service not known",
        NotFound,
        {},
    ),
    (500, "400 Parameter verification failed.\nid: No such job 'client-dupont-7'", NotFound, {}),
    (500, "unable to create VM 110: config file already exists", AlreadyExists, {}),
    (500, "unable to create VM 132 - VM 132 already exists on node 'pve1'", AlreadyExists, {}),
    (500, "create pool failed: pool 'client-dupont' already exists", AlreadyExists, {}),
    (500, "checksum mismatch (file change by other user?)", DigestMismatch, {}),
    (500, "detected modified configuration - file changed by other user? Try again.", DigestMismatch, {}),
    (500, "VM is locked (backup)", Locked, {"mark": "backup"}),
    (500, "VM is locked (snapshot-delete)", Locked, {"mark": "snapshot-delete"}),
    (500, "can't lock file '/var/lock/qemu-server/lock-110.conf' - got timeout", LockTimeout, {}),
    (500, "cfs-lock 'storage-ceph' error: got lock request timeout", LockTimeout, {}),
    (500, "can't remove VM 150 - protection mode enabled", Protected, {}),
    (500, "unable to write to storage 'local': No space left on device", StorageFull, {}),
    (
        500,
        'lvcreate error: Volume group "pve" has insufficient free space (10 extents): 25 required.',
        StorageFull,
        {},
    ),
    (500, "QEMU guest agent is not running", AgentNotRunning, {}),
    (500, "No QEMU guest agent configured", AgentNotRunning, {}),
    (500, "VM 110 qmp command 'guest-ping' failed - got timeout", AgentNotRunning, {}),
    (500, "VM 150 is not running", NotRunning, {}),
    (500, "VM 130 not running", NotRunning, {}),
    (500, "VM 110 already running", AlreadyRunning, {}),
    (500, "VM 110 qmp command 'device_add' failed - got timeout", ServerError, {}),
    (500, "cluster not ready - no quorum?", ServerError, {}),
    (500, "no options specified", ServerError, {}),
    (501, "Method 'GET /nodes/pve1/qemu/110/nosuch' not implemented", NotImplementedByServer, {}),
    (502, "Bad Gateway", Uncertain, {}),
    (504, "Gateway Timeout", Uncertain, {}),
    (595, "No route to host", Unreachable, {}),
    (596, "Connection timed out", Uncertain, {}),
    (599, "Too many redirections", Uncertain, {}),
]


@pytest.fixture
def refused(fakepve_module: FakePve) -> Iterator[Any]:
    """Make a write be refused and return the error."""

    def refuse(status: int, text: str, *, method: str = "PUT", path: str = PATH, **more: Any) -> ProxmoxError:
        fakepve_module.fault(method, path, "error", status=status, text=text, times=100, **more)
        cluster = fakepve_module.cluster()
        call = {"GET": cluster.get, "PUT": cluster.put, "POST": cluster.post, "DELETE": cluster.delete}[
            method
        ]
        with pytest.raises(ProxmoxError) as caught:
            call(path)
        return caught.value

    yield refuse
    fakepve_module.control("clear_faults")


@pytest.mark.parametrize(("status", "text", "kind", "attributes"), SENTENCES)
def test_a_refusal_is_told_apart_by_its_sentence(
    refused: Any, status: int, text: str, kind: type[ProxmoxError], attributes: dict[str, str]
) -> None:
    error = refused(status, text)
    assert type(error) is kind
    assert {name: getattr(error, name) for name in attributes} == attributes


@pytest.mark.parametrize(("status", "text", "kind", "attributes"), SENTENCES)
def test_every_refusal_names_place_and_cause(
    refused: Any, status: int, text: str, kind: type[ProxmoxError], attributes: dict[str, str]
) -> None:
    error = refused(status, text)
    assert (error.site, error.call, error.status) == ("paris", f"PUT {PATH}", status)
    assert error.text == " ".join(text.split())
    assert str(error).startswith(f"paris: PUT {PATH}: {error.text}")
    assert error.remedy in str(error)


def test_a_bad_gateway_in_front_of_a_read_is_no_answer(refused: Any) -> None:
    assert type(refused(596, "Connection timed out", method="GET")) is Unreachable


def test_the_remedy_of_a_lock_names_the_command_the_machine_and_the_node(refused: Any) -> None:
    assert "`qm unlock 110` on node pve1" in refused(500, "VM is locked (clone)").remedy


def test_a_hibernated_machine_is_not_to_be_unlocked(refused: Any) -> None:
    hibernated = refused(500, "VM is locked (suspended)")
    assert isinstance(hibernated, Locked) and "start it in Proxmox" in hibernated.remedy


def test_wrong_parameters_are_listed(cluster: Cluster, fakepve: FakePve) -> None:
    fakepve.control("add_template", vmid=9000, name="debian-12")
    with pytest.raises(BadParameters) as caught:
        cluster.post("/nodes/pve1/qemu/9000/clone", newid=120, name="bad_name", nosuch=1)
    assert set(caught.value.errors) == {"name", "nosuch"}
    assert "name: invalid format - value does not look like a valid DNS name" in str(caught.value)
    assert caught.value.status == 400


def test_a_taken_id_is_told_as_such_though_it_is_a_bad_parameter(cluster: Cluster, fakepve: FakePve) -> None:
    fakepve.add_vms(1, first=110)
    with pytest.raises(AlreadyExists, match="VM 110 already exists"):
        cluster.get("/cluster/nextid", vmid=110)


def test_a_page_of_a_proxy_is_no_answer(fakepve_module: FakePve) -> None:
    fakepve_module.fault("GET", "/version", "html", status=200, times=10)
    with pytest.raises(Unreachable, match="not from a Proxmox API"):
        fakepve_module.cluster().get("/version")
    fakepve_module.control("clear_faults")


def test_an_error_page_of_a_proxy_is_a_server_error(fakepve_module: FakePve) -> None:
    fakepve_module.fault("PUT", "/pools", "html", status=500)
    with pytest.raises(ServerError) as caught:
        fakepve_module.cluster().put("/pools", poolid="x")
    assert caught.value.status == 500


def test_an_unknown_call_is_not_implemented(fakepve_module: FakePve) -> None:
    with pytest.raises(NotImplementedByServer):
        fakepve_module.cluster().get("/nosuch")
