"""Records that somebody altered in the database: what is shown of them is text, and nothing of it means anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from orchestrator.history import open_history
from orchestrator.history.records import read
from tests.hostile_texts import ATTACKS, unseen
from tests.unit.level_world import World, make_world

_FIELDS = ("text", "reference", "notified_by")


def alter(world: World) -> None:
    """Put each text into every place of two records where the database can hold one: an outage and its correction."""
    engine = sa.create_engine(f"sqlite:///{world.history}")
    with engine.begin() as connection:
        rows = connection.execute(
            sa.text("SELECT sequence, details FROM history_entries ORDER BY sequence")
        ).all()
        for index, row in enumerate(rows):
            text = ATTACKS[index // 2].encode(errors="backslashreplace").decode()
            details = json.loads(row.details)
            details["said"] |= {field: text for field in _FIELDS if field in details["said"]}
            connection.execute(
                sa.text("UPDATE history_entries SET details = :d, who = :t, why = :t WHERE sequence = :n"),
                {"d": json.dumps(details), "t": text, "n": row.sequence},
            )
    engine.dispose()


def test_altered_records_are_shown_as_text_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path, monkeypatch)
    world.observe()
    for index in range(len(ATTACKS)):
        number = world.down("2026-11-10 17:30", f"2026-11-12 09:{index:02}", reference="INC-1", text="x")
        assert world.run("outage", "correct", str(number), "--text", "y").exit_code == 0
    alter(world)
    with open_history(world.history) as history:
        found = read(history)
    assert found.lines and found.unreadable  # some can stand in a record, others make it unreadable
    for command in (["outage", "list"], ["service-level", "dupont", "--month", "2026-11"]):
        done = world.run(*command)
        assert done.exit_code == 0, done.output
        assert unseen(done.stdout) == []
    page = world.run("service-level", "dupont", "--month", "2026-11", "--format", "html").stdout
    assert "<script" not in page and "<img" not in page and unseen(page) == []
    records = json.loads(world.run("outage", "list", "--format", "json").stdout)
    assert len(records["records"]) == len(found.lines)
