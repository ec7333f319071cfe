"""The firewall of a machine: may its rules be sent, and how did loading them go?

Nothing is sent that would shut the provider out: a policy without management addresses, or one that does not
admit SSH from the address that the guest sees us come from, is refused first. What slips through (a route that
differs, a firewall between) is caught by the guest itself: it goes back to its previous rules unless a new
connection confirms the new ones.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.guests.answers import first_line, lines_of, told
from orchestrator.guests.guest import Guest, SshSettings
from orchestrator.guests.inside import FIREWALL
from orchestrator.guests.outcome import PartOutcome, Status, has_timed_out, reason_of
from orchestrator.guests.pace import why_too_late
from orchestrator.guests.part import Part, Tell
from orchestrator.guests.playbooks import TaskResult
from orchestrator.guests.rules import admits_ssh_from, policy_to_data
from orchestrator.guests.ssh import GuestUnreachable, HostKeyMismatch, source_address_seen
from orchestrator.subscriptions.openings import written

LOAD = "Load the rules, the way back armed"
_CONFIRM = "Confirm the firewall over a new connection"
_AFTERWARDS = "See what became of the firewall"
_REPORT = "Report on the firewall"


def firewall_objection(guest: Guest, ssh: SshSettings, tell: Tell) -> PartOutcome | None:
    """Why the rules must not be sent to a machine; None if they may. It is asked where it sees us come from."""
    if not guest.policy.management:
        return _refused(
            f"{guest.name}: the rules would let the provider in from nowhere: list the provider's addresses as "
            "management.addresses in the inventory"
        )
    if not guest.host_keys:
        return _refused(
            f"{guest.name}: its SSH host keys are not known, and no key is trusted on first use: let them be learnt "
            "through the hypervisor (guest agent)"
        )
    tell(guest.key, "see where the guest sees us come from")
    try:
        source = source_address_seen(guest, ssh)
    except HostKeyMismatch as error:
        return _refused(str(error))
    except GuestUnreachable as error:
        return PartOutcome(status="unreachable", message=str(error))
    if not admits_ssh_from(guest.policy, source):
        return _refused(
            f"{guest.name}: the guest sees us come from {source}, and the rules let SSH in from "
            f"{', '.join(map(written, (*guest.policy.management, *guest.policy.allowed_from)))} only: if "
            f"that is an address of yours (nobody but the guest says so), add {source} to management.addresses in the "
            "inventory; or connect from one of those. Nothing was sent"
        )
    return None


def _refused(message: str) -> PartOutcome:
    return PartOutcome(status="refused", message=message)


def outcome(guest: Guest, results: Mapping[str, TaskResult], output: str) -> PartOutcome:
    """Read from what the tasks of the play said how the firewall fared in one guest.

    Args:
        guest: the machine.
        results: the last result of each task on it by the task's name, without starts and skipped ones.
        output: the reason where Ansible did not get as far as to a task.
    """
    load = results.get(LOAD)
    if load is None:
        status: Status = "failed"
        message = f"Ansible did not get as far as to this machine: {output}"
    elif load.kind == "unreachable" or has_timed_out(load):
        status, message = "unreachable", f"SSH failed while the rules were sent: {reason_of(load)}"
    elif load.kind == "failed":
        status, message = (
            "failed",
            f"the guest did not load the rules, those of before are in force: {reason_of(load)}",
        )
    elif first_line(load) == "unchanged":
        return PartOutcome(status="unchanged")
    elif first_line(load) == "would-change":
        return PartOutcome(status="changed", differences=told(lines_of(load)[1:]))
    elif _REPORT not in results and _CONFIRM in results:
        return PartOutcome(status="changed")
    else:
        afterwards = results.get(_AFTERWARDS)
        back = afterwards is not None and first_line(afterwards).startswith("rolled-back")
        status = "rolled-back" if back else "unreachable"
        message = reason_of(results[_REPORT]) if _REPORT in results else output
        message = why_too_late("rules", load, results.get(_CONFIRM), afterwards) or message
    return PartOutcome(status=status, message=f"{guest.name}: {message}")


PART = Part(
    name=FIREWALL,
    task=LOAD,
    outcome=outcome,
    objection=firewall_objection,
    details=lambda guest: {"policy": policy_to_data(guest.policy)},
    then="confirm the firewall over a new connection",
)
"""The firewall, as the playbooks bring it about."""
