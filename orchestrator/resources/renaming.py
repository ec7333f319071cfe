"""Machines that files know under another name than their marks: seen as they will be once they are renamed.

A file says so (``was``). A name stands in the VM's name, its tags and its mark, which are one write, and in the pool of
its client, which is another: between the two a mark and a pool disagree. Whoever reads the files knows better then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.resources.tags import pool_of

if TYPE_CHECKING:
    from orchestrator.proxmox import VmConfig
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine, ObservedSite

Key = tuple[str, str]
"""Client and machine."""


def clients_before(desired: Iterable[DesiredMachine]) -> dict[str, str]:
    """What clients were called before, by their names of today."""
    return {machine.client: machine.client_was for machine in desired if machine.client_was is not None}


def with_renames(
    sites: Mapping[str, ObservedSite], desired: Collection[DesiredMachine]
) -> dict[str, ObservedSite]:
    """The sites with each machine under the name that its file gives it.

    A machine that exists under its new name is left alone, whatever else there is: it was renamed, or is another one.
    Of several that may be meant none is.

    Args:
        sites: as they were read.
        desired: all machines of all files.
    """
    asking = [machine for machine in desired if machine.former_keys]
    if not asking:
        return dict(sites)
    there: dict[Key, list[ObservedMachine]] = defaultdict(list)
    for site in sites.values():
        for machine in site.machines:
            if machine.mark:
                there[machine.mark.key].append(machine)
    named = {machine.key for machine in desired}
    renamed: dict[tuple[str, int], ObservedMachine] = {}
    for wanted in asking:
        if wanted.key in there:
            continue
        found = [machine for key in wanted.former_keys if key not in named for machine in there.get(key, ())]
        if len(found) == 1:
            renamed[found[0].site, found[0].summary.vmid] = as_renamed(found[0], wanted)
    return {
        name: replace(
            site,
            machines=tuple(renamed.get((name, machine.summary.vmid), machine) for machine in site.machines),
        )
        for name, site in sites.items()
    }


def as_renamed(machine: ObservedMachine, desired: DesiredMachine) -> ObservedMachine:
    """A machine as it will be under the name that its file gives it; its own mark is kept beside (``renaming``)."""
    mark = machine.mark
    assert mark is not None  # noqa: S101  (found by its mark)
    config, summary = machine.config, machine.summary
    before, after = pool_of(mark.client), pool_of(desired.client)
    params = renaming_params(config, mark, desired.key)
    return replace(
        machine,
        renaming=mark,
        mark=mark.renamed(*desired.key),
        config=replace(
            config,
            current={**config.current, **params},
            pending={key: value for key, value in config.pending.items() if key not in params},
        ),
        summary=replace(
            summary,
            name=params.get("name", summary.name),
            tags=frozenset(after if tag == before else tag for tag in summary.tags),
        ),
    )


def renaming_params(config: VmConfig, mark: Mark, key: Key) -> dict[str, str]:
    """The settings that carry a name, as they are under the new one; that of a machine taken over is left as it is.

    Args:
        config: the machine's configuration.
        mark: its mark, under the old name.
        key: the new client and name.
    """
    client, name = key
    before, after = pool_of(mark.client), pool_of(client)
    tags = [tag for tag in (config.effective("tags") or "").replace(",", ";").split(";") if tag]
    params = {"tags": ";".join(sorted({after if tag == before else tag for tag in tags}))}
    if not tags or before == after:
        del params["tags"]
    return params if mark.adopted else {**params, "name": name}
