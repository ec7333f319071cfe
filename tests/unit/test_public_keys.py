"""SSH public keys: taken exactly where OpenSSH takes them, and handed on so that cloud-init reads what was meant."""

from __future__ import annotations

import base64
import random
import struct
import subprocess
from functools import cache

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from orchestrator.yaml_reader.public_keys import KEY_TYPES, parse_public_key
from orchestrator.yaml_reader.values import SshPublicKey
from tests.unit.subscription_texts import KEY

_POINTS = {  # the generators (FIPS 186-4, D.1.2): points that are surely on their curves
    "nistp256": "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    "nistp384": "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7"
    "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
    "nistp521": "00c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3d"
    "baa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66"
    "011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e66"
    "2c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650",
}
_words = TypeAdapter(SshPublicKey)


def _blob(*parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def _sound() -> list[tuple[str, bytes]]:
    """A sound key of each type."""
    points = {name: b"\x04" + bytes.fromhex(point) for name, point in _POINTS.items()}
    modulus = b"\x00\xc3" + b"\x5a" * 255
    keys = {
        "ssh-ed25519": (b"\x07" * 32,),
        "ssh-rsa": (b"\x01\x00\x01", modulus),
        **{f"ecdsa-sha2-{name}": (name.encode(), point) for name, point in points.items()},
        "sk-ssh-ed25519@openssh.com": (b"\x07" * 32, b"ssh:"),
        "sk-ecdsa-sha2-nistp256@openssh.com": (b"nistp256", points["nistp256"], b"ssh:"),
    }
    assert set(keys) == set(KEY_TYPES)
    return [(kind, _blob(kind.encode(), *parts)) for kind, parts in keys.items()]


def _mutated(chance: random.Random, kind: str, blob: bytes) -> tuple[str, bytes]:
    """The key with something wrong in its type, its lengths, its bytes, or at its end."""
    at = chance.randrange(len(blob))
    spoilt = [
        (chance.choice(KEY_TYPES), blob),
        (kind, blob[:at]),
        (kind, blob + bytes(chance.randrange(1, 9))),
        (kind, blob[:at] + bytes([blob[at] ^ 1 << chance.randrange(8)]) + blob[at + 1 :]),
        (kind, blob[:at] + blob[at + 1 :]),
        (kind.replace("256", "999"), blob.replace(b"256", b"999")),
        (kind, blob.replace(b"\x00\x00\x01\x01\x00\xc3", b"\x00\x00\x01\x01\x00\x03")),
        (kind, blob.replace(b"\x00\x00\x00\x04ssh:", b"\x00\x00\x00\x04s\x00h:")),
    ]
    return chance.choice(spoilt)


def test_a_key_is_one_exactly_where_ssh_keygen_reads_one() -> None:
    chance = random.Random(20261130)
    sound = _sound()
    tried = [*sound, *(_mutated(chance, *chance.choice(sound)) for _ in range(3000))]
    lines = [
        f"{kind} {base64.b64encode(blob).decode()} {number}" for number, (kind, blob) in enumerate(tried)
    ]
    lines += [f"{KEY.rsplit(maxsplit=1)[0][:-end]} {len(tried) + end}" for end in range(1, 40)]
    asked = subprocess.run(
        ["ssh-keygen", "-lf", "-"], input="\n".join(lines), capture_output=True, text=True, check=True
    )
    known = {line.split()[2] for line in asked.stdout.splitlines()}
    ours = {line.split()[-1] for line in lines if _is_key(line)}
    assert len(sound) < len(known) < len(lines), "both kinds were tried"
    assert {str(number) for number in range(len(sound))} <= known
    assert ours == known


def _is_key(line: str) -> bool:
    try:
        parse_public_key(line)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f'command="x" {KEY}', "options before the key"),
        (f"no-pty,{KEY}", "options before the key"),
        (f"{KEY}\r\nruncmd:", "U+000D"),
        (f"{KEY}\u2028x", "U+2028"),
        (f"{KEY} \x1b[2J", "U+001B"),
        (KEY.replace(" ", "\u00a0"), "an SSH public key"),
        (KEY.replace("ed25519 ", "ed25519\u2003"), "an SSH public key"),
        (KEY.replace("ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com"), "a certificate"),
        ("ssh-ed25519", "nothing follows"),
        (KEY + "x" * 200, "at most 200 characters"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA", "public half"),
    ],
)
def test_what_is_no_line_of_a_pub_file_is_refused_with_what_to_do(line: str, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _words.validate_python(line)
    assert says in str(caught.value)


def test_blanks_are_those_of_sshd() -> None:
    kind, key, name = KEY.split()
    assert _words.validate_python(f"\t{kind}\t {key}  {name} \n") == KEY


def test_an_innocent_comment_stays_readable() -> None:
    said = {
        "alice: laptop": "alice laptop",
        "alice@dupont": "alice@dupont",
        "José (Büro) #2": "Jos Bro 2",
        "aa:bb:cc": "aa:bb:cc",
        "trailing:": "trailing",
        "::": "",
    }
    bare = KEY.rsplit(maxsplit=1)[0]
    handed_on = {comment: parse_public_key(f"{bare} {comment}").handed_on for comment in said}
    assert handed_on == {comment: f"{bare} {rest}".rstrip() for comment, rest in said.items()}


def user_data(lines: list[str]) -> str:
    """The part of cloud-init's user data that Proxmox makes of keys (PVE::QemuServer::Cloudinit, without quotes)."""
    return "#cloud-config\nhostname: web-1\nssh_authorized_keys:\n" + "".join(
        f"  - {line}\n" for line in lines
    )


@cache
def _bare() -> str:
    return KEY.rsplit(maxsplit=1)[0]


_yaml_like = st.text("alice:# -?{}[],&*!|>'\"%@`\t\r\n\x85\u2028\ufeff", max_size=20)


@given(st.lists(st.one_of(st.text(max_size=30), _yaml_like), min_size=1, max_size=4))
def test_cloud_init_reads_the_keys_that_were_meant_whatever_their_comments(comments: list[str]) -> None:
    taken = []
    for comment in comments:
        try:
            taken.append(parse_public_key(_words.validate_python(f"{_bare()} {comment}")).handed_on)
        except ValidationError:
            continue
    read = yaml.safe_load(user_data([KEY, *taken]))
    assert read == {"hostname": "web-1", "ssh_authorized_keys": [KEY, *taken]}
    assert all(line.isascii() and line.startswith(_bare()) for line in taken)
