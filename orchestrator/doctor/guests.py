"""The way into the guests: one machine that runs is entered, and asked where we come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.doctor.findings import Finding, Place
from orchestrator.guests import FirewallPolicy, Guest, GuestUnreachable, SshSettings, source_address_seen
from orchestrator.proxmox import NotFound, read_vm
from orchestrator.resources.desired import OWNER_TAG
from orchestrator.resources.notes import read_mark
from orchestrator.resources.ownership import other_number
from orchestrator.resources.static_addresses import addresses_in

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster, ClusterState
    from orchestrator.sites.model import Management
    from orchestrator.subscriptions.openings import IPAddress

_SUBJECT = "SSH to machines"


def choose(cluster: Cluster, state: ClusterState, user: str) -> Guest | None:
    """A machine to try: one of ours that runs, was delivered, and whose host keys are known. A call for each look."""
    for vm in sorted(state.vms, key=lambda vm: vm.vmid):
        if OWNER_TAG not in vm.tags or vm.on is not True or vm.node in state.nodes_off:
            continue
        try:
            config = read_vm(cluster, vm.node, vm.vmid)
        except NotFound:  # removed since the list was read
            continue
        mark = read_mark(config.effective("description") or "")
        if mark is None or other_number(mark, vm.vmid) or not mark.ready or not mark.host_keys:
            continue
        address = next((str(found) for found in (*addresses_in(config), mark.adopted) if found), None)
        if address:
            return Guest(
                client=mark.client,
                machine=mark.machine,
                address=address,
                user=user,
                host_keys=mark.host_keys,
                policy=FirewallPolicy(),
            )
    return None


def enter(place: Place, target: Guest, management: Management, ssh: SshSettings) -> Iterator[Finding]:
    """Log in, change nothing, and say whether the firewall of machines knows where we come from."""
    try:
        seen = source_address_seen(target, ssh)
    except GuestUnreachable as error:
        yield place.error(
            _SUBJECT,
            str(error),
            "see that this computer has a way there (management.ssh_proxy_command), and that the machine's firewall "
            "lets management.addresses in",
        )
        return
    yield judge_source(place, target.name, seen, management)


def judge_source(place: Place, name: str, seen: IPAddress, management: Management) -> Finding:
    """Whether the address that a guest sees is one that its firewall never shuts out."""
    if any(seen in network for network in management.addresses):
        return place.ok(_SUBJECT, f"{name} was entered, and sees us come from {seen}")
    listed = ", ".join(str(network) for network in management.addresses)
    return place.error(
        _SUBJECT,
        f"{name} sees us come from {seen}, which is not in management.addresses ({listed}): the next firewall would "
        "shut us out, and be undone",
        f"if that is an address of yours (the machine says so, nobody else), add {seen}/{seen.max_prefixlen} to "
        "management.addresses; or connect another way",
    )
