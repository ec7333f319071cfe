"""Whatever fits the schema of the API, or does not, is answered as the schema says. A bounded number of examples."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode, checks
from schemathesis.core.result import Ok

from orchestrator.interface.scopes import Scope
from orchestrator.operations.tokens import NewToken, add_token
from orchestrator.web.app import application
from tests.web.desks import ORIGIN, ClockedDesk
from tests.web.test_api import desk  # noqa: F401  (the fixture)

_OTHERS = [
    checks.ignored_auth,
    checks.negative_data_rejection,
    checks.positive_data_acceptance,
    checks.unsupported_method,
]
"""Not asked: test_api.py has tokens and methods, and what fits the schema may name what is not there."""


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_api_answers_as_its_schema_says(desk: ClockedDesk, mode: GenerationMode) -> None:  # noqa: F811
    token, _ = add_token(desk, NewToken(name=f"schema-{mode.value}", scopes=list(Scope)), who="test")
    schema = schemathesis.openapi.from_asgi(
        "/api/v1/openapi.json", application(desk), headers={"host": "panel.example"}
    )
    headers = {"authorization": f"Bearer {token}", "host": "panel.example"}
    asked = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()

        @settings(
            max_examples=4,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def answers(case: schemathesis.Case[Any]) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate(base_url=ORIGIN, headers=headers, excluded_checks=_OTHERS)

        answers()
    assert asked > 30
