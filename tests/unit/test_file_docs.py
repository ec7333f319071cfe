"""The pages about the files: their examples are good, and they name every key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from orchestrator.sites import Provider, load_provider
from orchestrator.subscriptions import Subscription
from orchestrator.yaml_reader.schema import json_schema
from tests.unit.subscription_texts import load_text

DOCS = Path(__file__).parents[2] / "docs"


def example(page: str) -> str:
    match = re.search(r"```yaml\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert match is not None
    return match[1]


def test_the_example_of_a_subscription_is_good(tmp_path: Path) -> None:
    assert load_text(tmp_path, example("subscription-file.md")).problems == ()


def test_the_example_of_an_inventory_is_good(tmp_path: Path) -> None:
    (tmp_path / "sites.yaml").write_text(example("site-file.md"))
    assert list(load_provider(tmp_path).sites) == ["paris"]


@pytest.mark.parametrize(
    ("page", "model"), [("subscription-file.md", Subscription), ("site-file.md", Provider)]
)
def test_every_key_is_named(page: str, model: type[BaseModel]) -> None:
    text = (DOCS / page).read_text()
    document = json_schema(model, title="")
    keys = {key for part in [document, *document["$defs"].values()] for key in part.get("properties", {})}
    assert {key for key in keys if not re.search(rf"\b{key}\b", text)} == set()
