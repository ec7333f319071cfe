"""``orchestrator rescue``: one machine in trouble. Shows everything there is, asks what is wanted, and does it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.recreate import tell_proposal
from orchestrator.cli.shared_options import BootTimeout, Files, Reason, Target, Yes

if TYPE_CHECKING:
    from orchestrator.operations.rescue import RescueRequest
    from orchestrator.operations.rescue_choices import Choice
    from orchestrator.operations.rescue_state import RescueState

_NAMES = "start, restart, rollback, restore, copy, fail-over, recreate, mark, put-aside or nothing"


def rescue(
    target: Target,
    choose: Annotated[
        str | None,
        typer.Option(metavar="WHAT", help=f"Do this: {_NAMES}.  [default: ask]"),
    ] = None,
    snapshot: Annotated[
        str | None, typer.Option(metavar="NAME", help="With rollback: this snapshot.")
    ] = None,
    archive: Annotated[
        str | None,
        typer.Option(metavar="VOLID", help="Use this archive.  [default: the newest good one]"),
    ] = None,
    as_: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="With copy: the name of the copy.")
    ] = None,
    lose: Annotated[
        str | None,
        typer.Option(metavar="data,memory", help="What may be lost, when nobody is asked."),
    ] = None,
    site: Annotated[str | None, typer.Option(metavar="SITE", help="With recreate: where.")] = None,
    network: Annotated[
        str | None, typer.Option(metavar="NAME", help="With recreate: a network of that site.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS|auto", help="With recreate: another address.")
    ] = None,
    lost_site: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SITE",
            help="With recreate: this site does not answer, and the machine is not to run there again.",
        ),
    ] = None,
    lost_node: Annotated[
        str | None,
        typer.Option(
            metavar="NODE", help="With fail-over: the machine's node, which is surely switched off."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="With restart: switch off a guest that ignores the power button.")
    ] = False,
    yes: Yes = False,
    format: Annotated[session.OutputFormat, typer.Option(help="JSON shows the state alone.")] = (
        session.OutputFormat.TEXT
    ),
    files: Files = None,
    inventory: session.Inventory = None,
    reason: Reason = "rescue",
    boot_timeout: BootTimeout = 600.0,
    history: session.HistoryPath = None,
) -> None:
    """Rescue a machine: show its state, ask what is wanted, do it.

    Says what each choice loses. Where nobody can be asked and nothing is chosen, it only shows the state.
    """
    from orchestrator.cli.rescue_text import show_state, state_document  # not for `--help`
    from orchestrator.operations.rescue import RescueRequest
    from orchestrator.operations.rescue_state import rescue_state

    paths = tuple(files or ())
    state = rescue_state(target, inventory, history, paths, EVENTS, console=choose is None)
    if format is session.OutputFormat.JSON:
        if choose is not None:
            session.fail("--format json shows the state and does nothing: leave out --choose")
        session.echo_json(json.dumps(state_document(state, archive), indent=2))
        raise typer.Exit(1 if state.unread else 0)
    show_state(state, archive)
    if state.unknown:
        session.fail(
            f"no machine of ours is {target}" + (" at the sites that could be read" if state.away else "")
        )
    request = RescueRequest(
        target=target,
        inventory=inventory,
        reason=reason,
        history=history,
        choice=choose or "nothing",
        snapshot=snapshot,
        volid=archive,
        copy_name=as_,
        lose=frozenset(part.strip() for part in (lose or "").split(",") if part.strip()),
        files=paths,
        site=site,
        network=network,
        address=address,
        lost_sites=tuple(lost_site or ()),
        lost_node=lost_node,
        force=force,
        boot_seconds=boot_timeout,
    )
    if choose is None and not session.interactive():
        if state.unread:
            raise typer.Exit(1)
        return
    _carry_out(request, state, asked=choose is None, yes=yes)


def _carry_out(request: RescueRequest, state: RescueState, *, asked: bool, yes: bool) -> None:
    from dataclasses import replace

    from orchestrator.operations import rescue as operation

    if asked:
        picked = _ask(state, request.volid)
        # Whoever reads what is lost, and types the machine's name, names it.
        request = replace(
            request, choice=picked.name, snapshot=picked.value or None, lose=frozenset(picked.loses)
        )
        if picked.name != "rollback":
            request = replace(request, snapshot=None)
        if picked.name == "fail-over" and state.lost_node and request.lost_node is None:
            node = state.lost_node.node
            answer = session.answer_to(
                f"A node that is only cut off goes on running its machines. Type {node} if it is surely switched off"
            )
            request = replace(request, lost_node=answer)

    def agree(choice: Choice) -> bool:
        out = session.console()
        for kind, what in choice.loses.items():
            out.print(f"lost: {kind}: {what}", style="red")
        if yes and not asked:
            return True
        if not session.interactive():
            session.fail("not running interactively: pass --yes to do it without being asked")
        if session.answer_to(f"Type {request.target} to {choice.words}") == request.target:
            return True
        out.print("nothing was changed")
        return False

    done = operation.rescue(
        request, state, agree, EVENTS, lambda proposal: tell_proposal(request.target, proposal)
    )
    if done is None:
        return
    if done.problem:
        session.fail(f"{request.target}: {done.told}; {done.problem}")
    session.console().print(done.told)


def _ask(state: RescueState, volid: str | None) -> Choice:
    """Have somebody at the terminal choose among what can be done."""
    from orchestrator.operations.rescue_choices import choices

    possible = [choice for choice in choices(state, volid) if not choice.refused]
    out = session.console()
    for number, choice in enumerate(possible, 1):
        out.print(f"{number:>3}  {choice.words}")
    answer = session.answer_to("What is wanted? Its number")
    if not answer.isascii() or not answer.isdigit() or not 1 <= int(answer) <= len(possible):
        session.fail(f"{answer!r} is none of the numbers 1 to {len(possible)}: nothing was changed")
    return possible[int(answer) - 1]
