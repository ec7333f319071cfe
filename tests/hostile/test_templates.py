"""No value of a file, a mark or a guest is ever a template: not in what Ansible is given, not in what comes back."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.guests import (
    Guest,
    InventoryHost,
    SshSettings,
    dynamic_inventory,
    write_known_hosts,
)
from orchestrator.guests.inventory import host_name
from orchestrator.guests.playbooks import run_playbook
from orchestrator.shipped_files import playbook_folder
from tests.lab.hostile_shell import give_shell, say
from tests.lab.namespace_guest import NamespaceGuest, namespace_guest, policy, unique_name

PRODUCT = str(1234567 * 7)
TEXTS = {
    field.name: str(field.type)
    for field in fields(Guest)
    if field.type not in ("bool", "FirewallPolicy")  # what holds no text of anybody's
}
"""The fields of a machine that hold texts, with their types."""


def lure(folder: Path, name: str) -> str:
    """What leaves a file in a folder, or a product in a text, if anybody takes it for a template."""
    look_up = f"lookup('ansible.builtin.pipe', 'touch {folder}/{name}')"
    return f"{{{{ {look_up} }}}}{{% set _ = {look_up} %}}{{{{ 1234567*7 }}}}"


def lured(guest: Guest, name: str, text: str) -> Any:
    """A field's value with a lure in it."""
    value = getattr(guest, name)
    if isinstance(value, tuple):
        return (*value, text)
    assert name == "asked", f"say what a lure in {name} looks like"
    return {**value, "more": {"more_wanted": {"text": text, "list": [text]}}}


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamespaceGuest]:
    with namespace_guest(tmp_path_factory.mktemp("guest"), unique_name()) as running:
        yield running


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    folder = tmp_path / "trap"
    folder.mkdir()
    return folder


@pytest.fixture
def targets(guest: NamespaceGuest, trap: Path) -> list[Guest]:
    """A machine for each field that holds texts, with a lure in it; all answer with lures, whatever they are asked."""
    answer = say(guest, "lure", lure(trap, "answer"))
    give_shell(
        guest,
        "admin",
        f"""
expr "$2" : '.*\\(BECOME-SUCCESS-[a-z]*\\)'
case $2 in
*'sbin/orchestrator-'*' confirm '*) {answer} >&2; exit 1 ;;
*'sbin/orchestrator-'*' status '*) echo "rolled-back $({answer})" ;;
*orchestrator-firewall*check*' check'*) echo would-change; {answer} ;;
*orchestrator-firewall*) echo "loaded $({answer})" ;;
*orchestrator-keys*) echo "replaced $({answer})" ;;
*orchestrator-update*) echo "installed $({answer}) 1 2 security 0"; echo "reboot $({answer})" ;;
*) {answer} ;;
esac""",
    )
    public = (guest.folder / "user_key.pub").read_text().strip()
    plain = replace(
        guest.target(policy()),
        user="admin",
        keys=(public,),
        asked={"supervision": {"supervision_wanted": True}},
    )
    made = []
    for name, hint in TEXTS.items():
        text = lure(trap, name)
        if hint == "str":  # these name the machine: what is no name is refused before it gets anywhere
            with pytest.raises(ValueError, match=r"is not|not appear"):
                replace(plain, **{name: text})  # type: ignore[arg-type]
            continue
        machine = f"web-{name.replace('_', '-')}"
        made.append(replace(plain, **{"machine": machine, name: lured(plain, name, text)}))
    assert made
    return made


def test_every_text_that_ansible_is_given_is_marked_as_no_template(trap: Path) -> None:
    """By the document itself: a variable that is new is covered as soon as it is there."""
    bare = Guest(
        client="dupont", machine="web-1", address="192.0.2.1", user="admin", policy=policy(), host_keys=()
    )
    lures: dict[str, Any] = {
        name: lured(bare, name, lure(trap, name)) for name, hint in TEXTS.items() if hint != "str"
    }
    target = replace(bare, **lures)
    host = InventoryHost(guest=target, site=lure(trap, "site"), offer=lure(trap, "offer"))
    ssh = SshSettings(private_key=Path("/{{ key }}"), proxy_command="{{ proxy }} %h")
    document = dynamic_inventory([host], ssh=ssh, known_hosts=Path("/{{ known }}"))
    assert list(bare_texts(document["_meta"]["hostvars"]["web-1.dupont"])) == []
    assert "{" not in json.dumps([name for name in document if name != "_meta"])


def bare_texts(value: Any) -> Iterator[str]:
    """The texts in a document that Ansible would take for templates."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict) and set(value) != {"__ansible_unsafe"}:
        for key, item in value.items():
            assert "{" not in key
            yield from bare_texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from bare_texts(item)


@pytest.mark.parametrize("playbook", sorted(path.name for path in playbook_folder().glob("*.yml")))
def test_nothing_is_evaluated_in_any_playbook(
    guest: NamespaceGuest, targets: list[Guest], trap: Path, playbook: str
) -> None:
    more = {"update_reboot": True, "update_scope": lure(trap, "scope"), "more": [{"a": lure(trap, "more")}]}
    run = run_playbook(
        playbook,
        targets,
        guest.ssh(),
        check=playbook == "look.yml",
        variables={target.key: more for target in targets},
    )
    assert list(trap.iterdir()) == []
    said = [result.result for result in run.results if result.result]
    assert PRODUCT not in json.dumps(said) + run.output
    assert {result.host for result in run.results if "touch" in json.dumps(result.result)} == {
        host_name(target) for target in targets
    }, "each machine was asked, and answered with its lure"


def test_nor_by_hand(guest: NamespaceGuest, targets: list[Guest], trap: Path, tmp_path: Path) -> None:
    """What `orchestrator inventory` prints, with ansible-playbook as an engineer runs it."""
    hosts = [InventoryHost(guest=target, site="paris", offer="cloud-vm-advanced") for target in targets]
    write_known_hosts(tmp_path / "known_hosts", targets)
    (tmp_path / "listed").write_text(
        json.dumps(dynamic_inventory(hosts, ssh=guest.ssh(), known_hosts=tmp_path / "known_hosts"))
    )
    script = tmp_path / "inventory"
    script.write_text(f"#!/bin/sh\ncat {shlex.quote(str(tmp_path))}/listed\n")
    script.chmod(0o755)
    said = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", script, "machine.yml"],
        cwd=playbook_folder(),
        stdin=subprocess.DEVNULL,
        env={
            **os.environ,
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": "ansible.cfg",
            "ANSIBLE_HOME": str(tmp_path / "home"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": "/tmp",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert list(trap.iterdir()) == []
    assert PRODUCT not in said.stdout + said.stderr
    assert "rolled-back" in said.stdout or "went back to its previous rules" in said.stdout, said.stderr
