"""``orchestrator schema``: the JSON Schema of the files, for editors."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from orchestrator.cli import session


def schema(
    sites: Annotated[
        bool, typer.Option("--sites", help="The schema of an inventory's sites.yaml instead.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="The schema of plans in JSON instead.")] = False,
    service_level: Annotated[
        bool, typer.Option("--service-level", help="The schema of service levels in JSON instead.")
    ] = False,
) -> None:
    """Print a JSON Schema, for editors and other programs.

    JSON Schema 2020-12 of subscription files; editors complete and check files with it. It knows keys, types and
    limits; what an offer allows is only checked by 'orchestrator validate'.
    """
    from orchestrator.yaml_reader.schema import json_schema  # not for `--help`, nor the models

    if sites:
        from orchestrator.sites import Provider

        document = json_schema(Provider, title="Sites of a provider")
    elif plan:
        from orchestrator.planning.document import PlanDocument

        document = PlanDocument.model_json_schema(mode="serialization")
    elif service_level:
        from orchestrator.reports.service_level_document import ServiceLevelDocument

        document = ServiceLevelDocument.model_json_schema(mode="serialization")
    else:
        from orchestrator.subscriptions import Subscription

        document = json_schema(Subscription, title="Subscription of a client")
    session.echo_json(json.dumps(document, indent=2, ensure_ascii=False))
