"""``orchestrator user``: accounts of the Interface."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import session
from orchestrator.interface.roles import Role
from orchestrator.operations.computer import operator

if TYPE_CHECKING:
    from orchestrator.interface.accounts import Account
    from orchestrator.operations.accounts import Made

app = typer.Typer(no_args_is_help=True, help="Add, list, disable and reset accounts of the Interface.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The account's name.")]
PasswordFrom = Annotated[
    bool,
    typer.Option(
        "--password-stdin",
        help="Read the password from standard input, or ask for it; else one is generated.",
    ),
]
Reason = Annotated[str, typer.Option(help="Why: recorded in the history.")]

_EXTRA = "accounts need packages that are not installed: pip install 'orchestrator[web]'"
_LONGEST_LINE = 1024


@app.command()
def add(
    name: Name,
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.READER,
    client: Annotated[
        str | None, typer.Option(metavar="CLIENT", help="The client of an account of the role client.")
    ] = None,
    language: Annotated[session.Language, typer.Option(help="Of a client's pages.")] = session.Language.FR,
    identity_provider: Annotated[
        bool, typer.Option(help="It signs in by the identity provider and has no password here.")
    ] = False,
    password_stdin: PasswordFrom = False,
    reason: Reason = "access",
    history: session.HistoryPath = None,
) -> None:
    """Add an account.

    Without --password-stdin a password is generated, shown once, and has to be changed at the first login.
    """
    operation, open_desk = _operation()
    password = _typed() if password_stdin else None
    if password is not None and identity_provider:
        session.fail("an account of the identity provider has no password: leave --password-stdin out")
    new = operation.NewAccount(
        name=name,
        role=role,
        client=client,
        language="en" if language is session.Language.EN else "fr",
        password=password,
        by_provider=identity_provider,
    )
    with open_desk(history) as desk:
        made = operation.add_account(desk, new, who=operator(), why=reason)
    session.console().print(f"added: {_line(made.account)}")
    _show(made)


@app.command("list")
def list_(
    search: Annotated[
        str, typer.Argument(metavar="[TEXT]", help="A part of a name, or of a client's name.")
    ] = "",
    format: Annotated[
        session.OutputFormat, typer.Option(help="For people or for programs.")
    ] = session.OutputFormat.TEXT,
    history: session.HistoryPath = None,
) -> None:
    """List the accounts."""
    operation, open_desk = _operation()
    with open_desk(history) as desk:
        portion, proved = operation.list_accounts(desk, search=search, limit=100_000)
    if format is session.OutputFormat.JSON:
        rows = [_for_programs(account, account.name in proved) for account in portion.accounts]
        session.echo_json(json.dumps(rows, indent=2))
        return
    out = session.console()
    for account in portion.accounts:
        second = "second factor" if account.name in proved else "no second factor"
        out.print(f"{_line(account)}   {second}", style="dim" if account.disabled else None)
    out.print(f"{portion.count} accounts" if portion.count != 1 else "1 account")


@app.command()
def disable(name: Name, reason: Reason = "access", history: session.HistoryPath = None) -> None:
    """Disable an account: its sessions end at once."""
    operation, open_desk = _operation()
    with open_desk(history) as desk:
        account = operation.disable_account(desk, name, who=operator(), why=reason)
    session.console().print(f"disabled: {account.name}")


@app.command()
def enable(name: Name, reason: Reason = "access", history: session.HistoryPath = None) -> None:
    """Let a disabled account sign in again."""
    operation, open_desk = _operation()
    with open_desk(history) as desk:
        account = operation.enable_account(desk, name, who=operator(), why=reason)
    session.console().print(f"enabled: {account.name}")


@app.command()
def reset(
    name: Name,
    password_stdin: PasswordFrom = False,
    reason: Reason = "access",
    history: session.HistoryPath = None,
) -> None:
    """Give an account another password.

    Its second factors are removed and its sessions end.
    """
    operation, open_desk = _operation()
    password = _typed() if password_stdin else None
    with open_desk(history) as desk:
        made = operation.reset_account(desk, name, who=operator(), password=password, why=reason)
    session.console().print(f"reset: {made.account.name}")
    _show(made)


def _operation() -> tuple[Any, Any]:
    """What does it, with the packages that it needs: not for `--help`."""
    try:
        import argon2  # noqa: F401

        from orchestrator.operations import accounts
    except ImportError:
        session.fail(_EXTRA)
    from orchestrator.operations.interface_desk import open_interface_desk

    return accounts, open_interface_desk


def _typed() -> str:
    """A password, never of the command line: other users read that."""
    if session.interactive():
        first = session.answer_to("Password", hidden=True)
        if first != session.answer_to("Password again", hidden=True):
            session.fail("the password was typed in two ways: nothing was done")
        return first
    return sys.stdin.readline(_LONGEST_LINE).rstrip("\r\n")


def _show(made: Made) -> None:
    if made.password is not None:
        out = session.console()
        out.print(f"password: {made.password}")
        out.print("shown once; it has to be changed at the first login", style="dim")


def _line(account: Account) -> str:
    client = f" of {account.client}" if account.client else ""
    state = "   disabled" if account.disabled else ""
    return f"{account.name}   {account.role.value}{client}{state}"


def _for_programs(account: Account, second: bool) -> dict[str, object]:
    return {
        "name": account.name,
        "role": account.role.value,
        "client": account.client,
        "language": account.language,
        "disabled": account.disabled.isoformat() if account.disabled else None,
        "created": account.created.isoformat() if account.created else None,
        "identity_provider": account.by_provider,
        "password_to_be_changed": account.initial,
        "second_factor": second,
    }
