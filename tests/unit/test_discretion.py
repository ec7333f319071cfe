"""Texts of the provider that a client is shown, or not."""

from __future__ import annotations

import pytest

from orchestrator.reports.discretion import Discretion

DISCRETION = Discretion.of(
    names=["pve1", "local-lvm", "martin", "alice", "node.7", "web-1"],
    own=["dupont", "web-1", "jeanne@dupont.example", "203.0.113.20", "2001:db8::20", "198.51.100.0/24"],
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ticket 4711",
        "mise à jour demandée par téléphone à 10:30, 08:15:00",
        "order BC-2026-031 of 2026-11-20, C-2026-0042",
        "web-1: 203.0.113.20 and 2001:DB8:0::20, port 443",
        "opened from 198.51.100.0",
        "asked by jeanne@dupont.example.",
        "version 1.2.3, 12.5 GiB, 99.85 %",
        "pve12 is not pve1x",
        "and/or, 3/4",
        "Debian 12: kernel update; done",
    ],
)
def test_what_names_nothing_of_the_providers_is_shown(text: str) -> None:
    assert DISCRETION.withholds(text) == ""
    assert DISCRETION.shown(text) == text


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("moved from pve1 to another node", "pve1"),
        ("PVE1-reboot", "pve1"),
        ("no space on local-lvm", "local-lvm"),
        ("as for Martin's machine", "martin"),
        ("(alice)", "alice"),
        ("node.7 is off", "node.7"),
        ("see 192.0.2.11", "192.0.2.11"),
        ("from 203.0.113.21:8006", "203.0.113.21"),
        ("at 2001:db8::21", "2001:db8::21"),
        ("ask bob@provider.example", "bob@provider.example"),
        ("root@pam!apply", "root@pam!apply"),
        ("UPID:pve9:0001:qmstart", "UPID:pve9:0001:qmstart"),
        ("see https://wiki.example/1", "https://wiki.example/1"),
        ("read /etc/pve/user.cfg", "/etc/pve/user.cfg"),
        ("archive store:backup/vm/101/2026", "store:backup/vm/101/2026"),
        ("disk fast:vm-101-disk-0", "fast:vm-101-disk-0"),
        ("VM 10117 was stopped", "VM 10117"),
        ("hyper9.provider.example answered late", "hyper9.provider.example"),
    ],
)
def test_what_names_something_of_the_providers_is_withheld_whole(text: str, names: str) -> None:
    assert DISCRETION.withholds(text) == names
    assert DISCRETION.shown(text) == ""


def test_a_name_of_one_character_is_not_looked_for() -> None:
    assert Discretion.of(names=["a", ""], own=[]).withholds("a machine") == ""
