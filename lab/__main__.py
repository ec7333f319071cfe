"""Labs: two data centres with a Proxmox-compatible node each, over real QEMU guests.

    python -m lab start --name NAME [--image PATH]
    python -m lab status --name NAME
    python -m lab stop --name NAME [--keep]

`start` makes a lab, or starts the one of that name again as it was; its folder then holds the CA
certificate, the API tokens, the provider's SSH key and `inventory/sites.yaml` for the orchestrator.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network
from pathlib import Path

from lab import daemon
from lab.network import NetworkError, namespace_of
from lab.settings import DEFAULT_STATE, SITE_NAMES, LabSettings, SiteSettings, load_settings

_SMALLEST_PREFIX = 24


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        command: Callable[[argparse.Namespace], int] = chosen.command
        return command(chosen)
    except (daemon.LabError, NetworkError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    start = _command(commands, "start", _start, "start a lab, or say that it runs")
    start.add_argument("--address", default="127.0.0.1", help="where the API listens (%(default)s)")
    start.add_argument("--ports", default="18006,18007", help="of the two APIs (%(default)s)")
    start.add_argument("--subnets", default="10.77.1.0/24,10.77.2.0/24", help="of the guests (%(default)s)")
    start.add_argument("--nodes", default="pve-paris,pve-lyon", help="names of the nodes (%(default)s)")
    start.add_argument("--image", type=Path, help="guest image (qcow2) for the template debian-12")
    stop = _command(commands, "stop", _stop, "end a lab with its guests")
    stop.add_argument("--keep", action="store_true", help="keep its state for the next start")
    _command(commands, "status", _status, "whether a lab runs (exit status 3 if not)")
    serve = commands.add_parser("serve", help="what `start` runs in the background")
    serve.add_argument("--state-dir", type=Path, required=True)
    serve.add_argument("--ready", type=int, help="file descriptor to report to")
    serve.set_defaults(command=_serve)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Callable[[argparse.Namespace], int],
    help: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help)
    parser.add_argument("--name", required=True, help="name of the lab")
    parser.add_argument("--state-dir", type=Path, help=f"where it keeps its state ({DEFAULT_STATE}/NAME)")
    parser.set_defaults(command=command)
    return parser


def _state_dir(chosen: argparse.Namespace) -> Path:
    return Path(chosen.state_dir or DEFAULT_STATE / chosen.name).absolute()


def _start(chosen: argparse.Namespace) -> int:
    wanted = _wanted(chosen)
    with daemon.alone(wanted.state_dir) as known:
        if known is not None and daemon.running_server(known.state_dir) is not None:
            _say(known, "runs already")
        else:
            daemon.start(wanted)
            _say(wanted, "started")
    return 0


def _stop(chosen: argparse.Namespace) -> int:
    state_dir = _state_dir(chosen)
    with daemon.alone(state_dir) as known:
        if known is None:
            print(f"no lab in {state_dir}: nothing to stop")  # noqa: T201
            return 0
        daemon.stop(known, keep=chosen.keep)
    print(f"lab {chosen.name!r} is stopped; {state_dir} is {'kept' if chosen.keep else 'removed'}")  # noqa: T201
    return 0


def _status(chosen: argparse.Namespace) -> int:
    settings = load_settings(_state_dir(chosen))
    pid = daemon.running_server(settings.state_dir) if settings else None
    if settings is None or pid is None:
        print(f"lab {chosen.name!r} does not run")  # noqa: T201
        return 3
    _say(settings, f"runs (process {pid})")
    for node, vmid in asyncio.run(daemon.running_guests(settings)):
        print(f"  guest {vmid} runs on {node}")  # noqa: T201
    return 0


def _say(settings: LabSettings, what: str) -> None:
    print(f"lab {settings.name!r} {what}")  # noqa: T201
    for site in settings.sites:
        print(f"  {site.name}: https://{settings.address}:{site.port} (node {site.node}, {site.subnet})")  # noqa: T201
    print(f"  inventory: {settings.state_dir / 'inventory'}")  # noqa: T201


def _serve(chosen: argparse.Namespace) -> int:
    # Imported here: only the server itself needs the API and what it stands on.
    from lab.packages import MirrorError
    from lab.serve import LabStartError, run_server

    settings = load_settings(chosen.state_dir)
    if settings is None:
        raise daemon.LabError(f"no lab in {chosen.state_dir}")
    try:
        run_server(settings, lambda: daemon.report_ready(chosen.ready) if chosen.ready else None)
    except (LabStartError, MirrorError, NetworkError) as error:
        raise daemon.LabError(str(error)) from error
    return 0


def _wanted(chosen: argparse.Namespace) -> LabSettings:
    """The lab that a command line describes: one node, port and subnet a site."""
    listed = [("node names", chosen.nodes), ("ports", chosen.ports), ("subnets", chosen.subnets)]
    for what, given in listed:
        if len(given.split(",")) != len(SITE_NAMES) or len(set(given.split(","))) != len(SITE_NAMES):
            needed = f"two different ones are needed, for {' and '.join(SITE_NAMES)}, separated by a comma"
            raise daemon.LabError(f"{what} {given!r}: {needed}")
    nodes, ports, subnets = (given.split(",") for _, given in listed)
    image: Path | None = chosen.image and chosen.image.absolute()
    if image is not None and not os.access(image, os.R_OK):
        raise daemon.LabError(
            f"{image}: no such image, or it cannot be read; `python -m lab.image` makes one"
        )
    try:
        namespace_of(chosen.name)
        described = zip(SITE_NAMES, nodes, map(int, ports), map(IPv4Network, subnets), strict=True)
        sites = tuple(SiteSettings(*site) for site in described)
    except ValueError as error:
        raise daemon.LabError(str(error)) from None
    too_small = any(site.subnet.prefixlen > _SMALLEST_PREFIX for site in sites)
    if too_small or sites[0].subnet.overlaps(sites[1].subnet):
        needed = f"they must not overlap, and be /{_SMALLEST_PREFIX} or larger"
        raise daemon.LabError(f"subnets {chosen.subnets!r}: {needed}")
    return LabSettings(chosen.name, _state_dir(chosen), chosen.address, sites, image)


if __name__ == "__main__":
    sys.exit(main())
