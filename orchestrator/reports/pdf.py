"""A document as PDF, made of the HTML that we render, by WeasyPrint. Nothing is fetched: no address, no file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from orchestrator.errors import OrchestratorError

_TIME = "SOURCE_DATE_EPOCH"


class PdfUnavailable(OrchestratorError):
    """WeasyPrint, or a library that it needs, is not installed."""


def pdf_of(html: str) -> bytes:
    """Return a page of ours as PDF, the same for the same page.

    Args:
        html: complete, with its style; what it refers to outside itself is left out.

    Raises:
        PdfUnavailable: WeasyPrint or Pango is missing.
    """
    try:
        from weasyprint import HTML  # a second to import, and only a PDF needs it
        from weasyprint.urls import URLFetcher
    except (ImportError, OSError) as error:  # OSError: Pango is not there
        raise PdfUnavailable(
            f"a PDF cannot be made here: {type(error).__name__}: pip install 'orchestrator[pdf]', and on Debian "
            "apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core; "
            "or write --format html and print it"
        ) from error
    with _fonts_without_a_time():
        made: Any = HTML(string=html, url_fetcher=URLFetcher(allowed_protocols=frozenset())).write_pdf()
    return bytes(made)


@contextmanager
def _fonts_without_a_time() -> Iterator[None]:
    """FontTools writes the time into each font that it cuts down, unless this variable gives another."""
    before = os.environ.get(_TIME)
    os.environ[_TIME] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_TIME]
        else:
            os.environ[_TIME] = before
