"""``orchestrator inventory``: a dynamic inventory for Ansible, from what the hypervisors have."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS


def inventory(
    list_: Annotated[bool, typer.Option("--list", help="Everything (what Ansible asks for).")] = False,
    host: Annotated[
        str | None, typer.Option("--host", help="One machine's variables (MACHINE.CLIENT).")
    ] = None,
    inventory: session.Inventory = None,
) -> None:
    """Print a dynamic Ansible inventory of our machines.

    With the host keys to trust. Machines whose firewall was never loaded, retired and stopped ones are left out.
    """
    if list_ == (host is not None):
        session.fail("ask for --list, or for one --host")
    from orchestrator.operations.ansible_inventory import ansible_inventory  # not for `--help`

    document = ansible_inventory(inventory, EVENTS)
    session.echo_json(
        json.dumps(document if host is None else document["_meta"]["hostvars"].get(host, {}), indent=2)
    )
