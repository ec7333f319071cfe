"""The tone of a state: how its word is marked. The word alone says the state; shape and colour find it in a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Tone = Literal["good", "warn", "bad", "busy", "wait", "off", "unknown"]

_WORDS: Mapping[Tone, str] = {
    "good": "running, good, ok, done, succeeded, approved, applied, met, active, up, complete, valid, en service",
    "warn": "held, late, due, suspended, degraded, stale, expiring, provisional, warning, suspendu",
    "bad": "failed, refused, missed, down, unreachable, critical, error, lost, expired, en panne",
    "busy": "applying, working, in progress, starting, stopping",
    "wait": "waiting, pending, queued, open, asked, scheduled, new",
    "off": "stopped, retired, ended, cancelled, disabled, closed, none, superseded, withdrawn, terminé",
    "unknown": "unknown, unreadable, no data, not observed, inconnu",
}
_TONES = {word: tone for tone, words in _WORDS.items() for word in words.split(", ")}


def tone_of(word: str) -> Tone:
    """The tone of a state that is the same wherever it is shown; ``off`` of a word that is not known."""
    return _TONES.get(str(word).lower(), "off")
