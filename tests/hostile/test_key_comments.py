"""Comments of keys that a client wrote, all the way to what cloud-init reads in the machine."""

from __future__ import annotations

import urllib.parse

import yaml

from tests.api.desk import CLIENT_KEY, Desk, machine, subscription
from tests.api.fakepve_handle import FakePve


def _user_data(sshkeys: str) -> str:
    """As PVE::QemuServer::Cloudinit writes it: each line of the setting, without quotes."""
    lines = [line.removesuffix("\n") for line in urllib.parse.unquote(sshkeys).split("\n")]
    keys = "".join(f"  - {line}\n" for line in lines if line.strip())
    return f"#cloud-config\nhostname: web-1\nssh_authorized_keys:\n{keys}chpasswd:\n  expire: False\n"


def test_a_machine_gets_the_keys_that_were_meant_and_nothing_else(desk: Desk, fakepve: FakePve) -> None:
    bare = CLIENT_KEY.rsplit(maxsplit=1)[0]
    item = subscription("dupont", [machine("web-1")])
    hostile = ("x\rruncmd:", "x\x85runcmd:", "x\u2028runcmd:", "x\nruncmd: [id]", "\x1b[2J", "x\0")
    item["administration"]["ssh_keys"] = [f"{bare} {comment}" for comment in hostile]
    desk.write(item)
    answer = desk.run("validate")
    assert answer.code == 1
    assert answer.out.count("of ssh_keys cannot be") == len(hostile), answer.out
    comments = ["alice: laptop", "bob #2", "José (Büro)", "carol:", "- [x] {y} & *z !a", "a@b.example:22"]
    item["administration"]["ssh_keys"] = [f"{bare} {comment}" for comment in comments]
    desk.write(item)
    assert desk.run("apply", "--yes", "--no-guests").code == 0
    read = yaml.safe_load(_user_data(fakepve.dump()["vms"]["100"]["config"]["sshkeys"]))
    assert set(read) == {"hostname", "ssh_authorized_keys", "chpasswd"}
    assert [line.removeprefix(bare).strip() for line in read["ssh_authorized_keys"][1:]] == [
        "alice laptop",
        "bob 2",
        "Jos Bro",
        "carol",
        "- x y z a",
        "a@b.example:22",
    ]
    assert "SSH keys" not in desk.run("plan").out
