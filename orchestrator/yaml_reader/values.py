"""How values are written in subscription and site files: sizes, addresses, ports, keys, dates, times.

Each type reads the text of a file, says in a sentence what it accepts, and writes the same text again. The
examples document the JSON Schema, and stand in for a wrong value while the rest of a file is checked.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from orchestrator.yaml_reader.problems import shorten
from orchestrator.yaml_reader.public_keys import LONGEST_LINE, PATTERN, parse_public_key

_SIZE = re.compile(r"(?P<number>[0-9]{1,9}) ?(?P<unit>[MGT]iB)")
_MEANT_SIZE = re.compile(
    r"(?P<number>[0-9]{1,9})(?:[.,](?P<rest>[0-9]{1,4}))?[ \u00a0\u202f]?(?P<unit>(?P<letter>[MGT])(?:i?[bo])?)",
    re.IGNORECASE,
)
"""What people write who mean a size: ``4 GB``, ``4Go``, ``4gib``, ``1.5GiB``."""
_MAPPED_BITS = 96  # ::ffff:0:0/96 holds all of IPv4
_MIB = {"MiB": 1, "GiB": 1024, "TiB": 1024 * 1024}
_FIRST_YEAR, _LAST_YEAR = (
    1970,
    2999,
)  # months and holidays are counted from dates: the calendar's ends have none
_SAMPLE_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMg1Bl/wH1SydQoVGPUVW0mIrhq6uCjSHOqPM3D1ETuc name@host"

IPv4Network = ipaddress.IPv4Network
IPv6Network = ipaddress.IPv6Network


class Strict(BaseModel):
    """Unknown keys are errors and values never change: what every class of a file shares."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def parse_size(value: object) -> int:
    """Return a size such as ``4GiB`` in MiB.

    Only binary units are accepted, because Proxmox counts in them: ``4GB`` is an error, not 4GiB.

    Raises:
        ValueError: the text is not a whole number of MiB, GiB or TiB.
    """
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(match["number"]) * _MIB[match["unit"]]
    if isinstance(value, str) and (match := _MEANT_SIZE.fullmatch(value.strip())):
        raise ValueError(_meant_size(match))
    raise ValueError("a size is a whole number with the unit MiB, GiB or TiB, such as 4GiB")


def _meant_size(match: re.Match[str]) -> str:
    """What to write instead of a size in another spelling, and why."""
    unit = f"{match['letter'].upper()}iB"
    if match["rest"] is None:
        meant = f"{match['number']}{unit}"
        if "i" in match["unit"].lower():
            return f"write {meant}"
        written = match["unit"] if len(match["unit"]) > 1 else f"{match['unit']}B"
        return f"write {meant}: {written} counts in thousands, Proxmox and this file in 1024 ({unit})"
    exact = Fraction(f"{match['number']}.{match['rest']}") * _MIB[unit]
    if exact.denominator == 1:
        return f"a size is a whole number: write {int(exact)}MiB"
    return f"a size is a whole number with the unit MiB, GiB or TiB, such as {match['number']}{unit}"


def parse_disk_size(value: object) -> int:
    """Return a disk size such as ``20GiB`` in GiB (whole GiB: the unit in which Proxmox allocates).

    Raises:
        ValueError: the text is not a size, or not a whole number of GiB.
    """
    mebibytes = parse_size(value)
    if mebibytes % 1024:
        raise ValueError("a disk is a whole number of GiB, such as 20GiB")
    return mebibytes // 1024


def format_mebibytes(mebibytes: int) -> str:
    """Write a number of MiB the way subscription files do: ``4GiB``, ``512MiB``."""
    return f"{mebibytes // 1024}GiB" if mebibytes % 1024 == 0 and mebibytes else f"{mebibytes}MiB"


def format_gibibytes(gibibytes: int) -> str:
    """Write a number of GiB the way subscription files do: ``20GiB``."""
    return f"{gibibytes}GiB"


def parse_source(value: object) -> IPv4Network | IPv6Network | Literal["any"]:
    """Return ``any``, or the network that an address or a CIDR text names.

    Raises:
        ValueError: neither; or host bits are set in a CIDR text.
    """
    if value == "any":
        return "any"
    if isinstance(value, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
        return value
    if isinstance(value, str):
        try:
            network = ipaddress.ip_network(value)
        except ValueError:
            _explain_host_bits(value)
        else:
            _refuse_unmatched(network)
            return network
    raise ValueError("'any', an address, or a network in CIDR form such as 198.51.100.0/24")


def _refuse_unmatched(network: IPv4Network | IPv6Network) -> None:
    """Refuse what no packet's address ever matches, though it looks as if it did."""
    address = network.network_address
    if not isinstance(address, ipaddress.IPv6Address):
        return
    length = f"/{network.prefixlen}" if network.prefixlen < network.max_prefixlen else ""
    if address.scope_id is not None:
        bare = ipaddress.IPv6Address(int(address))
        raise ValueError(
            f"write {bare}{length}: %{shorten(address.scope_id)} names an interface of one computer, and means nothing "
            "on another"
        )
    if address.ipv4_mapped is not None and network.prefixlen >= _MAPPED_BITS:
        length = f"/{network.prefixlen - _MAPPED_BITS}" if length else ""
        raise ValueError(
            f"write {address.ipv4_mapped}{length}: this is how logs write an IPv4 address, no packet comes from it"
        )


def _explain_host_bits(text: str) -> None:
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        return
    _refuse_unmatched(interface.network)
    raise ValueError(f"write {interface.network} for the network, or {interface.ip} for the one address")


def parse_network(value: object) -> IPv4Network | IPv6Network:
    """Return the network that an address or a CIDR text names (everybody is refused).

    Raises:
        ValueError: the text is neither; or host bits are set in a CIDR text; or it names every address.
    """
    try:
        network = parse_source(value)
    except ValueError as error:
        raise ValueError(str(error).removeprefix("'any', ")) from None
    if isinstance(network, str) or network.prefixlen == 0:
        raise ValueError("everybody is not allowed here: name the addresses, such as 198.51.100.0/24")
    return network


def parse_ipv4_network(value: object) -> IPv4Network:
    """Return the IPv4 network that a CIDR text names.

    Raises:
        ValueError: the text is not one; or host bits are set in it.
    """
    network = parse_network(value)
    if not isinstance(network, IPv4Network):
        raise ValueError("an IPv4 network in CIDR form, such as 203.0.113.0/24")
    return network


def parse_sources(value: object) -> object:
    """Return a list of sources; ``any`` alone needs no brackets."""
    return [value] if value == "any" else value


_MEANT_PORTS = re.compile(r"([0-9]{1,5}) ?(?:-|–|\.\.|:) ?([0-9]{1,5})")
"""What people write who mean a range of ports."""


_ITEM_EACH = "an item opens one port, or one range: write an item for each"


def _meant_range(value: object) -> str | None:
    """What to write for a text that surely means a range of ports; None for others (8000-10: 8010, or 10?)."""
    match = _MEANT_PORTS.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    if not 1 <= first <= last <= 65535:
        return None
    return f"write port: {first}" if first == last else f"write ports: {first}-{last}"


def _parse_one_port(value: object) -> object:
    if meant := _meant_range(value):
        raise ValueError(meant)
    listed = isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}( ?, ?[0-9]{1,5})+", value.strip())
    if listed or isinstance(value, list):
        raise ValueError(_ITEM_EACH)
    return value


def _parse_port_range(value: object) -> tuple[int, int]:
    if isinstance(value, tuple):
        return value
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", value)):
        first, last = int(match[1]), int(match[2])
        if 1 <= first < last <= 65535:
            return first, last
    if meant := _meant_range(value):
        raise ValueError(meant)
    if isinstance(value, list):
        raise ValueError(_ITEM_EACH)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535:
        raise ValueError(f"write port: {value}; a range is FIRST-LAST, such as 5000-5010")
    raise ValueError("a range of ports is FIRST-LAST within 1-65535, such as 5000-5010")


PROTOCOL_NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51}
"""The protocols that have a name in files, with IANA's numbers. ``icmp`` is that of IPv6 (58) as well."""

_NAMES = {number: name for name, number in PROTOCOL_NUMBERS.items()} | {58: "icmp"}
_IPV6_HEADERS = {0, 43, 44, 59, 60, 135}
_PROTOCOLS = "tcp, udp, icmp, esp, ah, gre, or another protocol's number, such as 132"


def parse_protocol(value: object) -> str:
    """Return the name of a protocol over IP or, where files have none for it, its number as a text.

    Raises:
        ValueError: it is neither, or a number that has a name, or one that no packet of a protocol carries.
    """
    if isinstance(value, str) and value in PROTOCOL_NUMBERS:
        return value
    digits = value if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,2}", value) else None
    number = value if isinstance(value, int) and not isinstance(value, bool) else int(digits or -1)
    if number in _NAMES:
        raise ValueError(f"write {_NAMES[number]}: {number} is its number")
    if number in _IPV6_HEADERS:
        raise ValueError(f"{_PROTOCOLS}; {number} is a header of IPv6")
    if not 1 <= number <= 254:
        raise ValueError(_PROTOCOLS)
    return str(number)


def parse_ipv4_address(value: object) -> ipaddress.IPv4Address:
    """Return the address that a text names.

    Raises:
        ValueError: the text is not an IPv4 address.
    """
    if isinstance(value, ipaddress.IPv4Address):
        return value
    try:
        return ipaddress.IPv4Address(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("an IPv4 address, such as 203.0.113.10") from None


def _parse_address(value: object) -> ipaddress.IPv4Address | Literal["auto"]:
    if value == "auto":
        return "auto"
    try:
        return parse_ipv4_address(value)
    except ValueError:
        raise ValueError("an address is 'auto' or an IPv4 address such as 203.0.113.10") from None


def _ssh_public_key(value: str) -> str:
    if "PRIVATE KEY" in value:
        raise PydanticCustomError(
            "literal_secret",
            "give the public half, a line of the .pub file, and make a new pair: a secret in a file "
            "that others read is none",
        )
    return parse_public_key(value).line


def _parse_date(value: object) -> dt.date:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            day = dt.date.fromisoformat(value)
        except ValueError:
            raise ValueError("there is no such day in the calendar") from None
        if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
            raise ValueError(f"a date is between the years {_FIRST_YEAR} and {_LAST_YEAR}")
        return day
    raise ValueError("a date is YEAR-MONTH-DAY, such as 2026-03-01")


_EUROS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,2})?")


def parse_euros(value: object) -> Decimal:
    """Return an amount such as ``400.00`` in EUR: in quotes, so that no cent is lost on the way.

    Raises:
        ValueError: it is not an amount with at most two decimals, or not in quotes.
    """
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and _EUROS.fullmatch(value.strip()):
        return Decimal(value.strip()).quantize(Decimal("0.01"))
    if isinstance(value, (int, float)) and _EUROS.fullmatch(str(value)):
        raise ValueError(
            f'an amount is in quotes, so that every reader has the same cents: write "{value:.2f}"'
        )
    raise ValueError('an amount in EUR is in quotes, with at most two decimals, such as "400.00"')


def _pattern(pattern: str) -> type[str]:
    """Return the type that the JSON Schema gives to a value which is read from text."""
    return Annotated[str, Field(pattern=pattern)]  # type: ignore[return-value]


_ADDRESS_PATTERN = r"[0-9]{1,3}(\.[0-9]{1,3}){3}"
_NETWORK_PATTERN = rf"{_ADDRESS_PATTERN}(/[0-9]{{1,2}})?|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(/[0-9]{{1,3}})?"

DnsLabel = Annotated[
    str,
    Field(
        pattern=r"^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$",
        description="lower-case letters, digits and '-', at most 63, a letter first",
        examples=["name-1"],
    ),
]
WholeNumber = Annotated[int, Field(strict=True)]
Switch = Annotated[bool, Field(strict=True)]
Date = Annotated[
    dt.date,
    BeforeValidator(_parse_date, json_schema_input_type=_pattern(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")),
    Field(examples=["2026-03-01"]),
]
Euros = Annotated[
    Decimal,
    BeforeValidator(parse_euros, json_schema_input_type=_pattern(r"^[0-9]{1,9}(\.[0-9]{1,2})?$")),
    PlainSerializer(str, return_type=str),
    Field(examples=["400.00"], description='EUR in quotes, at most two decimals, such as "400.00"'),
]
Mebibytes = Annotated[
    int,
    BeforeValidator(parse_size, json_schema_input_type=_pattern(r"^[0-9]{1,9} ?[MGT]iB$")),
    PlainSerializer(format_mebibytes, return_type=str),
    Field(examples=["4GiB"], description="with the unit MiB, GiB or TiB"),
]
Gibibytes = Annotated[
    int,
    BeforeValidator(parse_disk_size, json_schema_input_type=_pattern(r"^[0-9]{1,9} ?[MGT]iB$")),
    PlainSerializer(format_gibibytes, return_type=str),
    Field(examples=["20GiB"], description="a whole number of GiB, with the unit"),
]
Source = Annotated[
    IPv4Network | IPv6Network | Literal["any"],
    BeforeValidator(parse_source, json_schema_input_type=_pattern(rf"^(any|{_NETWORK_PATTERN})$")),
    PlainSerializer(str, return_type=str),
    Field(examples=["any"], description="any, an address, or a network in CIDR form"),
]
Network = Annotated[
    IPv4Network | IPv6Network,
    BeforeValidator(parse_network, json_schema_input_type=_pattern(rf"^({_NETWORK_PATTERN})$")),
    PlainSerializer(str, return_type=str),
    Field(examples=["198.51.100.0/24"], description="an address, or a network in CIDR form"),
]
Subnet = Annotated[
    IPv4Network,
    BeforeValidator(
        parse_ipv4_network, json_schema_input_type=_pattern(rf"^{_ADDRESS_PATTERN}/[0-9]{{1,2}}$")
    ),
    PlainSerializer(str, return_type=str),
    Field(examples=["203.0.113.0/24"], description="an IPv4 network in CIDR form"),
]
HostAddress = Annotated[
    ipaddress.IPv4Address,
    BeforeValidator(parse_ipv4_address, json_schema_input_type=_pattern(rf"^{_ADDRESS_PATTERN}$")),
    PlainSerializer(str, return_type=str),
    Field(examples=["203.0.113.1"], description="an IPv4 address"),
]
OnePort = Annotated[WholeNumber, Field(ge=1, le=65535), BeforeValidator(_parse_one_port)]
PortRange = Annotated[
    tuple[int, int],
    BeforeValidator(_parse_port_range, json_schema_input_type=_pattern(r"^[0-9]{1,5}-[0-9]{1,5}$")),
    PlainSerializer(lambda ports: f"{ports[0]}-{ports[1]}", return_type=str),
    Field(examples=["5000-5010"]),
]
Protocol = Annotated[
    str,
    BeforeValidator(
        parse_protocol,
        json_schema_input_type=Literal["tcp", "udp", "icmp", "esp", "ah", "gre"]
        | Annotated[int, Field(ge=1, le=254)],
    ),
    Field(examples=["tcp"], description=_PROTOCOLS),
]
Address = Annotated[
    ipaddress.IPv4Address | Literal["auto"],
    BeforeValidator(_parse_address, json_schema_input_type=_pattern(rf"^(auto|{_ADDRESS_PATTERN})$")),
    PlainSerializer(str, return_type=str),
    Field(examples=["auto"]),
]
SshPublicKey = Annotated[
    str,
    AfterValidator(_ssh_public_key),
    Field(
        max_length=LONGEST_LINE,
        examples=[_SAMPLE_KEY],
        description="a line of a .pub file",
        json_schema_extra={"pattern": PATTERN},
    ),
]
PackagePattern = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9*?][a-zA-Z0-9+._*?-]{0,99}$",
        examples=["postgresql-*"],
        description="a package's name; it may hold * and ?",
    ),
]
TimeOfDay = Annotated[
    str,
    Field(
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
        examples=["22:00"],
        description='a time of day in quotes, such as "22:00"',
    ),
]
Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
