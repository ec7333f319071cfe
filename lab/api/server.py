"""From an HTTP request to a call and back, in the order in which a Proxmox VE node does it.

Credentials, then whether there is such a call, then privileges, then which node is meant, then the
parameters, then the call itself: which refusal a client sees depends on that order.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from lab.api import (
    access_calls,
    agent_calls,
    backup_calls,
    clone,
    cluster_calls,
    console_calls,
    disk_calls,
    pool_calls,
    power_calls,
    snapshots,
    storage_calls,
    task_calls,
    vm_calls,
)
from lab.api.access import Caller
from lab.api.cluster import Cluster
from lab.api.errors import ApiError, NotImplementedHere, Refused, Unauthorized, WrongParameters
from lab.api.routing import Call, Endpoint, Listing, Routes, Upgrade
from lab.api.values import verify

_PREFIX = "/api2/json"
_LARGEST_BODY = 512 * 1024
_PENALTY_SECONDS = 3.0
"""How long wrong credentials wait for their answer."""

_log = logging.getLogger(__name__)

ROUTES = Routes()
ROUTES.include(
    module.routes
    for module in (
        access_calls,
        agent_calls,
        backup_calls,
        clone,
        cluster_calls,
        console_calls,
        disk_calls,
        pool_calls,
        power_calls,
        snapshots,
        storage_calls,
        task_calls,
        vm_calls,
    )
)


class Api:
    """The API of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def application(self) -> web.Application:
        """What `aiohttp` serves."""
        application = web.Application(client_max_size=_LARGEST_BODY)
        application.router.add_route("*", "/{path:.*}", self.answer)
        application.on_shutdown.append(self._cluster.consoles.close)
        return application

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        try:
            result = await self._call(request)
            return await result.serve(request) if isinstance(result, Upgrade) else _success(result)
        except Unauthorized as error:
            await asyncio.sleep(_PENALTY_SECONDS)
            return web.Response(status=401, reason=error.reason)
        except ApiError as error:
            return _failure(error)
        except Exception as error:
            _log.exception("%s %s", request.method, request.path)
            return _failure(Refused(f"the lab failed: {type(error).__name__}: {error}"))

    async def _call(self, request: web.Request) -> object:
        path = unquote(request.rel_url.raw_path.removeprefix(_PREFIX)).rstrip("/") or "/"
        if not request.rel_url.raw_path.startswith(f"{_PREFIX}/"):
            raise NotImplementedHere(f"Method '{request.method} {path}'")
        given = await _parameters(request)
        found = ROUTES.find(request.method, path)
        caller = Caller("") if found and found[0].world else self._authenticate(request)
        if found is None:
            raise NotImplementedHere(f"Method '{request.method} {path}'")
        endpoint, in_path = found
        for name, value in in_path.items():
            if name in given and str(given[name]) != value:
                text = "duplicate parameter (already defined in URI) with conflicting values!"
                raise WrongParameters({name: text})
        given |= in_path
        for need in endpoint.needs:
            need.demand(caller, given)
        self._check_node(in_path)
        call = Call(self._cluster, caller, verify(given, endpoint.schema))
        return await self._run(request.method, endpoint, call)

    async def _run(self, method: str, endpoint: Endpoint, call: Call) -> object:
        if method == "GET":
            return await endpoint.handler(call)
        async with self._cluster.workers:
            return await endpoint.handler(call)

    def _authenticate(self, request: web.Request) -> Caller:
        credentials = self._cluster.credentials
        header = request.headers.get("Authorization", "")
        if header.startswith("PVEAPIToken"):
            return credentials.authenticate(header)
        ticket = unquote(request.cookies.get("PVEAuthCookie", ""))
        if not ticket:
            raise Unauthorized("No ticket")
        caller = credentials.verify_ticket(ticket)
        if request.method != "GET":
            credentials.verify_csrf(caller.user, request.headers.get("CSRFPreventionToken"))
        return caller

    def _check_node(self, in_path: dict[str, str]) -> None:
        node = in_path.get("node")
        if node not in (None, "localhost", self._cluster.node):
            text = f"hostname lookup '{node}' failed - failed to get address info for: {node}"
            raise Refused(f"{text}: Temporary failure in name resolution")


async def _parameters(request: web.Request) -> dict[str, Any]:
    """What a request brings: in the query string, or in the body of a POST or PUT as a form or as JSON."""
    if request.method not in ("POST", "PUT"):
        if request.can_read_body:
            raise ApiError(501, f"Unexpected content for method '{request.method}'")
        return _pairs(request.rel_url.raw_query_string)
    if (request.content_length or 0) > _LARGEST_BODY:
        raise ApiError(501, "for data too large")
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise ApiError(501, "for data too large") from None
    if not body:
        return {}
    if request.content_type == "application/json":
        try:
            read = json.loads(body)
        except ValueError as error:
            raise ApiError(400, f"bad request: {error}\n") from None
        if not isinstance(read, dict):
            raise ApiError(400, "bad request: a JSON object is needed\n")
        return read
    if request.content_type != "application/x-www-form-urlencoded":
        raise ApiError(501, f"upload '{request.content_type}' not allowed")
    return _pairs(body.decode(errors="replace"))


def _pairs(text: str) -> dict[str, Any]:
    """Names and values of a form; a name that comes more than once is a list."""
    pairs: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if name not in pairs:
            pairs[name] = value
        elif isinstance(pairs[name], list):
            pairs[name].append(value)
        else:
            pairs[name] = [pairs[name], value]
    return pairs


def _success(result: object) -> web.Response:
    if isinstance(result, Listing):
        return _json({"data": result.data, "total": result.total}, 200, "OK")
    return _json({"data": result}, 200, "OK")


def _failure(error: ApiError) -> web.Response:
    body: dict[str, Any] = {"data": None, "message": error.message}
    if error.errors:
        body["errors"] = error.errors
    return _json(body, error.status, error.reason)


def _json(body: dict[str, Any], status: int, reason: str) -> web.Response:
    text = json.dumps(body, separators=(",", ":"))
    return web.Response(text=text, status=status, reason=reason, content_type="application/json")
