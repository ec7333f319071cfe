"""Shells complete clients, machines, snapshots and archives as they were seen last, without a call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve


class Bash:
    """A shell with the completion script."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def offers(self, *words: str) -> list[str]:
        """What bash is offered for the last of these words, which it parted at colons."""
        script = (
            'eval "$(orchestrator completion bash)"; COMP_WORDS=(orchestrator "$@"); COMP_CWORD=$#; '
            '_orchestrator_completion orchestrator; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(
            ["bash", "-c", script, "bash", *words],
            env={
                **os.environ,
                **self.environment(),
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            },
            cwd=self._desk.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == "", done
        return done.stdout.split()

    def environment(self) -> dict[str, str]:
        """Where the names are kept."""
        return {"XDG_CACHE_HOME": str(self._desk.folder / "cache")}


@pytest.fixture
def bash(desk: Desk) -> Bash:
    desk.write(
        subscription("dupont", [machine("web-1"), machine("db-1")]),
        subscription("martin", [machine("mail-1")]),
    )
    return Bash(desk)


def test_what_was_seen_last_is_completed_without_a_call(desk: Desk, fakepve: FakePve, bash: Bash) -> None:
    assert bash.offers("show", "") == []
    assert desk.apply().code == 0
    desk.put_in_service()
    assert desk.run("plan").code == 0
    fakepve.control("reset_calls")
    assert bash.offers("show", "dup") == ["dupont/db-1", "dupont/web-1"]
    assert bash.offers("plan", "--only", "mar") == ["martin/mail-1"]
    assert bash.offers("report", "") == ["dupont", "martin"]
    assert bash.offers("snapshot", "create", "dupont/w") == ["dupont/web-1"]
    assert bash.offers("new", "") == [], "a new client is none of those"
    assert fakepve.calls(locks=True) == {}
    kept = desk.folder / "cache" / "orchestrator" / "names.json"
    assert kept.stat().st_mode & 0o777 == 0o600 and kept.parent.stat().st_mode & 0o777 == 0o700


def test_snapshots_and_archives_are_completed_once_they_were_listed(
    desk: Desk, fakepve: FakePve, bash: Bash
) -> None:
    site = desk.sites["paris"]
    fakepve.add_storage("backup-lyon", type="nfs", shared=True)
    site["backup_storages"] = [{"name": "backup-lyon", "site": "lyon"}]
    desk.write_sites()
    desk.write(subscription("dupont", [machine("web-1", backup={"retention_days": 7}), machine("db-1")]))
    assert desk.apply().code == 0
    desk.put_in_service()
    assert desk.run("snapshot", "create", "dupont/web-1", "before-move").code == 0
    assert desk.run("snapshot", "list", "dupont/web-1").code == 0
    assert bash.offers("snapshot", "rollback", "dupont/web-1", "") == ["before-move"]
    assert bash.offers("snapshot", "rollback", "dupont/db-1", "") == []
    assert bash.offers("snapshot", "create", "dupont/web-1", "") == [], "a new one has a new name"
    made = desk.run("backup", "now", "dupont/web-1")
    assert made.code == 0 and desk.run("backup", "list").code == 0, made
    (volume,) = bash.offers("backup", "verify", "dupont/web-1", "--archive", "")
    assert volume in made.out
    storage, _, rest = volume.partition(":")
    parted = ("--archive", storage, ":")
    assert bash.offers("backup", "verify", "dupont/web-1", *parted) == [rest]
    assert bash.offers("backup", "verify", "dupont/web-1", *parted, "backup/") == [rest]
    assert desk.run("snapshot", "delete", "dupont/web-1", "before-move", "--yes").code == 0
    assert desk.run("snapshot", "list", "dupont/web-1").code == 0
    assert bash.offers("snapshot", "rollback", "dupont/web-1", "") == []


def test_a_night_keeps_the_names_and_what_is_gone_is_forgotten(desk: Desk, bash: Bash) -> None:
    assert desk.apply().code == 0
    desk.put_in_service()
    desk.run("nightly", "--in-working-hours")
    assert bash.offers("show", "martin/") == ["martin/mail-1"]
    cluster = desk.fakes["paris"].cluster()
    vm = next(vm for vm in desk.fakes["paris"].dump()["vms"].values() if vm["pool"] == "client-martin")
    path = f"/nodes/{vm['node']}/qemu/{vm['vmid']}"
    cluster.put(f"{path}/config", protection=0)
    cluster.run_task("POST", f"{path}/status/stop")
    cluster.run_task("DELETE", path)
    desk.run("show", "dupont")
    assert bash.offers("show", "") == ["dupont/db-1", "dupont/web-1"]


def test_a_cache_that_cannot_be_written_changes_nothing(desk: Desk, bash: Bash) -> None:
    (desk.folder / "cache").write_text("a file\n")
    answer = desk.run("plan")
    assert answer.code == 0 and answer.err == ""
    assert bash.offers("show", "") == []


def test_completing_a_machine_loads_little(desk: Desk, bash: Bash) -> None:
    assert desk.apply().code == 0
    desk.run("plan")
    code = (
        "import sys\nfrom orchestrator.__main__ import main\nsys.argv = ['orchestrator']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nprint(*sys.modules)\n"
    )
    words = {"COMP_WORDS": "orchestrator\nplan\n--only\ndupont/w", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **bash.environment(), **words, "_ORCHESTRATOR_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[0] == "dupont/web-1"
    modules = set(done.stdout.split())
    assert not {"yaml", "ssl", "rich.console", "sqlalchemy", "orchestrator.proxmox"} & modules
    assert len([name for name in modules if name.startswith("orchestrator.")]) <= 30
    assert json.loads((desk.folder / "cache" / "orchestrator" / "names.json").read_text())["version"] == 1
