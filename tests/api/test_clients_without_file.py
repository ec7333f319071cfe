"""A misspelt ``client:`` and a missing file are named by plan, ``doctor`` and night; a file alone is no news."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.resources.without_file import alike
from tests.api.desk import Desk, machine, subscription
from tests.api.night_desk import NightDesk

DUPONT = subscription("dupont", [machine("web-1"), machine("db-1")])


@pytest.fixture
def served(desk: Desk) -> Desk:
    """Two machines of dupont, one of acme."""
    desk.write(DUPONT, subscription("acme", [machine("www")]))
    assert desk.apply().code == 0
    return desk


def _told(document: dict[str, Any]) -> list[tuple[str, int, str | None]]:
    return [(item["client"], item["machines"], item["meant"]) for item in document["without_file"]]


def test_a_misspelt_client_is_named_by_plan_doctor_and_night_with_the_likely_spelling(served: Desk) -> None:
    served.write({**DUPONT, "client": "dupond"}, subscription("acme", [machine("www")]))
    assert _told(served.plan()) == [("dupont", 2, "dupond")]
    text = served.run("plan").out
    assert "client dupont has 2 machines at paris and no file among those given" in text
    assert "did you mean dupont? A file has the client dupond, which has no machine yet" in text
    assert "dupond, which has no machine yet" in served.run("plan", "--format", "markdown").out
    assert "dupond, which has no machine yet" in served.run("plan", "--format", "html").out
    assert "dupond, which has no machine yet" in served.run("apply", "--no-guests").out, "before it asks"
    findings = json.loads(served.run("doctor", "--no-guests", "--format", "json").out)["findings"]
    (found,) = [item for item in findings if item["subject"] == "client dupont"]
    assert found["severity"] == "warning" and "did you mean dupont?" in found["remedy"]
    assert "? client dupont has 2 machines" in served.run("nightly", "--dry-run", "--in-working-hours").out


def test_a_missing_file_is_named_where_a_folder_is_given_and_not_where_files_are(served: Desk) -> None:
    served.write(subscription("acme", [machine("www")]))
    assert _told(served.plan()) == [("dupont", 2, None)]
    assert _told(served.plan("subscriptions")) == [("dupont", 2, None)]
    assert _told(served.plan("subscriptions/acme.yaml")) == [], "one client's file, on purpose"
    assert _told(served.plan("--only", "acme")) == [], "one client was asked for"
    clients = {found["client"] for found in served.plan()["machines"]}
    assert clients == {"acme"}, "nothing is done for it: a missing file ends no contract (art. 10)"


def test_a_misspelt_client_is_named_though_its_file_alone_was_given(served: Desk) -> None:
    served.write({**DUPONT, "client": "dupond"})
    assert _told(served.plan("subscriptions/dupond.yaml")) == [("dupont", 2, "dupond")], "acme is no news"
    assert _told(served.plan("--only", "dupond")) == [("dupont", 2, "dupond")]


def test_a_new_client_of_another_name_is_no_misspelling(served: Desk) -> None:
    served.write(subscription("weber", [machine("www")]))
    assert _told(served.plan("subscriptions/weber.yaml")) == []
    served.write(DUPONT, subscription("acme", [machine("www")]))
    assert _told(served.plan()) == []


def test_retired_machines_need_no_word(served: Desk) -> None:
    served.write(subscription("acme", [machine("other")]), DUPONT)
    assert served.apply("--allow", "retire:acme", "--allow", "retire:site=paris").code == 0
    cluster = served.fakes["paris"].cluster()
    vm = served.machines()["other"]
    cluster.put(f"/nodes/{vm['node']}/qemu/{vm['vmid']}/config", tags="client-acme;orchestrator;retired")
    served.write(DUPONT)
    assert _told(served.plan()) == []


def test_the_night_names_them_and_is_well_all_the_same(desk: Desk) -> None:
    from orchestrator.nightly.report import render_night

    night = NightDesk(desk)
    night.deliver("web-1")
    desk.write(subscription("dupond", [machine("web-9", power="stopped")]))
    report = night.night()
    page = render_night(report, form="md", language="en")
    assert "Clients without a file" in page and "| dupont | paris | 1 | dupond |" in page, page
    assert "Clients sans fichier" in render_night(report, form="md")
    assert "without a file" not in render_night(report, form="md", language="en", client="dupont")


def test_a_file_with_errors_is_a_file(served: Desk) -> None:
    path = served.folder / "subscriptions" / "dupont.yaml"
    path.write_text(path.read_text().replace("vcpus: 1", "vcpus: 0"))
    assert "no file among" not in served.run("nightly", "--dry-run", "--in-working-hours").out
    assert "no file among" not in served.run("doctor", "--no-guests").out


def test_a_contract_of_two_clients_is_said_with_both_places(desk: Desk) -> None:
    other = subscription("acme", [machine("www")])
    other["contract"]["reference"] = "C-dupont"
    desk.write(DUPONT, other)
    for command in ("validate", "plan"):
        answer = desk.run(command)
        assert answer.code == 0, answer
        text = " ".join((answer.out + answer.err).split())
        assert "contract C-dupont is that of the client acme already: subscriptions/acme.yaml:3" in text, text
        assert "subscriptions/dupont.yaml:3" in text


@pytest.mark.parametrize(
    ("one", "other", "are"),
    [
        ("dupont", "dupond", True),
        ("dupont", "dupot", True),
        ("acme", "amce", True),
        ("client-1", "client-2", False),
        ("acme", "weber", False),
        ("dupont", "dupont", False),
        ("dupont-sa", "dupont", True),
    ],
)
def test_which_names_are_alike(one: str, other: str, are: bool) -> None:
    assert alike(one, other) is are
