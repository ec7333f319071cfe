# SPDX-License-Identifier: AGPL-3.0-or-later
"""Roles, users, tokens and grants that can be made over the API, and what a computer's bridges and clocks are.

Licensed as fakepve, which it extends; it only ever runs as a process of its own.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from fakepve import PveError

from tests.api.fakepve_redundancy import Redundancies

_SPECIAL = {"Administrator": "VM.Audit,VM.Allocate,Sys.Modify", "PVEAuditor": "VM.Audit,Sys.Audit"}


class Accounts(Redundancies):
    """A cluster with an administration of its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.roles: dict[str, set[str]] = {}
        self.accounts: set[str] = set()
        self.grants: set[tuple[str, str, str, str]] = set()
        self.separated: dict[str, bool] = {}
        self.clock_skew: dict[str, float] = {}
        self.bridges: dict[str, list[str]] = {}
        self.bridge_addresses: dict[str, dict[str, str]] = {}
        self.authority = ""
        """The CA's certificate, as nodes tell it; empty: they tell none."""

    def _routes_accounts(self) -> list[tuple[str, str, Any]]:
        token = "/access/users/{userid}/token"
        return [
            ("GET", "/access/roles", self._list_roles),
            ("POST", "/access/roles", self._add_role),
            ("PUT", "/access/roles/{roleid}", self._set_role),
            ("GET", "/access/users", self._list_users),
            ("POST", "/access/users", self._add_user),
            ("GET", "/access/acl", self._list_grants),
            ("PUT", "/access/acl", self._add_grant),
            ("GET", token, self._list_tokens),
            ("POST", token + "/{tokenid}", self._add_token),
            ("DELETE", token + "/{tokenid}", self._remove_token),
            ("GET", "/nodes/{node}/time", self._time),
            ("GET", "/nodes/{node}/network", self._networks),
            ("GET", "/nodes/{node}/certificates/info", self._certificates),
        ]

    # Roles, users, grants

    async def _list_roles(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        special = [{"roleid": name, "privs": privs, "special": 1} for name, privs in _SPECIAL.items()]
        own = [
            {"roleid": name, "privs": ",".join(sorted(privs)), "special": 0}
            for name, privs in self.roles.items()
        ]
        return special + own

    async def _add_role(self, values: dict[str, Any], user: str) -> None:
        if values["roleid"] in self.roles or values["roleid"] in _SPECIAL:
            raise PveError(500, f"create role failed: role '{values['roleid']}' already exists")
        self.roles[values["roleid"]] = set(str(values.get("privs") or "").split(","))
        self._enforce()

    async def _set_role(self, values: dict[str, Any], user: str) -> None:
        held = self.roles[values["roleid"]] if values.get("append") else set()
        self.roles[values["roleid"]] = held | set(str(values.get("privs") or "").split(","))
        self._enforce()

    async def _list_users(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        return [{"userid": name, "enable": 1} for name in sorted({*self.accounts, "root@pam"})]

    async def _add_user(self, values: dict[str, Any], user: str) -> None:
        if values["userid"] in self.accounts:
            raise PveError(500, f"create user failed: user '{values['userid']}' already exists")
        self.accounts.add(values["userid"])

    async def _list_grants(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        return [
            {"path": path, "ugid": who, "roleid": role, "type": kind, "propagate": 1}
            for path, who, role, kind in sorted(self.grants)
        ]

    async def _add_grant(self, values: dict[str, Any], user: str) -> None:
        for kind in ("user", "token"):
            if who := values.get(f"{kind}s"):
                self.grants.add((values["path"], who, values["roles"], kind))
        self._enforce()

    def _enforce(self) -> None:
        """Let the grants be what fakepve looks at."""
        self.acl = {}  # type: ignore[var-annotated]  # fakepve's
        for path, who, role, _ in self.grants:
            self.grant(who, path, *self.roles.get(role, ()))

    # Tokens

    async def _list_tokens(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        own = [name.partition("!")[2] for name in self.apitokens if name.startswith(f"{values['userid']}!")]
        return [
            {"tokenid": name, "privsep": int(self.separated.get(f"{values['userid']}!{name}", False))}
            for name in own
        ]

    async def _add_token(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        name = f"{values['userid']}!{values['tokenid']}"
        if values["userid"] not in self.accounts:
            raise PveError(500, f"no such user ('{values['userid']}')")
        if name in self.apitokens:
            raise PveError(400, "Parameter verification failed.", {"tokenid": "Token already exists."})
        self.apitokens[name] = secrets.token_hex(16)
        self.separated[name] = bool(values.get("privsep", True))
        return {
            "full-tokenid": name,
            "info": {"privsep": int(self.separated[name])},
            "value": self.apitokens[name],
        }

    async def _remove_token(self, values: dict[str, Any], user: str) -> None:
        self.apitokens.pop(f"{values['userid']}!{values['tokenid']}")

    # Nodes

    async def _time(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        now = int(time.time() + self.clock_skew.get(values["node"], 0.0))
        return {"time": now, "localtime": now, "timezone": "Europe/Paris"}

    async def _networks(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        names = self.bridges.get(values["node"], ["vmbr0"])
        seen = [name for name in names if self.allowed(user, f"/sdn/zones/localnet/{name}", "SDN.Use")]
        return [
            {"iface": name, "type": "bridge", "active": 1, **self.bridge_addresses.get(name, {})}
            for name in seen
        ]

    async def _certificates(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        return [{"filename": "pve-root-ca.pem", "pem": self.authority}] if self.authority else []


class AccountOps:
    """Part of what the process can be told."""

    node: Any

    def op_administrator(self) -> str:
        """Give root a token ``root@pam!setup``; the orchestrator's user and token are gone. Return its secret."""
        self.node.apitokens = {"root@pam!setup": secrets.token_hex(16)}
        self.node.acl = {}
        secret: str = self.node.apitokens["root@pam!setup"]
        return secret

    def op_bridge_address(self, name: str, cidr: str, gateway: str = "") -> None:
        """Give the nodes an address on a bridge, and their way out."""
        self.node.bridge_addresses[name] = {"cidr": cidr, **({"gateway": gateway} if gateway else {})}

    def op_authority(self, pem: str) -> None:
        """Let the nodes tell this as their CA's certificate; empty: none."""
        self.node.authority = pem

    def op_accounts(self) -> dict[str, Any]:
        """What was made: roles, users, grants, tokens (without their secrets)."""
        return {
            "roles": {name: sorted(privs) for name, privs in self.node.roles.items()},
            "users": sorted(self.node.accounts),
            "grants": sorted(self.node.grants),
            "tokens": sorted(self.node.apitokens),
        }

    def op_forget_grants(self) -> None:
        """Let everybody do everything again."""
        self.node.acl = None

    def op_set_clock_skew(self, node: str, seconds: float) -> None:
        """Let a node's clock be wrong."""
        self.node.clock_skew[node] = seconds

    def op_set_bridges(self, node: str, names: list[str]) -> None:
        """Let a node have these bridges."""
        self.node.bridges[node] = names

    def op_set_node(self, name: str, online: bool) -> None:
        """Let a node be away, or come back."""
        self.node.nodes[name]["online"] = online

    def op_set_quorum(self, quorate: bool) -> None:
        """Let the cluster lose its quorum, or have it again."""
        self.node.quorate = quorate
