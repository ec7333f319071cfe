"""What every page of a client's portal begins with: who the client is, what it may see, and in which words.

A client reads nothing of ours that went wrong: what an error says is for the provider, and is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any

from orchestrator.contract.life import Standing
from orchestrator.contract.portal_rights import Act
from orchestrator.errors import OrchestratorError
from orchestrator.operations.portal import (
    LastLook,
    PortalClient,
    PortalMachine,
    last_look,
    may_read,
    portal_client,
    portal_machines,
)
from orchestrator.operations.portal_discretion import discretion_of, people_of
from orchestrator.reports.client_history import ClientEntry, client_entry
from orchestrator.reports.language import Speech
from orchestrator.reports.portal_words import PortalWords
from orchestrator.web.page import Handler
from orchestrator.web.visit import Missing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.responses import Response

    from orchestrator.history import Entry
    from orchestrator.operations.recent_files import FilesRead
    from orchestrator.reports.discretion import Discretion
    from orchestrator.web.visit import Visit

_LOG = logging.getLogger("orchestrator.web")


@dataclass(frozen=True)
class PortalDesk:
    """A client's visit.

    Attributes:
        visit: the request.
        files: as they were read last.
        client: that the account belongs to.
    """

    visit: Visit
    files: FilesRead
    client: PortalClient

    @cached_property
    def words(self) -> PortalWords:
        """Of the visit's language."""
        return PortalWords(self.visit.language)

    @cached_property
    def speech(self) -> Speech:
        """How the visit's language writes figures."""
        return Speech(self.visit.language)

    @cached_property
    def machines(self) -> tuple[PortalMachine, ...]:
        """The client's, by name."""
        return portal_machines(self.visit.desk.database, self.client)

    @cached_property
    def look(self) -> LastLook:
        """How fresh they are."""
        return last_look(self.visit.desk.database, self.machines, self.client)

    def machine(self, name: str) -> PortalMachine:
        """One of them.

        Raises:
            Missing: the client has none of that name.
        """
        found = next((one for one in self.machines if one.name == name), None)
        return found or self.visit.missing()

    @cached_property
    def people(self) -> tuple[frozenset[str], frozenset[str]]:
        """The names of the client's accounts, and of all others."""
        return people_of(self.visit.desk.database, self.client.client)

    def discretion(self, more: Iterable[str] = ()) -> Discretion:
        """What the client may be shown of what was typed; ``more`` are names that it may not."""
        seen = [one.seen for one in self.machines if one.seen]
        return discretion_of(
            self.client.client,
            self.client.subscription,
            self.files.provider,
            self.visit.desk.database,
            people=self.people,
            clients=self.files.by_client,
            more=(*more, *(one.node for one in seen if one.node)),
            own=(address for one in seen for address in one.addresses),
        )

    def entries(self, found: Iterable[Entry]) -> list[ClientEntry]:
        """Entries of the client's history as it reads them."""
        entries = list(found)
        discretion = self.discretion(entry.who for entry in entries)
        return [client_entry(entry, people=self.people[0], discretion=discretion) for entry in entries]

    def page(self, template: str, /, *, status: int = 200, **values: Any) -> Response:
        """Answer with a page of the portal."""
        shown = {"w": self.words, "desk": self, "client": self.client, "Act": Act, "Standing": Standing}
        return self.visit.page(template, status=status, **shown, **values)

    def refused(self, text: str) -> Response:
        """Answer that what was asked for is not done, and why: a text of the portal's own."""
        return self.page("portal_message.html", status=409, text=text)


def portal(answer: Callable[[PortalDesk], Response], *, home: bool = False) -> Handler:
    """Make a page of the portal answer.

    Args:
        answer: what it shows.
        home: whether it is what says that the contract has ended; the others are not there any more then.
    """

    @wraps(answer)
    def handler(visit: Visit) -> Response:
        try:
            now = visit.desk.now()
            files = visit.desk.files.read(now)
            client = portal_client(files, visit.client, now, visit.desk.settings.files)
            if may_read(client):
                return answer(PortalDesk(visit, files, client))
            if home:
                return visit.page("portal_ended.html", w=PortalWords(visit.language))
            return visit.missing()
        except Missing:
            raise
        except OrchestratorError as error:
            _LOG.error("%s %s: %s", visit.request.method, visit.request.url.path, error)
        except Exception:
            _LOG.exception("%s %s", visit.request.method, visit.request.url.path)
        return visit.page("portal_message.html", status=503, w=PortalWords(visit.language), text="")

    return handler
