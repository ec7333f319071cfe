"""Keys in running machines: what comes, what goes, what is nobody's business, and that the last way in stays."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from orchestrator.guests import Guest, LoginRefused, PartOutcome, SshSettings, source_address_seen
from orchestrator.guests.keys import fingerprint, foreign_keys, outcome
from orchestrator.guests.playbooks import TaskResult, run_playbook
from orchestrator.shipped_files import playbook_folder
from tests.lab.namespace_guest import (
    ADMIN_ID,
    GUEST,
    NamespaceGuest,
    eventually,
    make_key,
    namespace_guest,
    policy,
    unique_name,
)
from tests.lab.odd_guests import fast_clock, slow_login

PROGRAM = "/usr/local/sbin/orchestrator-keys"
SOURCE = playbook_folder() / "roles/ssh_keys/files/orchestrator-keys"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamespaceGuest]:
    folder = tmp_path_factory.mktemp("guest")
    for name in ("alice", "bob", "carol"):
        make_key(folder / name)
    with namespace_guest(folder, unique_name()) as guest:
        yield guest


@pytest.fixture
def guest(running: NamespaceGuest) -> NamespaceGuest:
    """The guest where admin may log in with the provider's key and Bob's, and no change was ever made."""
    shutil.rmtree(running.folder / "etc/orchestrator", ignore_errors=True)
    shutil.rmtree(home(running) / ".ssh")
    (home(running) / ".ssh").mkdir(mode=0o700)
    os.chown(home(running) / ".ssh", ADMIN_ID, ADMIN_ID)
    write(running, key(running, "user_key") + "\n" + key(running, "bob") + "\n")
    return running


def home(guest: NamespaceGuest) -> Path:
    return guest.folder / "homes/admin"


def file(guest: NamespaceGuest) -> Path:
    return home(guest) / ".ssh/authorized_keys"


def state(guest: NamespaceGuest) -> tuple[int, int, str]:
    """Which file it is, when it was written last, and what stands in it."""
    known = file(guest).stat()
    return known.st_ino, known.st_mtime_ns, file(guest).read_text()


def write(guest: NamespaceGuest, text: str, mode: int = 0o600) -> None:
    file(guest).write_text(text)
    file(guest).chmod(mode)
    os.chown(file(guest), ADMIN_ID, ADMIN_ID)


def key(guest: NamespaceGuest, name: str) -> str:
    """The public key that a test gives a name."""
    kind, blob = (guest.folder / f"{name}.pub").read_text().split()[:2]
    return f"{kind} {blob} {name}@example"


def target(
    guest: NamespaceGuest, *wanted: str, former: tuple[str, ...] = (), host_key: str | None = None
) -> Guest:
    """The guest whose keys are to be the provider's and those of some names, and of others no longer."""
    return replace(
        guest.target(policy(), host_key=host_key),
        user="admin",
        keys=tuple(key(guest, name) for name in ("user_key", *wanted)),
        former_keys=tuple(fingerprint(key(guest, name)) for name in former),
    )


def bring(
    wanted: Guest, ssh: SshSettings, *, check: bool = False
) -> tuple[PartOutcome, Mapping[str, TaskResult]]:
    """Run the playbook; what became of the keys, and what its tasks said."""
    run = run_playbook("keys.yml", [wanted], ssh, check=check)
    results = {r.task: r for r in run.results if r.kind not in ("start", "skipped")}
    fared = outcome(wanted, results)
    assert fared is not None, run.output
    return fared, results


def apply(
    guest: NamespaceGuest, *wanted: str, former: tuple[str, ...] = (), seconds: int = 60
) -> subprocess.CompletedProcess[str]:
    """Run the program in the guest as the playbook does, and confirm nothing."""
    with TemporaryDirectory(dir=guest.folder) as folder:  # another run may be starting the one that is there
        shutil.copy(SOURCE, folder)
        Path(folder, SOURCE.name).replace(guest.folder / "sbin" / SOURCE.name)
    return guest.inside(
        PROGRAM, "apply", "admin", str(seconds), text=sent(target(guest, *wanted, former=former)), check=False
    )


def sent(wanted: Guest) -> str:
    return "\n".join((*wanted.keys, *wanted.former_keys)) + "\n"


def may_log_in(guest: NamespaceGuest, name: str) -> bool:
    try:
        source_address_seen(target(guest), replace(guest.ssh(), private_key=guest.folder / name))
    except LoginRefused:
        return False
    return True


def line(sign: str, guest: NamespaceGuest, name: str) -> str:
    kind, _, comment = key(guest, name).split()
    return f"{sign} {kind} {fingerprint(key(guest, name))} {comment}"


def test_keys_come_and_go_and_all_other_lines_stay_as_they_are(guest: NamespaceGuest) -> None:
    provider, carol, bob = (key(guest, name) for name in ("user_key", "carol", "bob"))
    kind, blob = provider.split()[:2]
    kept = (
        "# our keys\r\n\n"
        f'no-pty,environment="A=a \\"b\\" c" {kind}  {blob}\tmy own words\n'
        f"  # {bob}\n"
        "ecdsa-sha2-nistp256 damaged line\n"
        f'command="echo {bob}" {carol}\n'
    )
    write(guest, kept + f'from="*",command="say \\"hi\\"" {bob}\n' + "# the end", mode=0o640)
    wanted = target(guest, "alice", former=("bob",))

    fared, results = bring(wanted, guest.ssh())
    assert (fared.status, fared.message) == ("changed", "")
    assert foreign_keys(results) == (line("?", guest, "carol"),)
    assert file(guest).read_bytes().decode() == kept + "# the end\n" + key(guest, "alice") + "\n"
    known, before = file(guest).stat(), state(guest)
    assert (known.st_mode & 0o777, known.st_uid, known.st_gid) == (0o640, ADMIN_ID, ADMIN_ID)
    assert [path.name for path in file(guest).parent.iterdir()] == ["authorized_keys"]
    assert (may_log_in(guest, "alice"), may_log_in(guest, "bob")) == (True, False)

    again, results = bring(wanted, guest.ssh())
    assert again.status == "unchanged"
    assert foreign_keys(results) == (line("?", guest, "carol"),)
    assert list(results) == ["Bring the SSH keys to what is wanted"]
    assert state(guest) == before


def test_keys_that_are_only_added_need_no_confirmation(guest: NamespaceGuest) -> None:
    before = file(guest).read_text()
    fared, results = bring(target(guest, "alice"), guest.ssh())
    assert (fared.status, list(results)) == ("changed", ["Bring the SSH keys to what is wanted"])
    assert file(guest).read_text() == before + key(guest, "alice") + "\n"


def test_check_mode_says_what_would_change_and_changes_nothing(guest: NamespaceGuest) -> None:
    before = state(guest)
    (guest.folder / "sbin/orchestrator-keys").unlink(missing_ok=True)
    fared, _ = bring(target(guest, "alice", former=("bob",)), guest.ssh(), check=True)
    assert fared.status == "changed"
    assert fared.differences == (line("-", guest, "alice"), line("+", guest, "bob"))
    same, results = bring(target(guest), guest.ssh(), check=True)
    assert (same.status, same.differences) == ("unchanged", ())
    assert foreign_keys(results) == (line("?", guest, "bob"),)
    assert state(guest) == before
    assert not (guest.folder / "sbin/orchestrator-keys").exists()
    assert not (guest.folder / "etc/orchestrator").exists()


def test_a_machine_without_wanted_keys_is_left_alone(guest: NamespaceGuest) -> None:
    before = state(guest)
    alone = replace(target(guest, former=("bob",)), keys=())
    fared, results = bring(alone, guest.ssh())
    assert (fared.status, results) == ("unchanged", {})
    assert state(guest) == before


def test_the_providers_own_key_is_never_removed(guest: NamespaceGuest) -> None:
    before = file(guest).read_text()
    fared, _ = bring(target(guest, former=("bob", "user_key")), guest.ssh())
    assert fared.status == "failed"
    assert "the provider's own key" in fared.message
    assert "nothing was changed; correct management.ssh_public_key" in fared.message
    assert file(guest).read_text() == before


def test_a_guest_that_lets_no_new_connection_in_goes_back_and_says_so(guest: NamespaceGuest) -> None:
    """The key that we log in with is one of those that go: the connection that is there goes on, no new one comes."""
    before = file(guest).read_text()
    ssh = replace(guest.ssh(rollback_seconds=8), private_key=guest.folder / "bob")
    fared, _ = bring(target(guest, "alice", former=("bob",)), ssh)
    assert fared.status == "rolled-back"
    assert (
        "dupont/web-1: after the former SSH keys were removed no new SSH connection was let in"
        in fared.message
    )
    assert "the guest went back to its previous keys by itself" in fared.message
    assert file(guest).read_text() == before
    assert "confirmation within 8 s" in guest.inside(PROGRAM, "status").stdout


def test_a_guest_whose_clock_runs_too_fast_is_told_from_one_that_lets_nobody_in(
    guest: NamespaceGuest,
) -> None:
    before = file(guest).read_text()
    with fast_clock(guest, 20), slow_login(guest, "admin", "/etc/orchestrator/keys/pending"):
        fared, _ = bring(target(guest, former=("bob",)), guest.ssh(rollback_seconds=60))
    assert fared.status == "rolled-back", fared.message
    found = re.search(r"the guest's clock runs ([0-9.]+) times too fast", fared.message)
    assert found is not None, fared.message
    assert 5 < float(found[1]) < 30
    assert "management.ssh_public_key" not in fared.message
    assert file(guest).read_text() == before


def test_another_host_key_is_refused(guest: NamespaceGuest) -> None:
    before = state(guest)
    stranger = target(guest, "alice", host_key=key(guest, "carol"))
    fared, _ = bring(stranger, guest.ssh())
    assert fared.status == "unreachable"
    assert "its SSH host key is not the one that the hypervisor told of, so nothing was sent" in fared.message
    assert state(guest) == before


def test_the_way_back_outlives_the_session_that_armed_it(guest: NamespaceGuest) -> None:
    """sshd takes no file of a folder that others may write to (StrictModes): here somebody changes that meanwhile."""
    before = file(guest).read_text()
    shutil.copy(SOURCE, guest.folder / "sbin")
    unverified = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    login = ["ssh", "-F", "/dev/null", "-i", str(guest.folder / "user_key"), *unverified, f"admin@{GUEST}"]
    session = subprocess.Popen(
        [
            "nsenter",
            f"--net=/run/netns/{guest.outside}",
            "--",
            *login,
            f"sudo {PROGRAM} apply admin 3; sleep 60",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert session.stdin is not None
    assert session.stdout is not None
    session.stdin.write(sent(target(guest, former=("bob",))))
    session.stdin.close()
    assert session.stdout.readline().startswith("replaced ")
    session.send_signal(signal.SIGKILL)
    session.wait()
    session.stdout.close()
    file(guest).parent.chmod(0o777)
    assert not may_log_in(guest, "user_key")
    eventually(lambda: file(guest).read_text() == before, "the previous file is back")
    file(guest).parent.chmod(0o700)
    assert may_log_in(guest, "bob")


def test_a_replacement_whose_watch_was_killed_is_settled_by_the_next_run(guest: NamespaceGuest) -> None:
    before = file(guest).read_text()
    assert apply(guest, former=("bob",)).stdout.startswith("replaced ")
    assert file(guest).read_text() != before
    guest.inside("sh", "-c", "read -r _ pid </run/orchestrator-keys/watching; kill -9 $pid")
    fared, _ = bring(target(guest, "bob"), guest.ssh())
    assert fared.status == "unchanged"
    assert file(guest).read_text() == before


def test_a_restart_before_the_confirmation_comes_up_with_the_old_keys(guest: NamespaceGuest) -> None:
    before = file(guest).read_text()
    apply(guest, former=("bob",))
    guest.stop()
    guest.start()
    units = guest.folder / "etc/systemd/system"
    unit = units / "orchestrator-keys.service"
    assert (units / "multi-user.target.wants" / unit.name).resolve() == unit
    # What systemd does with the unit, as far as one service needs it.
    guest.inside("test", "-e", re.findall("^ConditionPathExists=(.*)$", unit.read_text(), re.MULTILINE)[0])
    guest.inside(*shlex.split(re.findall("^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)[0]))
    assert file(guest).read_text() == before


def test_systemd_accepts_the_unit(guest: NamespaceGuest) -> None:
    apply(guest, former=("bob",))
    guest.inside(PROGRAM, "rollback")
    unit = guest.folder / "orchestrator-keys.service"
    written = (guest.folder / "etc/systemd/system" / unit.name).read_text()
    unit.write_text(written.replace(PROGRAM, "/bin/true"))  # the host has no such program
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stderr) == (0, "")


def test_of_two_runs_at_once_one_replaces_the_keys(guest: NamespaceGuest) -> None:
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda name: apply(guest, name, former=("bob",)), ("alice", "carol")))
    assert sorted(run.returncode for run in runs) == [0, 1]
    assert "another run replaced wait for their confirmation" in "".join(run.stderr for run in runs)
    token = "".join(run.stdout for run in runs).split()[1]
    assert guest.inside(PROGRAM, "confirm", "0123456789abcdef", check=False).returncode == 1
    assert guest.inside(PROGRAM, "confirm", token).stdout == "confirmed\n"
    late = guest.inside(PROGRAM, "confirm", token, check=False)
    assert late.stderr == f"too late: confirmed {token}\n"


@pytest.mark.parametrize("linked", ["nothing", "file", "folder"])
def test_a_link_stays_a_link_and_what_is_missing_is_made(guest: NamespaceGuest, linked: str) -> None:
    folder = file(guest).parent
    content = file(guest).read_text()
    file(guest).unlink()
    if linked == "nothing":
        folder.rmdir()
        content = key(guest, "user_key") + "\n"
    elif linked == "file":
        (home(guest) / "elsewhere").write_text(content)
        file(guest).symlink_to("../elsewhere")
    else:
        folder.rename(home(guest) / "elsewhere")
        folder.symlink_to("/run/homes/admin/elsewhere")
        (home(guest) / "elsewhere/authorized_keys").write_text(content)
    said = apply(guest, "alice")
    assert (said.returncode, said.stdout.splitlines()[0]) == (0, "written"), said.stderr
    real = guest.inside("readlink", "-f", "/run/homes/admin/.ssh/authorized_keys").stdout.strip()
    assert guest.inside("cat", real).stdout == content + key(guest, "alice") + "\n"
    assert ("elsewhere" in real) == (linked != "nothing")
    if linked == "nothing":
        modes = [(path.stat().st_mode & 0o777, path.stat().st_uid) for path in (folder, file(guest))]
        assert modes == [(0o700, ADMIN_ID), (0o600, ADMIN_ID)]
        assert may_log_in(guest, "alice")
    shutil.rmtree(home(guest) / "elsewhere", ignore_errors=True)
    (home(guest) / "elsewhere").unlink(missing_ok=True)
    if folder.is_symlink():
        folder.unlink()
        folder.mkdir()


@pytest.mark.parametrize(
    ("user", "text", "reason"),
    [
        ("nobody-there", None, "there is no user nobody-there in this machine"),
        ("admin", "", "no keys were sent: nothing was changed"),
        ("admin", "ssh-ed25519 AAAAnonsense", "line 1 of what was sent is not an SSH public key"),
        ("admin", "SHA256:x", "no key was sent that is to let the provider in"),
    ],
)
def test_what_makes_no_sense_changes_nothing(
    guest: NamespaceGuest, user: str, text: str | None, reason: str
) -> None:
    before = state(guest)
    shutil.copy(SOURCE, guest.folder / "sbin")
    given = sent(target(guest, "alice")) if text is None else text
    said = guest.inside(PROGRAM, "apply", user, "3", text=given, check=False)
    assert said.returncode == 1
    assert reason in said.stderr
    assert state(guest) == before
