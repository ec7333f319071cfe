"""What each event of a night says to a person: a sentence, its values as people write them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.contract.calendar import paris_time
from orchestrator.counting import counted

Fields = Mapping[str, Any]

_KIB, _GIB = 1024, 1024**3
_MINUTE, _HOUR = 60, 3600

BEGINS = {
    "backup-started": "backup",
    "restore-test-started": "restore test",
}
"""Events after which something is under way at a machine, and what."""

ENDS = frozenset(
    {
        "backup-done",
        "backup-failed",
        "restore-test-ended",
        "updated",
        "update-failed",
        "restarted",
        "restart-failed",
    }
)
"""Events that end it."""


def sentence(event: str, fields: Fields) -> str:
    """An event in words, without the machine that it is about.

    Args:
        event: its name in the log.
        fields: its values, as the log has them.
    """
    say = _SENTENCES.get(event)
    return say(fields) if say else _plainly(event, fields)


def _plainly(event: str, fields: Fields) -> str:
    """An event that has no sentence: its name and its values."""
    told = [
        f"{name.replace('_', ' ')} {_value(value)}" for name, value in fields.items() if value is not None
    ]
    return ": ".join(filter(None, [event.replace("-", " "), ", ".join(told)]))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _size(count: int) -> str:
    """Bytes: ``12.4 GiB``, ``600 MiB``."""
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count / _KIB / _KIB:.0f} MiB"


def _duration(seconds: float) -> str:
    """Seconds: ``35 s``, ``4 min 5 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def _when(text: str) -> str:
    return paris_time(dt.datetime.fromisoformat(text), weekday=True)


def _started(fields: Fields) -> str:
    words = f"night of {fields['night']} at {_value(fields['sites'])}: {counted(fields['backups'], 'backup')}"
    if fields["ends_at"]:
        words += f", expected to end {_when(fields['ends_at'])}"
    fits = "" if fields["fits"] else ": they do not fit"
    return f"{words}; the window closes {_when(fields['closes_at'])}{fits}"


def _updated(fields: Fields) -> str:
    words = [
        counted(fields["packages"], "package") + " updated" if fields["packages"] else "no package updated",
        "restarted" if fields["restarted"] else "",
        f"wave {fields['wave']}" if fields["wave"] else "",
        fields["reason"] or "",
    ]
    return ", ".join(filter(None, words))


def _restarted(fields: Fields) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in fields["settings"].items())
    words = [
        f"restarted for {settings or 'settings of cloud-init'}" if fields["result"] == "restarted" else "",
        f"wave {fields['wave']}" if fields["wave"] else "",
        fields["reason"] or "",
    ]
    return ", ".join(filter(None, words))


_SENTENCES: Mapping[str, Callable[[Fields], str]] = {
    "night-started": _started,
    "night-ended": lambda f: (
        f"night ended after {_duration(f['seconds'])}: {counted(f['failures'], 'failure')}"
    ),
    "step": lambda f: f"step: {f['name']}",
    "step-failed": lambda f: f"the step {f['name']} was aborted: {f['reason']}",
    "action": lambda f: str(f["text"]),
    "share": lambda f: f"{f['percent']} %",
    "backup-started": lambda f: f"backup started, to {f['storage']}",
    "backup-done": lambda f: f"backup made: {_size(f['bytes'])} in {_duration(f['seconds'])}",
    "backup-failed": lambda f: f"backup failed: {f['reason']}",
    "storage-gone": lambda f: f"the backup storage {f['storage']} at {f['site']} cannot be reached any more",
    "restore-test-started": lambda f: f"restore test started: {f['archive']}",
    "restore-test-repeated": lambda f: f"restore test repeated: {f['reason']}",
    "restore-test-ended": lambda f: (
        f"restore test {'passed' if f['sound'] else 'did not run' if f['sound'] is None else 'failed'}: {f['found']}"
    ),
    "no-picture": lambda f: f"no picture of the restored copy's console: {f['reason']}",
    "archive-removed": lambda f: f"archive removed, its days are over: {f['archive']}",
    "archive-failed": lambda f: f"archive not removed: {f['archive']}: {f['reason']}",
    "snapshot-taken": lambda f: f"snapshot {f['snapshot']} taken",
    "snapshot-expired": lambda f: f"snapshot {f['snapshot']} removed, its seven days are over",
    "snapshot-failed": lambda f: f"snapshot failed: {f['reason']}",
    "updates-started": lambda f: f"updates of {counted(f['machines'], 'machine')} started",
    "updates-wait": lambda f: f"updates wait: {f['reason']}",
    "updated": _updated,
    "update-failed": lambda f: f"update failed ({f['result']}): {_updated(f)}",
    "restarts-started": lambda f: f"restarts of {counted(f['machines'], 'machine')} started",
    "restarts-wait": lambda f: f"restarts wait: {f['reason']}",
    "restarted": _restarted,
    "restart-failed": lambda f: f"restart failed ({f['result']}): {_restarted(f)}",
    "report-written": lambda f: f"report written: {f['file']}",
    "summary": lambda f: str(f["text"]),
}
