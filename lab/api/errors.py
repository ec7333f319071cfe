"""How a request can fail, with the status, the reason and the body a Proxmox VE node answers.

Almost every refusal of a node is a 500 whose text is both the HTTP reason (its first line) and the
`message` in the body (with its newline); only wrong parameters (400), missing privileges (403), missing
credentials (401) and unknown paths (501) have a status of their own.
"""

from __future__ import annotations

from collections.abc import Mapping

NO_ADDITIONAL = "property is not defined in schema and the schema does not allow additional properties"


class ApiError(Exception):
    """An answer that is not a success.

    Attributes:
        status: HTTP status.
        message: for the body, newline included where Proxmox has one.
        errors: what is wrong with which parameter.
    """

    def __init__(self, status: int, message: str, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(message.strip())
        self.status = status
        self.message = message
        self.errors = dict(errors or {})

    @property
    def reason(self) -> str:
        """The first line of the message, for the status line."""
        return self.message.split("\n", 1)[0]


class Refused(ApiError):
    """The 500 with which Proxmox answers everything that cannot be done; in a task, its exit status."""

    def __init__(self, text: str) -> None:
        super().__init__(500, f"{text}\n")


class WrongParameters(ApiError):
    """400: parameters that do not fit, each with its own text."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(400, "Parameter verification failed.\n", errors)


class Forbidden(ApiError):
    """403: a privilege is missing."""

    def __init__(self, what: str) -> None:
        super().__init__(403, f"Permission check failed ({what})\n")


class Unauthorized(ApiError):
    """401: no credentials, or wrong ones."""

    def __init__(self, text: str) -> None:
        super().__init__(401, text)


class NotImplementedHere(ApiError):
    """501: a part of Proxmox VE that the lab does not have, named so that nobody mistakes it for a success."""

    def __init__(self, what: str) -> None:
        super().__init__(501, f"{what} not implemented")


def task_text(error: BaseException) -> str:
    """The one line that a failed task ends with, as `TASK ERROR: …` and as its exit status."""
    if isinstance(error, WrongParameters):
        details = " ".join(f"{name}: {text.strip()}" for name, text in sorted(error.errors.items()))
        return f"400 Parameter verification failed. {details}"
    text = error.message if isinstance(error, ApiError) else str(error) or type(error).__name__
    return " ".join(text.split())
