"""A plan for reviewers fits into a comment, whatever is in it, and never says less than it leaves out."""

from __future__ import annotations

import datetime as dt

from orchestrator.planning.document import (
    ChangeDocument,
    FailureDocument,
    MachineDocument,
    PlanDocument,
    SummaryDocument,
)
from orchestrator.planning.review import MARKDOWN_ROOM, render_html, render_markdown
from orchestrator.resources.change import Effect


def change(kind: Effect, what: str, after: str, why: str | None = None) -> ChangeDocument:
    return ChangeDocument(
        kind=kind,
        what=what,
        before=None,
        after=after,
        change_class=None,
        class_reason=None,
        erases=False,
        drift=False,
        restart=None,
        why=why,
    )


def machine(client: str, name: str, *changes: ChangeDocument) -> MachineDocument:
    refused = any(item.kind is Effect.REFUSED for item in changes)
    return MachineDocument(
        client=client,
        machine=name,
        site="paris",
        offer="cloud-vm-advanced",
        contract=f"C-{client}",
        vmid=None,
        node=None,
        digest=None,
        address=None,
        refused=refused,
        changes=list(changes),
        intervention=None,
    )


def plan(*machines: MachineDocument, failures: tuple[FailureDocument, ...] = ()) -> PlanDocument:
    counts = dict.fromkeys(
        ("create", "update", "retire", "restart", "refused", "expire", "waiting", "erase", "quotes_missing"),
        0,
    )
    return PlanDocument(
        made_at=dt.datetime(2026, 11, 23, 20, 0, tzinfo=dt.UTC),
        has_changes=bool(machines),
        machines=list(machines),
        pools=[],
        unmanaged=[],
        failures=list(failures),
        frozen={},
        dangers=[],
        allowances=[],
        summary=SummaryDocument.model_validate({**counts, "update": len(machines), "by_class": {}}),
    )


def test_a_client_with_long_changes_pushes_nobody_elses_out_of_the_comment() -> None:
    long = "; ".join(f"+ tcp {port} from anywhere" for port in range(1000))
    flood = [machine("aaa", f"web-{n}", *[change(Effect.FIREWALL, "firewall", long)] * 9) for n in range(100)]
    retired = machine("dupont", "db-1", change(Effect.RETIRE, "machine", "stopped, kept with its disks"))
    refused = machine("martin", "db-2", change(Effect.REFUSED, "disk data", "1 GiB", "a disk cannot shrink"))
    text = render_markdown(plan(*flood, retired, refused))
    assert len(text) <= MARKDOWN_ROOM
    assert "stopped, kept with its disks" in text and "a disk cannot shrink" in text
    assert "**aaa** | C-aaa" in text, "the table has everybody"
    assert "the details of 100 machines are left out: aaa" in text


def test_values_are_cut_before_machines_are_left_out() -> None:
    flood = [machine("aaa", f"web-{n}", change(Effect.FIREWALL, "firewall", "x" * 9000)) for n in range(20)]
    text = render_markdown(plan(*flood))
    assert len(text) <= MARKDOWN_ROOM and "left out" not in text
    assert "web-19" in text and "… and 8600 more characters" in text


def test_a_plan_of_thousands_of_clients_says_that_it_does_not_fit() -> None:
    many = [machine(f"client-{n}", "web-1", change(Effect.CREATE, "machine", "1 vCPU")) for n in range(2000)]
    text = render_markdown(plan(*many))
    assert len(text) <= MARKDOWN_ROOM and "the end is missing" in text.splitlines()[2]


def test_what_could_not_be_read_stands_in_the_first_line() -> None:
    unread = plan(failures=(FailureDocument(site="paris", reason="no answer"),))
    assert "No changes in what could be read · 1 site not read" in render_markdown(unread).splitlines()[0]
    assert "No changes in what could be read" in render_html(unread)
