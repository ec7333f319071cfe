"""A site whose token, address or CA file cannot be used here is one site that could not be read; the others go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.proxmox import Uncertain, Unusable, UnusableCluster
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve


@pytest.fixture
def two_sites(fakepve: FakePve, tmp_path: Path) -> Iterator[Desk]:
    """Paris and Lyon, a client at each; everything is applied."""
    with FakePve(site="lyon") as lyon:
        for fake in (fakepve, lyon):
            fake.control("add_template", vmid=9000, name="debian-12")
        desk = Desk(tmp_path, {"paris": fakepve, "lyon": lyon})
        desk.write(
            subscription("dupont", [machine("web-1")]),
            subscription("martin", [machine("shop-1")], site="lyon"),
        )
        yield desk


def without_a_token(desk: Desk) -> str:
    (desk.folder / "lyon.token").unlink()
    return "the API token could not be read"


def token_for_everybody(desk: Desk) -> str:
    (desk.folder / "lyon.token").chmod(0o644)
    return "open to others"


def ca_file_that_is_none(desk: Desk) -> str:
    (desk.folder / "lyon.pem").write_text(
        "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"
    )
    desk.sites["lyon"]["api"]["ca_file"] = str(desk.folder / "lyon.pem")
    return "lyon.pem cannot be used"


def ca_file_that_is_a_folder(desk: Desk) -> str:
    desk.sites["lyon"]["api"]["ca_file"] = str(desk.folder)
    return "certificate cannot be checked"


@pytest.mark.parametrize(
    "break_it", [without_a_token, token_for_everybody, ca_file_that_is_none, ca_file_that_is_a_folder]
)
def test_the_other_site_is_planned_applied_and_shown(two_sites: Desk, break_it: Any) -> None:
    reason = break_it(two_sites)
    two_sites.write_sites()
    plan = two_sites.plan()
    assert [failure["site"] for failure in plan["failures"]] == ["lyon"], plan["failures"]
    assert reason in plan["failures"][0]["reason"]
    applied = two_sites.apply()
    assert applied.code == 1 and "lyon" in applied.err + applied.out, applied
    assert list(two_sites.machines("paris")) == ["web-1"]
    shown = two_sites.run("show", "dupont")
    assert "web-1" in shown.out and reason in shown.out and shown.code == 1, shown
    assert all("Traceback" not in answer.err + answer.out for answer in (applied, shown))


def test_every_call_says_why_and_was_never_sent() -> None:
    cluster = UnusableCluster(site="lyon", url="https://h:x", token_id="?", reason="no token: do this")
    for ask in (cluster.get, cluster.post, cluster.delete):
        with pytest.raises(Unusable, match="no token: do this") as caught:
            ask("/version")
        assert not isinstance(caught.value, Uncertain)
    with pytest.raises(Unusable):
        cluster.free_vmid()
    assert cluster.calls == {}
    cluster.close()
