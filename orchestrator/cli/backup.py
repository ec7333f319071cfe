"""``orchestrator backup``: backups of machines on demand (article 3.5)."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import session
from orchestrator.cli.backup_lists import list_archives, show_volume
from orchestrator.cli.in_place import InPlace
from orchestrator.cli.target import Files, Found, Reason, Target, find_machine, vm_of, wanted

if TYPE_CHECKING:
    from orchestrator.history import History
    from orchestrator.nightly.context import Night
    from orchestrator.resources.backup import Archive
    from orchestrator.resources.holdings import SiteReading
    from orchestrator.sites.model import Provider

app = typer.Typer(no_args_is_help=True, help="Make, list, weigh, verify and restore backups of machines.")

_GIB = 1024**3
_VM_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
"""One label of a DNS name: all that Proxmox takes as the name of a VM."""


app.command("list")(list_archives)
app.command("volume")(show_volume)

Chosen = Annotated[
    str | None,
    typer.Option("--archive", metavar="VOLID", help="This archive.  [default: the newest good one]"),
]
BootTimeout = Annotated[float, typer.Option(min=1, help="Seconds that the machine may take to boot.")]


@app.command()
def now(
    target: Target,
    inventory: session.Inventory = None,
    reason: Reason = "backup on demand",
    history: session.HistoryPath = None,
) -> None:
    """Back a machine up now, to a storage at another site. A running guest goes on."""
    from orchestrator.applying.backups import make_backup
    from orchestrator.applying.clock import clock_of
    from orchestrator.applying.vm import Stopped
    from orchestrator.proxmox import ProxmoxError
    from orchestrator.resources.backup import ArchiveMark

    provider = session.open_provider(inventory)
    with session.open_run(provider, "a backup") as run, session.open_history(history) as opened:
        run.locks.clients([target.partition("/")[0]])
        found = find_machine(target, run.clusters)
        days = found.mark.backup_days
        if days is None:
            session.fail(
                f"{target}: its backup is off; it is made on the client's request, machine by machine (art. 3.5): "
                "set backup in its file and apply"
            )
        mark = ArchiveMark(
            client=found.mark.client, machine=found.mark.machine, contract=found.mark.contract, days=days
        )
        try:
            storage = _storage_for(found, provider)
            vm = vm_of(found, opened, reason=reason, run=run)
            run.begin()
            clock = clock_of(found.cluster, lambda: dt.datetime.now(dt.UTC))
            archive = make_backup(vm, storage, mark, clock=clock)
        except (ProxmoxError, Stopped) as error:
            session.fail(f"{target}: {error}")
    session.console().print(f"{archive.stored.volid}   {archive.stored.size / _GIB:.2f} GiB")


@app.command()
def verify(
    target: Target,
    archive: Chosen = None,
    inventory: session.Inventory = None,
    reason: Reason = "restore test on demand",
    boot_timeout: BootTimeout = 600.0,
    history: session.HistoryPath = None,
) -> None:
    """Restore an archive into an unplugged copy, boot it, look at it, and erase the copy: a restore test now."""
    from orchestrator.nightly.restore_testing import Candidate, RestoreTests, last_sound_test

    provider = session.open_provider(inventory)
    with session.open_run(provider, "a restore test") as run, session.open_history(history) as opened:
        run.locks.clients([target.partition("/")[0]])
        found = find_machine(target, run.clusters)
        reading = _site_reading(found, provider)
        chosen = _choose(target, found, reading, archive)
        night = _night(provider, run, opened, reason=reason, boot_seconds=boot_timeout)
        candidate = Candidate(
            machine=found.machine,
            archive=chosen,
            tested_on=last_sound_test((chosen,), found.mark.tested),
        )
        tests = RestoreTests(night, {found.machine.site: reading})
        run.begin()
        line = tests.test(candidate)
        run.end()
    if line.result != "sound":
        session.fail("; ".join([f"{target}: {line.volid}: {line.message}", *tests.problems]))
    session.console().print(f"sound: {line.message}")
    if tests.problems:
        session.fail("; ".join(tests.problems))


@app.command()
def restore(
    target: Target,
    archive: Chosen = None,
    as_: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Beside the original, under this name.")
    ] = None,
    in_place: Annotated[
        bool,
        typer.Option(
            "--in-place", help="Give the original the archive's disks; its own are kept until it has booted."
        ),
    ] = False,
    confirm: Annotated[
        str | None,
        typer.Option(
            metavar="CLIENT/MACHINE", help="With --in-place, where nobody can answer: its name again."
        ),
    ] = None,
    files: Files = None,
    inventory: session.Inventory = None,
    reason: Reason = "restore on demand",
    boot_timeout: BootTimeout = 600.0,
    history: session.HistoryPath = None,
) -> None:
    """Restore an archive beside the original (--as NAME), or into it (--in-place)."""
    if (as_ is None) is not in_place:
        session.fail("say where: --as NAME restores beside the original, --in-place into it")
    if as_ is not None and not _VM_NAME.fullmatch(as_):
        session.fail(
            f"--as {as_} cannot be a VM's name: letters, digits and hyphens, at most 63, such as web-1-restored"
        )
    from orchestrator.applying.vm import Stopped
    from orchestrator.proxmox import ProxmoxError

    provider = session.open_provider(inventory)
    desired = wanted(target, session.open_desired(files, provider)) if in_place else None
    with session.open_run(provider, "a restore") as run, session.open_history(history) as opened:
        run.locks.clients([target.partition("/")[0]])
        try:
            found = find_machine(target, run.clusters)
            chosen = _choose(target, found, _site_reading(found, provider), archive)
            if desired is None:
                _beside(target, found, chosen, as_ or "", provider, opened, reason, run)
                return
            vm = vm_of(found, opened, reason=reason, run=run)
            into = InPlace(
                target=target,
                found=found,
                vm=vm,
                provider=provider,
                boot_seconds=boot_timeout,
                begin=run.begin,
            )
            copy = into.restored(chosen, given=archive is not None, confirmed=confirm)
            with run.stopping.finishing(f"{target}: exchange of disks"):
                into.exchange(copy)
                again = find_machine(target, run.clusters)
                into.refresh(again, desired)
        except (ProxmoxError, Stopped) as error:
            session.fail(f"{target}: {error}")
    session.console().print("restored; it has booted, and its replaced disks are gone")


def _beside(
    target: str,
    found: Found,
    chosen: Archive,
    name: str,
    provider: Provider,
    history: History,
    reason: str,
    run: session.Run,
) -> None:
    from orchestrator.applying.restoring import choose_node, restore_copy
    from orchestrator.resources.copies import CopyMark

    if any(vm.name == name for vm in found.site.state.vms):
        session.fail(f"a VM at {found.machine.site} is called {name} already: choose another name")
    storage = provider.sites[found.machine.site].storage
    node, reasons = choose_node(found.site.state, storage, chosen.stored.storage, chosen.stored.node)
    if node is None:
        session.fail(f"no online node reaches both {storage} and {chosen.stored.storage}: {reasons}")
    vm = vm_of(found, history, reason=reason, run=run)
    mark = CopyMark(
        purpose="restored",
        client=found.mark.client,
        machine=found.mark.machine,
        volid=chosen.stored.volid,
        made_at=dt.datetime.now(dt.UTC),
    )
    run.begin()
    with run.stopping.finishing(
        f"{target}: restore as {name}"
    ):  # left half done it would have the original's network
        copy = restore_copy(
            found.cluster, vm.journal, chosen, mark, node=node, storage=storage, name=name, unique=True
        )
    session.console().print(
        f"restored as {name}: VM {copy.vmid} on {node}, stopped and unplugged. It has the address of {target}: give it "
        "another one (Cloud-Init in Proxmox) before its network device is connected",
    )


def _storage_for(found: Found, provider: Provider) -> str:
    """The backup storage of the site with the most free room that the machine's node reaches."""
    wanted = {storage.name for storage in provider.sites[found.machine.site].backup_storages}
    reached = [
        storage
        for storage in found.site.state.storages
        if storage.name in wanted and storage.node == found.machine.summary.node and storage.usable
    ]
    if not reached:
        session.fail(f"no backup storage of {found.machine.site} can be used on {found.machine.summary.node}")
    return max(reached, key=lambda storage: storage.maxdisk - storage.disk).name


def _site_reading(found: Found, provider: Provider) -> SiteReading:
    from orchestrator.resources.holdings import with_archives

    storages = provider.backup_storage_names[found.machine.site]
    return with_archives(found.cluster, found.site, storages, [(found.mark.client, found.mark.machine)])


def _choose(target: str, found: Found, reading: SiteReading, volid: str | None) -> Archive:
    from orchestrator.resources.backup import newest_good

    archives = reading.holdings.owned.get((found.mark.client, found.mark.machine), ())
    unread = "".join(f"; {name} could not be listed: {why}" for name, why in reading.unread.items())
    if volid is None:
        newest = newest_good(archives, dt.datetime.now(dt.UTC))
        if newest is None:
            session.fail(f"{target} has no good archive{unread}")
        return newest
    named = next((archive for archive in archives if archive.stored.volid == volid), None)
    if named is None:
        session.fail(f"{target} has no archive {volid}: see `orchestrator backup list {target}`{unread}")
    return named


def _night(
    provider: Provider, run: session.Run, history: History, *, reason: str, boot_seconds: float
) -> Night:
    from orchestrator.nightly.context import Night

    out = session.console()
    started = dt.datetime.now(dt.UTC)
    return Night(
        provider=provider,
        desired={},
        clusters=run.clusters,
        journal=session.journal(
            history,
            reason,
            lambda client, machine, text: out.print(f"{client}/{machine}  {text}"),
            run.clusters,
            run=run,
        ),
        clock=lambda: dt.datetime.now(dt.UTC),
        tell=_nothing,
        closes_at=started + dt.timedelta(days=2),
        boot_seconds=boot_seconds,
    )


def _nothing(event: str, **fields: Any) -> None:
    """The steps are shown by the journal already."""
