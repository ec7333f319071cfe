"""`python -m lab`: start, stop and look at labs."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network
from pathlib import Path

from lab import daemon
from lab.settings import DEFAULT_STATE, SITE_NAMES, LabSettings, SiteSettings, load_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        command: Callable[[argparse.Namespace], int] = chosen.command
        return command(chosen)
    except daemon.LabError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    commands = parser.add_subparsers(required=True)
    start = _command(commands, "start", _start, "start a lab, or say that it runs")
    start.add_argument("--address", default="127.0.0.1", help="where the API listens (%(default)s)")
    start.add_argument("--ports", default="18006,18007", type=_pair, help="one for each site (%(default)s)")
    start.add_argument("--subnets", default="10.77.1.0/24,10.77.2.0/24", type=_subnets, help="(%(default)s)")
    start.add_argument(
        "--nodes", default="pve-paris,pve-lyon", type=_pair, help="names of the nodes (%(default)s)"
    )
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
    state_dir = _state_dir(chosen)
    if chosen.image and not chosen.image.exists():
        raise daemon.LabError(f"{chosen.image}: no such image; build one with `python -m lab.image`")
    sites = zip(SITE_NAMES, chosen.nodes, map(int, chosen.ports), chosen.subnets, strict=True)
    image = chosen.image.absolute() if chosen.image else None
    settings = LabSettings(
        chosen.name, state_dir, chosen.address, tuple(SiteSettings(*site) for site in sites), image
    )
    if daemon.start(settings):
        _say(settings, "started")
    else:
        _say(load_settings(state_dir) or settings, "runs already")
    return 0


def _stop(chosen: argparse.Namespace) -> int:
    daemon.stop(_state_dir(chosen), keep=chosen.keep)
    print(f"lab {chosen.name!r} stopped" + (", its state is kept" if chosen.keep else " and removed"))  # noqa: T201
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
    from lab.network import NetworkError
    from lab.serve import LabStartError, run_server

    settings = load_settings(chosen.state_dir)
    if settings is None:
        raise daemon.LabError(f"no lab in {chosen.state_dir}")
    try:
        run_server(settings, lambda: daemon.report_ready(chosen.ready) if chosen.ready else None)
    except (LabStartError, NetworkError) as error:
        raise daemon.LabError(str(error)) from error
    return 0


def _pair(text: str) -> tuple[str, str]:
    parts = text.split(",")
    if len(parts) != 2 or not all(parts):
        raise argparse.ArgumentTypeError(f"{text!r}: two values are needed, separated by a comma")
    return parts[0], parts[1]


def _subnets(text: str) -> tuple[IPv4Network, IPv4Network]:
    try:
        first, second = (IPv4Network(part) for part in _pair(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    if first.overlaps(second):
        raise argparse.ArgumentTypeError(f"{text!r}: the two subnets overlap")
    return first, second


if __name__ == "__main__":
    sys.exit(main())
