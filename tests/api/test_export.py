"""Disks of a client as files: a real sshd stands for the node, with a real disk; only ``pvesm`` is a stand-in."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.history import open_history
from tests.api.desk import Desk, machine, subscription
from tests.api.ssh_server import ssh_server


@dataclass
class SshNode:
    """A node's SSH server.

    Attributes:
        disk: what its storage holds: every volume is this one.
    """

    folder: Path
    disk: Path
    port: int

    def access(self, **changes: Any) -> dict[str, Any]:
        """How the site file tells about it."""
        return {
            "ssh_private_key": str(self.folder / "user"),
            "ssh_known_hosts": str(self.folder / "known_hosts"),
            "addresses": {"pve1": f"127.0.0.1:{self.port}"},
            **changes,
        }


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshNode]:
    folder = tmp_path_factory.mktemp("node")
    disk = folder / "disk.raw"
    disk.write_bytes(b"A client's data. " * 4096 + bytes(4 * 1024**2))
    with ssh_server(folder) as server:
        pvesm = folder / "bin" / "pvesm"
        pvesm.write_text(
            f'#!/bin/sh\n[ "$1" = path ] && case "$2" in local:*) echo {disk};; *) echo no such volume >&2; exit 2;; '
            "esac\n"
        )
        pvesm.chmod(0o755)
        yield SshNode(folder=folder, disk=disk, port=server.port)


def _deliver(desk: Desk, node: SshNode, **access: Any) -> None:
    desk.sites["paris"]["node_access"] = node.access(**access)
    desk.write_sites()
    disks = [{"name": "system", "size": "4GiB"}, {"name": "data", "size": "10GiB"}]
    desk.write(subscription("dupont", [machine("web-1", disks=disks, power="stopped"), machine("db-1")]))
    assert desk.apply().code == 0


def test_what_a_machine_wrote_on_its_disk_is_copied_and_never_read_as_the_name_of_a_file(
    desk: Desk, node: SshNode
) -> None:
    """Whoever is root in a machine may write the header of an image there, with a file of the node behind it."""
    secret = node.folder / "secret"
    secret.write_bytes(b"of another client".ljust(65536, b"."))
    create = [
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qcow2",
        "-b",
        str(secret),
        "-F",
        "raw",
        str(node.disk),
        "64K",
    ]
    subprocess.run(create, check=True)
    written = node.disk.read_bytes()
    _deliver(desk, node)
    answer = desk.run("export", "dupont/web-1", "--to", "out")
    assert answer.code == 0, answer
    plain = desk.folder / "plain"
    copy = desk.folder / "out" / "dupont-web-1-system.qcow2"
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", copy, plain], check=True)
    assert b"of another client" not in plain.read_bytes()
    assert plain.read_bytes().rstrip(b"\0") == written.rstrip(b"\0")


def test_disks_come_as_qcow2_with_sums_that_hold(desk: Desk, node: SshNode) -> None:
    _deliver(desk, node)
    answer = desk.run("export", "dupont/web-1", "--to", "out")
    assert answer.code == 0, answer
    names = {"dupont-web-1-system.qcow2", "dupont-web-1-data.qcow2", "SHA256SUMS"}
    assert {path.name for path in (desk.folder / "out").iterdir()} == names
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=desk.folder / "out", check=False
    )
    assert checked.returncode == 0
    for name in sorted(names)[1:]:
        back = desk.folder / "back.raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw", desk.folder / "out" / name, back], check=True)
        assert back.read_bytes() == node.disk.read_bytes()
    assert not list(Path("/var/tmp").glob("orchestrator-export.*"))
    with open_history(desk.folder / "state" / "orchestrator" / "history.db") as history:
        entries = history.entries(client="dupont", action="export")
    assert [entry.result for entry in entries] == ["ok", "ok"] and "sha256" in entries[0].message
    assert {json.loads(entry.details)["quote"] for entry in entries} == {"D-1"}, "article 10: on a quote"
    again = desk.run("export", "dupont/web-1", "--to", "out")
    assert again.code == 0 and {path.name for path in (desk.folder / "out").iterdir()} == names


@pytest.mark.parametrize(
    ("access", "target", "said"),
    [
        ({}, "dupont/db-1", "it runs, and its disks change while they are read"),
        ({"wrong_hosts": True}, "dupont/web-1", "Host key verification failed"),
        ({"wrong_key": True}, "dupont/web-1", "Permission denied"),
        ({"addresses": {}}, "dupont/web-1", "does not say where pve1 is reached"),
        ({"addresses": {"pve1": "127.0.0.1:1"}}, "dupont/web-1", "Connection refused"),
    ],
)
def test_what_cannot_be_copied_is_told_and_leaves_no_file(
    desk: Desk, node: SshNode, access: dict[str, Any], target: str, said: str
) -> None:
    if access.pop("wrong_hosts", False):
        access["ssh_known_hosts"] = str(node.folder / "wrong_hosts")
    if access.pop("wrong_key", False):
        access["ssh_private_key"] = str(node.folder / "other")
    _deliver(desk, node, **access)
    answer = desk.run("export", target, "--to", "out")
    assert answer.code == 1 and said in answer.out, answer
    assert list((desk.folder / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("quote", "options", "said"),
    [
        (None, (), "an export is assistance, on a quote that the client accepted (art. 10): there is none"),
        ({"reference": "D-1", "valid_until": "2026-11-01"}, (), "there is none"),
        ({"reference": "D-1", "valid_until": "2099-12-31"}, ("--quote", "D-2"), "the quote D-2 is not one"),
        (
            {"reference": "D-1", "valid_until": "2099-12-31", "machines": ["db-1"]},
            (),
            "no accepted quote of its client covers this machine",
        ),
    ],
)
def test_article_10_an_export_names_its_quote(
    desk: Desk, node: SshNode, quote: dict[str, Any] | None, options: tuple[str, ...], said: str
) -> None:
    _deliver(desk, node)
    file = subscription("dupont", [machine("web-1", power="stopped"), machine("db-1")])
    file["contract"]["quotes"] = [quote] if quote else []
    desk.write(file)
    answer = desk.run("export", "dupont/web-1", "--to", "out", *options)
    assert answer.code == 1 and said in " ".join((answer.err + answer.out).split()), answer
    assert not list(desk.folder.glob("out/*"))


def test_in_default_of_payment_nothing_is_exported(desk: Desk, node: SshNode) -> None:
    _deliver(desk, node)
    unpaid = subscription("dupont", [machine("web-1"), machine("db-1")])
    unpaid["contract"] |= {
        "status": "terminated",
        "termination": {"notice": "2026-11-02", "reference": "L", "default_of_payment": True},
    }
    desk.write(unpaid)
    answer = desk.run("export", "dupont", "--to", "out")
    assert (
        answer.code == 1 and "no reversibility (art. 10)" in answer.err and not (desk.folder / "out").exists()
    )


@pytest.mark.parametrize("target", ["", "/web-1"])
def test_nobodys_disks_are_nobodys_and_not_everybodys(desk: Desk, node: SshNode, target: str) -> None:
    """A variable of a script that is empty must not copy the disks of every client."""
    _deliver(desk, node)
    answer = desk.run("export", target, "--to", "out")
    assert answer.code == 1 and "selects nothing" in answer.err and not (desk.folder / "out").exists(), answer
