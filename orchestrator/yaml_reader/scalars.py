"""What a word without quotes means in our files, and how text is written so that it is read back the same.

YAML 1.1 and 1.2 disagree about many words; the same file is read by editors, Ansible and this program. A
word that readers disagree about has no meaning here: it is refused, with the two ways to write it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NOTHING = {"", "~", "null", "Null", "NULL"}
_SWITCHES = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})", re.ASCII)
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]{0,14})\.[0-9]{1,15}", re.ASCII)
_SWITCH_LIKE = re.compile(r"(?i:yes|no|on|off|y|n|true|false|null)", re.ASCII)
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?", re.ASCII)
_NUMBER_LIKE = re.compile(
    r"[-+]?(0x[0-9a-f_]+|0o[0-7_]+|0b[01_]+|[0-9][0-9_]*(\.[0-9_]*)?(e[-+]?[0-9]+)?|\.[0-9_]+(e[-+]?[0-9]+)?|\.inf)"
    r"|\.nan",
    re.ASCII | re.IGNORECASE,
)
_FIRST_OF_NUMBERS = frozenset("+-.0123456789")
_LONGEST_SWITCH = 5


@dataclass(frozen=True)
class Ambiguous:
    """A word that YAML readers disagree about; ``{}`` in the sentences is the word.

    Attributes:
        switch: whether some of them read a switch.
    """

    message: str
    allowed: str
    switch: bool = False


def read_plain(text: str) -> str | int | float | bool | Ambiguous | None:
    """Return what a word without quotes means.

    >>> read_plain("4GiB"), read_plain("4"), read_plain("true"), read_plain("")
    ('4GiB', 4, True, None)
    """
    if text in _NOTHING:
        return None
    if text[0] in _FIRST_OF_NUMBERS:
        return _number_or_text(text)
    if len(text) > _LONGEST_SWITCH:
        return text
    if text in _SWITCHES:
        return _SWITCHES[text]
    if _SWITCH_LIKE.fullmatch(text):
        return Ambiguous(
            "{} without quotes is a switch to some readers of YAML and text to others",
            'write true or false for a switch, or "{}" for text',
            switch=True,
        )
    return text


def _number_or_text(text: str) -> str | int | float | Ambiguous:
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    if _SEXAGESIMAL.fullmatch(text):
        return Ambiguous(
            "{} without quotes is a number to some readers of YAML (digits in base 60)",
            'write it in quotes: "{}"',
        )
    if _NUMBER_LIKE.fullmatch(text):
        return Ambiguous(
            "readers of YAML disagree about the number {}",
            'write a number in plain decimal digits, such as 8 or 2.5, or "{}" for text',
        )
    return text
