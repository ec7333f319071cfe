"""Taking an existing machine over (article 4.2)."""

from __future__ import annotations

from orchestrator.applying.machine_work import MachineWork
from orchestrator.applying.stopped import Stopped
from orchestrator.proxmox import DigestMismatch, Uncertain
from orchestrator.resources.adoption import adopted_mark
from orchestrator.resources.copies import COPY_TAG
from orchestrator.resources.desired import RETIRED_TAG, DesiredMachine
from orchestrator.resources.notes import without_marks, write_mark
from orchestrator.resources.observed import ObservedMachine
from orchestrator.resources.ownership import tags_of


def take_over(work: MachineWork, desired: DesiredMachine) -> ObservedMachine:
    """Make an existing machine ours. Its pool first: what is marked is in the right place.

    Raises:
        Stopped: it was changed after the plan was made.
        Unfit: it differs from its file.
        ProxmoxError: the hypervisor refused.
    """
    assert work.plan.observed and work.plan.address  # noqa: S101  (else it is refused)
    before = work.plan.observed
    work.join(desired, before)
    try:
        mark = adopted_mark(desired, before, work.plan.address)
        tags = tags_of(before.config) - {RETIRED_TAG, COPY_TAG}
        notes = write_mark(mark, without_marks(before.config.effective("description") or ""))
        with (
            work.around.limits.write(before.site, before.summary.node),
            work.step("adopt", vm=before.summary.vmid),
        ):
            work.cluster.put(
                f"/nodes/{before.summary.node}/qemu/{before.summary.vmid}/config",
                description=notes,
                tags=";".join(sorted(tags | desired.tags)),
                digest=before.config.digest,
            )
    except DigestMismatch as error:
        raise Stopped("it was changed after the plan was made: plan again and review it") from error
    except Uncertain:  # the look below says whether it was done
        pass
    return work.look(before)
