"""Writing a subscription as the text of a file that reads back the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from orchestrator.yaml_reader.writing import Dumper

if TYPE_CHECKING:
    from orchestrator.subscriptions.model import Subscription


def dump(subscription: Subscription) -> str:
    """Return the subscription as YAML that ``load`` reads back the same; defaults are left out.

    Comments and the layout of a file that it was read from are not kept.
    """
    data = subscription.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)
