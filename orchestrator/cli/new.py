"""``orchestrator new``: a client's first file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import session


def new(
    client: Annotated[str, typer.Argument(metavar="CLIENT", help="The client's name.")],
    inventory: session.Inventory = None,
    site: Annotated[
        str | None, typer.Option(help="Where the machines are.  [default: the inventory's only site]")
    ] = None,
    offer: Annotated[str, typer.Option(help="The offer that they run under.")] = "cloud-vm-advanced",
    machine: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A machine. May be repeated.  [default: web-1]"),
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="What they are cloned from.  [default: the site's first image]")
    ] = None,
    contract: Annotated[
        str | None,
        typer.Option(metavar="REFERENCE", help="The contract's number.  [default: a stand-in to replace]"),
    ] = None,
    starts: Annotated[
        str | None, typer.Option(metavar="DATE", help="The contract's first day.  [default: today]")
    ] = None,
    ssh_key: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Public SSH keys of the client's administrators. May be repeated."),
    ] = None,
    allowed_from: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="Where they log in from. May be repeated."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The file to write.  [default: subscriptions/CLIENT.yaml]"),
    ] = None,
) -> None:
    """Write a new client's file, with comments.

    The file is valid as it is; edit it, then `orchestrator validate` and `orchestrator plan`. Sites, images and
    networks are those of the inventory. No file is ever overwritten, and no hypervisor is called.

      orchestrator new dupont --contract C-2026-0042 --machine web-1 --machine db-1
    """
    from orchestrator.cli.progress import EVENTS
    from orchestrator.operations.new_client import NewClientRequest, new_client  # not for `--help`

    request = NewClientRequest(
        client=client,
        inventory=inventory,
        site=site,
        offer=offer,
        machines=tuple(machine or ("web-1",)),
        image=image,
        reference=contract,
        starts=starts,
        ssh_keys=tuple(ssh_key or ()),
        allowed_from=tuple(allowed_from or ()),
        output=out,
    )
    written = new_client(request, EVENTS)
    out_ = session.console()
    for other in written.alike:
        session.complain(f"warning: there is a client {other}: is {client} the same one, misspelt?")
    out_.print(f"{written.file} written")
    if not written.agreed:
        out_.print("  → replace contract.reference by the number of the signed contract")
    if not written.checked:
        out_.print("  → site and image were not checked: there is no inventory (--inventory)")
    out_.print("  → edit it, then: orchestrator validate, orchestrator plan")
