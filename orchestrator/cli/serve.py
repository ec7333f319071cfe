"""``orchestrator serve``: the Interface, for the provider's people and its clients."""

from __future__ import annotations

import datetime as dt
from contextlib import nullcontext
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.shared_options import Files, Procedures
from orchestrator.operations.computer import state_directory

_EXTRA = "the Interface needs packages that are not installed: pip install 'orchestrator[web]'"


def _check_proxy(text: str) -> None:
    """See that a proxy is named by what connections come from.

    Of any other the addresses that it forwards would be believed by nobody: all visitors would count as one, whose
    wrong passwords lock everybody out. And if everybody is believed, everybody chooses his own address.
    """
    try:
        network = ip_network(text)
    except ValueError:
        session.fail(
            f"--trusted-proxy {text} is no address: write the proxy's IP address, or its network as 192.0.2.0/28"
        )
    if network.prefixlen == 0:
        session.fail(
            f"--trusted-proxy {text} believes everybody: write the proxy's IP address, or its network as 192.0.2.0/28"
        )


def serve(
    files: Files = None,
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
    listen: Annotated[str, typer.Option(metavar="ADDRESS:PORT", help="Where to listen.")] = "127.0.0.1:8443",
    public_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="ORCHESTRATOR_PUBLIC_URL",
            help="How browsers reach it.  [default: https://ADDRESS:PORT]",
        ),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="PEM file: certificate and what signed it.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file: the certificate's key.")] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="A proxy whose forwarded addresses are believed: its address or network; repeatable.",
        ),
    ] = None,
    report_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of the nightly reports.  [default: reports in the state directory]"),
    ] = None,
    procedures: Procedures = None,
    wording: session.Wording = None,
    look_every: Annotated[
        float, typer.Option(min=0, help="Minutes after which the sites are looked at anew; 0: on demand.")
    ] = 5,
    no_runner: Annotated[
        bool, typer.Option("--no-runner", help="Start no runner: `orchestrator runner` is run elsewhere.")
    ] = False,
) -> None:
    """Serve the Interface: pages for the provider and its clients.

    Needs a certificate with its key, or a proxy in front that does TLS (--trusted-proxy) with --public-url.
    Accounts are made by `orchestrator user add`.

    Exit code 0: told to end; 1: it could not start.
    """
    address, _, port = listen.rpartition(":")
    if not address or not port.isdigit() or not 0 < int(port) < 65536:
        session.fail(f"--listen {listen} is not an address with a port: write 127.0.0.1:8443, or [::1]:8443")
    if (certificate is None) is not (key is None):
        session.fail("a certificate needs its key and a key its certificate: give --certificate and --key")
    if certificate is None and not trusted_proxy:
        session.fail(
            "there is no TLS: give --certificate and --key, or --trusted-proxy if a proxy in front does it"
        )
    if certificate is None and public_url is None:
        session.fail("behind a proxy --public-url is needed: how browsers reach it")
    if public_url is not None and not public_url.startswith("https://"):
        session.fail(
            f"--public-url {public_url} does not begin with https://: browsers keep sessions for HTTPS only"
        )
    for proxy in trusted_proxy or ():
        _check_proxy(proxy)
    session.use_wording(wording)
    from orchestrator.runner.loop import RunnerSettings, beside

    try:
        from orchestrator.web.serving import Listening
        from orchestrator.web.serving import serve as operation
        from orchestrator.web.settings import Settings
    except ImportError:
        session.fail(_EXTRA)
    state = state_directory()
    settings = Settings(
        public_url=public_url or f"https://{listen}",
        inventory=inventory,
        files=tuple(files or ()),
        history=history or str(state / "history.db"),
        reports=report_dir or state / "reports",
        procedures=tuple(procedures or ()),
        look_every=dt.timedelta(minutes=look_every),
    )
    session.console(stderr=True).print(f"serving {settings.public_url} on {listen}")
    runner = RunnerSettings(inventory=inventory, files=settings.files, history=settings.history)
    with nullcontext() if no_runner else beside(runner):
        operation(
            settings,
            Listening(
                address=address.strip("[]"),
                port=int(port),
                certificate=certificate,
                key=key,
                proxies=trusted_proxy or (),
            ),
        )
