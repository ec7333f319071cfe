"""Calls about who one is: tickets and privileges."""

from __future__ import annotations

from lab.api.access import Caller
from lab.api.errors import WrongParameters
from lab.api.routing import Call, Routes
from lab.api.values import Property, lacking

routes = Routes()

_PATHS = (
    "/",
    "/access",
    "/access/groups",
    "/access/realm",
    "/mapping",
    "/nodes",
    "/pool",
    "/sdn",
    "/storage",
    "/vms",
)
"""The paths that a node lists for everybody; privileges are given on `/` and reach them all."""


@routes.add("GET", "/access/permissions", {"path": Property(), "userid": Property()})
async def permissions(call: Call) -> object:
    """The caller's privileges by path."""
    path, user = call.text("path"), call.text("userid")
    subject = call.caller
    if user is not None:
        name, _, token = user.partition("!")
        subject = Caller(name, token or None)
    if subject != call.caller:
        call.caller.check("/access", "Sys.Audit")
    if not subject.known:
        raise WrongParameters({"userid": f"no such user ('{subject.user}')"})
    held = subject.permissions()
    return dict.fromkeys([path] if path else _PATHS, held)


@routes.add(
    "POST",
    "/access/ticket",
    {
        "username": Property(optional=False, max_length=64),
        "password": Property(optional=False),
        "realm": Property(),
        "new-format": Property("boolean"),
        **lacking("otp", "path", "privs", "tfa-challenge"),
    },
    world=True,
)
async def ticket(call: Call) -> object:
    """A ticket for a user's password."""
    realm = call.text("realm")
    user = call.required("username") + (f"@{realm}" if realm else "")
    made, csrf = call.cluster.credentials.log_in(user, call.required("password"))
    return {"username": user, "ticket": made, "CSRFPreventionToken": csrf}
