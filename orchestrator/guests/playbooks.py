"""The one place that runs Ansible: a playbook over a set of machines, and what each task said on each.

ansible-runner is imported when something runs: it is slow to import, and most commands run nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.guests.inventory import InventoryHost, dynamic_inventory, host_name, write_known_hosts
from orchestrator.guests.places import playbook_folder
from orchestrator.guests.target import GuestTarget, SshSettings

MACHINES_AT_ONCE = 20
"""How many machines a playbook works on at the same time: each is a process of some 60 MB here."""


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """What one task said on one machine.

    Attributes:
        host: the machine's name in the inventory.
        task: the task's name in the playbook.
        kind: ``start``, ``ok``, ``failed``, ``unreachable`` or ``skipped``.
        result: the task's own answer (``stdout``, ``stderr``, ``rc``, ``msg``, ``changed``).
    """

    host: str
    task: str
    kind: str
    result: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PlaybookRun:
    """What a playbook said.

    Attributes:
        results: in the order in which they came.
        output: the end of what Ansible printed: the reason where it did not get as far as to a task.
    """

    results: tuple[TaskResult, ...]
    output: str

    def of(self, host: str) -> dict[str, TaskResult]:
        """The last result of each task on a machine by the task's name, without starts and skipped ones."""
        return {r.task: r for r in self.results if r.host == host and r.kind not in ("start", "skipped")}


_KINDS = {
    "runner_on_start": "start",
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
    "runner_on_skipped": "skipped",
}


def run_playbook(
    name: str,
    targets: Sequence[GuestTarget],
    ssh: SshSettings,
    *,
    check: bool = False,
    variables: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
    on_result: Callable[[TaskResult], None] | None = None,
    artifact_dir: Path | None = None,
) -> PlaybookRun:
    """Run a playbook of ours over all machines at once.

    Args:
        name: the file's name in ``playbooks/``.
        targets: the machines.
        ssh: how they are reached.
        check: only look what would change (Ansible's check mode).
        variables: more variables for some of the machines, by client and machine.
        on_result: called for each result as it comes.
        artifact_dir: keep what ansible-runner writes there (events, output). By default nothing is kept. The
            private key is never among it, only its path; nor is the environment.
    """
    import ansible_runner

    results: list[TaskResult] = []

    def note(event: dict[str, Any]) -> bool:
        data = event.get("event_data", {})
        if event["event"] in _KINDS and "host" in data:
            result = TaskResult(
                host=data["host"],
                task=data.get("task", ""),
                kind=_KINDS[event["event"]],
                result=data.get("res") or {},
            )
            results.append(result)
            if on_result:
                on_result(result)
        return artifact_dir is not None  # whether the event is written to a file

    with _private_folder() as folder:
        known_hosts = folder / "known_hosts"
        write_known_hosts(known_hosts, targets)
        run = ansible_runner.run(
            private_data_dir=str(folder),
            playbook=str(playbook_folder() / name),
            inventory=_inventory(targets, ssh, known_hosts, variables or {}),
            cmdline="--check" if check else None,
            envvars=_environment(folder),
            forks=min(len(targets), MACHINES_AT_ONCE),
            event_handler=note,
            quiet=True,
            cancel_callback=lambda: (
                False
            ),  # without one ansible-runner takes SIGINT and SIGTERM for itself, for ever
            suppress_env_files=True,
        )
        output = run.stdout.read()
        if artifact_dir is not None:
            # The file "command" holds the whole environment, in which the secrets of sites may stand.
            leave_out = shutil.ignore_patterns("command", "fact_cache")
            shutil.copytree(run.config.artifact_dir, artifact_dir, dirs_exist_ok=True, ignore=leave_out)
    return PlaybookRun(results=tuple(results), output=output[-2000:].strip())


def _inventory(
    targets: Iterable[GuestTarget],
    ssh: SshSettings,
    known_hosts: Path,
    more: Mapping[tuple[str, str], Mapping[str, Any]],
) -> dict[str, Any]:
    """The dynamic inventory's variables in the form of a static one, which ansible-runner hands on as a file."""
    hosts = [InventoryHost(target=target, site="", offer="") for target in targets]
    variables = dynamic_inventory(hosts, ssh=ssh, known_hosts=known_hosts)["_meta"]["hostvars"]
    return {
        "all": {
            "hosts": {
                host_name(target): {**variables[host_name(target)], **more.get(target.key, {})}
                for target in targets
            }
        }
    }


def _environment(folder: Path) -> dict[str, str]:
    return {
        # Ansible's programs are those beside this Python. (Naming one to ansible-runner as `binary` would make it
        # run that without any argument.)
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_CONFIG": str(playbook_folder() / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "cp"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_HOST_KEY_CHECKING": "True",  # ansible-runner would switch it off
        "LC_ALL": "C.UTF-8",  # Ansible refuses to start under LC_ALL=C
    }


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder for one run that nobody else can read; gone afterwards, with the shared SSH connections."""
    # A socket's path holds 108 bytes: the folder's name is short, whatever TMPDIR says.
    with tempfile.TemporaryDirectory(prefix="orch-", dir="/tmp") as name:
        folder = Path(name)
        try:
            yield folder
        finally:
            for control in (folder / "cp").glob("*"):
                end = ["ssh", "-F", "/dev/null", "-o", f"ControlPath={control}", "-O", "exit", "none"]
                subprocess.run(end, capture_output=True, check=False, env=dict(os.environ))
