"""A lab as its users live with it: side by side with another, killed, refused, written to by two."""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import stat
import subprocess
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.network import namespace_of
from orchestrator.applying.exporting import export_disk
from orchestrator.applying.stopped import Stopped
from orchestrator.sites.model import NodeAccess
from tests.lab.lab_handle import TINY, Client, Lab

VM = "/nodes/pve1/qemu/100"


def pending(api: Client) -> dict[str, str]:
    """What waits for the next start."""
    return {entry["key"]: entry["pending"] for entry in api.get(f"{VM}/pending") if "pending" in entry}


# Changes


def test_changes_of_a_running_machine_wait_for_its_next_start(api: Client) -> None:
    api.run("POST", f"{VM}/status/start")
    api.put(f"{VM}/config", memory=64, cores=2, description="at once", tags="b;A")
    assert pending(api) == {"memory": "64", "cores": 2}
    now = api.get(f"{VM}/config", current=1)
    assert (now["memory"], now["description"], now["tags"]) == ("32", "at once", "a;b")
    assert api.get(f"{VM}/config")["memory"] == "64"
    assert api.get(f"{VM}/status/current")["maxmem"] == 32 * 1024**2

    api.run("POST", f"{VM}/status/stop")
    api.run("POST", f"{VM}/status/start")
    assert pending(api) == {}
    assert api.get(f"{VM}/status/current")["maxmem"] == 64 * 1024**2


def test_disk_is_plugged_into_a_running_machine_and_grown_there(api: Client) -> None:
    api.run("POST", f"{VM}/status/start")
    api.put(f"{VM}/config", scsi1="local:0.01,format=qcow2")
    assert pending(api) == {}
    api.run("PUT", f"{VM}/resize", disk="scsi1", size="32M")
    assert "size=32M" in api.get(f"{VM}/config")["scsi1"]
    listed = api.get("/nodes/pve1/storage/local/content", content="images", vmid=100)
    assert {volume["size"] for volume in listed if "disk-1" in volume["volid"]} == {32 * 1024**2}


def test_write_with_a_stale_digest_changes_nothing(api: Client) -> None:
    digest = api.get(f"{VM}/config")["digest"]
    api.put(f"{VM}/config", description="first", digest=digest)
    refused = api.call("PUT", f"{VM}/config", {"description": "second", "digest": digest})
    assert (refused.status, refused.reason) == (500, "checksum mismatch (file change by other user?)")
    assert api.get(f"{VM}/config")["description"] == "first"


def test_digest_is_that_of_the_file(lab: Lab, api: Client) -> None:
    file = next(lab.state.glob("**/pve1/**/100.conf"))
    assert api.get(f"{VM}/config")["digest"] == hashlib.sha1(file.read_bytes()).hexdigest()


def test_detached_disk_is_kept_as_unused_and_erased_only_then(api: Client) -> None:
    volume = api.get(f"{VM}/config")["scsi0"].partition(",")[0]
    api.put(f"{VM}/config", delete="scsi0")
    assert api.get(f"{VM}/config")["unused0"] == volume
    api.put(f"{VM}/config", delete="unused0")
    assert api.get("/nodes/pve1/storage/local/content", content="images", vmid=100) == []


def test_clone_is_visible_with_its_lock_and_becomes_a_machine_of_its_own(lab: Lab, api: Client) -> None:
    api.call("POST", "/pools", {"poolid": "client-clone"})
    api.put(f"{VM}/config", tags="image")
    upid = api.call(
        "POST", f"{VM}/clone", {"newid": 101, "full": 1, "name": "copy", "pool": "client-clone"}
    ).data
    assert api.get("/nodes/pve1/qemu/101/config").get("lock") in ("clone", None)
    assert api.end_of(upid) == "OK"
    copied, source = api.get("/nodes/pve1/qemu/101/config"), api.get(f"{VM}/config")
    assert (copied["name"], copied["tags"], copied["memory"]) == ("copy", "image", source["memory"])
    assert copied["net0"] != source["net0"]
    assert copied["scsi0"].startswith("local:101/vm-101-disk-0.qcow2")
    assert [member["vmid"] for member in api.get("/pools/client-clone")["members"]] == [101]
    api.run("DELETE", "/nodes/pve1/qemu/101")
    api.call("DELETE", "/pools/client-clone").data  # noqa: B018 (a refusal fails)


def test_disk_of_a_stopped_machine_can_be_exported_from_its_node(
    lab: Lab, api: Client, tmp_path: Path
) -> None:
    volume = api.get(f"{VM}/config")["scsi0"].partition(",")[0]
    access = NodeAccess.model_validate(lab.sites["paris"]["node_access"], context={"folder": tmp_path})
    copied = export_disk(access, "pve1", volume, tmp_path / "disk.qcow2")
    shown = json.loads(
        subprocess.run(
            ["qemu-img", "info", "--output=json", str(copied.file)], check=True, capture_output=True
        ).stdout
    )
    assert (shown["format"], shown["virtual-size"]) == ("qcow2", 10737664)
    with pytest.raises(Stopped, match="storage 'elsewhere' does not exist"):
        export_disk(access, "pve1", "elsewhere:100/vm-100-disk-0.qcow2", tmp_path / "disk.qcow2")


# Who asks


def test_wrong_or_missing_credentials_are_refused(lab: Lab) -> None:
    right = lab.client()
    name = right.session.headers["Authorization"]
    wrong: dict[str, dict[str, str]] = {
        "No ticket": {},
        "invalid token value!": {"Authorization": str(name)[:-1]},
        "no such token 'none' for user 'root@pam'": {"Authorization": "PVEAPIToken=root@pam!none=x"},
        "no tokenid specified": {"Authorization": "PVEAPIToken=root@pam=x"},
    }

    def refusal(header: dict[str, str]) -> tuple[int, str]:
        answer = Client(right.url, Path(str(right.session.verify)), header).call("GET", "/version")
        return answer.status, answer.reason

    with ThreadPoolExecutor(len(wrong)) as together:  # each of them is let wait for some seconds
        assert list(together.map(refusal, wrong.values())) == [(401, text) for text in wrong]


def test_write_with_a_ticket_needs_its_csrf_token(lab: Lab) -> None:
    root = lab.client(user="root@pam")
    del root.session.headers["CSRFPreventionToken"]
    assert root.call("GET", "/pools").status == 200
    answer = root.call("POST", "/pools", {"poolid": "x"})
    assert (answer.status, answer.reason) == (401, "Permission denied - invalid csrf token")


def test_certificate_is_trusted_by_the_labs_own_authority_only(lab: Lab) -> None:
    url = lab.sites["paris"]["api"]["url"] + "/api2/json/version"
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(url, context=ssl.create_default_context())


def test_body_of_a_delete_and_too_large_a_request_are_refused(lab: Lab) -> None:
    client = lab.client()
    answer = client.session.delete(f"{client.url}/api2/json/pools/x", data={"a": "b"})
    assert (answer.status_code, answer.reason) == (501, "Unexpected content for method 'DELETE'")
    large = client.session.post(f"{client.url}/api2/json/pools", data={"comment": "x" * 600_000})
    assert (large.status_code, large.reason) == (501, "for data too large")


def test_secrets_are_their_owners_alone(lab: Lab) -> None:
    keys = [path for path in lab.state.iterdir() if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    secrets = [*lab.state.glob("*.secret"), *keys]
    assert len(keys) >= 2
    assert len(secrets) >= 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


# Two labs, and a killed one


def test_two_labs_run_side_by_side_and_leave_no_trace(lab: Lab, tmp_path: Path) -> None:
    second = Lab(tmp_path / "second", lab.subnets)
    second.start()
    try:
        second.client().run("POST", "/nodes/pve1/qemu", vmid=100, **TINY)
        second.client().run("POST", f"{VM}/status/start")
        assert lab.client().get("/cluster/nextid") == "100"
        assert second.client("lyon").get("/cluster/nextid") == "100"
        assert re.search(r"guest 100 .*pve1", second.command("status").stdout)
    finally:
        second.stop()
    assert not second.state.exists()
    assert not Path("/run/netns", namespace_of(second.name)).exists()
    assert "no lab in" in second.command("stop").stdout


def test_killed_lab_finds_its_guests_and_tasks_again(lab: Lab, api: Client) -> None:
    api.run("POST", f"{VM}/status/start")
    api.put(f"{VM}/config", memory=64)
    before = api.get(f"{VM}/config")["digest"]
    waiting = api.call("POST", f"{VM}/status/shutdown", {"timeout": 600}).data
    ca = (lab.state / "ca.pem").read_bytes()

    lab.kill()
    assert "runs already" not in lab.start().stdout

    assert (lab.state / "ca.pem").read_bytes() == ca
    assert api.end_of(waiting) == "unexpected status"
    assert api.get(f"{VM}/status/current")["status"] == "running"
    assert api.get(f"{VM}/config")["digest"] == before
    assert pending(api) == {"memory": "64"}
    assert "runs already" in lab.start().stdout
