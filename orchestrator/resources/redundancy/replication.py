"""Replication of a machine's disks to other nodes: the jobs that its redundancy needs."""

from __future__ import annotations

from orchestrator.proxmox import (
    ReplicationJob,
)
from orchestrator.resources.change import Change, Effect
from orchestrator.resources.kind import Call, Params, Step
from orchestrator.resources.redundancy.ground import (
    HARDWARE,
    OURS,
    SECOND_SITE,
    Sides,
)


def replication_steps(sides: Sides) -> tuple[str | None, list[Step]]:
    """The node of the site that the disks are replicated to, if they are, and the changes of the jobs."""
    jobs = sides.settings.jobs_of(sides.vmid)
    steps: list[Step] = []
    kept: list[ReplicationJob] = []
    partner = None
    numbers = {job.number for job in jobs}
    for what, candidates in (
        (SECOND_SITE, sides.ground.elsewhere if sides.has(SECOND_SITE) else ()),
        (HARDWARE, sides.ground.home if sides.has(HARDWARE) and not sides.ground.shared else ()),
    ):
        nodes = [node for node in candidates if node != sides.node]
        if not nodes:
            continue
        job = next((job for job in jobs if job.target in nodes), None)
        target = job.target if job else nodes[sides.vmid % len(nodes)]
        partner = target if what == HARDWARE else partner
        if job is None:
            number = next(number for number in range(len(numbers) + 1) if number not in numbers)
            numbers.add(number)
            steps.append(_new_job(sides, what, target, number))
        else:
            kept.append(job)
            steps += _changed_job(sides, what, job)
    # What is asked for and cannot be had now (a storage that is away for an hour) keeps the copies that it has.
    purposes = {OURS + what for what in (HARDWARE, SECOND_SITE) if what in sides.barred}
    steps += [
        _ended_job(sides, job)
        for job in jobs
        if job not in kept
        and job.comment.startswith(OURS)
        and job.comment not in purposes
        and not job.leaving
    ]
    return partner, steps


def _job_words(what: str, sides: Sides, target: str, schedule: str, rate: float | None) -> str:
    place = sides.wanted.second_site if what == SECOND_SITE else sides.ground.site
    limit = f", at most {rate:g} MB/s" if rate else ""
    return f"{place}: disks replicated to {target}, schedule {schedule}{limit}"


def _new_job(sides: Sides, what: str, target: str, number: int) -> Step:
    wanted = sides.wanted
    params: Params = {
        "id": f"{sides.vmid}-{number}",
        "type": "local",
        "target": target,
        "schedule": wanted.schedule,
        "comment": OURS + what,
    }
    if wanted.rate is not None:
        params["rate"] = wanted.rate
    change = sides.update(what, None, _job_words(what, sides, target, wanted.schedule, wanted.rate))
    return Step(
        change=change,
        calls=(Call(action="replicate", method="POST", path="/cluster/replication", params=params),),
    )


def _changed_job(sides: Sides, what: str, job: ReplicationJob) -> list[Step]:
    wanted = sides.wanted
    if job.leaving:
        why = f"its earlier replication to {job.target} is being removed: apply again when Proxmox is done with that"
        return [Step(change=Change(effect=Effect.UNABLE, what=what, why=why))]
    if not job.comment.startswith(OURS) and not job.disabled:
        return []  # somebody else's job does what is asked for
    params: Params = {}
    if job.disabled:
        params["disable"] = 0
    if job.schedule != wanted.schedule:
        params["schedule"] = wanted.schedule
    if wanted.rate is not None and job.rate != wanted.rate:
        params["rate"] = wanted.rate
    if wanted.rate is None and job.rate is not None:
        params["delete"] = "rate"
    if not params:
        return []
    before = "switched off" if job.disabled else _job_words(what, sides, job.target, job.schedule, job.rate)
    change = sides.update(what, before, _job_words(what, sides, job.target, wanted.schedule, wanted.rate))
    call = Call(
        action="change replication", method="PUT", path=f"/cluster/replication/{job.name}", params=params
    )
    return [Step(change=change, calls=(call,))]


def _ended_job(sides: Sides, job: ReplicationJob) -> Step:
    what = job.comment.removeprefix(OURS)
    change = sides.update(
        what if what in (HARDWARE, SECOND_SITE) else SECOND_SITE,
        f"disks replicated to {job.target}",
        None,
        erases=True,
        why=f"the copy of its disks on {job.target} is erased; the machine itself and its backups stay",
    )
    call = Call(action="end replication", method="DELETE", path=f"/cluster/replication/{job.name}")
    return Step(change=change, calls=(call,))
