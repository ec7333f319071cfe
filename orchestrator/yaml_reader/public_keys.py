"""An SSH public key: one line of a ``.pub`` file, read strictly, and how it is handed on to a machine.

sshd skips a damaged line without a word, and Proxmox writes keys unquoted into cloud-init's YAML. So a key is read
here as OpenSSH reads it (type, structure, length, the point on its curve), and only harmless characters of its comment
reach a machine.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

LONGEST_LINE = 8192
"""Characters of a key's line; RSA with 16384 bits, the longest that OpenSSH takes, needs 2,750."""

LONGEST_COMMENT = 200
"""Characters of a key's comment."""

_RSA_BITS = (1024, 16384)  # what OpenSSH takes
_LONGEST_NUMBER = _RSA_BITS[1] // 8 + 1  # bytes; the first is 0 where a number would look negative
_ED25519_BYTES = 32
_BLANKS = re.compile(r"[ \t]+")
_NOT_HANDED_ON = re.compile(r"[^A-Za-z0-9@._+: -]")
_COLON_OF_YAML = re.compile(r":(?=[: ]|$)")  # "a: b" is a mapping


class _Curve(NamedTuple):
    """A curve y² = x³ - 3x + b over the integers modulo p (FIPS 186-4, D.1.2)."""

    bits: int
    p: int
    b: int

    def has(self, x: int, y: int) -> bool:
        """Whether a point is on the curve, and one that OpenSSH takes: not next to nothing."""
        on_curve = x < self.p and y < self.p and (y * y - (x * x * x - 3 * x + self.b)) % self.p == 0
        return on_curve and min(x.bit_length(), y.bit_length()) > self.bits // 2


_CURVES = {
    b"nistp256": _Curve(
        256,
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    ),
    b"nistp384": _Curve(
        384,
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
    ),
    b"nistp521": _Curve(
        521,
        2**521 - 1,
        0x0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00,
    ),
}

KEY_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
"""The types of keys that may let somebody in."""

PATTERN = rf"^[ \t]*({'|'.join(map(re.escape, KEY_TYPES))})[ \t]+[A-Za-z0-9+/]+={{0,2}}([ \t].*)?$"
"""What a key's line looks like, for JSON Schemas."""


class PublicKey(NamedTuple):
    """A public key without options.

    Attributes:
        type: as OpenSSH names it, such as ``ssh-ed25519``.
        base64: the key itself.
        comment: who it is; may be empty. Printable characters of any alphabet.
    """

    type: str
    base64: str
    comment: str

    @property
    def line(self) -> str:
        """The key as a line, its fields parted by one blank each."""
        return " ".join(part for part in self if part)

    @property
    def handed_on(self) -> str:
        """The key as a line for a machine.

        Proxmox writes it as ``- LINE`` into cloud-init's YAML without quotes. So of the comment only ASCII letters,
        digits, blanks and ``@ . _ + - :`` are left, a colon only where another character follows it at once.
        """
        comment = _COLON_OF_YAML.sub("", _NOT_HANDED_ON.sub("", self.comment))
        return self._replace(comment=" ".join(comment.split())).line


def parse_public_key(line: str, *, any_comment: bool = False) -> PublicKey:
    """Read a line of a ``.pub`` file, with or without its end.

    Fields are parted by blanks and tabs and nothing else, as sshd parts them.

    Args:
        line: the line.
        any_comment: take the comment as it is, where the key was delivered long ago.

    Raises:
        ValueError: it is none that ``ssh-keygen -l`` could read, has options before the key, or a comment with
            characters that cannot be printed. The text says what is wrong and what to do.
    """
    if len(line) > LONGEST_LINE:
        raise ValueError(f"an SSH public key has at most {LONGEST_LINE} characters")
    line = line.removesuffix("\n").removesuffix("\r")
    fields = _BLANKS.split(line.strip(" \t"), maxsplit=2)
    kind = fields[0]
    if kind not in KEY_TYPES:
        raise ValueError(_no_type(line))
    if len(fields) == 1:
        raise ValueError(f"nothing follows {kind}: copy the whole line of the .pub file")
    blob = _decoded(fields[1])
    if blob is None or not _is_sound(kind, blob):
        raise ValueError("the key is damaged or cut short: copy the whole line of the .pub file")
    comment = fields[2].replace("\t", " ").strip(" ") if len(fields) > 2 else ""
    if any_comment:
        return PublicKey(kind, fields[1], comment)
    if odd := next((character for character in comment if not character.isprintable()), None):
        raise ValueError(
            f"the comment after the key holds a character that cannot be printed (U+{ord(odd):04X}): take it out"
        )
    if len(comment) > LONGEST_COMMENT:
        raise ValueError(f"the comment after the key has at most {LONGEST_COMMENT} characters")
    return PublicKey(kind, fields[1], comment)


def _no_type(line: str) -> str:
    words = re.split(r"[ \t,]+", line.strip(" \t"))
    if "-cert-v0" in words[0]:
        return "this is a certificate: give the public key, a line of a .pub file whose name does not end in -cert.pub"
    if any(word in KEY_TYPES for word in words[1:]):
        return "options before the key are not used here: give the line of the .pub file as it is"
    if words[0] == "ssh-dss":
        return "an SSH public key of another type: OpenSSH no longer takes ssh-dss (ssh-keygen -t ed25519)"
    return f"an SSH public key is one line such as 'ssh-ed25519 AAAA... name@host', of type {', '.join(KEY_TYPES)}"


def _decoded(text: str) -> bytes | None:
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    # OpenSSH takes no bits after the end, Python does.
    return blob if base64.b64encode(blob).decode() == text else None


def _is_sound(kind: str, blob: bytes) -> bool:
    """Whether the key is what its type says, whole, with nothing after it."""
    fields = _strings(blob)
    if fields is None or not fields or fields[0] != kind.encode():
        return False
    own = fields[1:]
    if kind.startswith("sk-"):  # the application, such as "ssh:", comes last
        if not own or b"\0" in own[-1].removesuffix(b"\0"):
            return False
        own = own[:-1]
    if "ed25519" in kind:
        return len(own) == 1 and len(own[0]) == _ED25519_BYTES
    if kind == "ssh-rsa":
        return len(own) == 2 and _is_exponent(own[0]) and _is_modulus(own[1])
    name = kind.removesuffix("@openssh.com").rpartition("-")[2].encode()
    return len(own) == 2 and own[0] == name and _is_point(own[1], _CURVES[name])


def _strings(blob: bytes) -> list[bytes] | None:
    """The strings that a blob consists of (RFC 4251, 5: each after its length); None if it ends within one."""
    strings: list[bytes] = []
    at = 0
    while at < len(blob):
        length = int.from_bytes(blob[at : at + 4], "big")
        begin, at = at + 4, at + 4 + length
        if at > len(blob):
            return None
        strings.append(blob[begin:at])
    return strings


def _is_exponent(number: bytes) -> bool:
    return bool(number.strip(b"\0")) and number[0] < 0x80 and len(number) <= _LONGEST_NUMBER


def _is_modulus(number: bytes) -> bool:
    lowest, highest = _RSA_BITS
    sound = number[:1] < b"\x80" and len(number) <= _LONGEST_NUMBER
    return sound and lowest <= int.from_bytes(number, "big").bit_length() <= highest


def _is_point(point: bytes, curve: _Curve) -> bool:
    length = (curve.bits + 7) // 8
    if len(point) != 1 + 2 * length or point[0] != 4:  # only points written in full are keys
        return False
    return curve.has(int.from_bytes(point[1 : 1 + length], "big"), int.from_bytes(point[1 + length :], "big"))
