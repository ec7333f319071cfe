"""``orchestrator init``: a first inventory, from answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from orchestrator.cli import session

if TYPE_CHECKING:
    from orchestrator.operations.begin_inventory import Administrator, Begun
    from orchestrator.operations.questions import Question

T = TypeVar("T")


def _for_sites(help: str, metavar: str) -> object:
    return typer.Option(metavar=f"[SITE=]{metavar}", help=help)


Values = list[str] | None


def init(
    folder: Annotated[
        str, typer.Argument(metavar="[FOLDER]", help="Where: a path, or a name below ./inventories.")
    ] = "mine",
    site: Annotated[
        Values, typer.Option(metavar="NAME=URL", help="A site and the URL of its API. May be repeated.")
    ] = None,
    admin: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            help=f"Look at the clusters with this administrator's token; its secret is asked for, or read from "
            f"{session.ADMIN_SECRET}, and kept nowhere.",
        ),
    ] = None,
    look: Annotated[
        bool, typer.Option("--look/--no-look", help="Look at the clusters, for proposals.")
    ] = True,
    token_id: Annotated[
        Values, _for_sites("The orchestrator's API token.  [default: orchestrator@pve!apply]", "TOKEN")
    ] = None,
    token_secret: Annotated[
        Values,
        _for_sites("Where its secret is: env:NAME or file:PATH.  [default: env:PVE_SITE_TOKEN]", "WHERE"),
    ] = None,
    ca_file: Annotated[Values, _for_sites("Certificates to trust (PEM).", "FILE")] = None,
    fingerprint: Annotated[
        Values, _for_sites("SHA-256 fingerprint of the certificate, as the node shows it.", "HEX")
    ] = None,
    storage: Annotated[Values, _for_sites("Storage for the machines' disks.", "NAME")] = None,
    disk_format: Annotated[Values, _for_sites("raw or qcow2.", "FORMAT")] = None,
    network: Annotated[Values, _for_sites("Name of the network.  [default: public]", "NAME")] = None,
    bridge: Annotated[Values, _for_sites("Bridge that machines are attached to.", "NAME")] = None,
    vlan: Annotated[Values, _for_sites("Tag that the bridge puts on.", "NUMBER")] = None,
    subnet: Annotated[Values, _for_sites("Subnet of the machines.", "NETWORK")] = None,
    gateway: Annotated[Values, _for_sites("Its gateway.", "ADDRESS")] = None,
    range: Annotated[
        Values, _for_sites("Addresses for machines, used by nothing else.", "FIRST-LAST")
    ] = None,
    nameservers: Annotated[Values, _for_sites("Name servers of the machines.", "ADDRESSES")] = None,
    images: Annotated[
        Values, _for_sites("Images to clone from: names, or NAME:TEMPLATE.  [default: those found]", "NAMES")
    ] = None,
    backup_storage: Annotated[
        Values, _for_sites("Storages for backups, each with the data centre where it stands.", "NAME@SITE")
    ] = None,
    data_centre: Annotated[Values, _for_sites("The data centre, as clients are told.", "NAME")] = None,
    management_address: Annotated[
        str | None,
        typer.Option(metavar="NETWORKS", help="Where you connect from.  [default: this computer's address]"),
    ] = None,
    user: Annotated[str | None, typer.Option(help="Your account in every machine.  [default: admin]")] = None,
    ssh_key: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Your private SSH key.  [default: ~/.ssh/id_ed25519]"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a site file that is there.")] = False,
) -> None:
    """Write an inventory: your sites and how they are reached.

    Asks for what no option says, and proposes what the clusters have. Without a terminal, defaults are taken and what
    has none is named. Secrets are never written, only where to find them. Nothing is changed in Proxmox, and nothing
    is written before the last answer.

      orchestrator init --site paris=https://pve.example.net:8006 --admin 'root@pam!setup'
    """
    from orchestrator.cli.progress import EVENTS
    from orchestrator.operations.begin_inventory import (  # not for `--help`
        InventoryRequest,
        begin_inventory,
        read_site,
        refuse_existing,
    )

    sites = dict(read_site(text) for text in site or ())
    request = InventoryRequest(folder=folder, sites=sites, look=look, overwrite=force)
    refuse_existing(request)
    if not sites and session.interactive():
        sites = _asked_sites(read_site)
    given = {
        "token-id": token_id,
        "token-secret": token_secret,
        "ca-file": ca_file,
        "fingerprint": fingerprint,
        "storage": storage,
        "disk-format": disk_format,
        "network": network,
        "bridge": bridge,
        "vlan": vlan,
        "subnet": subnet,
        "gateway": gateway,
        "range": range,
        "nameservers": nameservers,
        "images": images,
        "backup-storage": backup_storage,
        "data-centre": data_centre,
        "management-address": [management_address] if management_address else None,
        "user": [user] if user else None,
        "ssh-key": [ssh_key] if ssh_key else None,
    }
    answers = _Answers({key: values for key, values in given.items() if values}, sites)
    request = InventoryRequest(
        folder=folder, sites=sites, administrator=_administrator(admin), look=look, overwrite=force
    )
    begun = begin_inventory(request, answers, EVENTS)
    _next_steps(begun)


def _asked_sites(read: Callable[[str], tuple[str, str]]) -> dict[str, str]:
    """Ask for sites until somebody has none more."""
    from orchestrator.errors import RequestRefused

    sites: dict[str, str] = {}
    while True:
        name = session.answer_to(
            "Name of a site, such as paris" if not sites else "Another site (empty: none)"
        )
        if not name and sites:
            return sites
        url = (
            session.answer_to(f"URL of its API, such as https://pve-{name}.example.net:8006") if name else ""
        )
        try:
            sites.update([read(f"{name}={url}")])
        except RequestRefused as error:
            session.complain(str(error))


def _administrator(token_id: str | None) -> Administrator | None:
    from orchestrator.operations.begin_inventory import Administrator

    if token_id is None:
        return None
    known: list[str] = []

    def secret() -> str:
        if not known:
            known.append(session.secret_of_administrator(token_id))
        return known[0]

    return Administrator(token_id=token_id, secret=secret)


class _Answers:
    """Answers from options, from whoever sits at the terminal, and from defaults, in this order."""

    def __init__(self, given: Mapping[str, list[str]], sites: Mapping[str, str]) -> None:
        self._given = given
        self._sites = sites
        self._missing: list[Question] = []

    def __call__(self, question: Question, read: Callable[[str], T]) -> T:
        given = self._option(question)
        if given is not None:
            try:
                return read(given)
            except ValueError as error:
                session.fail(f"--{question.key}{self._of(question)}: {error}")
        while question.asked and session.interactive():
            try:
                return read(self._typed(question))
            except ValueError as error:
                session.complain(f"  {error}")
        if question.default is None:
            self._missing.append(question)
        try:
            return read(question.example if question.default is None else question.default)
        except ValueError as error:
            told = f"--{question.key}{self._of(question)}: {error}"
            # An example need not fit to other answers; a default that cannot be used is told with the rest.
            self._refuse_missing(() if question.default is None else (told,))
            session.fail(told)

    def complete(self) -> None:
        """End the command if something has no answer, and say what: all of it at once."""
        self._refuse_missing()

    def _refuse_missing(self, unusable: tuple[str, ...] = ()) -> None:
        if self._missing:
            missing = [
                f"--{item.key} {self._prefix(item)}{item.example}   {item.text}" for item in self._missing
            ]
            lines = "\n".join([*missing, *unusable])
            session.fail(f"not running interactively, and these have no default:\n{lines}")

    def _prefix(self, question: Question) -> str:
        return f"{question.site}=" if question.site and len(self._sites) > 1 else ""

    def agrees(self, text: str) -> bool:
        """Whether somebody at the terminal says yes."""
        if not session.interactive():
            return False
        *lines, last = text.split("\n")
        for line in lines:
            session.console().print(line)
        return session.agreed(last)

    def _option(self, question: Question) -> str | None:
        """What an option says: of the site, or of all; several are one list."""
        own, general = [], []
        for text in self._given.get(question.key, ()):
            site, sign, value = text.partition("=")
            if question.site and sign and site in self._sites:
                if site == question.site:
                    own.append(value)
            else:
                general.append(text)
        chosen = own or general
        return " ".join(chosen) if chosen else None

    def _of(self, question: Question) -> str:
        return f" of {question.site}" if question.site and len(self._sites) > 1 else ""

    def _typed(self, question: Question) -> str:
        site = f"{question.site}: " if question.site else ""
        known = f" (there: {', '.join(question.known)})" if len(question.known) > 1 else ""
        default = f" [{question.default}]" if question.default else ""
        return session.answer_to(f"{site}{question.text}{known}{default}") or question.default or ""


def _next_steps(begun: Begun) -> None:
    out = session.console()
    out.print(f"{begun.file} written")
    option = f"--inventory {begun.name}"
    out.print("Next:")
    for name, (source, where) in begun.sites.items():
        if name in begun.ready:
            continue
        out.print(
            f"  orchestrator bootstrap {name} {option}   # role, user and token in Proxmox, printed or made (--run)"
        )
        if source == "env":
            out.print(f"  export {where}=…   # the token's secret")
    for name in begun.without_backups:
        out.print(f"  # {name} has no storage for backups yet: see backup_storages in {begun.file}")
    out.print(f"  orchestrator doctor {option}   # is everything as it has to be?")
    out.print(f"  orchestrator new CLIENT {option}   # a client's first file")
    out.print(
        f"  export ORCHESTRATOR_INVENTORY={Path(begun.file).parent.absolute()}   # so that no command needs --inventory"
    )
