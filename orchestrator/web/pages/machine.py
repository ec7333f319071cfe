"""One machine: all that the last look found, its graphs, its alarms, its last history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from orchestrator.history.delays import SEEN
from orchestrator.interface import looks
from orchestrator.interface.roles import Right
from orchestrator.operations.history import LeafRequest, leaf
from orchestrator.operations.recent_alarms import AlarmsAsked
from orchestrator.operations.recent_figures import Measured, has_graphs
from orchestrator.web import graphs
from orchestrator.web.listing import Column
from orchestrator.web.page import Page
from orchestrator.web.pages import history
from orchestrator.web.pages.alarms import SEVERITY_TONES, STATE_TONES

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.history import Entry
    from orchestrator.interface.looked import LookedFirewall, LookedMachine, LookedRule
    from orchestrator.interface.looks import SiteRow
    from orchestrator.web.visit import Visit

_ENTRIES = 10

DISKS = (
    Column(key="name", heading="Disk"),
    Column(key="size", heading="Size", figures=True),
    Column(key="asked", heading="Asked for", figures=True),
    Column(key="slot", heading="Slot"),
    Column(key="storage", heading="Storage", quiet=True),
    Column(key="backup", heading="In the backup"),
)
CARDS = (
    Column(key="name", heading="Card"),
    Column(key="address", heading="Address"),
    Column(key="gateway", heading="Gateway", quiet=True),
    Column(key="bridge", heading="Bridge"),
    Column(key="mac", heading="MAC", quiet=True),
    Column(key="model", heading="Model", quiet=True),
)
SNAPSHOTS = (
    Column(key="name", heading="Snapshot"),
    Column(key="taken", heading="Taken"),
    Column(key="expires", heading="Expires"),
    Column(key="note", heading="Note"),
)
BACKUPS = (
    Column(key="taken", heading="Taken"),
    Column(key="size", heading="Size", figures=True),
    Column(key="ends", heading="Kept until"),
    Column(key="test", heading="Restore test"),
    Column(key="note", heading="Note"),
    Column(key="volume", heading="Archive", quiet=True),
)
ENTRIES = tuple(column for column in history.COLUMNS if column.key not in ("machine", "seconds"))


@dataclass(frozen=True)
class FirewallLine:
    """A line of the firewall, as a plan has it: what is let in or out, and whether it is, will be or was."""

    text: str
    state: str


def machine(visit: Visit) -> Response:
    """All that is known of a machine. No hypervisor is asked: the picture of its graphs asks, when it is seen."""
    found, site = looked_at(visit)
    database_history, now = visit.desk.history, visit.desk.now()
    entries = leaf(
        database_history, LeafRequest(client=found.client, machine=found.machine, limit=_ENTRIES)
    ).entries
    seen = database_history.entries(client=found.client, machine=found.machine, action=SEEN, limit=1)
    return visit.page(
        "machine.html",
        machine=found,
        site=site,
        address=address_of(found),
        firewall=firewall_lines(found.firewall),
        disks=DISKS,
        cards=CARDS,
        snapshots=SNAPSHOTS,
        backups=BACKUPS,
        entry_columns=ENTRIES,
        entries=entries,
        tones=history.TONES,
        due=_packages(seen),
        due_at=seen[0].at if seen else None,
        alarms_found=visit.desk.alarms.listed(AlarmsAsked(client=found.client, machine=found.machine), now),
        state_tones=STATE_TONES,
        severity_tones=SEVERITY_TONES,
        timeframes=[(name, words[0]) for name, words in graphs.WORDS.items()],
        why_no_graphs=why_no_graphs(found),
    )


def graphs_page(visit: Visit) -> Response:
    """The graphs of a timeframe with their figures as tables."""
    found, site = looked_at(visit)
    timeframe = graphs.timeframe_of(visit)
    why = why_no_graphs(found)
    measured = measured_of(found, site)
    shown = None if why or measured is None else graphs.shown(visit, measured, timeframe)
    return visit.page(
        "machine_graphs.html",
        machine=found,
        address=address_of(found),
        timeframe=timeframe,
        timeframes=[(name, words[0]) for name, words in graphs.WORDS.items()],
        shown=shown,
        why_no_graphs=why,
    )


def graphs_picture(visit: Visit) -> Response:
    """The graphs of a timeframe as a picture."""
    found, site = looked_at(visit)
    timeframe = graphs.timeframe_of(visit)
    measured = measured_of(found, site)
    if why_no_graphs(found) or measured is None:
        visit.missing()
    return graphs.picture(visit, measured, timeframe)


def looked_at(visit: Visit) -> tuple[LookedMachine, SiteRow | None]:
    """The machine that an address names, and its site, as the last look found them: two queries.

    Raises:
        Missing: there is no such machine.
    """
    found = looks.machine(visit.desk.database, visit.path["client"], visit.path["machine"])
    if found is None:
        visit.missing()
    sites = looks.site_looks(visit.desk.database)
    return found, next((site for site in sites if site.site == found.site), None)


def address_of(machine: LookedMachine) -> str:
    """Where a machine's page is."""
    return f"/machines/{quote(machine.client, safe='')}/{quote(machine.machine, safe='')}"


def measured_of(machine: LookedMachine, site: SiteRow | None) -> Measured | None:
    """Where a machine's figures are asked for; None: it is nowhere.

    Every node knows the figures of all: where the machine's own was away when it was looked at, another is asked.
    """
    if machine.node is None or machine.vmid is None:
        return None
    nodes = {node.node: node.state == "online" for node in site.document.nodes} if site else {}
    online = [name for name, answers in nodes.items() if answers]
    node = machine.node if nodes.get(machine.node, True) or not online else online[0]
    return Measured(
        client=machine.client, machine=machine.machine, site=machine.site, vmid=machine.vmid, node=node
    )


def why_no_graphs(machine: LookedMachine) -> str:
    """Why a machine has no graphs; empty if it has."""
    managed = machine.services is not None and machine.services.level is not None
    if not has_graphs(machine.offer, managed=managed):
        offer = machine.offer or "its offer"
        return f"Graphs are not part of {offer} (article 3.3); with managed services they are (3.8.1)."
    return (
        "" if measured_of(machine, None) else "Nothing is measured: the last look did not find the machine."
    )


def firewall_lines(firewall: LookedFirewall) -> list[FirewallLine]:
    """The rules in the words of a plan: those that are loaded, what a plan would add and take away."""
    loaded = _rules(firewall.loaded or ())
    asked = _rules(firewall.asked or ()) if firewall.asked is not None else loaded
    lines = [FirewallLine(text, "loaded" if text in asked else "to be removed") for text in loaded]
    lines += [FirewallLine(text, "to be added") for text in asked if text not in loaded]
    return lines


def _rules(rules: tuple[LookedRule, ...]) -> list[str]:
    return [_RULES[rule.kind].format(what=rule.what, others=", ".join(rule.others)) for rule in rules]


_RULES = {
    "open": "{what} from {others}",
    "client": "ssh for the client from {others}",
    "provider": "ssh for the provider from {others}",
    "monitoring": "node exporter for the provider's monitoring from {others}",
    "ping": "ping from {others}",
    "outgoing": "outgoing {what} to {others}",
    "dns": "outgoing dns to {others}",
}


def _packages(seen: list[Entry]) -> list[tuple[str, str]]:
    """The packages that a night found due last, with their versions."""
    found = history.details_as_data(seen[0]).get("due") if seen else None
    if not isinstance(found, dict):
        return []
    return [(str(name), str(version)) for name, version in sorted(found.items())]


PAGES = [
    Page(path="/machines/{client}/{machine}", answer=machine, need=Right.LOOK),
    Page(path="/machines/{client}/{machine}/graphs/{timeframe}.svg", answer=graphs_picture, need=Right.LOOK),
    Page(path="/machines/{client}/{machine}/graphs/{timeframe}", answer=graphs_page, need=Right.LOOK),
]
