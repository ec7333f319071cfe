"""The first text of a client's file: every choice is made, and what is usually changed is explained beside it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.contract.offers import Offer
from orchestrator.yaml_reader.writing import inline


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What a new file says.

    Attributes:
        client: the client's name.
        reference: the contract's number.
        agreed: whether that is the number, and no stand-in for it.
        starts: the first day of the contract.
        site: where the machines are.
        offer: what they run under.
        machines: their names.
        image: what they are cloned from.
        network: of the site; None: the site's first.
        ssh_keys: the administrators' public keys.
        allowed_from: where they log in from.
        other_images, other_networks: what the site has besides.
    """

    client: str
    reference: str
    agreed: bool
    starts: dt.date
    site: str
    offer: Offer
    machines: Sequence[str]
    image: str
    network: str | None
    ssh_keys: Sequence[str] = ()
    allowed_from: Sequence[str] = ()
    other_images: Sequence[str] = ()
    other_networks: Sequence[str] = ()


def skeleton(beginning: Beginning) -> str:
    """Return the text of a file that `orchestrator validate` accepts."""
    return "\n".join([*_head(beginning), *_administration(beginning), *_services(beginning), ""])


def _head(beginning: Beginning) -> Iterator[str]:
    stand_in = "" if beginning.agreed else "  # TODO: the number of the signed contract"
    yield f"# What {beginning.client} subscribed to. All keys: docs/reference/subscription.md in the project, or the"
    yield "# JSON Schema that `orchestrator schema` prints."
    yield f"client: {beginning.client}"
    yield "contract:"
    yield f"  reference: {inline(beginning.reference)}{stand_in}"
    yield f"  starts: {beginning.starts}  # nothing is made before this day"
    yield f"  site: {beginning.site}"
    yield ""


def _administration(beginning: Beginning) -> Iterator[str]:
    yield "# Who may log in by SSH, and from where. SSH is closed to everybody else."
    yield "administration:"
    if beginning.ssh_keys:
        yield "  ssh_keys:"
        yield from (f"    - {inline(key)}" for key in beginning.ssh_keys)
    else:
        yield "  ssh_keys: []  # public keys, one per line: - ssh-ed25519 AAAA… alice@example"
    if beginning.allowed_from:
        yield f"  allowed_from: {inline(list(beginning.allowed_from))}"
    else:
        yield "  allowed_from: []  # addresses and networks, such as [198.51.100.0/24]"
    yield ""
    yield "# Managed services (article 3.8), if the client bought them:"
    yield "# managed_services:"
    yield "#   level: supervision  # or full"
    yield "#   updates: automatic  # in the window below; or on-request"
    yield '#   maintenance_window: { days: [tuesday], from: "22:00", to: "02:00" }  # Europe/Paris'
    yield ""


def _services(beginning: Beginning) -> Iterator[str]:
    others = [str(offer) for offer in Offer if offer.terms.carried_out and offer is not beginning.offer]
    covers = f"; covers {beginning.offer.terms.words} only" if beginning.offer.terms.words else ""
    yield "services:"
    yield f"  - offer: {beginning.offer}  # or {', '.join(others)}{covers}"
    yield "    machines:"
    for number, name in enumerate(beginning.machines):
        yield from _machine(beginning, name, explained=number == 0)


def _machine(beginning: Beginning, name: str, *, explained: bool) -> Iterator[str]:
    def note(text: str) -> str:
        return f"  # {text}" if explained and text else ""

    def others(names: Sequence[str]) -> str:
        return f"or {', '.join(names)}" if names else ""

    yield f"      - name: {name}"
    yield f"        image: {beginning.image}{note(others(beginning.other_images))}"
    yield "        vcpus: 2"
    yield "        memory: 4GiB"
    yield f"        disks:{note('the first one holds the system; a disk can grow, and never shrink')}"
    yield "          - { name: system, size: 20GiB }"
    if explained:
        yield "          # - { name: data, size: 100GiB }"
    if beginning.network is not None:
        yield f"        network: {beginning.network}{note(others(beginning.other_networks))}"
    yield f"        address: auto{note('a free one of the network; or one of your choice')}"
    if beginning.offer.terms.backup:
        if explained:
            yield "        # Every night, in another data centre; kept 7 or 31 days (article 3.5):"
        yield "        # backup: { retention_days: 7 }"
    if explained:
        yield "        # The firewall in the machine lets in what open lists, such as"
        yield "        # [{ port: 443, protocol: tcp, from: any }], and nothing else:"
    yield "        firewall: { open: [] }"
