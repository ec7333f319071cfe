"""How many of a thing, in English: ``1 backup``, ``2 backups``, ``0 entries``. The one place that makes plurals."""

from __future__ import annotations


def plural(number: int, one: str, many: str = "") -> str:
    """The noun, or the verb, that fits a number.

    Args:
        number: how many.
        one: for exactly one of them.
        many: for any other number; ``one`` with an ``s`` if absent.
    """
    return one if number == 1 else many or f"{one}s"


def counted(number: int, one: str, many: str = "") -> str:
    """The number with its noun.

    >>> counted(1, "backup"), counted(0, "backup"), counted(2, "entry", "entries")
    ('1 backup', '0 backups', '2 entries')
    """
    return f"{number} {plural(number, one, many)}"
