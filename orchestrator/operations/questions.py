"""Questions that an operation asks whoever starts something: a face answers them from options, a person, or a form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Question:
    """Something that has to be known.

    Attributes:
        key: its name, as an option has it (``token-secret``).
        text: what is asked.
        site: the site that it is about; empty: none.
        default: the answer if nobody says another one; None: there is none, somebody has to answer.
        known: values that were seen, for whoever answers.
        example: a valid answer, for messages.
        asked: whether a person is asked; else only who names it answers it, and the default holds.
    """

    key: str
    text: str
    example: str
    site: str = ""
    default: str | None = None
    known: tuple[str, ...] = ()
    asked: bool = True


class Ask(Protocol):
    """Gives answers."""

    def __call__(self, question: Question, read: Callable[[str], T]) -> T:
        """Return the answer.

        Args:
            question: what is asked.
            read: turns a text into the answer; raises ValueError if the text is none.

        Raises:
            OrchestratorError: nobody answers, or the answer is wrong and cannot be asked for again.
        """

    def agrees(self, text: str) -> bool:
        """Whether a person says yes; False where nobody can be asked."""

    def complete(self) -> None:
        """Make sure that everything was answered. Until then a missing answer may be its example.

        Raises:
            OrchestratorError: it was not; all that is missing is named.
        """


def value_of(model: type[BaseModel], name: str) -> Callable[[str], str]:
    """What reads the text of a field of a file: the text itself, if the field takes it.

    The reader raises ValueError, with what the field takes.
    """
    field = model.model_fields[name]
    annotated: Any = field.annotation
    for item in field.metadata:
        annotated = Annotated[annotated, item]
    adapter: TypeAdapter[Any] = TypeAdapter(annotated)

    def read(text: str) -> str:
        text = text.strip()
        try:
            adapter.validate_python(text)
        except ValidationError as error:
            first = error.errors()[0]
            said = str(first["msg"]).removeprefix("Value error, ")
            if first["type"] == "string_pattern_mismatch":
                said = field.description or "letters, digits and '-'"
            raise ValueError(said) from None
        return text

    return read
