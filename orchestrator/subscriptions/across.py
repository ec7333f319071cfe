"""Rules between files: what two clients cannot both have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address

from orchestrator.subscriptions.model import Subscription
from orchestrator.subscriptions.offers import machines_with_path
from orchestrator.yaml_reader.checking import Checked, Finding
from orchestrator.yaml_reader.places import YamlPath
from orchestrator.yaml_reader.problems import Problem


def across_files(files: Sequence[Checked[Subscription]]) -> list[Problem]:
    """Return the problems between the files; each at the later of the two places, naming the earlier one."""
    return [
        *_clients_have_one_file(files),
        *_contracts_have_one_client(files),
        *_former_names_are_free(files),
        *_addresses_have_one_machine(files),
        *_machines_are_taken_over_once(files),
    ]


def _clients_have_one_file(files: Sequence[Checked[Subscription]]) -> Iterator[Problem]:
    path: YamlPath = ("client",)
    first: dict[str, Checked[Subscription]] = {}
    for checked in files:
        if checked.value is None or checked.is_stood_in(path):
            continue
        client = checked.value.client
        if client in first:
            earlier = first[client].document
            found = f"client {client} has a file already: {earlier.file}:{earlier.mark(path).line + 1}"
            allowed = (
                "one client has one file: put the machines together there, or give this client another name"
            )
            yield from checked.judge([Finding(path, found, allowed)])
        first.setdefault(client, checked)


def _contracts_have_one_client(files: Sequence[Checked[Subscription]]) -> Iterator[Problem]:
    """A contract is one client's: the same reference in two files is copied by mistake, or one client written twice."""
    path: YamlPath = ("contract", "reference")
    first: dict[str, Checked[Subscription]] = {}
    for checked in files:
        if checked.value is None or checked.is_stood_in(path) or checked.is_stood_in(("client",)):
            continue
        reference = checked.value.contract.reference
        earlier = first.setdefault(reference, checked)
        if earlier is checked or earlier.value is None or earlier.value.client == checked.value.client:
            continue
        where = f"{earlier.document.file}:{earlier.document.mark(path).line + 1}"
        found = f"contract {reference} is that of the client {earlier.value.client} already: {where}"
        allowed = (
            "a contract is one client's: correct the reference, or, if both are one client, put the machines together "
            "in one file"
        )
        yield from checked.judge([Finding(path, found, allowed, severity="warning")])


def _former_names_are_free(files: Sequence[Checked[Subscription]]) -> Iterator[Problem]:
    """What one client was called no other client is, or was: no client's file takes another's machines."""
    path: YamlPath = ("was",)
    now = {checked.value.client: checked for checked in reversed(files) if checked.value is not None}
    first: dict[str, Checked[Subscription]] = {}
    for checked in files:
        if checked.value is None or checked.value.was is None or checked.is_stood_in(path):
            continue
        was = checked.value.was
        other = now.get(was)
        if other is not None and other is not checked and not other.is_stood_in(("client",)):
            where = f"{other.document.file}:{other.document.mark(('client',)).line + 1}"
            found = f"{was}, which {checked.value.client} was, has a file: {where}"
            allowed = "take was out, or, if the client was renamed, take the old file out"
            yield from checked.judge([Finding(path, found, allowed)])
        earlier = first.setdefault(was, checked)
        if earlier is not checked and earlier.value is not None:
            where = f"{earlier.document.file}:{earlier.document.mark(path).line + 1}"
            found = f"{was} is the former name of the client {earlier.value.client} already: {where}"
            yield from checked.judge(
                [Finding(path, found, "one client had that name: take was out of one of the two files")]
            )


def _addresses_have_one_machine(files: Sequence[Checked[Subscription]]) -> Iterator[Problem]:
    first: dict[tuple[str, IPv4Address], tuple[Checked[Subscription], YamlPath, str]] = {}
    for checked in files:
        if checked.value is None or checked.is_stood_in(("contract", "site")):
            continue
        subscription = checked.value
        for machine_path, machine in machines_with_path(subscription):
            path = (*machine_path, "address")
            if machine.address == "auto" or checked.is_stood_in(path):
                continue
            claim = (subscription.contract.site, machine.address)
            if claim in first:
                earlier, place, name = first[claim]
                where = f"{earlier.document.file}:{earlier.document.mark(place).line + 1}"
                found = f"{machine.address} on site {claim[0]} is claimed by machine {name} already: {where}"
                yield from checked.judge(
                    [Finding(path, found, "give one of the two another address, or address: auto")]
                )
            first.setdefault(claim, (checked, path, machine.name))


def _machines_are_taken_over_once(files: Sequence[Checked[Subscription]]) -> Iterator[Problem]:
    """Two clients' files that name one VM would race for it."""
    first: dict[tuple[str, int], tuple[Checked[Subscription], YamlPath]] = {}
    for checked in files:
        if checked.value is None or checked.is_stood_in(("contract", "site")):
            continue
        site = checked.value.contract.site
        for machine_path, machine in machines_with_path(checked.value):
            path = (*machine_path, "adopt")
            if machine.adopt is None or checked.is_stood_in(path):
                continue
            earlier, place = first.setdefault((site, machine.adopt), (checked, path))
            if earlier is checked:  # twice in one file is that file's own mistake
                continue
            where = f"{earlier.document.file}:{earlier.document.mark(place).line + 1}"
            found = (
                f"VM {machine.adopt} on site {site} is taken over by another client's file already: {where}"
            )
            allowed = "a machine belongs to one client: take adopt out of one of the two files"
            yield from checked.judge([Finding(path, found, allowed)])
