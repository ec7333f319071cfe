"""Connections that fail, and what may be asked again."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.proxmox import (
    BadAnswer,
    BadParameters,
    Cluster,
    Locked,
    LockTimeout,
    NotFound,
    NotImplementedByServer,
    PermissionDenied,
    ProxmoxError,
    ServerError,
    TokenRefused,
    Uncertain,
    Unreachable,
    read_vm,
)
from tests.api.fakepve_handle import IMPATIENT, FakePve

LOCK_TIMEOUT = "can't lock file '/var/lock/qemu-server/lock-1000.conf' - got timeout"
CONFIG = "/nodes/pve1/qemu/1000/config"


CLIENT = """
import sys
from pathlib import Path
from orchestrator.proxmox import Cluster
url, token_id, token_secret, ca_file = sys.argv[1:]
cluster = Cluster(site="paris", url=url, token_id=token_id, token_secret=token_secret, ca_file=Path(ca_file))
cluster.get("/version")
cluster.post("/pools", poolid="client-dupont")
"""


def reach(fakepve: FakePve) -> tuple[str, str, str, str]:
    """The arguments of ``CLIENT``."""
    return fakepve.url, fakepve.token_id, fakepve.token_secret, str(fakepve.ca_file)


# No answer


def test_a_hypervisor_that_is_down(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.control("listen", listening=False)
    with pytest.raises(Unreachable) as caught:
        cluster.get("/version")
    assert "no connection: Connection refused" in caught.value.text
    assert fakepve.url in caught.value.text
    assert caught.value.status is None
    assert cluster.calls == {"GET": IMPATIENT.attempts}


def test_a_write_that_never_left_is_sent_again(fakepve: FakePve) -> None:
    sent: list[str] = []

    def before(method: str, path: str) -> None:
        sent.append(f"{method} {path}")
        fakepve.control("listen", listening=len(sent) == 3)

    cluster = fakepve.cluster(on_call=before)
    cluster.post("/pools", poolid="client-dupont")
    assert sent == ["POST /pools"] * 3
    assert fakepve.calls() == {"POST /pools": 1}
    assert set(fakepve.dump()["pools"]) == {"client-dupont"}


def test_a_slow_hypervisor(fakepve: FakePve) -> None:
    fakepve.fault("GET", "/version", "hang", seconds=600, times=100)
    cluster = fakepve.cluster(timeout_seconds=0.2)
    # On a busy computer most of the time may be gone before the call is sent.
    with pytest.raises(Unreachable, match=r"no answer within 0\.2 s|it took more than 0\.\d+ s in all"):
        cluster.get("/version")


def test_a_slow_write_is_uncertain_and_not_repeated(fakepve: FakePve) -> None:
    fakepve.fault("POST", "/pools", "hang", seconds=600, after=True)
    # On a busy computer part of the time may be gone before the call is sent.
    with pytest.raises(Uncertain, match=r"no answer within 3 s|it took more than 6 s in all") as caught:
        fakepve.cluster(timeout_seconds=3).post("/pools", poolid="client-dupont")
    assert "run the same command again" in caught.value.remedy
    assert fakepve.calls("POST") == {"POST /pools": 1}
    assert set(fakepve.dump()["pools"]) == {"client-dupont"}


def test_a_read_over_a_broken_connection_is_repeated(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.fault("GET", "/version", "reset", times=2)
    assert cluster.get("/version")["version"]
    assert fakepve.calls() == {"GET /version": 3}


def test_a_connection_that_always_breaks(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.fault("GET", "/version", "reset", times=100)
    with pytest.raises(Unreachable, match="the connection broke"):
        cluster.get("/version")
    assert fakepve.calls() == {"GET /version": IMPATIENT.attempts}


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_write_over_a_broken_connection_is_uncertain(
    fakepve: FakePve, cluster: Cluster, carried_out: bool
) -> None:
    fakepve.fault("POST", "/pools", "reset", after=carried_out)
    with pytest.raises(Uncertain):
        cluster.post("/pools", poolid="client-dupont")
    assert fakepve.calls() == {"POST /pools": 1}
    assert ("client-dupont" in fakepve.dump()["pools"]) is carried_out


def test_a_name_that_nobody_knows(fakepve: FakePve) -> None:
    with pytest.raises(Unreachable, match="its name cannot be resolved"):
        fakepve.cluster(url="https://pve.invalid:8006").get("/version")


# Answers that may be asked for again


@pytest.mark.parametrize("status", [502, 503, 504, 595, 596, 599])
def test_a_read_is_repeated_when_only_a_proxy_answered(
    fakepve: FakePve, cluster: Cluster, status: int
) -> None:
    fakepve.fault("GET", "/version", "error", status=status, text="Connection timed out", times=2)
    assert cluster.get("/version")["version"]
    assert fakepve.calls() == {"GET /version": 3}


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_call_is_repeated_when_a_lock_was_busy(fakepve: FakePve, cluster: Cluster, method: str) -> None:
    fakepve.add_vms(1)
    fakepve.fault(method, CONFIG, "error", text=LOCK_TIMEOUT, times=2)
    if method == "GET":
        assert cluster.get(CONFIG)["memory"] == "512"
    else:
        cluster.put(CONFIG, description="x")
        assert fakepve.dump()["vms"]["1000"]["config"]["description"] == "x"
    assert fakepve.calls() == {f"{method} {CONFIG}": 3}


def test_a_lock_that_stays_busy_is_reported(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.add_vms(1)
    fakepve.fault("PUT", CONFIG, "error", text=LOCK_TIMEOUT, times=100)
    with pytest.raises(LockTimeout):
        cluster.put(CONFIG, description="x")
    assert fakepve.calls() == {f"PUT {CONFIG}": IMPATIENT.attempts}


def test_a_write_to_a_node_that_was_not_reached_is_repeated(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.fault("POST", "/pools", "error", status=595, text="No route to host", times=2)
    cluster.post("/pools", poolid="client-dupont")
    assert fakepve.calls() == {"POST /pools": 3}


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, "Parameter verification failed.", BadParameters),
        (401, "authentication failure", TokenRefused),
        (403, "Permission check failed (/, Sys.Audit)", PermissionDenied),
        (404, "not here", NotFound),
        (500, "Configuration file 'nodes/pve1/qemu-server/7.conf' does not exist", NotFound),
        (500, "VM is locked (backup)", Locked),
        (501, "Method 'GET /version' not implemented", NotImplementedByServer),
    ],
)
def test_a_clear_no_is_not_asked_again(
    fakepve: FakePve, cluster: Cluster, status: int, text: str, kind: type[ProxmoxError]
) -> None:
    fakepve.fault("GET", "/version", "error", status=status, text=text, times=100)
    with pytest.raises(kind):
        cluster.get("/version")
    assert fakepve.calls() == {"GET /version": 1}


@pytest.mark.parametrize(
    "text", ["boom", "can't connect to /var/run/qemu-server/1000.qmp - Connection refused"]
)
def test_a_read_that_failed_for_a_reason_of_the_servers_own_is_repeated_twice(
    fakepve: FakePve, cluster: Cluster, text: str
) -> None:
    fakepve.fault("GET", "/version", "error", status=500, text=text, times=2)
    assert cluster.get("/version")["version"]
    assert fakepve.calls() == {"GET /version": 3}
    fakepve.fault("GET", "/pools", "error", status=500, text=text, times=100)
    with pytest.raises(ServerError):
        cluster.get("/pools")
    assert fakepve.calls()["GET /pools"] == 3


def test_a_write_that_failed_for_a_reason_of_the_servers_own_is_not_repeated(
    fakepve: FakePve, cluster: Cluster
) -> None:
    fakepve.fault("POST", "/pools", "error", status=500, text="boom", times=100)
    with pytest.raises(ServerError):
        cluster.post("/pools", poolid="client-dupont")
    assert fakepve.calls() == {"POST /pools": 1}


def test_a_node_that_fails_every_read_is_not_asked_three_times_for_each(
    fakepve: FakePve, cluster: Cluster
) -> None:
    fakepve.fault("GET", "/version", "error", status=500, text="boom", times=1000)
    for _ in range(100):
        with pytest.raises(ServerError):
            cluster.get("/version")
    assert fakepve.calls()["GET /version"] < 130


def test_a_node_that_stayed_silent_is_asked_once_a_call(fakepve: FakePve, cluster: Cluster) -> None:
    """Each attempt takes three seconds until the other node gives up."""
    other = "/nodes/pve2/status"
    fakepve.fault("GET", other, "error", status=595, text="No route to host", times=1000)
    for _ in range(5):
        with pytest.raises(Unreachable):
            cluster.get(other)
    assert fakepve.calls() == {f"GET {other}": IMPATIENT.attempts + 4}


# Many at once


def test_eight_threads_read_side_by_side(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.add_vms(200)
    together = threading.Barrier(8)

    def read(first: int) -> list[tuple[int, str | None]]:
        together.wait()
        return [(vmid, read_vm(cluster, "pve1", vmid).effective("name")) for vmid in range(first, first + 25)]

    with ThreadPoolExecutor(8) as pool:
        names = [pair for pairs in pool.map(read, range(1000, 1200, 25)) for pair in pairs]
    assert names == [(vmid, f"vm-{vmid}") for vmid in range(1000, 1200)]
    assert cluster.calls == {"GET": 200}
    assert fakepve.control("connections") == 8


def test_a_thread_keeps_its_connection(fakepve: FakePve, cluster: Cluster) -> None:
    for _ in range(20):
        cluster.get("/version")
    cluster.post("/pools", poolid="client-dupont")
    cluster.delete("/pools", poolid="client-dupont")
    assert fakepve.control("connections") == 1


def test_a_write_after_the_server_hung_up_takes_a_new_connection(fakepve: FakePve, cluster: Cluster) -> None:
    """pveproxy closes idle connections: that must not make the next write uncertain."""
    cluster.get("/version")
    fakepve.control("drop_connections")
    cluster.post("/pools", poolid="client-dupont")
    assert cluster.calls == {"GET": 1, "POST": 1}
    assert fakepve.control("connections") == 2


def test_a_closed_cluster_connects_anew(fakepve: FakePve, cluster: Cluster) -> None:
    cluster.get("/version")
    cluster.close()
    cluster.get("/version")
    assert fakepve.control("connections") == 2


# The process around it


def test_nothing_slow_is_loaded_before_the_first_call() -> None:
    slow = {"requests", "stamina"}
    code = f"import sys, orchestrator.proxmox; print(sorted({slow} & sys.modules.keys()))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_retry_that_helps_prints_nothing(fakepve: FakePve) -> None:
    fakepve.fault("GET", "/version", "reset", times=2)
    answer = subprocess.run(
        [sys.executable, "-c", CLIENT, *reach(fakepve)], capture_output=True, text=True, check=True
    )
    assert (answer.stdout, answer.stderr) == ("", "")
    assert fakepve.calls()["GET /version"] == 3


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_client_can_be_killed_at_a_call(fakepve: FakePve, carried_out: bool) -> None:
    """What the tests of interrupted applies stand on."""
    client = subprocess.Popen([sys.executable, "-c", CLIENT, *reach(fakepve)], stdin=subprocess.PIPE)
    fakepve.fault("*", ".*", "kill", skip=1, pid=client.pid, after=carried_out)
    with client:
        client.communicate()
    assert client.returncode == -signal.SIGKILL
    assert ("client-dupont" in fakepve.dump()["pools"]) is carried_out


# Parameters


def test_parameters_of_a_delete_go_into_the_query(fakepve: FakePve, cluster: Cluster) -> None:
    cluster.post("/pools", poolid="client-dupont")
    cluster.delete("/pools", poolid="client-dupont")
    assert fakepve.dump()["pools"] == {}


def test_parameters_with_dashes_booleans_and_nothing(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.add_vms(1)
    upid = cluster.delete(
        "/nodes/pve1/qemu/1000", params={"destroy-unreferenced-disks": True, "purge": False, "skiplock": None}
    )
    assert cluster.wait_for_task(upid).exitstatus == "OK"
    assert fakepve.dump()["vms"] == {}


# The site's clock


@pytest.mark.parametrize("ahead", [0, -6 * 3600, 70 * 86400])
def test_how_far_a_sites_clock_is_ahead(fakepve: FakePve, cluster: Cluster, ahead: int) -> None:
    now = 1_795_000_000.0
    fakepve.set_clock(now + ahead)
    assert cluster.clock_offset(lambda: now) == pytest.approx(ahead, abs=60)
    assert fakepve.calls() == {"GET /version": 1}


@pytest.mark.parametrize(
    "date", ["", "soon", "Mon, 23 Nov 99999999 05:48:23 GMT", "Mon, 23 Nov 2026 05:48:23"]
)
def test_an_answer_that_does_not_say_the_time(fakepve: FakePve, cluster: Cluster, date: str) -> None:
    fakepve.control("date_header", text=date)
    with pytest.raises(BadAnswer, match="does not say the time"):
        cluster.clock_offset()
