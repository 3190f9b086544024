"""Clients of the dashboard's paths, and accounts of the cluster that they may act as."""

import json
import secrets
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from dev.cluster.kubectl import Kubectl
from tests.parties.server import RunningServer
from tests.server.client import Answer

Rule = dict[str, list[str]]
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A client of one caller. Paths are below `prefix`."""

    session: aiohttp.ClientSession
    url: str
    token: str
    prefix: str = "/api/v1"

    def as_token(self, token: str) -> "Dashboard":
        """The same server for another token; none if it is empty."""
        return Dashboard(self.session, self.url, token, self.prefix)

    def below(self, prefix: str) -> "Dashboard":
        return Dashboard(self.session, self.url, self.token, prefix)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str | int] | None = None,
    ) -> Answer:
        """One request; a POST gets its CSRF token first, unless the headers name one."""
        sent = {**self.headers, **(headers or {})}
        if method == "POST" and "X-CSRF-TOKEN" not in sent:
            action = path.lstrip("/").partition("/")[0].partition("?")[0]
            sent["X-CSRF-TOKEN"] = (await self.call("GET", f"/csrftoken/{action}")).body["token"]
        data = None if body is None else json.dumps(body)
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.session.request(
            method, self.url + self.prefix + path, params=query or {}, data=data, headers=sent
        ) as response:
            text = await response.text()
            is_json = response.content_type == "application/json" and text
            return Answer(response.status, response.headers, json.loads(text) if is_json else None, text)

    async def get(self, path: str, **query: str | int) -> Answer:
        return await self.call("GET", path, query=query)

    async def ok(self, path: str, **query: str | int) -> Any:
        """What a GET that must succeed answers."""
        answer = await self.get(path, **query)
        assert answer.status == 200, answer
        return answer.body


@asynccontextmanager
async def open_dashboard(url: str, token: str) -> AsyncIterator[Dashboard]:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    # kubectl blocks the tests' loop for longer than the server keeps an idle connection.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield Dashboard(session, url, token)


def configure(server: RunningServer, name: str, **fields: str) -> None:
    """Tell a server of a cluster."""
    request = urllib.request.Request(
        f"{server.url}/config/clusters/create",
        data=json.dumps({"name": name, **fields}).encode(),
        headers={**server.headers, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


@contextmanager
def account(
    kubectl: Kubectl, namespace: str, *, rules: Sequence[Rule] = (), cluster_rules: Sequence[Rule] = ()
) -> Iterator[str]:
    """The token of a service account with these rights in the namespace and in the whole cluster."""
    name = f"caller-{secrets.token_hex(4)}"
    kubectl("-n", namespace, "create", "serviceaccount", name)
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    api = {"apiVersion": f"{group}/v1"}
    here, everywhere = {"name": name, "namespace": namespace}, {"name": name}
    if rules:
        role = {"apiGroup": group, "kind": "Role", "name": name}
        kubectl.apply(
            {**api, "kind": "Role", "metadata": here, "rules": list(rules)},
            {**api, "kind": "RoleBinding", "metadata": here, "subjects": [subject], "roleRef": role},
        )
    if cluster_rules:
        role = {"apiGroup": group, "kind": "ClusterRole", "name": name}
        kubectl.apply(
            {**api, "kind": "ClusterRole", "metadata": everywhere, "rules": list(cluster_rules)},
            {**api, "kind": "ClusterRoleBinding", "metadata": everywhere, "subjects": [subject], "roleRef": role},
        )
    try:
        yield kubectl("-n", namespace, "create", "token", name, "--duration", "1h").strip()
    finally:
        if cluster_rules:
            kubectl("delete", "clusterrole,clusterrolebinding", name, "--ignore-not-found")


def rule(resource: str, *verbs: str, group: str = "") -> Rule:
    """One rule of a role."""
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}


READ_ALL = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}
"""The rule of one who may see everything."""
