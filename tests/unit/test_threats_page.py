"""docs/threats.md names the tests that show each row: they are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threats.md").read_text()


def test_every_row_names_tests_that_exist() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "shown by" not in line]
    assert len(rows) > 30
    assert [row for row in rows if "`tests/" not in row] == []
    named = set(re.findall(r"`(tests/[a-z_/]+\.py)`", PAGE))
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


def test_every_hostile_test_has_a_row() -> None:
    files = {f"tests/hostile/{path.name}" for path in (ROOT / "tests" / "hostile").glob("test_*.py")}
    assert sorted(file for file in files if file not in PAGE) == []
