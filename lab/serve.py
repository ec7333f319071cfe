"""The lab's server process: the APIs of both sites, until it is told to end. Guests do not end with it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from aiohttp import web

from lab.api.access import Credentials
from lab.api.cluster import Cluster
from lab.api.server import Api
from lab.certificates import ensure_certificates, ensure_ssh_key
from lab.guest_ends import GuestEnds
from lab.inventory import write_inventory
from lab.kvm import kvm_works
from lab.network import Bridge, LabNetwork, bridge_name
from lab.node_shell import open_shell
from lab.packages import open_mirror
from lab.qemu import Guests
from lab.settings import LabSettings
from lab.template import ensure_template

_CACHE = Path("/var/cache/orchestrator-lab")


class LabStartError(RuntimeError):
    """The lab cannot start; the text says why."""


def network_of(settings: LabSettings) -> LabNetwork:
    """The namespace and bridges of a lab."""
    bridges = [
        Bridge(site.node, bridge_name(index), site.bridge_addresses)
        for index, site in enumerate(settings.sites)
    ]
    return LabNetwork(settings.name, bridges)


def guests_of(settings: LabSettings) -> Guests:
    """The guests of a lab, running ones included."""
    return Guests(settings.name, settings.run_dir, settings.state_dir / "consoles")


async def serve(settings: LabSettings, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is called once the API answers.

    Raises:
        LabStartError: it runs already, or a port is taken.
        NetworkError: not root, or the kernel refuses.
    """
    with _only_one(settings):
        credentials = Credentials(settings.state_dir)
        credentials.ensure()
        certificate, key = ensure_certificates(settings.state_dir, settings.name, settings.address)
        management_key, public_key = ensure_ssh_key(settings.state_dir, "management_key")
        network_of(settings).ensure()
        guest_ends = GuestEnds(settings.run_dir)
        listening = await guest_ends.listen()
        clusters = _clusters(settings, credentials, guest_ends)
        runners = await _listen(settings, clusters, certificate, key)
        runners.append(await open_mirror(settings.state_dir / "packages", settings.name))
        shells = {site.name: await open_shell(settings, site) for site in settings.sites}
        if settings.image is not None:
            for cluster in clusters:
                await ensure_template(cluster, settings.image)
        write_inventory(settings, credentials, management_key, public_key, shells)
        for cluster in clusters:
            await cluster.reports.report(cluster)
        reporting = [asyncio.create_task(cluster.reports.report_for_ever(cluster)) for cluster in clusters]
        ready()
        await _told_to_end()
        for task in (*reporting, *(shell.serving for shell in shells.values() if shell)):
            task.cancel()
        for runner in runners:
            await runner.cleanup()
        listening.close()


def _clusters(settings: LabSettings, credentials: Credentials, guest_ends: GuestEnds) -> list[Cluster]:
    guests, kvm = guests_of(settings), _asked_once()
    return [Cluster(settings, site, guests, credentials, kvm, guest_ends) for site in settings.sites]


def _asked_once() -> Callable[[], Awaitable[bool]]:
    """Whether KVM works, found out when it is first asked and not twice."""
    lock, answer = asyncio.Lock(), list[bool]()

    async def ask() -> bool:
        async with lock:
            if not answer:
                answer.append(await kvm_works(_CACHE))
        return answer[0]

    return ask


async def _listen(
    settings: LabSettings, clusters: list[Cluster], certificate: Path, key: Path
) -> list[web.AppRunner]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    runners = []
    for cluster in clusters:
        runner = web.AppRunner(Api(cluster).application(), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, settings.address, cluster.site.port, ssl_context=context).start()
        except OSError as error:
            raise LabStartError(
                f"site {cluster.site.name} cannot listen on {settings.address}:{cluster.site.port}: "
                f"{error.strerror}; stop what listens there, or start with other --ports"
            ) from error
        runners.append(runner)
    return runners


async def _told_to_end() -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await told.wait()


@contextlib.contextmanager
def _only_one(settings: LabSettings) -> Iterator[None]:
    """Hold the lab's lock, which the kernel drops however the server ends."""
    with server_lock(settings.state_dir).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabStartError(f"lab {settings.name!r} runs already") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def server_lock(state_dir: Path) -> Path:
    """The file that a running server holds a lock on; it contains its process id."""
    return state_dir / "server.pid"


def run_server(settings: LabSettings, ready: Callable[[], None]) -> None:
    """Serve in this process (see `serve`)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)  # it logs every guest that ends as an error
    asyncio.run(serve(settings, ready))
