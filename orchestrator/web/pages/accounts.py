"""All accounts, for administrators: adding, disabling, resetting them, changing their roles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import RequestRefused
from orchestrator.interface.roles import Right, Role
from orchestrator.operations import accounts as operation
from orchestrator.operations.accounts import Made, NewAccount
from orchestrator.web.listing import Asked, Column
from orchestrator.web.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.web.visit import Visit

_COLUMNS = (
    Column(key="name", heading="Name"),
    Column(key="role", heading="Role"),
    Column(key="client", heading="Client"),
    Column(key="second", heading="Second factor"),
    Column(key="state", heading="State"),
    Column(key="acts", heading="Acts"),
)


def accounts(visit: Visit) -> Response:
    """List the accounts."""
    return _shown(visit)


def _shown(visit: Visit, *, made: Made | None = None, refused: RequestRefused | None = None) -> Response:
    asked = Asked.of(visit, sorts=("name",), filters=("q",))
    portion, proved = operation.list_accounts(
        visit.desk, search=asked.filters.get("q", ""), limit=asked.size, offset=asked.offset
    )
    return visit.page(
        "accounts.html",
        status=409 if refused else 200,
        asked=asked,
        columns=_COLUMNS,
        rows=portion.accounts,
        total=portion.count,
        proved=proved,
        made=made,
        refused=str(refused) if refused else "",
        roles=[role.value for role in Role],
        provider_roles=[role.value for role in Role if role is not Role.CLIENT],
    )


def add(visit: Visit) -> Response:
    """Add an account, and show the password that was generated once."""
    try:
        made = operation.add_account(
            visit.desk,
            NewAccount(
                name=visit.form.get("name", ""),
                role=_role(visit),
                client=visit.form.get("client", "").strip() or None,
                by_provider=visit.form.get("by_provider") == "yes",
            ),
            who=visit.who,
        )
    except RequestRefused as error:
        return _shown(visit, refused=error)
    return _shown(visit, made=made)


def disable(visit: Visit) -> Response:
    """Disable an account."""
    operation.disable_account(visit.desk, visit.path["name"], who=visit.who)
    return visit.see("/accounts")


def enable(visit: Visit) -> Response:
    """Let an account sign in again."""
    operation.enable_account(visit.desk, visit.path["name"], who=visit.who)
    return visit.see("/accounts")


def reset(visit: Visit) -> Response:
    """Reset an account, and show the password that was generated once."""
    return _shown(visit, made=operation.reset_account(visit.desk, visit.path["name"], who=visit.who))


def change_role(visit: Visit) -> Response:
    """Give an account another role."""
    operation.change_role(visit.desk, visit.path["name"], _role(visit), who=visit.who)
    return visit.see("/accounts")


def _role(visit: Visit) -> Role:
    try:
        return Role(visit.form.get("role", ""))
    except ValueError:
        raise RequestRefused(f"there is no role {visit.form.get('role', '')[:40]!r}") from None


_NAMED = "/accounts/{name}"

PAGES = [
    Page(path="/accounts", answer=accounts, need=Right.ACCOUNTS),
    Page(path="/accounts", answer=add, need=Right.ACCOUNTS, method="POST"),
    Page(path=f"{_NAMED}/disable", answer=disable, need=Right.ACCOUNTS, method="POST"),
    Page(path=f"{_NAMED}/enable", answer=enable, need=Right.ACCOUNTS, method="POST"),
    Page(path=f"{_NAMED}/reset", answer=reset, need=Right.ACCOUNTS, method="POST"),
    Page(path=f"{_NAMED}/role", answer=change_role, need=Right.ACCOUNTS, method="POST"),
]
