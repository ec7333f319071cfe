"""``orchestrator validate`` and ``orchestrator schema``, run as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from orchestrator.resources.desired import desired_machines
from orchestrator.sites import load_provider
from orchestrator.subscriptions import load
from tests.unit.subscription_texts import file_of, machine
from tests.unit.test_sites import SITES

ROOT = Path(__file__).parents[2]


def orchestrator(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a folder, with nothing in its environment that says which inventory."""
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a good file, one with a mistake, one with a warning, and an inventory."""
    (tmp_path / "subscriptions").mkdir()
    (tmp_path / "inventories" / "test").mkdir(parents=True)
    (tmp_path / "inventories" / "test" / "sites.yaml").write_text(SITES)
    good = file_of(machine())
    (tmp_path / "subscriptions" / "a.yaml").write_text(good)
    return tmp_path


def add(folder: Path, name: str, text: str) -> None:
    client = Path(name).stem
    (folder / "subscriptions" / name).write_text(
        text.replace("client: dupont", f"client: {client}").replace("C-2026-0042", f"C-{client}")
    )


def test_good_files_exit_0_and_are_counted(folder: Path) -> None:
    done = orchestrator(folder, "validate")
    assert (done.returncode, done.stdout, done.stderr) == (0, "no errors in 1 file\n", "")


def test_an_error_exits_1_and_is_shown_by_place(folder: Path) -> None:
    add(folder, "martin.yaml", file_of(machine("backup: { retention_days: 7 }"), "cloud-vm-essential"))
    done = orchestrator(folder, "validate")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith(
        "subscriptions/martin.yaml:22:9  error  backup is not part of cloud-vm-essential (art. 3.3)"
    )
    assert lines[-1] == "1 error in 2 files"


def test_a_warning_exits_0_and_is_counted(folder: Path) -> None:
    add(folder, "a.yaml", file_of(machine()).replace("level: supervision", "level: full"))
    done = orchestrator(folder, "validate")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "no errors, 2 warnings in 1 file"


def test_json_has_a_version_counts_and_places(folder: Path) -> None:
    add(folder, "martin.yaml", file_of(machine()).replace("vcpus: 2", "vcpus: 0"))
    done = orchestrator(folder, "validate", "--format", "json", "subscriptions")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert (document["version"], document["files"], document["errors"], document["warnings"]) == (1, 2, 1, 0)
    assert document["problems"] == [
        {
            "file": "subscriptions/martin.yaml",
            "line": 15,
            "column": 16,
            "end_column": 17,
            "severity": "error",
            "message": "vcpus cannot be 0",
            "allowed": "at least 1, at most 512",
            "article": "2",
            "source_line": "        vcpus: 0",
        }
    ]


def test_names_of_sites_are_checked_only_with_an_inventory(folder: Path) -> None:
    add(folder, "a.yaml", file_of(machine()).replace("site: paris", "site: lille"))
    assert orchestrator(folder, "validate").returncode == 0
    for inventory in ("test", "inventories/test", "inventories/test/sites.yaml"):
        done = orchestrator(folder, "validate", "--inventory", inventory)
        assert done.returncode == 1
        assert "there is no site lille" in done.stdout


def test_mistakes_of_the_inventory_are_shown_with_those_of_the_files(folder: Path) -> None:
    path = folder / "inventories" / "test" / "sites.yaml"
    path.write_text(SITES.replace("site: lyon }", "site: paris }"))
    add(folder, "a.yaml", file_of(machine()).replace("vcpus: 2", "vcpus: 0"))
    done = orchestrator(folder, "validate", "--inventory", "test")
    assert "inventories/test/sites.yaml" in done.stdout
    assert "(art. 3.5)" in done.stdout
    assert "vcpus cannot be 0" in done.stdout
    assert done.stdout.splitlines()[-1] == "2 errors in 1 file"


def test_without_files_it_says_what_to_name(tmp_path: Path) -> None:
    done = orchestrator(tmp_path, "validate")
    assert done.returncode == 1
    assert "there is no folder ./subscriptions here" in done.stderr
    done = orchestrator(tmp_path, "validate", "absent.yaml")
    assert done.returncode == 1
    assert "absent.yaml:1:1  error  no such file or folder" in done.stdout


def test_an_inventory_that_is_not_there_is_an_error(folder: Path) -> None:
    done = orchestrator(folder, "validate", "--inventory", "absent")
    assert done.returncode == 1
    assert "absent" in done.stdout + done.stderr


# The schema


@cache
def schema(*arguments: str) -> dict[str, Any]:
    done = orchestrator(ROOT, "schema", *arguments)
    assert done.returncode == 0
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_the_schemas_are_valid_2020_12_and_accept_the_examples() -> None:
    for arguments, files in (
        ((), sorted((ROOT / "examples").glob("*.yaml"))),
        (("--sites",), [ROOT / "inventories" / "example" / "sites.yaml"]),
    ):
        document = schema(*arguments)
        assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        jsonschema.Draft202012Validator.check_schema(document)
        validator = jsonschema.Draft202012Validator(document)
        assert files
        for path in files:
            # Editors read dates as text, as YAML 1.2 does.
            data = yaml.load(path.read_text(), _TextDates)
            assert [error.message for error in validator.iter_errors(data)] == []


class _TextDates(yaml.SafeLoader):
    """YAML as editors read it: a date is text."""


_TextDates.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith("timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("memory: 4GiB", "memory: 4GB"),
        ("memory: 4GiB", "memmory: 4GiB"),
        ("memory: 4GiB", ""),
        ("vcpus: 2", "vcpus: 0"),
        ("vcpus: 2", "vcpus: '2'"),
        ("vcpus: 2", "vcpus:"),
        ("port: 443", "port: 443, ports: 1-2"),
        ("from: any", "from: [x]"),
        ("[tuesday]", "[mardi]"),
        ('"22:00"', '"26:00"'),
        ("cloud-vm-advanced", "cloud-vm"),
        ("2026-03-01", "1.3.2026"),
        ("address: auto", "address: somewhere"),
    ],
)
def test_the_schema_refuses_what_an_editor_can_see(old: str, new: str) -> None:
    validator = jsonschema.Draft202012Validator(schema())
    good = file_of(machine())
    assert validator.is_valid(yaml.load(good, _TextDates))
    assert not validator.is_valid(yaml.load(good.replace(old, new), _TextDates))


def test_every_key_of_the_schema_says_what_it_is_for_or_shows_an_example() -> None:
    for document in (schema(), schema("--sites")):
        for name, model in document["$defs"].items():
            for key, value in model.get("properties", {}).items():
                told = {"description", "examples", "enum", "const", "$ref", "default"} & set(value)
                assert told, f"{name}.{key}"


def test_3_5_replica_and_backups_at_the_same_second_site_are_warned_of(folder: Path) -> None:
    """After a fail-over both stand in one data centre."""
    options = machine("backup: { retention_days: 7 }\nredundancy: { second_site: lyon }")
    add(folder, "a.yaml", file_of(options))
    done = orchestrator(folder, "validate", "--inventory", "test")
    assert done.returncode == 0, done
    assert "warning  every backup storage of site paris is at lyon" in done.stdout
    assert "after a fail-over the machine and its backups stand in one data centre (art. 3.5)" in done.stdout
    third = "backup_storages: [{ name: backup-lyon, site: lyon }, { name: backup-lille, site: lille }]"
    text = SITES.replace("backup_storages: [{ name: backup-lyon, site: lyon }]", third)
    (folder / "inventories" / "test" / "sites.yaml").write_text(text)
    assert orchestrator(folder, "validate", "--inventory", "test").stdout == "no errors in 1 file\n"
    provider = load_provider(folder / "inventories" / "test")
    subscriptions = [item.subscription for item in load([folder / "subscriptions"], provider).subscriptions]
    (wanted,) = desired_machines(subscriptions, provider)
    assert [storage.name for storage in wanted.backup_storages] == ["backup-lille"], "where there is a choice"
