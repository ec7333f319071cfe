"""``orchestrator init``: an inventory that passes doctor, from options, from a person, from what the cluster has."""

from __future__ import annotations

import codecs
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.proxmox.presented import presented
from orchestrator.sites import load_provider
from tests.api.desk import Answer, Desk
from tests.api.fakepve_handle import FakePve

_NETWORK = (
    *("--subnet", "203.0.113.0/24", "--gateway", "203.0.113.1"),
    *("--range", "203.0.113.10-203.0.113.200"),
)


@pytest.fixture
def beginner(desk: Desk, fakepve: FakePve) -> Desk:
    """Somebody with a cluster in order and a key, and without files."""
    fakepve.control(
        "set_config", vmid=9000, scsi1="local:9000/vm-9000-cloudinit.qcow2,media=cdrom", agent="enabled=1"
    )
    fakepve.add_storage("backup-lyon", type="nfs", shared=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", desk.folder / "key"], check=True)
    return desk


def init(beginner: Desk, fakepve: FakePve, *arguments: str) -> Answer:
    return beginner.run(
        *("init", "--site", f"paris={fakepve.url}", "--ssh-key", "key"),
        *("--token-secret", "file:paris.token", *arguments),
    )


def site_file(beginner: Desk, folder: str = "mine") -> Path:
    return beginner.folder / "inventories" / folder / "sites.yaml"


def doctor(beginner: Desk) -> Answer:
    return beginner.run("doctor", "-i", "inventories/mine", "--no-guests")


def test_the_inventory_passes_doctor_and_holds_no_secret(beginner: Desk, fakepve: FakePve) -> None:
    fakepve.control("reset_calls")
    answer = init(
        beginner,
        fakepve,
        "--ca-file",
        str(fakepve.ca_file),
        "--backup-storage",
        "backup-lyon@lyon",
        *_NETWORK,
    )
    assert answer.code == 0, answer
    assert set(fakepve.calls()) == set(fakepve.calls("GET")), "nothing was changed"
    assert fakepve.token_secret not in site_file(beginner).read_text() + answer.out
    examined = doctor(beginner)
    assert examined.code == 0 and "0 errors, 0 warnings" in examined.out, examined
    site = load_provider(site_file(beginner)).sites["paris"]
    assert (site.storage, site.disk_format, list(site.images)) == ("local", "qcow2", ["debian-12"])
    assert "bootstrap" not in answer.out, "the token works already"
    assert re.search(r"orchestrator doctor .*\n.*orchestrator new CLIENT", answer.out)
    made = beginner.run("new", "martin", "-i", "mine")
    assert made.code == 0 and beginner.run("validate", "-i", "mine").code == 0


@pytest.mark.parametrize("told", [True, False])
def test_a_fingerprint_that_was_compared_is_trusted(beginner: Desk, fakepve: FakePve, told: bool) -> None:
    if not told:
        fakepve.control("authority", pem="")
    shown = presented(fakepve.url, timeout_seconds=30).fingerprint.lower().replace(":", "")
    answer = init(
        beginner, fakepve, "--fingerprint", shown, "--backup-storage", "backup-lyon@lyon", *_NETWORK
    )
    assert answer.code == 0, answer
    kept = site_file(beginner).with_name("paris-ca.pem" if told else "paris-certificate.pem")
    assert (kept.read_text() == fakepve.ca_file.read_text()) is told
    assert doctor(beginner).code == 0


def test_a_ca_that_did_not_sign_the_certificate_is_not_kept(beginner: Desk, fakepve: FakePve) -> None:
    with FakePve(site="lyon") as other:
        fakepve.control("authority", pem=other.ca_file.read_text())
    shown = presented(fakepve.url, timeout_seconds=30)
    assert init(beginner, fakepve, "--fingerprint", shown.fingerprint, *_NETWORK).code == 0
    files = sorted(path.name for path in site_file(beginner).parent.iterdir())
    assert files == ["paris-certificate.pem", "sites.yaml"]
    assert site_file(beginner).with_name("paris-certificate.pem").read_text() == shown.pem


@pytest.mark.parametrize("wrong", [(), ("--fingerprint", "AB:" * 31 + "CD")])
def test_a_certificate_that_nobody_vouches_for_gets_no_token(
    beginner: Desk, fakepve: FakePve, wrong: tuple[str, ...]
) -> None:
    fakepve.control("reset_calls")
    answer = init(beginner, fakepve, *wrong, *_NETWORK)
    assert answer.code == 1 and presented(fakepve.url, timeout_seconds=30).fingerprint in answer.err, answer
    assert ("nothing was sent" if wrong else "`pvenode cert info`") in answer.err
    assert fakepve.calls() == {} and not site_file(beginner).parent.exists()


def test_an_administrators_token_looks_before_the_own_one_is_made(beginner: Desk, fakepve: FakePve) -> None:
    secret = fakepve.control("administrator")
    answer = beginner.run(
        *("init", "--site", f"paris={fakepve.url}", "--ssh-key", "key", "--ca-file", str(fakepve.ca_file)),
        *("--admin", "root@pam!setup", *_NETWORK),
        environment={"ORCHESTRATOR_ADMIN_SECRET": secret},
    )
    text = site_file(beginner).read_text()
    assert answer.code == 0 and "storage: local\n" in text, answer
    assert secret not in text + answer.out and "root@pam" not in text
    assert "token_secret: { env: PVE_PARIS_TOKEN }" in text
    assert "orchestrator bootstrap paris --inventory mine" in answer.out
    assert "export PVE_PARIS_TOKEN=" in answer.out


def test_what_the_cluster_has_is_proposed(beginner: Desk, fakepve: FakePve) -> None:
    fakepve.add_storage("fast", type="zfspool", content="images", shared=True)
    fakepve.control("bridge_address", name="vmbr0", cidr="198.51.100.2/24", gateway="198.51.100.1")
    fakepve.control("add_template", vmid=9001, name="Debian.13")
    fakepve.control("add_template", vmid=9002, name="raw-import")
    fakepve.control(
        "set_config", vmid=9001, scsi1="local:9001/vm-9001-cloudinit.qcow2,media=cdrom", agent="enabled=1"
    )
    answer = init(
        beginner, fakepve, "--ca-file", str(fakepve.ca_file), "--range", "198.51.100.10-198.51.100.20"
    )
    assert answer.code == 0, answer
    site = load_provider(site_file(beginner)).sites["paris"]
    assert (site.storage, site.disk_format) == ("fast", None)
    assert str(site.networks[0].subnet) == "198.51.100.0/24"
    assert str(site.networks[0].gateway) == "198.51.100.1"
    assert {name: image.template for name, image in site.images.items()} == {
        "debian-12": "debian-12",
        "debian-13": "Debian.13",
    }
    text = site_file(beginner).read_text()
    assert "# or local" in text and "not fit for cloud-init yet: raw-import" in text
    assert "the cluster has backup-lyon" in text


def test_names_of_a_cluster_never_become_keys_of_the_file(beginner: Desk, fakepve: FakePve) -> None:
    evil = "vmbr1\n    api: { url: https://evil.example.net }"
    fakepve.control("set_bridges", node="pve1", names=["vmbr0", evil, "a # b"])
    answer = init(beginner, fakepve, "--ca-file", str(fakepve.ca_file), *_NETWORK)
    assert answer.code == 0 and "evil" not in site_file(beginner).read_text(), answer


def test_everything_without_an_answer_is_named_at_once(beginner: Desk, fakepve: FakePve) -> None:
    answer = init(beginner, fakepve, "--ca-file", str(fakepve.ca_file))
    assert answer.code == 1 and "--subnet 203.0.113.0/24" in answer.err and "--range 203" in answer.err
    assert not site_file(beginner).parent.exists()
    assert "no site: name at least one with --site" in beginner.run("init").err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--range", "10.0.0.1-10.0.0.9"), "--range: 10.0.0.1 is not in the subnet 203.0.113.0/24"),
        (("--bridge", "vmbr0\nx: 1"), "--bridge: "),
        (("--storage", "{ a: b }"), "--storage: letters, digits and . _ -"),
        (("--token-secret", "paris=hunter2-hunter2"), "--token-secret: say where the secret is"),
        (("--backup-storage", "paris=nas@paris"), "another data centre (article 3.5)"),
        (("--vlan", "5000"), "--vlan: a VLAN tag is a number from 1 to 4094"),
        (("--images", "Debian"), "--images: lower-case letters"),
        (("--ssh-key", "nowhere"), "nowhere does not exist: make it with `ssh-keygen"),
        (("--management-address", "here"), "--management-address: "),
        (("--ca-file", "nowhere.pem"), "nowhere.pem is not a file"),
        (("--site", "lyon=http://lyon"), "the address of the API is https://HOST:PORT"),
        (("--site", "Lyon=https://lyon"), "'Lyon' is not a name for a site"),
        (("--site", "lyon"), "--site lyon: write NAME=https://HOST:8006"),
    ],
)
def test_a_wrong_answer_is_refused_and_nothing_is_written(
    beginner: Desk, fakepve: FakePve, arguments: tuple[str, ...], told: str
) -> None:
    ours = list(_NETWORK) if arguments[0] != "--range" else list(_NETWORK[:-2])
    command = ["init", "--site", f"paris={fakepve.url}", "--no-look", *ours, *arguments]
    answer = beginner.run(*command, *([] if "--ssh-key" in arguments else ["--ssh-key", "key"]))
    assert answer.code == 1 and told in answer.err, answer
    assert "hunter2" not in answer.err + answer.out
    assert not site_file(beginner).parent.exists()


def test_what_lacks_an_answer_and_what_cannot_be_used_are_named_in_one_round(beginner: Desk) -> None:
    home = {"HOME": str(beginner.folder)}
    command = ("init", "--site", "paris=https://127.0.0.1:1", "--no-look")
    first = beginner.run(*command, environment=home)
    assert first.code == 1 and "--subnet " in first.err and "--range " in first.err, first
    key = beginner.folder / ".ssh" / "id_ed25519"
    assert f"--ssh-key: {key} does not exist: make it with `ssh-keygen -t ed25519 -f {key}`" in first.err
    only = beginner.run(*command, *_NETWORK, "--storage", "local-lvm", environment=home)
    assert only.code == 1 and "--ssh-key: " in only.err and "no default" not in only.err, only


def test_a_site_file_that_is_there_is_replaced_by_force_alone(beginner: Desk, fakepve: FakePve) -> None:
    ca = ("--ca-file", str(fakepve.ca_file))
    assert init(beginner, fakepve, *ca, *_NETWORK).code == 0
    before = site_file(beginner).read_text()
    again = init(beginner, fakepve, *ca, *_NETWORK, "--user", "ops")
    assert again.code == 1 and "pass --force to replace it" in again.err
    assert site_file(beginner).read_text() == before
    assert init(beginner, fakepve, *ca, *_NETWORK, "--user", "ops", "--force").code == 0
    assert "user: ops" in site_file(beginner).read_text()


def test_where_nothing_can_be_written_nothing_is_left(beginner: Desk, fakepve: FakePve) -> None:
    (beginner.folder / "inventories").write_text("a file\n")
    answer = init(beginner, fakepve, "--ca-file", str(fakepve.ca_file), *_NETWORK)
    assert answer.code == 1 and "inventories" in answer.err, answer
    assert (beginner.folder / "inventories").read_text() == "a file\n"


def test_a_cluster_that_does_not_answer_is_described_all_the_same(beginner: Desk) -> None:
    answer = beginner.run(
        *("init", "--site", "paris=https://127.0.0.1:1", "--ssh-key", "key", "--storage", "local-lvm"),
        *_NETWORK,
    )
    assert answer.code == 0 and "paris: not looked at: no connection" in answer.err, answer
    assert list(load_provider(site_file(beginner)).sites) == ["paris"]


class Terminal:
    """``orchestrator init`` on a terminal, with somebody who answers what is asked."""

    def __init__(self, desk: Desk, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "init", *arguments],
            cwd=desk.folder,
            env={**os.environ, "TERM": "dumb", "COLUMNS": "200"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.said = ""
        self._decode = codecs.getincrementaldecoder("utf-8")().decode  # a read may end within a character

    def until(self, text: str) -> None:
        """Read what is said, up to a text."""
        while text not in self.said:
            piece = os.read(self._ours, 65536)
            assert piece, self.said
            self.said += self._decode(piece)

    def answer(self, question: str, text: str) -> None:
        """Wait for a question, and answer it."""
        self.until(question)
        self.said = self.said.partition(question)[2]
        os.write(self._ours, text.encode() + b"\n")

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and the last words."""
        try:
            while piece := os.read(self._ours, 65536):
                self.said += self._decode(piece)
        except OSError:  # the other side is closed
            pass
        os.close(self._ours)
        return self.process.wait(), self.said


def test_a_person_is_asked_and_a_wrong_answer_is_asked_for_again(beginner: Desk, fakepve: FakePve) -> None:
    terminal = Terminal(beginner, "--token-secret", "file:paris.token", "--ssh-key", "key", "--user", "admin")
    terminal.answer("Name of a site", "Paris")
    terminal.answer("URL of its API", fakepve.url)
    terminal.answer("Name of a site", "paris")
    terminal.answer("URL of its API", fakepve.url)
    terminal.answer("Another site", "")
    terminal.answer("API token [orchestrator@pve!apply]", "")
    terminal.until(presented(fakepve.url, timeout_seconds=30).fingerprint)
    terminal.answer("Are they the same? [y/N]", "y")
    terminal.answer("Storage for the machines' disks [local]", "")
    terminal.answer("Bridge that machines are attached to [vmbr0]", "")
    terminal.answer("Subnet of the machines", "203.0.113.1/24")
    terminal.answer("Subnet of the machines", "203.0.113.0/24")
    terminal.answer("Its gateway", "203.0.113.1")
    terminal.answer("Addresses for machines", "")
    terminal.answer("Addresses for machines", "203.0.113.10-203.0.113.200")
    terminal.answer("Name servers", "")
    terminal.answer("STORAGE@SITE", "backup-lyon@lyon")
    terminal.answer("The data centre, as clients are told", "DC Paris 3, Saint-Denis")
    terminal.answer("[debian-12]", "")
    terminal.answer("Where you connect to machines from", "")
    code, said = terminal.end()
    assert code == 0 and "sites.yaml written" in said, said
    assert doctor(beginner).code == 0


def test_ctrl_c_leaves_nothing(beginner: Desk, fakepve: FakePve) -> None:
    terminal = Terminal(beginner, "--site", f"paris={fakepve.url}", "--no-look")
    terminal.until("API token")
    os.killpg(terminal.process.pid, signal.SIGINT)
    code, said = terminal.end()
    assert code != 0 and "written" not in said
    assert not (beginner.folder / "inventories").exists()
