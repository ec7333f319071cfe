"""``/clients/{client}/reports``: a client's monthly reports and its reversibility plan, as its portal has them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from starlette.responses import Response

from orchestrator.reports.pdf import PdfUnavailable
from orchestrator.web.api.access import Caller, Reader
from orchestrator.web.api.looked import RecordedRoute
from orchestrator.web.api.problems import ERRORS, Problem, missing
from orchestrator.web.client_documents import Busy, ClientDocuments, Form

ROUTER = APIRouter(tags=["reports"], responses=ERRORS, route_class=RecordedRoute)

Language = Literal["fr", "en"]

_SAVED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The document, to be saved",
        "content": {"application/pdf": {}, "application/octet-stream": {}},
    }
}


class Documents(BaseModel):
    """What there is of a client."""

    months: list[str] = Field(description="with a monthly report, the latest first")
    reversibility: bool = Field(description="whether there is a reversibility plan (article 10)")


@ROUTER.get("/clients/{client}/reports")
def documents(caller: Reader, client: str) -> Documents:
    """What there is to download."""
    found = _of(caller, client, "fr")
    return Documents(months=[str(month) for month in found.months], reversibility=found.has_reversibility)


@ROUTER.get("/clients/{client}/reports/{document}", response_class=Response, responses=_SAVED)
def document(
    caller: Reader,
    client: str,
    document: Annotated[
        str,
        Path(
            description="a month, or reversibility",
            pattern=r"^(2[0-9]{3}-(0[1-9]|1[0-2])|reversibility)$",
            examples=["2026-11"],
        ),
    ],
    form: Form = "pdf",
    language: Language = "fr",
) -> Response:
    """The monthly report of a month that is over, or the reversibility plan."""
    documents = _of(caller, client, language)
    try:
        made = documents.document(document, form)
    except Busy as error:
        raise Problem(503, "busy", str(error), {"retry-after": "5"}) from None
    except PdfUnavailable as error:
        detail = str(error) if caller.client is None else "a PDF cannot be made: ask for form=html"
        raise Problem(503, "no-pdf", detail) from None
    if made is None:
        raise missing()
    return made


def _of(caller: Caller, client: str, language: Language) -> ClientDocuments:
    caller.may_see(client)
    found = ClientDocuments.of(caller.desk, client, language)
    if found.client.subscription is None:
        raise missing()
    return found
