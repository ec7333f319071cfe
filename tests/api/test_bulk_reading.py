"""All configurations at once: a real sshd with a forced command, and the program that nodes run."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.bootstrap.bulk_reading import authorized_key, node_lines, program
from orchestrator.proxmox import read_snapshots, read_vm
from orchestrator.proxmox.bulk_reader import FEWEST_MACHINES, SAMPLE, parse_stream
from orchestrator.proxmox.configuration_file import parse_configuration_file
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve
from tests.api.ssh_server import SshServer, ssh_server

_OTHERS = 5 * FEWEST_MACHINES
"""Machines of other clients: their addresses are read where one is to be chosen."""


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A node whose key may read the files, and nothing else."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "read.pl").write_text(program())
    (folder / "nodes").mkdir()
    with ssh_server(folder) as server:
        public = (folder / "user.pub").read_text()
        server.authorize(authorized_key(public, f"perl -T {folder}/read.pl {folder}/nodes"))
        yield server


@pytest.fixture
def large(desk: Desk, fakepve: FakePve, node: SshServer) -> Desk:
    """A site with many machines, read at once."""
    fakepve.add_vms(_OTHERS, first=1000, config={"ipconfig0": "ip=203.0.113.10/24"})
    desk.sites["paris"]["bulk_reading"] = _setting(node)
    desk.write_sites()
    fakepve.control("write_files", folder=str(node.folder / "nodes"))
    desk.write(subscription("dupont", [machine("web-1")]))
    return desk


def _setting(node: SshServer, **changes: Any) -> dict[str, Any]:
    return {
        "user": getpass.getuser(),
        "ssh_private_key": str(node.folder / "user"),
        "ssh_known_hosts": str(node.folder / "known_hosts"),
        "addresses": [node.address],
        **changes,
    }


def _reads(fakepve: FakePve) -> int:
    """How many configurations the API was asked for since the last question."""
    calls = fakepve.calls("GET")
    fakepve.control("reset_calls")
    return sum(count for call, count in calls.items() if call.endswith("/pending"))


def test_a_large_site_is_read_at_once_and_its_plan_is_the_same(
    large: Desk, fakepve: FakePve, node: SshServer
) -> None:
    at_once = large.run("plan")
    assert at_once.code == 0 and "203.0.113.11" in at_once.out, at_once  # .10 is taken, in the files
    assert at_once.err == ""
    assert _reads(fakepve) <= SAMPLE + 1  # and the template
    large.sites["paris"].pop("bulk_reading")
    large.write_sites()
    one_by_one = large.run("plan")
    assert _reads(fakepve) >= _OTHERS
    assert one_by_one.out == at_once.out


def test_files_that_tell_otherwise_than_the_api_are_not_used(
    large: Desk, fakepve: FakePve, node: SshServer
) -> None:
    for path in (node.folder / "nodes").glob("*/qemu-server/1*.conf"):
        path.write_text(path.read_text().replace("203.0.113.10/24", "203.0.113.77/24"))
    answer = large.run("plan")
    assert "203.0.113.11" in answer.out
    assert "disagree with the API about VM 1" in answer.err
    assert _reads(fakepve) >= _OTHERS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ssh_known_hosts": "wrong_hosts"}, "Host key verification failed"),
        ({"ssh_private_key": "other"}, "Permission denied"),
    ],
)
def test_a_node_that_is_not_known_and_a_key_that_may_nothing_cost_time_and_no_plan(
    large: Desk, node: SshServer, change: dict[str, str], said: str
) -> None:
    changed = {key: str(node.folder / value) for key, value in change.items()}
    large.sites["paris"]["bulk_reading"] = _setting(node, **changed)
    large.write_sites()
    answer = large.run("plan")
    assert answer.code == 0 and "203.0.113.11" in answer.out
    assert said in answer.err
    doctor = large.run("doctor")
    assert said in doctor.out and "docs/bulk-reading.md" in doctor.out


def test_the_second_address_serves_while_the_first_is_off(
    large: Desk, fakepve: FakePve, node: SshServer
) -> None:
    large.sites["paris"]["bulk_reading"] = _setting(node, addresses=["127.0.0.1:1", node.address])
    large.write_sites()
    answer = large.run("plan")
    assert answer.err == "" and _reads(fakepve) <= SAMPLE + 1  # and the template
    doctor = large.run("doctor").out
    assert f"bulk reading {node.address}" in doctor and "bulk reading 127.0.0.1:1" in doctor


@pytest.mark.parametrize(
    "spoilt",
    [
        "cat {folder}/nodes/*/qemu-server/*.conf",
        "perl -T {folder}/read.pl {folder}/nodes | head -c 5000",
        "echo Welcome; perl -T {folder}/read.pl {folder}/nodes",
        "yes",
    ],
)
def test_what_is_not_whole_is_not_used(large: Desk, fakepve: FakePve, node: SshServer, spoilt: str) -> None:
    public = (node.folder / "user.pub").read_text()
    node.authorize(authorized_key(public, spoilt.format(folder=node.folder)))
    answer = large.run("plan")
    assert answer.code == 0 and "203.0.113.11" in answer.out
    assert "the nodes' files are not used" in answer.err
    assert _reads(fakepve) >= _OTHERS


def test_the_key_opens_nothing_else(node: SshServer) -> None:
    """No command, no shell, no file transfer, no forwarding: the program's output is all that there is."""
    asked = ["ssh", "-F", "/dev/null", "-o", f"UserKnownHostsFile={node.folder}/known_hosts", "-o", "BatchMode=yes",
             "-i", str(node.folder / "user"), "-p", str(node.port), "127.0.0.1"]  # fmt: skip
    said = subprocess.run([*asked, "id; cat /etc/passwd"], capture_output=True, check=False)
    assert said.stdout == b"configurations 1\nend 0\n"
    tunnel = subprocess.run([*asked[:3], "-W", "127.0.0.1:22", *asked[3:]], capture_output=True, check=False)
    assert tunnel.returncode != 0 and b"prohibited" in tunnel.stderr


def test_passwords_do_not_leave_the_node(fakepve: FakePve, tmp_path: Path) -> None:
    fakepve.add_vms(1, first=1000, config={"cipassword": "$5$secret"})
    told = _printed(fakepve, tmp_path)
    assert b"secret" not in told
    read = parse_stream(told)["pve1", 1000]
    assert read.config.current["cipassword"] == "**********"
    assert read.config.digest == read_vm(fakepve.cluster(), "pve1", 1000).digest


def _printed(fakepve: FakePve, folder: Path) -> bytes:
    fakepve.control("write_files", folder=str(folder))
    script = folder / "read.pl"
    script.write_text(program())
    return subprocess.run(["perl", "-T", script, folder], capture_output=True, check=True).stdout


def test_the_files_tell_what_the_api_tells(desk: Desk, fakepve: FakePve, tmp_path: Path) -> None:
    """Notes in any alphabet, what waits for a restart, what will be gone then, snapshots in their order."""
    desk.write(subscription("dupont", [machine("web-1"), machine("db-1")]))
    assert desk.apply().code == 0
    vmids = [entry["vmid"] for entry in desk.machines().values()]
    notes = "100 % : déjà — vu\n\n  #1 [x]"
    fakepve.control("set_config", vmid=vmids[0], description=notes)
    fakepve.control("set_vm", vmid=vmids[0], pending={"memory": "4096", "serial0": None})
    for number, name in enumerate(("one", "two")):
        fakepve.add_snapshot(
            vmids[0], name, snaptime=1_700_000_000 + number, description="avant la mise à jour"
        )
    folder = tmp_path / "files"
    folder.mkdir()
    read = parse_stream(_printed(fakepve, folder))
    cluster = fakepve.cluster()
    for vmid in vmids:
        assert read["pve1", vmid].config == read_vm(cluster, "pve1", vmid)
        assert read["pve1", vmid].snapshots == read_snapshots(cluster, "pve1", vmid)


@pytest.mark.parametrize(
    "line",
    [
        "onboot: yes",
        "cores: 02",
        'name: "quoted"',
        "cores: 2\ncores: 4",
        "cdrom: none",
        "garbage",
        "name: caf\xe9",
        "delete: net0",
        "[odd section]",
        "[pending]",
        "#%FF",
        "onboot: 7",
        "sockets: many",
        "frobnicate: 1",
        "digest: abc",
        "net01: virtio=BC:24:11:44:91:79,bridge=vmbr0",
        "net32: virtio=BC:24:11:44:91:79,bridge=vmbr0",
        "scsi0: garbage in a disk,size=1X",
        "args: -name snapstate: delete",
        "hookscript: local:snippets/snapstate: prepare",
        "[one]\nsnapstate: else",
        "[one]\nsnapstate: deletesnapstate:prepare",
        "tags: a\rb",
        "[special:cloudinit]\n[PENDING] \ncores: 2",
        "[one]\nparent: ../two",
    ],
)
def test_what_proxmox_does_not_write_is_left_to_the_api(line: str) -> None:
    sound = b"agent: 1\nmemory: 512\n"
    assert parse_configuration_file("pve1", 100, "0" * 40, sound) is not None
    assert parse_configuration_file("pve1", 100, "0" * 40, sound + line.encode("latin-1") + b"\n") is None


def test_notes_end_where_proxmox_lets_them_end() -> None:
    read = parse_configuration_file("pve1", 100, "0" * 40, b"#one%1F\n#two%1C\n#%C2%A0\n")
    assert read is not None and read.config.current["description"] == "one\x1f\ntwo\x1c"


@pytest.mark.parametrize("quorate", [0, 1])
def test_a_node_without_the_cluster_tells_nothing(large: Desk, node: SshServer, quorate: int) -> None:
    """Its files are old, and five machines may happen not to have changed since."""
    cluster = f'"cluster": {{ "name": "paris", "version": 3, "nodes": 3, "quorate": {quorate} }}'
    (node.folder / ".members").write_text(f'{{\n"nodename": "pve1",\n"version": 4,\n{cluster}\n}}\n')
    answer = large.run("plan")
    assert answer.code == 0
    assert ("this node has lost the cluster" in answer.err) == (quorate == 0)


def test_files_that_the_api_confirms_none_of_are_not_used(large: Desk, fakepve: FakePve) -> None:
    fakepve.control(
        "fault", method="GET", path="/nodes/pve1/qemu/1\\d\\d\\d/pending", kind="error", status=403, times=9
    )
    assert "the API confirms none" in large.run("plan").err


def test_the_lines_for_the_node_make_the_program_and_the_key(desk: Desk, node: SshServer) -> None:
    answer = desk.run("bootstrap", "paris", "--bulk-reading", str(node.folder / "user.pub"))
    assert answer.code == 0
    public = (node.folder / "user.pub").read_text()
    assert "\n".join(node_lines("orchestrator", public)) in answer.out
    heredoc = next(line for line in node_lines("orchestrator", public) if line.startswith("cat >"))
    shell = answer.out[answer.out.index(heredoc) :].replace(
        heredoc.split("> ")[1].split()[0], str(node.folder / "made")
    )
    end = shell.index("\nEND-OF-PROGRAM\n") + len("\nEND-OF-PROGRAM\n")
    subprocess.run(["sh", "-c", shell[:end]], check=True)
    assert (node.folder / "made").read_text() == program()
    assert desk.run("bootstrap", "paris", "--bulk-reading", str(node.folder / "user")).code == 1
