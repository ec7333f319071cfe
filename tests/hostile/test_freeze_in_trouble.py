"""A freeze needs the sites' APIs and nothing else: every site that can be frozen is, and the rest is said."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.proxmox import FREEZE_POOL
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve


@pytest.fixture
def troubled(fakepve: FakePve, tmp_path: Path) -> Iterator[Desk]:
    """Paris is sound; Lyon is down; of Nice the token is missing; Lille's storages have no names; Metz has no URL."""
    fakepve.control("add_template", vmid=9000, name="debian-12")
    desk = Desk(tmp_path, {"paris": fakepve})
    sound = desk.sites["paris"]
    with FakePve(site="lille") as lille:

        def site(name: str, **api: Any) -> None:
            desk.sites[name] = copy.deepcopy(sound)
            desk.sites[name]["api"] |= api

        site("lyon", url="https://127.0.0.1:1")
        site("nice", token_secret={"env": "NOBODY_SET_THIS"})
        secret = tmp_path / "lille.token"
        secret.write_text(lille.token_secret)
        secret.chmod(0o600)
        site("lille", url=lille.url, ca_file=str(lille.ca_file), token_secret={"file": str(secret)})
        desk.sites["lille"]["storage"] = ["none"]
        site("metz", url="nowhere")
        desk.fakes["lille"] = lille
        desk.write_sites()
        desk.write(subscription("dupont", [machine("web-1")]))
        (desk.folder / "subscriptions" / "broken.yaml").write_text("client: [")
        yield desk


def _frozen(desk: Desk) -> list[str]:
    return sorted(name for name, fake in desk.fakes.items() if FREEZE_POOL in fake.dump()["pools"])


@pytest.mark.parametrize(
    "history", ["a folder that is a file", "/dev/full", "postgresql+psycopg://x@127.0.0.1:1/x"]
)
def test_every_site_that_can_be_reached_is_frozen_and_the_rest_is_said(troubled: Desk, history: str) -> None:
    (troubled.folder / "state").write_text("a file, where the state directory should be")
    options = [] if history.startswith("a folder") else ["--history", history]
    for action, there in (("freeze", ["lille", "paris"]), ("thaw", [])):
        reason = ["the storage loses data"] if action == "freeze" else []
        answer = troubled.run(action, *reason, *options)
        assert answer.code == 1 and "Traceback" not in answer.err, answer
        assert _frozen(troubled) == there, answer
        for site in ("paris", "lille"):
            assert (
                f"{site}: NOT" not in answer.out
                and f"{site}: {'frozen' if there else 'thawed'}" in answer.out
            )
        for site in ("lyon", "nice", "metz"):
            assert f"{site}: NOT reached" in answer.out, answer
        assert "NOBODY_SET_THIS" in answer.out and "not in the history" in answer.err, answer


def test_a_lost_answer_is_looked_after(desk: Desk) -> None:
    fake = desk.fakes["paris"]
    fake.fault("POST", "/pools", "reset", after=True)
    answer = desk.run("freeze", "why not")
    assert answer.code == 0 and answer.out == "paris: frozen\n", answer
    fake.fault("DELETE", "/pools/.*", "reset", after=True)
    answer = desk.run("thaw")
    assert answer.code == 0 and "it had been frozen by" in answer.out and _frozen(desk) == [], answer
