"""The reversibility plan that a client receives at the end of its contract, and approves (article 10)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.contract.life import REVERSIBILITY_DAYS, ContractLife, Standing
from orchestrator.errors import OrchestratorError
from orchestrator.pages import Form, fill
from orchestrator.reports.language import Speech
from orchestrator.reports.page import Cell, Column, Table, table_of
from orchestrator.reports.spelling import Language
from orchestrator.resources.adoption import disk_slots
from orchestrator.resources.attributes import memory_of, vcpus_of
from orchestrator.shown import quoted

if TYPE_CHECKING:
    from orchestrator.history.declared import Approval
    from orchestrator.resources.observed import ObservedMachine


class NoReversibility(OrchestratorError):
    """There is no reversibility, or none any more. The text says why, with the article."""


@dataclass(frozen=True, kw_only=True)
class HostedMachine:
    """A machine with data of the client.

    Attributes:
        memory: MiB.
        address: its IPv4 address; empty if none is known.
        retired: the day it was taken out of the file; None if it is in service. Its data is still there.
        disks: name and bytes, the system disk first.
    """

    name: str
    site: str
    vcpus: int
    memory: int
    address: str
    running: bool
    retired: dt.date | None
    disks: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class Reversibility:
    """What the plan is made from.

    Attributes:
        starts: the contract's first day.
        direct_access: whether the client may log in (article 3.8.2: not to fully managed servers).
        user: whom its keys let in.
        sources: the networks that SSH is open to; empty: none, or no key is registered.
        machines: every one that holds its data, those that left the file too.
        approval: the client's, as it is recorded; None if none is.
        moment: when it is drawn up, aware.
    """

    client: str
    life: ContractLife
    starts: dt.date
    direct_access: bool
    user: str
    sources: tuple[str, ...]
    machines: tuple[HostedMachine, ...]
    approval: Approval | None
    moment: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the plan: its paragraphs, then its tables."""

    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()


def check_reversibility(life: ContractLife, moment: dt.datetime) -> dt.date:
    """See that the client has a right to reversibility at a moment (aware); return its last day.

    Raises:
        NoReversibility: nobody ended the contract, the client is in default of payment, or the thirty working days
            are over (article 10).
    """
    if life.last_day is None:
        raise NoReversibility(
            f"contract {quoted(life.reference)}: nobody ended it, there is nothing to plan (art. 10); say "
            "status: terminated in the file, with the day that the registered letter was received"
        )
    if life.default_of_payment:
        raise NoReversibility(
            f"contract {quoted(life.reference)} ended in default of payment ({quoted(life.notice_reference)}): the "
            "client has no reversibility (art. 10); once it has paid, take default_of_payment out of the file"
        )
    if life.standing(moment) is Standing.ENDED:
        raise NoReversibility(
            f"contract {quoted(life.reference)}: the {REVERSIBILITY_DAYS} working days after the notice of "
            f"{life.notice} were over on {life.last_day}: there is no reversibility any more (art. 10)"
        )
    return life.last_day


def hosted(
    machines: Iterable[ObservedMachine],
    client: str,
    data_centre_of: Callable[[str, str], str] = lambda _site, _node: "",
) -> tuple[HostedMachine, ...]:
    """A client's machines with all their disks, as the hypervisors have them: those of its marks, by name.

    Args:
        machines: of all clients.
        client: whose.
        data_centre_of: the data centre of a site's node, as clients are told; empty if it is not named.
    """
    found = []
    for machine in machines:
        mark = machine.mark
        if mark is None or mark.client != client:
            continue
        names = {slot: name for name, slot in mark.slots.items()}
        found.append(
            HostedMachine(
                name=mark.machine,
                site=", ".join(
                    filter(None, (machine.site, data_centre_of(machine.site, machine.summary.node)))
                ),
                vcpus=vcpus_of(machine.config),
                memory=memory_of(machine.config),
                address=str(machine.address or ""),
                running=machine.running,
                retired=mark.retired,
                # a disk that somebody attached by hand holds data as well
                disks=tuple(
                    (names.get(slot.name, slot.name), slot.disk.size_bytes)
                    for slot in disk_slots(machine.config)
                ),
            )
        )
    return tuple(sorted(found, key=lambda item: (item.site, item.name)))


def render_reversibility(plan: Reversibility, *, form: Form, language: Language = "fr") -> str:
    """Return the plan as text.

    Args:
        plan: what it says.
        form: Markdown or HTML.
        language: the client's.

    Raises:
        NoReversibility: as :func:`check_reversibility`.
    """
    last_day = check_reversibility(plan.life, plan.moment)
    speech = Speech(language)
    words = speech.words
    return fill(
        "reports",
        "reversibility",
        form,
        language=language,
        title=words.plan_title.format(client=plan.client, contract=plan.life.reference),
        facts=_facts(plan, last_day, speech),
        parts=_parts(plan, speech),
        footer=words.drawn_up.format(moment=speech.moment(plan.moment)),
    )


def _facts(plan: Reversibility, last_day: dt.date, speech: Speech) -> list[tuple[str, str]]:
    words, life = speech.words, plan.life
    assert life.notice is not None  # noqa: S101  (there is a last day)
    received = words.notice_value.format(day=speech.day(life.notice), reference=life.notice_reference)
    return [
        (words.client, plan.client),
        (words.contract, life.reference),
        (words.contract_starts, speech.day(plan.starts)),
        (words.notice, received),
        (words.last_day, speech.day(last_day)),
        (words.working_days_left, speech.number(life.days_left(plan.moment))),
        (words.erased_from, speech.day(last_day + dt.timedelta(days=1))),
        (words.hosted_volume, speech.size(_volume(plan.machines))),
        (words.plan_approval, approval_words(plan.approval, speech)),
    ]


def approval_words(approval: Approval | None, speech: Speech) -> str:
    """Who approved the plan for the client, when and by which letter; or that nobody did."""
    words = speech.words
    if approval is None:
        return words.not_approved
    day, reference = speech.day(approval.day), approval.reference or words.nothing
    return words.approved_by.format(name=approval.by, day=day, reference=reference)


def _parts(plan: Reversibility, speech: Speech) -> list[Part]:
    words = speech.words
    tables = _machines(plan, speech)
    return [
        Part(title=words.plan_subject, paragraphs=(words.plan_subject_said, words.plan_delay_said)),
        Part(
            title=words.plan_machines,
            paragraphs=() if tables else (words.no_plan_machines,),
            tables=tables,
        ),
        Part(title=words.plan_copy, paragraphs=_copying(plan, speech)),
        Part(title=words.plan_help, paragraphs=(words.plan_help_said,)),
        Part(title=words.plan_after, paragraphs=(words.plan_after_said,)),
        Part(title=words.plan_approval, tables=_signatures(plan, speech)),
    ]


def _machines(plan: Reversibility, speech: Speech) -> tuple[Table, ...]:
    words = speech.words
    columns = (
        words.machine,
        words.site,
        words.state,
        words.address,
        Column(words.vcpus, figures=True),
        Column(words.memory, figures=True),
        words.disks,
        Column(words.hosted_volume, figures=True),
    )
    rows = [
        (
            machine.name,
            machine.site,
            _state(machine, speech),
            machine.address or words.nothing,
            speech.number(machine.vcpus),
            speech.size(machine.memory * 1024**2),
            ", ".join(f"{name} {speech.size(size)}" for name, size in machine.disks) or words.nothing,
            speech.size(_volume([machine])),
        )
        for machine in plan.machines
    ]
    return table_of(words.plan_machines, columns, rows)


def _state(machine: HostedMachine, speech: Speech) -> str:
    words = speech.words
    state = words.machine_running if machine.running else words.machine_stopped
    if machine.retired is None:
        return state
    return f"{state}, {words.machine_retired.format(day=speech.short_day(machine.retired))}"


def _copying(plan: Reversibility, speech: Speech) -> tuple[str, ...]:
    words = speech.words
    if not plan.direct_access:
        said = [words.copy_managed]
    elif plan.sources:
        said = [words.copy_by_ssh.format(user=plan.user, sources=", ".join(plan.sources))]
    else:
        said = [words.copy_without_key]
    if plan.life.standing(plan.moment) is Standing.SUSPENDED:
        said.append(words.copy_suspended)
    elif not all(machine.running for machine in plan.machines):
        said.append(words.copy_stopped)
    return (*said, words.copy_advice)


def _signatures(plan: Reversibility, speech: Speech) -> tuple[Table, ...]:
    words = speech.words
    columns = (
        words.party,
        words.signed_by,
        words.signed_on,
        words.signature,
    )
    blank = (Cell(""), Cell(""), Cell(""))
    signed = blank
    if (approval := plan.approval) is not None:
        signed = (Cell(approval.by), Cell(speech.day(approval.day)), Cell(approval.reference or ""))
    rows = [
        (Cell(words.the_provider), *blank),
        (Cell(words.the_client.format(client=plan.client)), *signed),
    ]
    return table_of(words.plan_approval, columns, rows)


def _volume(machines: Iterable[HostedMachine]) -> int:
    return sum(size for machine in machines for _, size in machine.disks)
