"""What doctor says of what observation may read."""

from __future__ import annotations

import pytest

from orchestrator.doctor.findings import Place, Severity
from orchestrator.doctor.observation import judge_observation


@pytest.mark.parametrize(
    ("held", "severity", "words"),
    [
        ({"/nodes": {"Sys.Audit": 1}}, Severity.WARNING, "lacks Sys.Audit on /"),
        ({"/": {"Sys.Audit": 1}}, Severity.OK, "without Sys.Syslog"),
        ({"/": {"Sys.Audit": 1, "Sys.Syslog": 1}}, Severity.OK, "the nodes' logs say how guests ended"),
        ({"/": {"Sys.Audit": 1}, "/nodes": {"Sys.Syslog": 1}}, Severity.OK, "the nodes' logs say"),
    ],
)
def test_what_observation_may_read_is_told(
    held: dict[str, dict[str, int]], severity: Severity, words: str
) -> None:
    (found,) = judge_observation(Place("paris"), held)
    assert (found.severity, found.subject) == (severity, "observation")
    assert words in found.found
