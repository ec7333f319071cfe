"""Every time that a person is shown is the provider's, with its zone; one function makes them all."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.contract.calendar import PARIS, paris_time
from orchestrator.counting import counted

ROOT = Path(__file__).parents[2]

_MADE_ELSEWHERE = {
    "orchestrator/contract/calendar.py": "the function itself",
    "orchestrator/reports/spelling.py": "the reports' two languages, with the zone",
    "orchestrator/cli/ending.py": "the name of a file",
    "orchestrator/operations/run.py": "the name of a run, in the history's hashes",
    "orchestrator/applying/machine_update.py": "the name of a snapshot",
}
"""Where else a time becomes text, and what text it is."""


def test_no_other_place_makes_a_text_of_a_time() -> None:
    """No naive time, no UTC, no zone of this computer on any face: nothing else formats a time at all."""
    written = re.compile(r":%[-aAbBdHIjmMSyYZ]|strftime\(|ctime\(|%Z|astimezone\(\)|\bUTC\"|localtime\(")
    found = {
        str(path.relative_to(ROOT))
        for folder in ("orchestrator", "templates")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in (".py", ".j2") and written.search(path.read_text())
    }
    assert found == set(_MADE_ELSEWHERE)


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("2026-11-30T21:00:00+00:00", "2026-11-30 22:00 CET"),
        ("2026-07-01T00:30:00+02:00", "2026-07-01 00:30 CEST"),
        ("2026-12-31T23:30:00+00:00", "2027-01-01 00:30 CET"),
        ("2026-10-25T00:30:00+00:00", "2026-10-25 02:30 CEST"),
        ("2026-10-25T01:30:00+00:00", "2026-10-25 02:30 CET"),
    ],
)
def test_a_time_is_that_of_paris_with_its_zone(moment: str, said: str) -> None:
    assert paris_time(dt.datetime.fromisoformat(moment)) == said


def test_a_time_without_a_zone_is_a_defect() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        paris_time(dt.datetime(2026, 11, 30, 22))


@given(
    st.datetimes(
        min_value=dt.datetime(1980, 1, 1), max_value=dt.datetime(2037, 1, 1), timezones=st.just(dt.UTC)
    )
)
def test_what_is_written_is_one_moment(moment: dt.datetime) -> None:
    """Also in the hour that comes twice: the zone tells which of the two it is."""
    date, time, zone = paris_time(moment, seconds=True).split()
    offset = dt.timezone(dt.timedelta(hours={"CET": 1, "CEST": 2}[zone]))
    assert dt.datetime.fromisoformat(f"{date}T{time}").replace(tzinfo=offset) == moment.replace(microsecond=0)
    weekday = paris_time(moment, weekday=True).split()[0]
    assert weekday == ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[moment.astimezone(PARIS).weekday()]


def test_one_is_singular() -> None:
    said = [counted(n, "backup") for n in (0, 1, 2)] + [
        counted(1, "entry", "entries"),
        counted(3, "entry", "entries"),
    ]
    assert said == ["0 backups", "1 backup", "2 backups", "1 entry", "3 entries"]


def test_no_message_counts_by_itself() -> None:
    """``f"{n} backups"`` says "1 backups": counts go through ``counted``, or count what is never one."""
    plurals = (
        "archives|backups|clients|entries|errors|failures|files|guests|machines|nodes|packages|problems|restarts|sites|"
        "snapshots|storages|updates|VMs|warnings"
    )
    loose = re.compile(
        rf"\{{(?:len\([^{{}}]*\)|[\w.]*(?:count|number|total|done|failed)|\w+)\}} (?:{plurals})\b"
    )
    never_one = (
        "SNAPSHOTS_AT_A_TIME",
        "MOST_PACKAGES",
        "rounds",
        "{errors}",
        "{number} errors",
        "len(judged)",
    )
    found = [
        f"{path.name}: {line.strip()}"
        for path in sorted((ROOT / "orchestrator").rglob("*.py"))
        if path.name not in ("words.py", "counting.py")
        for line in path.read_text().splitlines()
        if loose.search(line) and not any(word in line for word in never_one)
    ]
    assert found == []
