"""Where the managed machines stand in the morning: inspected, supervised, and what was dropped (articles 3.6 and 7)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.errors import Reason
from orchestrator.nightly.guest_look import (
    GuestLine,
    GuestsSeen,
    UpdateDelay,
    WaitingUpdate,
    guest_lines,
)
from orchestrator.nightly.missing import uninspected, whereabouts
from orchestrator.nightly.step import Step
from orchestrator.nightly.telling import MACHINE, Failures, key
from orchestrator.nightly.update_round import UpdateLine
from orchestrator.nightly.update_step import UpdateStep, managed
from orchestrator.reports.page import Cell, Column, Section, Table, table_of

if TYPE_CHECKING:
    from orchestrator.nightly.result import NightReport
    from orchestrator.nightly.telling import Telling
    from orchestrator.reports.figures import Figures

_NAMED = 5
"""How many of those who were dropped most are named."""


class InspectionStep(Step):
    """Tells where every managed machine stands after the night's updates, also those that nobody looked into."""

    name = "guests in the morning"

    def run(self) -> None:
        """Tell it of each."""
        work, updates = self.work, self.work.step(UpdateStep)
        seen, ended = updates.seen, [line for line in work.lines if isinstance(line, UpdateLine)]
        if isinstance(seen, GuestsSeen) and seen.machines:
            none: list[GuestLine | UpdateDelay | WaitingUpdate] = []
            work.lines += work.decided(
                self.name, lambda: guest_lines(work.night, seen, ended, work.history), none
            )
        lines = [line for line in work.lines if isinstance(line, GuestLine)]
        why = seen if isinstance(seen, str) else ""
        work.lines += uninspected(work.night, whereabouts(work), updates.plan.objections, lines, why=why)

    @staticmethod
    def failure_kinds(telling: Telling) -> Iterator[Failures]:
        """Machines that could not be inspected, or are not supervised."""
        words, lines = telling.speech.words, telling.report.of(GuestLine)
        unseen = ((line, unseen_reason(telling, line)) for line in lines if line.unseen)
        yield telling.failures(words.guest_unseen, words.guest_unseen_remedy, unseen)
        own_words = "" if telling.provider else words.unsupervised_client
        bare = ((line, own_words or line.unsupervised) for line in lines if line.unsupervised)
        yield telling.failures(words.unsupervised, words.unsupervised_remedy, bare)

    @staticmethod
    def sections(telling: Telling) -> Iterator[Section]:
        """What the firewalls dropped."""
        if managed(telling.report):
            yield firewall_section(telling)

    @staticmethod
    def figures(report: NightReport, figures: Figures) -> None:
        """What is due in the machines that were looked into, supervision, and what their firewalls counted."""
        pending = figures.gauge(
            "orchestrator_updates_pending",
            "Updates still due after the last night, security updates apart; managed machines that were inspected",
            (*MACHINE, "security"),
        )
        reboot = figures.gauge(
            "orchestrator_reboot_required",
            "1 if a managed machine still has to be restarted after the last night; those that were inspected",
            MACHINE,
        )
        unsupervised = figures.gauge(
            "orchestrator_supervision_missing",
            "1 if a machine that should be supervised is not, or could not be inspected in the last night",
            MACHINE,
        )
        dropped = figures.gauge(
            "orchestrator_firewall_dropped_packets",
            "Packets that a managed machine's firewall dropped since the last night (not a counter)",
            MACHINE,
        )
        refused = figures.gauge(
            "orchestrator_firewall_refused_ssh",
            "New SSH connections that a managed machine's firewall refused since the last night (not a counter)",
            MACHINE,
        )
        out = figures.gauge(
            "orchestrator_firewall_refused_out_packets",
            "Outgoing packets that a managed machine's firewall refused since the last night (not a counter)",
            MACHINE,
        )
        for line in report.of(GuestLine):
            labels = key(line)
            unsupervised.labels(*labels).set(bool(line.unsupervised or line.unseen))
            if not line.problem:  # else nothing is known of it: zeros would say that all is well
                pending.labels(*labels, "true").set(line.security)
                pending.labels(*labels, "false").set(line.others)
                reboot.labels(*labels).set(line.reboot is not None)
            if line.dropped is not None:
                dropped.labels(*labels).set(line.dropped)
            if line.refused_ssh is not None:
                refused.labels(*labels).set(line.refused_ssh)
            if line.refused_out is not None:
                out.labels(*labels).set(line.refused_out)


def unseen_reason(telling: Telling, line: GuestLine) -> Reason:
    """Why a machine could not be inspected; in our own words for a client, see :func:`trouble_reason`."""
    words = telling.speech.words
    if line.stopped:
        return words.guest_stopped
    return line.problem if telling.provider else words.guest_unseen_client


def firewall_section(telling: Telling) -> Section:
    """What was dropped in each machine, the most first; then the machines where that could not be read."""
    words = telling.speech.words
    tables = _dropped_table(telling) + _refused_table(telling) + _unread_table(telling)
    return Section(title=words.firewall, empty=words.no_firewall, tables=tables)


def _dropped_table(telling: Telling) -> tuple[Table, ...]:
    speech, words = telling.speech, telling.speech.words
    read = [(line.dropped, line) for line in telling.report.of(GuestLine) if line.dropped is not None]
    read.sort(key=lambda item: (-item[0], -(item[1].refused_ssh or 0), telling.name(item[1])))
    rows = [
        (
            telling.name(line),
            line.site,
            speech.number(dropped),
            words.not_known if line.refused_ssh is None else speech.number(line.refused_ssh),
            _most(telling, line.top) or words.nothing,
        )
        for dropped, line in read
    ]
    packets, refused = Column(words.dropped_packets, figures=True), Column(words.refused_ssh, figures=True)
    columns = (words.machine, words.site, packets, refused, words.dropped_most)
    all_packets = speech.number(sum(dropped for dropped, _ in read))
    all_refused = speech.number(sum(line.refused_ssh or 0 for _, line in read))
    total = (words.total, "", all_packets, all_refused, "")
    return table_of(words.firewall_since, columns, rows, total=total)


def _refused_table(telling: Telling) -> tuple[Table, ...]:
    """What was refused on its way out, where the client's file lists what may go out."""
    speech, words = telling.speech, telling.speech.words
    read = [(line.refused_out, line) for line in telling.report.of(GuestLine) if line.refused_out is not None]
    read.sort(key=lambda item: (-item[0], telling.name(item[1])))
    rows = [
        (telling.name(line), line.site, speech.number(refused), _most(telling, line.top_out) or words.nothing)
        for refused, line in read
    ]
    packets = Column(words.refused_out_packets, figures=True)
    return table_of(words.refused_out, (words.machine, words.site, packets, words.refused_out_most), rows)


def _most(telling: Telling, top: tuple[tuple[int, str], ...]) -> str:
    return "\n".join(f"{telling.speech.number(times)} × {what}" for times, what in top[:_NAMED])


def _unread_table(telling: Telling) -> tuple[Table, ...]:
    words = telling.speech.words
    unread = [line for line in telling.report.of(GuestLine) if line.dropped is None]
    rows = [
        (
            telling.name(line),
            line.site,
            Cell(unseen_reason(telling, line) if line.problem else words.counters_unread, "warn"),
        )
        for line in unread
    ]
    shown = telling.client is None and any(not line.problem for line in unread)
    return table_of(
        words.firewall_unread,
        (words.machine, words.site, words.reason),
        rows,
        note=words.what_to_do.format(remedy=words.counters_remedy) if shown else "",
    )
