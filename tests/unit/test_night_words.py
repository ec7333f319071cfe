"""What a person who watches a night reads: sentences with the one clock, and what is under way."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import session
from orchestrator.cli.diagnostics import LogFormat, diagnostics
from orchestrator.cli.night_events import events
from orchestrator.cli.night_words import sentence
from orchestrator.cli.screen import Screen

FOLDER = Path(__file__).parents[2] / "orchestrator"

NIGHT: list[tuple[str, dict[str, Any], str]] = [
    (
        "night-started",
        {"night": "2026-11-23", "sites": ["lyon", "paris"], "backups": 1, "fits": False,
         "ends_at": "2026-11-24T08:30:00+00:00", "closes_at": "2026-11-24T08:00:00+01:00"},
        "night of 2026-11-23 at lyon, paris: 1 backup, expected to end Tue 2026-11-24 09:30 CET; the window closes "
        "Tue 2026-11-24 08:00 CET: they do not fit",
    ),
    ("step", {"name": "backups"}, "step: backups"),
    ("backup-started", {"client": "dupont", "machine": "web-1", "storage": "lyon"}, "backup started, to lyon"),
    (
        "backup-done",
        {"client": "dupont", "machine": "web-1", "bytes": 13 * 2**30, "seconds": 245.2},
        "backup made: 13.0 GiB in 4 min 5 s",
    ),
    (
        "restore-test-ended",
        {"client": "dupont", "machine": "web-1", "sound": None, "found": "no room"},
        "restore test did not run: no room",
    ),
    (
        "update-failed",
        {"client": "dupont", "machine": "web-1", "result": "broken", "wave": 2, "packages": 1, "restarted": True,
         "reason": None},
        "update failed (broken): 1 package updated, restarted, wave 2",
    ),
    ("night-ended", {"failures": 0, "seconds": 7845}, "night ended after 2 h 10 min: 0 failures"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "fields", "words"), NIGHT)
def test_an_event_is_a_sentence(event: str, fields: dict[str, Any], words: str) -> None:
    assert sentence(event, fields) == words


def test_no_event_of_a_night_lacks_its_sentence() -> None:
    from orchestrator.cli.night_words import _SENTENCES

    text = "\n".join(
        path.read_text() for part in ("nightly", "operations") for path in (FOLDER / part).glob("*.py")
    )
    told = set(re.findall(r"""tell\)?\(\s*"([a-z-]+)\"""", text)) | {"updated", "update-failed"}
    assert len(told) > 20 and told <= _SENTENCES.keys()
    assert sentence("new-thing", {"works": True, "names": ["a", "b"], "nothing": None}) == (
        "new thing: works yes, names a, b"
    )


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_also_sees_what_is_under_way(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    stream = io.StringIO()
    screen = Screen()
    screen.file, screen._force_terminal, screen.is_interactive = stream, terminal, terminal
    monkeypatch.setattr(session, "console", lambda **_: screen)
    monkeypatch.setattr(diagnostics, "form", LogFormat.TEXT)
    with events() as tell:
        for event, fields, _ in NIGHT:
            tell(event, **fields)
        tell("summary", text="night of 2026-11-23: 1 of 1 backup, all went well")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", stream.getvalue())
    for event, fields, words in NIGHT:
        place = "dupont/web-1  " if "machine" in fields and "client" in fields else ""
        assert re.search(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d CES?T  {re.escape(place + words)}", plain), event
    assert "['" not in plain and "None" not in plain and "True" not in plain
    assert plain.rstrip().endswith("night of 2026-11-23: 1 of 1 backup, all went well")
    assert bool(re.search(r"[⠀-⣿] dupont/web-1 +backup +00:00", plain)) is terminal, "and the line moves"
