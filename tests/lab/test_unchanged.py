"""What is not run again: only the lab's own tests, only where all of a file passed, and not for long."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.lab import unchanged

OWN = Path(__file__).with_name("test_vma.py")


def test_only_files_that_nothing_of_the_orchestrator_can_change_are_the_labs_own() -> None:
    looked_at = unchanged.looked_at(OWN)
    assert looked_at is not None
    assert {OWN, unchanged.ROOT / "lab" / "vma.py", unchanged.ROOT / "lab" / "qemu.py"} <= looked_at
    for name in unchanged.OWN:
        test = OWN.with_name(f"{name}.py")
        assert unchanged.looked_at(test), "none imports anything of the orchestrator"
        assert '"orchestrator"' not in test.read_text(), "none runs a command of it"
    assert unchanged.looked_at(OWN.with_name("test_pages.py")) is None


def test_a_file_runs_again_after_a_week_and_where_the_lab_or_the_computer_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_TESTED", str(tmp_path / "tested"))
    assert unchanged.passed_days_ago(OWN) is None, "nothing is kept yet"
    unchanged.keep(OWN)
    assert unchanged.passed_days_ago(OWN) == pytest.approx(0, abs=0.1)

    (kept,) = (tmp_path / "tested").iterdir()
    week_ago = time.time() - unchanged.KEPT_SECONDS
    os.utime(kept, (week_ago, week_ago))
    assert unchanged.passed_days_ago(OWN) is None

    unchanged.keep(OWN)
    monkeypatch.setattr(unchanged, "_versions", lambda: "another QEMU")
    assert unchanged.passed_days_ago(OWN) is None
    monkeypatch.delenv("LAB_TESTED")
    unchanged.keep(OWN)
    assert unchanged.passed_days_ago(OWN) is None, "nowhere to look"
