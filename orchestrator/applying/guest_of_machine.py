"""A machine's guest as the playbooks see it: what its file says, and what the mark knows of the guest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.guests import Guest
from orchestrator.guests.keys import fingerprints
from orchestrator.resources.kinds import asked_inside
from orchestrator.resources.notes import Mark
from orchestrator.resources.ssh_keys import keys_known

if TYPE_CHECKING:
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.observed import ObservedMachine


def guest_of(
    desired: DesiredMachine,
    observed: ObservedMachine,
    mark: Mark,
    *,
    address: str,
    host_keys: tuple[str, ...],
) -> Guest:
    """Return the guest of a machine, with everything that its file asks for.

    Args:
        desired: the file's side.
        observed: the machine.
        mark: what is known to have been brought into it.
        address: where its SSH server is reached.
        host_keys: its public host keys.
    """
    # Keys are put into an Essential machine at delivery, by cloud-init; managing them is not part of it (art. 3.3).
    keys = desired.ssh_keys if desired.offer.terms.keys else ()
    wanted = fingerprints(keys)
    former = tuple(item for item in keys_known(observed, mark) if item not in wanted) if keys else ()
    return Guest(
        client=desired.client,
        machine=desired.name,
        address=address,
        user=desired.user,
        host_keys=host_keys,
        policy=desired.policy,
        keys=keys,
        former_keys=former,
        exclude=desired.update_exclude,
        asked=asked_inside(mark, desired),
    )
