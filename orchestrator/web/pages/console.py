"""The page of a machine's console, and the ticket that it asks for: the provider's people and clients."""

from __future__ import annotations

import logging
import re
import threading
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from orchestrator.errors import OrchestratorError
from orchestrator.interface.console_tickets import (
    TICKET_SECONDS,
    ConsoleKind,
    ConsoleRefused,
    ConsoleTickets,
    Why,
)
from orchestrator.interface.roles import Right
from orchestrator.operations.client_file import FileSays
from orchestrator.operations.console import (
    ConsoleRequest,
    admit,
    close_lost,
    kept_from_client,
    what_file_says,
)
from orchestrator.web.console_socket import PATH
from orchestrator.web.console_words import END_WORDS, REFUSAL_WORDS, WORDS
from orchestrator.web.page import Need, Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.web.visit import Visit

_LOG = logging.getLogger("orchestrator.web")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_AT_ONCE = 8
"""How many may wait for hypervisors at the same time: the other pages go on, whatever these do."""

_waiting = threading.BoundedSemaphore(_AT_ONCE)


def shown_to_provider(visit: Visit) -> Response:
    """The page, which shows nothing until somebody opens the console."""
    client, machine = _names(visit, visit.path["client"])
    says = _says(visit, client, machine)
    known = says.machine is not None or visit.desk.history.entries(client=client, machine=machine, limit=1)
    if not known:
        visit.missing()
    return _page(visit, client, machine, f"/machines/{client}/{machine}")


def shown_to_client(visit: Visit) -> Response:
    """The page, or why there is no console."""
    client, machine = _names(visit, visit.client)
    says = _says(visit, client, machine)
    if says.machine is None:
        visit.missing()
    if kept_from_client(says, visit.desk.now()):
        return visit.refused(REFUSAL_WORDS[visit.language][Why.NOT_ALLOWED])
    return _page(visit, client, machine, f"/portal/machines/{machine}")


def asked_by_provider(visit: Visit) -> Response:
    """Give a ticket to one of the provider's people."""
    client, machine = _names(visit, visit.path["client"])
    return _ticket(visit, client, machine, of_client=False)


def asked_by_client(visit: Visit) -> Response:
    """Give a ticket to a client."""
    client, machine = _names(visit, visit.client)
    if _says(visit, client, machine).machine is None:
        visit.missing()
    return _ticket(visit, client, machine, of_client=True)


def _names(visit: Visit, client: str) -> tuple[str, str]:
    machine = visit.path["machine"]
    if not (_NAME.fullmatch(client) and _NAME.fullmatch(machine)):
        visit.missing()
    return client, machine


def _says(visit: Visit, client: str, machine: str) -> FileSays:
    return what_file_says(client, machine, visit.desk.files.read(visit.desk.now()))


def _page(visit: Visit, client: str, machine: str, back: str) -> Response:
    return visit.page(
        "console.html",
        client=client,
        machine=machine,
        back=back,
        asks=f"{back}/console",
        socket=PATH,
        words=WORDS[visit.language],
        endings=END_WORDS[visit.language],
    )


def _ticket(visit: Visit, client: str, machine: str, *, of_client: bool) -> Response:
    asked = visit.form.get("kind", "")
    if visit.session is None or asked not in ("", *ConsoleKind):
        visit.missing()
    now = visit.desk.now()
    tickets = ConsoleTickets(visit.desk.database)
    request = ConsoleRequest(
        client=client,
        machine=machine,
        account=visit.who,
        session=visit.session.identity,
        of_client=of_client,
        kind=ConsoleKind(asked) if asked else None,
    )
    if not _waiting.acquire(blocking=False):
        return _refused(
            visit, ConsoleRefused("too many consoles are being opened: try again", why=Why.TOO_MANY)
        )
    try:
        close_lost(tickets, visit.desk.history, now)
        given = admit(request, visit.desk.files.read(now), tickets, now, visit.desk.settings.consoles)
    except ConsoleRefused as error:
        return _refused(visit, error)
    except OrchestratorError as error:
        return _refused(visit, ConsoleRefused(str(error), why=Why.UNREACHABLE))
    finally:
        _waiting.release()
    return JSONResponse(
        {
            "ticket": given.ticket,
            "kind": given.kind.value,
            "kinds": [kind.value for kind in given.kinds],
            "seconds": TICKET_SECONDS,
        }
    )


def _refused(visit: Visit, error: ConsoleRefused) -> Response:
    """Say why there is no console: all of it to the provider's people, to a client what is its business."""
    of_client = visit.account is not None and visit.account.client is not None
    if of_client:
        _LOG.warning("a console was refused to %s: %s", visit.who, error)
    text = REFUSAL_WORDS[visit.language][error.why] if of_client else str(error)
    return JSONResponse({"refused": text, "why": error.why.value}, status_code=409)


PAGES = [
    Page(path="/machines/{client}/{machine}/console", answer=shown_to_provider, need=Right.ACT),
    Page(
        path="/machines/{client}/{machine}/console", answer=asked_by_provider, need=Right.ACT, method="POST"
    ),
    Page(path="/portal/machines/{machine}/console", answer=shown_to_client, need=Need.CLIENT),
    Page(path="/portal/machines/{machine}/console", answer=asked_by_client, need=Need.CLIENT, method="POST"),
]
