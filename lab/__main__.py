"""Labs: two data centres with a Proxmox-compatible node each, over real QEMU guests.

    python -m lab start --name NAME [--image PATH]
    python -m lab status --name NAME
    python -m lab stop --name NAME [--keep]

`start` makes a lab, or starts the one of that name again as it was; its folder then holds the CA
certificate, the API tokens, the provider's SSH key and `inventory/sites.yaml` for the orchestrator.
"""

from __future__ import annotations

import argparse
import os
import sys
from ipaddress import IPv4Network
from pathlib import Path

from lab.daemon import LabError, alone, network, start_server, status, stop
from lab.inventory import write_inventory
from lab.network import NetworkError, namespace_of
from lab.settings import DEFAULT_STATE, SITE_NAMES, LabSettings, SiteSettings, load_settings

_SMALLEST_PREFIX = 24


def main() -> int:
    """Do what the command line says; the exit status is 0, 1 after an error, 3 for a lab that is not running."""
    arguments = _arguments()
    try:
        status_code: int = arguments.command(arguments)
    except (LabError, NetworkError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return status_code


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    start = commands.add_parser("start", help="make a lab, or start it again")
    start.set_defaults(command=_start)
    start.add_argument("--address", default="127.0.0.1", help="where the APIs listen (%(default)s)")
    start.add_argument("--ports", default="18006,18007", help="of the two APIs (%(default)s)")
    start.add_argument("--subnets", default="10.77.1.0/24,10.77.2.0/24", help="of the guests (%(default)s)")
    start.add_argument("--nodes", default="pve-paris,pve-lyon", help="names of the nodes (%(default)s)")
    start.add_argument("--image", type=Path, help="guest image (qcow2) for template 9000 on every node")
    end = commands.add_parser("stop", help="end guests, network and server, and remove all traces")
    end.set_defaults(command=_stop)
    end.add_argument("--keep", action="store_true", help="keep the lab's folder, to start it again")
    look = commands.add_parser("status", help="what is running")
    look.set_defaults(command=_status)
    for command in (start, end, look):
        command.add_argument("--name", required=True, help="lower-case letters, digits and dashes")
        command.add_argument("--state-dir", type=Path, help=f"the lab's folder ({DEFAULT_STATE}/NAME)")
    serve = commands.add_parser("serve")  # what `start` runs in the background
    serve.set_defaults(command=_serve)
    serve.add_argument("--state-dir", type=Path, required=True)
    serve.add_argument("--ready", type=int, required=True)
    return parser.parse_args()


def _start(arguments: argparse.Namespace) -> int:
    wanted = _wanted(arguments)
    with alone(wanted.state_dir) as known:
        if known is not None and status(known).server is not None:
            print(f"lab {known.name} is running already")  # noqa: T201
            _describe(known)
            return 0
        _bring_up(wanted)
        _describe(wanted)
    return 0


def _bring_up(wanted: LabSettings) -> None:
    from lab.api.access import ORCHESTRATOR_TOKEN, Credentials
    from lab.certificates import Certificates
    from lab.template import ensure_templates

    wanted.save()
    network(wanted).ensure()
    Certificates(wanted.state_dir).ensure(wanted.address)
    credentials = Credentials(wanted.state_dir)
    credentials.ensure()
    write_inventory(wanted, token_id=ORCHESTRATOR_TOKEN, token_file=credentials.token_file)
    start_server(wanted)
    if wanted.image is not None:
        ensure_templates(wanted, wanted.image)


def _stop(arguments: argparse.Namespace) -> int:
    state = _state(arguments)
    with alone(state) as known:
        if known is None:
            print(f"there is no lab in {state}")  # noqa: T201
            return 0
        stop(known, keep=arguments.keep)
        print(f"lab {known.name} is stopped; {state} is {'kept' if arguments.keep else 'removed'}")  # noqa: T201
    return 0


def _status(arguments: argparse.Namespace) -> int:
    state = _state(arguments)
    known = load_settings(state)
    if known is None:
        print(f"there is no lab in {state}")  # noqa: T201
        return 3
    found = status(known)
    server = "not running" if found.server is None else f"running (process {found.server})"
    print(f"lab {known.name}: server {server}")  # noqa: T201
    _describe(known)
    for node, vmid in found.guests:
        print(f"  guest {vmid} on {node} is running")  # noqa: T201
    return 0 if found.server is not None else 3


def _serve(arguments: argparse.Namespace) -> int:
    from lab.api.server import serve

    settings = load_settings(arguments.state_dir)
    if settings is None:
        raise LabError(f"there is no lab in {arguments.state_dir}")
    serve(settings, ready=arguments.ready)
    return 0


def _describe(settings: LabSettings) -> None:
    for site in settings.sites:
        url = f"https://{settings.address}:{site.port}"
        print(f"  {site.name}: node {site.node}, {url}, guests in {site.subnet}")  # noqa: T201
    print(f"  inventory: {settings.state_dir / 'inventory'}")  # noqa: T201


def _state(arguments: argparse.Namespace) -> Path:
    state: Path = arguments.state_dir or DEFAULT_STATE / arguments.name
    return state.absolute()


def _wanted(arguments: argparse.Namespace) -> LabSettings:
    """The lab that the command line describes: one node, port and subnet a site."""
    nodes, ports, subnets = (
        text.split(",") for text in (arguments.nodes, arguments.ports, arguments.subnets)
    )
    for what, given in (("node names", nodes), ("ports", ports), ("subnets", subnets)):
        if len(given) != len(SITE_NAMES) or len(set(given)) != len(SITE_NAMES):
            raise LabError(f"{what}: two different ones are needed, for {' and '.join(SITE_NAMES)}")
    image: Path | None = arguments.image and arguments.image.absolute()
    if image is not None and not os.access(image, os.R_OK):
        raise LabError(f"{image}: no such image, or it cannot be read; `python -m lab.image` makes one")
    try:
        namespace_of(arguments.name)
        sites = tuple(
            SiteSettings(name, node, int(port), IPv4Network(subnet))
            for name, node, port, subnet in zip(SITE_NAMES, nodes, ports, subnets, strict=True)
        )
    except ValueError as error:
        raise LabError(str(error)) from None
    if sites[0].subnet.overlaps(sites[1].subnet) or any(
        site.subnet.prefixlen > _SMALLEST_PREFIX for site in sites
    ):
        raise LabError(f"subnets: {arguments.subnets} must not overlap, and be /{_SMALLEST_PREFIX} or larger")
    return LabSettings(arguments.name, _state(arguments), arguments.address, sites, image)


if __name__ == "__main__":
    sys.exit(main())
