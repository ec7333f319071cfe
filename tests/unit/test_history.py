"""The history: complete, in order, and without secrets."""

import datetime as dt
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.history import BEGUN, open_history
from orchestrator.history.delays import delays
from orchestrator.history.details import same_as_recorded
from tests.unit.history_samples import BASE, write

TEXT = st.text(max_size=20)
RECORDS = st.fixed_dictionaries(
    {
        "client": TEXT,
        "machine": st.none() | TEXT,
        "action": TEXT,
        "result": st.sampled_from(["ok", "failed", "refused", "unknown"]),
        "message": TEXT,
        "upid": st.none() | TEXT,
        "seconds": st.floats(0, 1e9),
        "details": st.dictionaries(st.sampled_from(["memory", "slot", "sshkeys"]), st.integers() | TEXT),
    }
)


@settings(max_examples=40, deadline=None)
@given(st.lists(RECORDS, max_size=12))
def test_whatever_was_recorded_verifies_and_is_read_back(records: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder, open_history(Path(folder) / "h.db") as history:
        written = [history.append(**BASE, **record) for record in records]
        assert [entry.sequence for entry in written] == list(range(1, len(records) + 1))
        assert history.entries() == written[::-1]
        found = history.verify()
        assert found.ok and found.count == len(records)
        assert not written or found.head == (len(written), written[-1].hash)


def test_entries_are_chosen_by_client_machine_number_and_time(tmp_path: Path) -> None:
    hour = dt.timedelta(hours=1)
    noon = dt.datetime(2026, 11, 23, 12, tzinfo=dt.timezone(hour))
    with open_history(tmp_path / "h.db") as history:
        for index, (client, machine) in enumerate(
            [("dupont", "web-1"), ("dupont", None), ("martin", "web-1"), ("dupont", "db-1")]
        ):
            history.append(
                **BASE,
                client=client,
                machine=machine,
                action=str(index),
                result="ok",
                at=noon + index * hour,
            )

        def actions(**chosen: Any) -> list[str]:
            return [entry.action for entry in history.entries(**chosen)]

        assert actions() == ["3", "2", "1", "0"]
        assert actions(client="dupont") == ["3", "1", "0"]
        assert actions(client="dupont", machine="web-1") == ["0"]
        assert actions(limit=2) == ["3", "2"]
        assert actions(client="dupont", since=noon + hour) == ["3", "1"]
        assert history.entries(limit=1)[0].at == dt.datetime(2026, 11, 23, 14, tzinfo=dt.UTC)


def test_an_action_is_shown_once_and_one_without_an_end_is_shown_as_begun(tmp_path: Path) -> None:
    with open_history(tmp_path / "h.db") as history:
        start = history.append(**BASE, client="dupont", machine="web-1", action="start", result=BEGUN)
        history.append(**BASE, client="dupont", machine="db-1", action="resize system", result=BEGUN)
        assert [entry.result for entry in history.entries()] == [BEGUN, BEGUN]
        history.append(
            **BASE, client="dupont", machine="web-1", action="start", result="failed", began=start.sequence
        )
        shown = [(entry.machine, entry.result) for entry in history.entries()]
        assert shown == [("web-1", "failed"), ("db-1", BEGUN)]
        assert len(history.entries(limit=1)) == 1
        assert history.verify().count == 3


@pytest.mark.parametrize(
    "details",
    [
        {"params": [{"cipassword": "hunter2"}]},
        {"Token": "hunter2"},
        {"api-token": "hunter2"},
        {"token_secret": "hunter2"},
        {"CSRFPreventionToken": "hunter2"},
        {"login": {"password": "hunter2"}},
        {"key": "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2"},
        {"headers": ["Authorization: PVEAPIToken=root@pam!t=hunter2"]},
        {"cookie_value": "PVE:root@pam:65A1B2C3::hunter2"},
    ],
    ids=lambda details: next(iter(details)),
)
def test_a_secret_in_the_details_is_hidden_and_the_action_recorded(
    details: dict[str, Any], tmp_path: Path
) -> None:
    """Part of the details comes from guests: nothing that they report may keep an action out of the history."""
    with open_history(tmp_path / "h.db") as history:
        entry = history.append(**BASE, client="c", action="a", result="ok", details=details)
        assert "[hidden]" in entry.details and history.entries() == [entry]
    assert b"hunter2" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_public_keys_and_ordinary_words_are_no_secrets(tmp_path: Path) -> None:
    details = {
        "sshkeys": "ssh-ed25519 AAAA alice",
        "secretary": "bob",
        "tokens_left": 3,
        "token_id": "u@pve!t",
    }
    with open_history(tmp_path / "h.db") as history:
        entry = history.append(**BASE, client="c", action="a", result="ok", details=details)
        assert json.loads(entry.details) == details


def test_a_secret_that_an_error_quotes_is_hidden_and_the_error_kept(tmp_path: Path) -> None:
    message = "refused: Authorization: PVEAPIToken=u@pve!t=hunter2 is wrong\n-----BEGIN RSA PRIVATE KEY-----\nhunter2"
    with open_history(tmp_path / "h.db") as history:
        entry = history.append(
            **{**BASE, "why": "ticket PVE:u@pve:65A1B2C3::hunter2 12"},
            client="c",
            action="a",
            result="failed",
            message=message,
        )
    assert entry.message == "refused: Authorization: [hidden] is wrong\n[hidden]"
    assert entry.why == "ticket [hidden] 12"
    assert b"hunter2" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_bytes_that_are_no_text_are_kept_as_escapes(tmp_path: Path) -> None:
    with open_history(tmp_path / "h.db") as history:
        quoted = b"caf\xe9".decode(errors="surrogateescape")
        entry = history.append(**BASE, client="c", action="a", result="failed", message=quoted)
        assert entry.message == "caf\\udce9"
        assert history.entries() == [entry] and history.verify().ok


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_an_impossible_duration_is_refused(seconds: float, tmp_path: Path) -> None:
    with open_history(tmp_path / "h.db") as history, pytest.raises(ValueError, match="0 seconds or more"):
        history.append(**BASE, client="c", action="a", result="ok", seconds=seconds)


def test_a_duration_of_minus_zero_verifies(tmp_path: Path) -> None:
    with open_history(tmp_path / "h.db") as history:
        history.append(**BASE, client="c", action="a", result="ok", seconds=-0.0)
        assert history.verify().ok


def test_an_unknown_result_is_refused(tmp_path: Path) -> None:
    with open_history(tmp_path / "h.db") as history, pytest.raises(ValueError, match="begun"):
        history.append(**BASE, client="c", action="a", result="good")


def test_an_entry_cannot_be_changed(tmp_path: Path) -> None:
    write(tmp_path / "h.db", 1)
    with open_history(tmp_path / "h.db") as history, pytest.raises(AttributeError):
        history.entries()[0].who = "bob"  # type: ignore[misc]


def test_what_a_guest_reports_is_recorded_shortened_and_says_by_how_much(tmp_path: Path) -> None:
    due = {f"package-{number:05}": "1" * number for number in range(5_000)} | {"pass": "1.7", "token": "2"}
    installed = [
        {
            "package": f"p{number}",
            "from": "1",
            "to": "2",
            "security": True,
            "published": "2026-11-01T00:00:00+00:00",
        }
        for number in range(2_000)
    ]
    now = dt.datetime.now(dt.UTC)
    with open_history(tmp_path / "h.db") as history:
        seen = history.append(
            **BASE, client="c", machine="m", action="updates due", result="ok", details={"due": due}
        )
        done = history.append(
            **{**BASE, "why": "w" * 10**6}, client="c" * 10**6, machine="m", action="update", result="ok",
            message="x" * 10**6, upid="u" * 10**6, details={"installed": installed, "tried": ["t" * 10**6]},
        )  # fmt: skip
        assert sum(len(str(value)) for value in vars(seen).values()) < 80_000
        assert sum(len(str(value)) for value in vars(done).values()) < 80_000
        assert re.search(r"and \d+ more", seen.details) and re.search(r"and \d+ more", done.details)
        assert re.search(r"x… and \d+ more characters$", done.message)
        read = delays(history, now + dt.timedelta(hours=1), days=2)
        assert len(read.installed) == 1 and 50 < read.packages <= 400 and 50 < len(read.seen) <= 400
        known = history.latest_details("updates due")["c", "m"]
        assert same_as_recorded(known, "due", due), "an unchanged list is not recorded every night"
        assert not same_as_recorded(known, "due", due | {"package-00001": "other"})
        assert not same_as_recorded("[]", "due", due) and not same_as_recorded("no JSON", "due", due)
        assert history.verify().ok
    for odd in (
        {"due": ["x"]},
        {"due": None, "installed": {"a": 1}},
        {"installed": [{}, 3, {"package": []}]},
    ):
        with open_history(tmp_path / "odd.db") as history:
            for action in ("updates due", "update"):
                history.append(**BASE, client="c", machine="m", action=action, result="ok", details=odd)
            assert delays(history, now + dt.timedelta(hours=1), days=2).installed == ()
