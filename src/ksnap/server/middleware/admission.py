"""Token and limits, before a byte of the body is read (contract, section 9).

A valid token counts on its user or node; no token, or one that is not valid, on the client's address. Whether a route
needs a token is said by the route itself (`access`); here is only found out who asks. A WebSocket counts once, as its
handshake; a browser, which cannot set its headers, may bring the token as a subprotocol `bearer.<token>`. The
dashboard's paths have a budget of their own, and their tokens may be Kubernetes' own: the cluster looks at those.
"""

from datetime import UTC, datetime

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ksnap.errors import KsnapError, NotAuthenticated
from ksnap.identity.limits import OverLimit
from ksnap.identity.principal import Principal
from ksnap.identity.tokens import invalid_token, is_foreign, is_ours
from ksnap.server.failures import answer
from ksnap.server.paths import is_dashboard, is_sockjs
from ksnap.server.services import Services

EXEMPT = ("/health", "/health/live", "/health/ready")
# A JWT of ours has some 700 bytes, a service account's some 1,500; what is longer is not even looked at.
TOKEN_LIMIT = 8192
BEARER = "bearer."


class Admission:
    """Finds out who asks and whether they may ask yet again this hour."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        try:
            await self._admit(scope)
        except KsnapError as error:
            retry = {"Retry-After": str(error.retry_after_s)} if isinstance(error, OverLimit) else {}
            await answer(scope, error, retry)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        services: Services = scope["app"].state.services
        state, now = scope["state"], datetime.now(UTC)
        if scope["path"] in EXEMPT or is_sockjs(scope["path"]):
            return  # without a look at the counters, whose database may be what is not healthy
        on_dashboard = is_dashboard(scope["path"])
        by_address = services.limits.of_address(state["address"], on_dashboard=on_dashboard)
        try:
            if on_dashboard and is_passed_on(token := token_of(scope)):
                principal, state["passed_on_token"] = None, SecretStr(token)
            else:
                principal = await _principal(services, scope)
                state["principal"] = principal
        except NotAuthenticated as error:
            principal, state["authentication_error"] = None, error
        except KsnapError:
            await services.limits.count(by_address, now)  # a cluster that cannot be asked, at the asker's expense
            raise
        budget = services.limits.of_principal(principal, on_dashboard=on_dashboard) if principal else by_address
        try:
            state["headers"] = (await services.limits.count(budget, now)).headers()
        except OverLimit as error:
            state["headers"] = error.standing.headers()
            raise


class Standing:
    """Outside all that may answer before `Admission` has counted, as CORS does to a preflight: an unused budget."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_sockjs(scope["path"]):
            limits = scope["app"].state.services.limits
            budget = limits.of_address(scope["state"]["address"], on_dashboard=is_dashboard(scope["path"]))
            scope["state"]["headers"] = limits.unused(budget, datetime.now(UTC)).headers()
        await self._app(scope, receive, send)


def is_passed_on(token: str) -> bool:
    """Whether a token on the dashboard's paths goes to the API server as it is: all that does not say it is ours."""
    return bool(token) and not is_ours(token)


async def _principal(services: Services, scope: Scope) -> Principal | None:
    """Who asks, None without a token, NotAuthenticated with one that is not valid."""
    headers, state = Headers(scope=scope), scope["state"]
    token = token_of(scope)
    if not token:
        return None
    where = {"address": state["address"], "request_id": state["request_id"]}
    if not is_foreign(token):
        return await services.logins.authenticate(token, **where)
    # A review costs a call to a cluster: who has no request left must not cause one.
    await services.limits.check(services.limits.of_address(state["address"]), datetime.now(UTC))
    return await services.agents.principal(token, headers.get("x-ksnap-cluster", ""), **where)


def token_of(scope: Scope) -> str:
    """The token that came with a request or a handshake; empty if there is none."""
    given = Headers(scope=scope).get("authorization", "")
    if given:
        scheme, _, token = given.partition(" ")
        if scheme.lower() != "bearer" or not token.strip() or len(token) > TOKEN_LIMIT:
            raise invalid_token("the header is not Authorization: Bearer <token>")
        return token.strip()
    for each in scope.get("subprotocols", ()):
        if each.startswith(BEARER) and len(each) <= TOKEN_LIMIT:
            return str(each).removeprefix(BEARER)
    return ""
