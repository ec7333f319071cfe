"""A site whose token, address or CA file cannot be used here is one site that could not be read; the others go on."""

from __future__ import annotations

import socket
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


def test_what_is_wrong_with_files_is_told_although_a_site_never_answers(two_sites: Desk) -> None:
    """The sites are read while the files are. The command's own time limit is far shorter than the site's."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        two_sites.sites["lyon"]["api"] |= {
            "url": f"https://127.0.0.1:{silent.getsockname()[1]}",
            "timeout_seconds": 600,
        }
        two_sites.write_sites()
        (two_sites.folder / "subscriptions" / "durand.yaml").write_text("client: durand\ncontract: [\n")
        answer = two_sites.run("plan", environment={})
    assert answer.code == 1 and "durand.yaml:" in answer.err and "nothing was planned" in answer.err, answer


def test_archives_are_listed_although_two_sites_claim_to_have_the_same_machine(two_sites: Desk) -> None:
    paris, lyon = two_sites.fakes["paris"], two_sites.fakes["lyon"]
    two_sites.sites["paris"]["backup_storages"] = [{"name": "store", "site": "lyon"}]
    two_sites.write_sites()
    paris.add_storage("store", shared=True)
    two_sites.write(
        subscription("dupont", [machine(name, backup={"retention_days": 7}) for name in ("web-1", "db-1")])
    )
    assert two_sites.apply().code == 0
    for name in ("web-1", "db-1"):
        assert two_sites.run("backup", "now", f"dupont/{name}").code == 0
    web, cluster = two_sites.machines("paris")["web-1"], lyon.cluster()
    copy = {"newid": web["vmid"], "name": "web-1", "full": 1, "pool": "client-dupont"}
    cluster.post("/pools", poolid="client-dupont")
    cluster.run_task("POST", "/nodes/pve1/qemu/9000/clone", params=copy)
    marked = {name: web["config"][name] for name in ("description", "tags")}
    cluster.put(f"/nodes/pve1/qemu/{web['vmid']}/config", params=marked)
    listed = two_sites.run("backup", "list")
    assert listed.code == 1 and "each have a machine marked as dupont/web-1" in listed.err, listed
    assert "dupont/db-1" in listed.out and "internal error" not in listed.err


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
