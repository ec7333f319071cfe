"""The words of a client's pages: complete in both languages, all in one place, none left over."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

from orchestrator.contract.portal_rights import REQUESTS, Refusal
from orchestrator.operations.portal import _STATES
from orchestrator.reports.account_words import AccountWords
from orchestrator.reports.portal_act_words import ActWords
from orchestrator.reports.portal_words import PortalWords
from orchestrator.reports.words import Counted, Text

_FOLDER = Path(__file__).parents[2] / "orchestrator"
_TEXTS = {
    name: text
    for table in (PortalWords, ActWords, AccountWords)
    for name, text in vars(table).items()
    if isinstance(text, Text | Counted)
}
_SAME = {
    "portal_memory", "offer_essential", "offer_advanced", "offer_datacenter", "portal_snapshots",
    "portal_offer", "reports_pdf", "portal_pages", "ask_snapshot", "act_console", "changed_vcpu", "act_monitoring",
}  # fmt: skip
_OWN = "".join(
    (_FOLDER / place).read_text()
    for place in (
        "operations/signing_in.py",
        "operations/own_account.py",
        "operations/second_factors.py",
        "web/pages/account.py",
    )
)
REASONS = set(re.findall(r'reason ?= ?"(\w+)"', _OWN))
"""Why something about one's own account is not done."""

_BY_NAME = {
    *(f"ask_{act.value}" for act in REQUESTS),
    *(f"refusal_{refusal.value}" for refusal in Refusal),
    *(f"state_{state}" for state in (*_STATES.values(), "unknown")),
    *(f"done_{result}" for result in ("ok", "failed", "refused", "unknown", "begun")),
    *(f"answer_{outcome}" for outcome in ("done", "nothing_due", "refused", "withdrawn")),
    "level_supervision", "level_full",
    *(f"own_{reason}" for reason in REASONS),
}  # fmt: skip
"""Words that are found by the name of what they are for."""


def test_no_text_is_missing_in_either_language() -> None:
    for name, text in _TEXTS.items():
        french = " ".join(text.fr) if isinstance(text, Counted) else text.fr
        english = " ".join(text.en) if isinstance(text, Counted) else text.en
        assert french.strip() and english.strip(), name
        assert french != english or name in _SAME, name
        fields = [
            {field for _, field, _, _ in Formatter().parse(said) if field} for said in (french, english)
        ]
        assert fields[0] == fields[1], name


def test_no_text_is_left_unused_and_none_is_looked_for_that_is_not_there() -> None:
    paths = [path for path in (_FOLDER / "web").rglob("*") if path.suffix in (".py", ".html")]
    code = "".join(path.read_text() for path in [*paths, _FOLDER / "reports" / "client_history.py"])
    assert [name for name in _TEXTS if name not in _BY_NAME and not re.search(rf"\b{name}\b", code)] == []
    assert set(_TEXTS) >= _BY_NAME


@pytest.mark.parametrize(
    "path", sorted((_FOLDER / "web" / "templates").glob("portal*.html")), ids=lambda p: p.name
)
def test_pages_of_the_portal_hold_no_words_of_their_own(path: Path) -> None:
    source = path.read_text()
    for markup in (r"\{#.*?#\}", r"\{\{.*?\}\}", r"\{%.*?%\}", r"<[^>]*>"):
        source = re.sub(markup, " ", source, flags=re.DOTALL)
    assert set(re.findall(r"[^\W\d_]+", source)) <= {"HTML", "PDF"}
