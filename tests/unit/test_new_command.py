"""``orchestrator new``: a file that is valid as it is, and never in another one's place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.subscriptions.loading import load

_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILJeMzuMQop/UkZfknr0ieShjMUI2yeEX4WLdZ4l1AKa admin@dupont"
_EXAMPLE = Path(__file__).parents[2] / "inventories" / "example"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ORCHESTRATOR_INVENTORY", raising=False)
    shutil.copytree(_EXAMPLE, tmp_path / "inventories" / "mine")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})


def new(*arguments: str) -> Result:
    return run("new", *arguments, "--site", "paris", "-i", "mine")


@pytest.mark.parametrize("offer", ["cloud-vm-essential", "cloud-vm-advanced"])
@pytest.mark.parametrize("inventory", [["-i", "mine"], []])
def test_the_file_is_valid_as_it_is(folder: Path, offer: str, inventory: list[str]) -> None:
    answer = run(
        "new",
        "dupont",
        "--site",
        "paris",
        "--offer",
        offer,
        "--machine",
        "web-1",
        "--machine",
        "db-1",
        *inventory,
    )
    assert answer.exit_code == 0, answer.output
    checked = run("validate", "-i", "mine")
    assert checked.exit_code == 0 and "no errors" in checked.output
    (loaded,) = load([folder / "subscriptions"]).subscriptions
    assert [(str(kind), machine.name) for kind, machine in loaded.subscription.machines()] == [
        (offer, "web-1"),
        (offer, "db-1"),
    ]
    assert ("site and image were not checked" in answer.output) is (not inventory)


def test_what_is_told_stands_in_the_file(folder: Path) -> None:
    (folder / "keys.pub").write_text(f"# of the administrators\n{_KEY}\n")
    answer = new(
        *("dupont", "--contract", "1E3", "--starts", "2026-03-01", "--image", "debian-12"),
        *("--ssh-key", "keys.pub", "--allowed-from", "198.51.100.0/24", "--out", "clients/d.yaml"),
    )
    assert answer.exit_code == 0 and "contract.reference" not in answer.output, answer.output
    (loaded,) = load([folder / "clients"]).subscriptions
    said = loaded.subscription
    assert (said.contract.reference, str(said.contract.starts)) == ("1E3", "2026-03-01")
    assert said.administration.ssh_keys == (_KEY,)
    assert [str(network) for network in said.administration.allowed_from] == ["198.51.100.0/24"]


def test_the_stand_in_for_the_contract_is_said(folder: Path) -> None:
    answer = new("dupont")
    assert "replace contract.reference" in answer.output
    checked = run("validate").output
    assert "TODO-dupont stands in for the contract's number" in checked and "1 warning" in checked
    assert "reference: TODO-dupont " in (folder / "subscriptions" / "dupont.yaml").read_text()


def test_comments_name_what_else_the_site_has(folder: Path) -> None:
    sites = folder / "inventories" / "mine" / "sites.yaml"
    text = sites.read_text().replace(
        "debian-12: { template: debian-12 }",
        "debian-12: { template: debian-12 }\n      debian-13: { template: debian-13 }",
    )
    other = "      - { name: inside, bridge: vmbr1, subnet: 10.9.0.0/24, range: 10.9.0.10-10.9.0.20 }\n    images:"
    sites.write_text(text.replace("    images:", other, 1))
    assert new("dupont").exit_code == 0
    written = (folder / "subscriptions" / "dupont.yaml").read_text()
    assert "image: debian-12  # or debian-13" in written and "network: public  # or inside" in written
    assert run("validate", "-i", "mine").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("Dupont",), "'Dupont' is not a name for a client: lower-case letters"),
        (("../dupont",), "'../dupont' is not a name for a client"),
        (("dupont", "--machine", "Web 1"), "'Web 1' is not a name for a machine"),
        (("dupont", "--machine", "web-1", "--machine", "web-1"), "nothing was written"),
        (
            ("dupont", "--offer", "cloud-datacenter"),
            "--offer is one of cloud-vm-essential, cloud-vm-advanced",
        ),
        (("dupont", "--starts", "soon"), "--starts soon is not a date"),
        (("dupont", "--image", "windows"), "nothing was written"),
        (("dupont", "--contract", "C: 1"), 'reference cannot be "C: 1"'),
        (("dupont", "--allowed-from", "any"), "nothing was written"),
        (("dupont", "--ssh-key", "nowhere.pub"), "--ssh-key nowhere.pub: there is no public SSH key"),
        (("dupont", "--ssh-key", "private"), "--ssh-key private: there is no public SSH key"),
    ],
)
def test_bad_answers_are_refused_and_nothing_is_written(
    folder: Path, arguments: tuple[str, ...], told: str
) -> None:
    (folder / "private").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n")
    answer = new(*arguments)
    assert answer.exit_code == 1 and told in answer.output, answer.output
    assert "secret" not in answer.output
    assert not (folder / "subscriptions").exists()


def test_without_a_site_it_is_asked_for(folder: Path) -> None:
    several, none = run("new", "dupont", "-i", "mine"), run("new", "dupont")
    assert "--site is one of paris, lyon" in several.output and several.exit_code == 1
    assert "at which site are the machines?" in none.output and none.exit_code == 1
    wrong = run("new", "dupont", "-i", "mine", "--site", "nice")
    assert "there is no site nice: the inventory has lyon, paris" in wrong.output


def test_no_file_and_no_client_is_written_twice(folder: Path) -> None:
    assert new("dupont").exit_code == 0
    path = folder / "subscriptions" / "dupont.yaml"
    path.write_text(path.read_text() + "nonsense: 1\n")  # the client is known although the file has an error
    before = path.read_text()
    again = new("dupont")
    assert (
        again.exit_code == 1
        and f"client dupont has a file already: {path.relative_to(folder)}" in again.output
    )
    elsewhere = new("dupont", "--out", "subscriptions/other.yaml")
    assert "client dupont has a file already" in elsewhere.output
    taken = new("martin", "--out", "subscriptions/dupont.yaml")
    assert taken.exit_code == 1 and "subscriptions/dupont.yaml exists already" in taken.output
    assert path.read_text() == before and [file.name for file in path.parent.iterdir()] == ["dupont.yaml"]


def test_a_link_is_not_written_through(folder: Path) -> None:
    (folder / "subscriptions").mkdir()
    (folder / "subscriptions" / "dupont.yaml").symlink_to(folder / "elsewhere.yaml")
    answer = new("dupont")
    assert answer.exit_code == 1 and "exists already" in answer.output
    assert not (folder / "elsewhere.yaml").exists()


def test_a_name_close_to_another_clients_is_warned_of() -> None:
    assert new("dupont").exit_code == 0
    answer = new("dupond")
    assert (
        answer.exit_code == 0
        and "there is a client dupont: is dupond the same one, misspelt?" in answer.output
    )
    assert "misspelt" not in new("martin").output
