"""What a Prometheus says of machines that run: whether they answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from orchestrator.history import open_history
from orchestrator.history.declared import Outage
from orchestrator.history.records import read
from tests.api.desk import Desk
from tests.api.watch_desk import WatchDesk, states


class Prometheus:
    """Answers the one question as Prometheus does.

    Attributes:
        answers: whether each machine answers its probe, by name.
        body: what is answered instead; None: nothing else.
        old: seconds since the probes were made.
    """

    def __init__(self) -> None:
        self.answers: dict[str, bool] = {}
        self.body: bytes | None = None
        self.old = 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = outer.body if outer.body is not None else outer.vector()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def vector(self) -> bytes:
        """Every probe's result."""
        result = [
            {
                "metric": {"__name__": "probe_success", "client": "dupont", "machine": name},
                "value": [time.time() - self.old, str(int(answers))],
            }
            for name, answers in self.answers.items()
        ]
        return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    """One that knows both machines, and both answer."""
    found = Prometheus()
    found.answers = {"web-1": True, "web-2": True}
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def watching(desk: Desk, prometheus: Prometheus) -> WatchDesk:
    """Two machines, seen for four minutes."""
    desk.sites["paris"]["probes"] = {"url": prometheus.url}
    desk.write_sites()
    found = WatchDesk(desk)
    found.round()
    assert found.rounds(4).notices == ()
    return found


def _outages(watching: WatchDesk) -> list[tuple[str, bool]]:
    with open_history(watching.history) as history:
        found = read(history, kinds=(Outage,)).of(Outage)
    return sorted((item.said.machines[0], item.said.end is not None) for item in found)


def test_a_site_none_of_whose_machines_answers_has_lost_its_network(
    watching: WatchDesk, prometheus: Prometheus
) -> None:
    prometheus.answers = {"web-1": False, "web-2": False}
    watching.rounds(6)
    assert _outages(watching) == [("web-1", False), ("web-2", False)]
    prometheus.answers = {"web-1": True, "web-2": True}
    watching.rounds(4)
    assert states(watching.told()) == [("up", ""), ("down", "network"), ("up", "")]
    assert watching.told()[1][2] == 360
    assert _outages(watching) == [("web-1", True), ("web-2", True)]


def test_one_machine_that_does_not_answer_is_its_guests_own_affair(
    watching: WatchDesk, prometheus: Prometheus
) -> None:
    prometheus.answers["web-1"] = False
    watching.rounds(4)
    assert states(watching.told())[-1] == ("down", "unanswered")
    assert watching.told("web-2") == [("up", "", 480)]
    assert _outages(watching) == []


@pytest.mark.parametrize("how", ["nothing", "nonsense", "old", "endless"])
def test_the_silence_of_prometheus_is_unknown_and_says_so(
    watching: WatchDesk, prometheus: Prometheus, how: str
) -> None:
    prometheus.answers = {"web-1": False, "web-2": False}
    if how == "nothing":
        prometheus.answers = {}
    elif how == "old":
        prometheus.old = 3600
    else:
        prometheus.body = b"<html>" if how == "nonsense" else b" " * (17 * 1024**2)
    done = watching.rounds(4)
    assert states(watching.told()) == [("up", "")]
    assert any("could not be read" in text for text in done.notices) is (how in ("nonsense", "endless"))


def test_what_was_down_by_its_probe_is_unknown_when_that_falls_silent(
    watching: WatchDesk, prometheus: Prometheus
) -> None:
    prometheus.answers["web-1"] = False
    watching.rounds(4)
    prometheus.body = b""
    watching.rounds(2)
    watching.go(seconds=30)
    watching.round()
    assert ("unknown", "silent") in states(watching.told())
