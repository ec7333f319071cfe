"""What a client can download: monthly reports, the reckoning of its service level, its reversibility plan.

They are made when they are asked for, of the history, the file and the last look: no hypervisor is asked. A few at the
same time; who comes then is told to come again. The provider gets what the client gets.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from starlette.responses import Response

from orchestrator.contract.months import Month
from orchestrator.errors import RequestRefused
from orchestrator.history.approvals import approval_of_plan, approvals
from orchestrator.operations.monthly_report import gathered
from orchestrator.operations.monthly_report import rendered as rendered_report
from orchestrator.operations.portal import PortalClient, PortalMachine, portal_client, portal_machines
from orchestrator.operations.portal_discretion import discretion_of, people_of
from orchestrator.operations.service_level import month_of
from orchestrator.operations.service_level import rendered as rendered_level
from orchestrator.reports.discreet import discreet_month, discreet_monthly
from orchestrator.reports.pdf import pdf_of
from orchestrator.reports.portal_words import PortalWords
from orchestrator.reports.reversibility import (
    HostedMachine,
    NoReversibility,
    Reversibility,
    check_reversibility,
    render_reversibility,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.operations.recent_files import FilesRead
    from orchestrator.reports.discretion import Discretion
    from orchestrator.web.desk import Desk

Form = Literal["html", "pdf"]

_AT_ONCE = threading.BoundedSemaphore(2)
_TYPES: dict[Form, str] = {"html": "application/octet-stream", "pdf": "application/pdf"}
"""A page with a style of its own is saved, and never shown as one of ours."""

_MONTHS = 12
"""Months back whose reports are listed."""


class Busy(RequestRefused):
    """As many documents as may be are being made."""


def form_named(name: str) -> Form | None:
    """The form of an address; None: there is none of that name."""
    return "html" if name == "html" else "pdf" if name == "pdf" else None


@dataclass(frozen=True)
class ClientDocuments:
    """The documents of one client.

    Attributes:
        files: as they were read last.
        client: today.
        language: of the documents.
    """

    desk: Desk
    files: FilesRead
    client: PortalClient
    language: Literal["fr", "en"]

    @classmethod
    def of(cls, desk: Desk, client: str, language: Literal["fr", "en"] = "fr") -> ClientDocuments:
        """Those of a client by its name.

        Raises:
            OrchestratorError: the files cannot be read.
        """
        now = desk.now()
        files = desk.files.read(now)
        return cls(desk, files, portal_client(files, client, now, desk.settings.files), language)

    @property
    def months(self) -> list[Month]:
        """The months that have a report, the latest first."""
        last = Month.of(self.client.now)
        ordinals = (last.year * 12 + last.number - 1 - back for back in range(1, _MONTHS + 1))
        found = (Month(ordinal // 12, ordinal % 12 + 1) for ordinal in ordinals)
        return [month for month in found if self._is_whole(month)]

    def _is_whole(self, month: Month) -> bool:
        found = self.client.subscription
        return (
            found is not None
            and found.contract.starts < month.following.first_day
            and month.span.end <= self.client.now
        )

    @property
    def has_reversibility(self) -> bool:
        """Whether there is a reversibility plan: somebody has ended the contract."""
        if self.client.life is None:
            return False
        try:
            check_reversibility(self.client.life, self.client.now)
        except NoReversibility:
            return False
        return True

    def document(self, named: str, form: Form) -> Response | None:
        """The monthly report of ``2026-11``, or ``reversibility``; None: there is none.

        Raises:
            Busy: others are being made.
            PdfUnavailable: a PDF cannot be made on this computer.
            HistoryUnavailable: it could not be read.
        """
        if named == "reversibility":
            return self._reversibility(form)
        month = _month_named(named)
        return None if month is None else self._monthly(month, form)

    def _monthly(self, month: Month, form: Form) -> Response | None:
        """The monthly report of a month that is over, without graphs: these are on the machines' pages."""
        found = self.client.subscription
        if found is None or not self._is_whole(month):
            return None

        def make() -> str | bytes:
            place = self.desk.settings.history
            made = gathered(found, month, self.files.provider, place, self.client.now)
            shown = discreet_monthly(
                made, self._discretion, people=self._people[0], provider=self._words.who_provider
            )
            return rendered_report(shown, form, language=self.language)

        return self._made(form, f"rapport-{month}", make)

    def level(self, named: str, form: Form) -> Response | None:
        """The reckoning of a month's service level (article 6); None: there is none.

        Raises:
            Busy, PdfUnavailable, HistoryUnavailable: see :meth:`document`.
        """
        month, found = _month_named(named), self.client.subscription
        if month is None or found is None:
            return None
        if month.span.start > self.client.now or month.following.first_day <= found.contract.starts:
            return None

        def make() -> str | bytes:
            level = month_of(found, month, self.desk.history, self.client.now, self.desk.settings.history)
            shown = discreet_month(
                level, self._discretion, people=self._people[0], provider=self._words.who_provider
            )
            return rendered_level(shown, form, language=self.language)

        return self._made(form, f"niveau-de-service-{month}", make)

    def _reversibility(self, form: Form) -> Response | None:
        """The reversibility plan (article 10), of the last look."""
        if not self.has_reversibility:
            return None

        def make() -> str | bytes:
            page = render_reversibility(self._plan(), form="html", language=self.language)
            return pdf_of(page) if form == "pdf" else page

        return self._made(form, "plan-de-reversibilite", make)

    def _plan(self) -> Reversibility:
        found, life = self.client.subscription, self.client.life
        assert found is not None and life is not None  # noqa: S101  (where there is a plan, there is a file)
        administration = found.administration
        approval = approval_of_plan(approvals(self.desk.history), self.client.client, life)
        if approval is not None:
            changes = {
                "by": self._discretion.shown(approval.by) or self._words.who_provider,
                "reference": self._discretion.shown(approval.reference or "") or None,
            }
            approval = approval.model_copy(update=changes)
        return Reversibility(
            client=self.client.client,
            life=life,
            starts=found.contract.starts,
            direct_access=self.client.level != "full",
            user=self.files.provider.management.user,
            sources=tuple(map(str, administration.allowed_from)) if administration.ssh_keys else (),
            machines=tuple(_hosted(one) for one in self._machines if one.seen and one.state != "missing"),
            approval=approval,
            moment=self.client.now,
        )

    @cached_property
    def _words(self) -> PortalWords:
        return PortalWords(self.language)

    @cached_property
    def _machines(self) -> tuple[PortalMachine, ...]:
        return portal_machines(self.desk.database, self.client)

    @cached_property
    def _people(self) -> tuple[frozenset[str], frozenset[str]]:
        return people_of(self.desk.database, self.client.client)

    @cached_property
    def _discretion(self) -> Discretion:
        seen = [one.seen for one in self._machines if one.seen]
        return discretion_of(
            self.client.client,
            self.client.subscription,
            self.files.provider,
            self.desk.database,
            people=self._people,
            clients=self.files.by_client,
            more=(one.node for one in seen if one.node),
            own=(address for one in seen for address in one.addresses),
        )

    def _made(self, form: Form, name: str, make: Callable[[], str | bytes]) -> Response:
        if not _AT_ONCE.acquire(blocking=False):
            raise Busy("other documents are being made: ask again in some seconds")
        try:
            made = make()
        finally:
            _AT_ONCE.release()
        headers = {"content-disposition": f'attachment; filename="{name}-{self.client.client}.{form}"'}
        return Response(made, media_type=_TYPES[form], headers=headers)


def _hosted(machine: PortalMachine) -> HostedMachine:
    """A machine as the plan has it: with every disk that holds data, also one that was attached by hand."""
    seen = machine.seen
    assert seen is not None  # noqa: S101  (those alone are in the plan)
    return HostedMachine(
        name=machine.name,
        site=", ".join(filter(None, (seen.site, seen.data_centre))),
        vcpus=machine.vcpus,
        memory=machine.memory // 1024**2,
        address=seen.address or "",
        running=bool(seen.running),
        retired=seen.retired,
        disks=tuple((disk.name, disk.size) for disk in seen.disks if disk.size),
    )


def _month_named(named: str) -> Month | None:
    try:
        return Month.parse(named)
    except (ValueError, OverflowError):
        return None
