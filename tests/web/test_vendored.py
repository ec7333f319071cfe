"""What the pages bring along of others: as it was published, with its licence, and nothing besides."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import orchestrator.web

VENDORED = Path(orchestrator.web.__file__).parent / "static" / "vendor"


def test_every_file_is_in_the_manifest_with_its_licence_and_unchanged() -> None:
    packages = json.loads((VENDORED / "manifest.json").read_text())["packages"]
    noted = {name: digest for package in packages for name, digest in package["files"].items()}
    there = {
        str(path.relative_to(VENDORED)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDORED.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert there == noted
    for package in packages:
        assert package["name"] and package["version"] and package["licence"] in ("MIT", "MPL-2.0")
        assert package["licences"] and set(package["licences"]) <= set(package["files"])
