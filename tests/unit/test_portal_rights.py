"""What clients may do in their portal: every offer, every standing of the contract, every level, every act."""

from __future__ import annotations

import itertools

import pytest

from orchestrator.contract.life import Standing
from orchestrator.contract.offers import Offer
from orchestrator.contract.portal_rights import READING, REQUESTS, Act, Level, Position, Refusal, may, refusal

_READS = {"read", "backups", "graphs"}
_ASKS = {"snapshot", "change", "credit", "hardware"}

# Offer, level of the managed services: what the client may see, and what it may do while the contract is in force.
_TABLE: dict[tuple[str, Level | None], tuple[set[str], set[str]]] = {
    ("cloud-vm-essential", None): ({"read"}, _ASKS),
    ("cloud-vm-essential", "supervision"): ({"read", "graphs"}, _ASKS | {"update"}),
    ("cloud-vm-essential", "full"): ({"read", "graphs"}, _ASKS | {"update"}),
    ("cloud-vm-advanced", None): (_READS, _ASKS | {"restart", "console"}),
    ("cloud-vm-advanced", "supervision"): (_READS, _ASKS | {"restart", "console", "update"}),
    ("cloud-vm-advanced", "full"): (_READS, _ASKS | {"restart", "update"}),
    ("cloud-datacenter", None): (_READS, _ASKS | {"restart", "console"}),
    ("cloud-datacenter", "supervision"): (_READS, _ASKS | {"restart", "console", "update"}),
    ("cloud-datacenter", "full"): (_READS, _ASKS | {"restart", "update"}),
}


def test_the_table_has_every_offer_and_level() -> None:
    levels: tuple[Level | None, ...] = (None, "supervision", "full")
    assert set(_TABLE) == {(offer.value, level) for offer, level in itertools.product(Offer, levels)}
    assert set(Act) == _READS | _ASKS | {"restart", "console", "update"}


@pytest.mark.parametrize("standing", Standing)
@pytest.mark.parametrize(("offer", "level"), _TABLE)
def test_what_a_client_may_do(offer: str, level: Level | None, standing: Standing) -> None:
    sees, acts = _TABLE[offer, level]
    expected = {
        Standing.ACTIVE: sees | acts,
        Standing.ENDING: sees | acts,  # the services go on for thirty working days (article 10)
        Standing.SUSPENDED: sees,
        Standing.ENDED: set(),
    }[standing]
    position = Position(offer=next(one for one in Offer if one == offer), standing=standing, level=level)
    assert {act.value for act in Act if may(act, position)} == expected


@pytest.mark.parametrize(
    ("act", "offer", "level", "standing", "why"),
    [
        (Act.CONSOLE, Offer.ESSENTIAL, None, Standing.ACTIVE, Refusal.OFFER),
        (Act.CONSOLE, Offer.ADVANCED, "full", Standing.ACTIVE, Refusal.LEVEL),
        (Act.CONSOLE, Offer.ADVANCED, "full", Standing.SUSPENDED, Refusal.SUSPENDED),
        (Act.RESTART, Offer.ESSENTIAL, "full", Standing.ACTIVE, Refusal.OFFER),
        (Act.UPDATE, Offer.ADVANCED, None, Standing.ENDING, Refusal.UNMANAGED),
        (Act.GRAPHS, Offer.ESSENTIAL, None, Standing.ACTIVE, Refusal.OFFER),
        (Act.READ, Offer.ADVANCED, None, Standing.ENDED, Refusal.ENDED),
        (Act.CREDIT, Offer.ADVANCED, None, Standing.SUSPENDED, Refusal.SUSPENDED),
    ],
)
def test_a_refusal_says_why(
    act: Act, offer: Offer, level: Level | None, standing: Standing, why: Refusal
) -> None:
    assert refusal(act, Position(offer=offer, standing=standing, level=level)) is why


def test_every_act_reads_or_asks_or_opens_the_console() -> None:
    assert READING | set(REQUESTS) | {Act.CONSOLE} == set(Act)
    assert not READING & set(REQUESTS)
