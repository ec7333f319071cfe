"""A client's reversibility plan: what they receive when their contract ends (article 10). Nothing is changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.contract.calendar import day_in_paris
from orchestrator.contract.life import ContractLife
from orchestrator.errors import RequestRefused, local_reason
from orchestrator.history.approvals import REVERSIBILITY_PLAN, approval_of_plan, approvals
from orchestrator.history.declared import Approval
from orchestrator.history.errors import HistoryMissing
from orchestrator.history.records import Recorded, add
from orchestrator.operations.computer import operator, replace_file
from orchestrator.operations.declaring import declared
from orchestrator.operations.inputs import open_subscriptions
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.run import SILENT, Events, open_clusters, open_history
from orchestrator.reports.reversibility import (
    HostedMachine,
    Reversibility,
    check_reversibility,
    hosted,
    render_reversibility,
)
from orchestrator.resources.desired import desired_machines, life_of
from orchestrator.resources.observed import ObservedMachine
from orchestrator.resources.scope import Selection
from orchestrator.resources.survey import Asked, observe_sites
from orchestrator.sites.model import Provider
from orchestrator.subscriptions.model import Subscription


@dataclass(frozen=True, kw_only=True)
class ReversibilityRequest:
    """Whose plan, and in which form.

    Attributes:
        client: whose contract ends.
        inventory: where the site file is.
        files: subscription files or folders.
        output: a file for the plan; None: none is written.
        history: a file or URL; None: the usual one. It has the client's approval.
    """

    client: str
    inventory: str | None
    files: tuple[Path, ...] = ()
    language: Literal["fr", "en"] = "fr"
    form: Literal["md", "html"] = "md"
    output: Path | None = None
    history: str | None = None


@dataclass(frozen=True, kw_only=True)
class ApprovalRequest:
    """A client's approval of its plan, as somebody heard of it.

    Attributes:
        client: whose plan.
        by: who approved it for the client.
        reference: of the letter or message that says so.
        day: when, ``2026-11-20``; None: today.
        inventory: where the site file is.
        files: subscription files or folders.
        history: a file or URL; None: the usual one.
        reason: why it is recorded.
    """

    client: str
    by: str
    reference: str | None
    day: str | None
    inventory: str | None
    files: tuple[Path, ...] = ()
    history: str | None = None
    reason: str = "approval of the reversibility plan (art. 10)"


def approve(request: ApprovalRequest, events: Events = SILENT) -> Recorded[Approval]:
    """Record that a client approved its reversibility plan (article 10). A later approval replaces none.

    Raises:
        OrchestratorError: there is no reversibility, the day cannot be, or nothing could be recorded.
    """
    moment = dt.datetime.now(dt.UTC)
    provider = open_provider(request.inventory)
    life = life_of(_of_client(request.client, open_subscriptions(request.files, provider, events.problems)))
    check_reversibility(life, moment)
    if not request.reference:
        raise RequestRefused("an approval needs the letter or message that says so: name it with --reference")
    today = day_in_paris(moment)
    values = {
        "client": request.client,
        "subject": REVERSIBILITY_PLAN,
        "by": request.by,
        "day": request.day or today.isoformat(),
        "reference": request.reference,
    }
    said = declared(Approval, values)
    assert isinstance(said, Approval) and life.notice is not None  # noqa: S101  (it has a last day)
    if not life.notice <= said.day <= today:
        raise RequestRefused(
            f"the plan cannot have been approved on {said.day}: notice was given on {life.notice}, today is {today}"
        )
    with open_history(request.history) as history:
        return add(history, said, who=operator(), why=request.reason, at=moment)


def reversibility(request: ReversibilityRequest, events: Events = SILENT) -> str:
    """Draw up the plan: days, machines, disks, how to copy them, what happens then. Return its text.

    Raises:
        OrchestratorError: nobody ended the contract, the client is in default of payment, the thirty working days are
            over, or a machine cannot be read.
    """
    client = request.client
    provider = open_provider(request.inventory)
    subscription = _of_client(client, open_subscriptions(request.files, provider, events.problems))
    moment, life = dt.datetime.now(dt.UTC), life_of(subscription)
    check_reversibility(life, moment)
    desired = desired_machines([subscription], provider)
    administration = subscription.administration
    said = render_reversibility(
        Reversibility(
            client=client,
            life=life,
            starts=subscription.contract.starts,
            direct_access=desired[0].direct_access,
            user=provider.management.user,
            sources=tuple(map(str, administration.allowed_from)) if administration.ssh_keys else (),
            machines=_machines(client, provider, events),
            approval=_approval(request, life),
            moment=moment,
        ),
        form=request.form,
        language=request.language,
    )
    if request.output is not None:
        try:
            replace_file(request.output, said)
        except OSError as error:
            raise RequestRefused(f"the plan cannot be written: {local_reason(error)}") from error
    return said


def _approval(request: ReversibilityRequest, life: ContractLife) -> Approval | None:
    try:
        with open_history(request.history, create=False) as history:
            return approval_of_plan(approvals(history), request.client, life)
    except HistoryMissing:
        return None


def _of_client(client: str, subscriptions: Iterable[Subscription]) -> Subscription:
    found = next((item for item in subscriptions if item.client == client), None)
    if found is None:
        known = ", ".join(sorted(item.client for item in subscriptions)) or "none"
        raise RequestRefused(f"no file has a client {client}: there are {known}")
    return found


def _machines(client: str, provider: Provider, events: Events) -> tuple[HostedMachine, ...]:
    found: list[ObservedMachine] = []
    with open_clusters(provider, notice=events.notice) as clusters:
        read = observe_sites(clusters, Asked(selection=Selection(client=client)))
    for site, why in read.failures.items():
        raise RequestRefused(f"no plan was drawn up, it would lack the machines of {site}: {why}")
    for observed in read.observed.values():
        for item in observed.unreadable:
            if item.client == client and item.holds_up:
                raise RequestRefused(
                    f"no plan was drawn up, it would lack {item.subject} at {item.site}: {item.reason}"
                )
        found += observed.machines
    return hosted(found, client, provider.data_centre_of)
