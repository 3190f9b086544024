"""Who may call a route: `Viewer`, `Operator`, `Administrator` and `Agent` as the type of a parameter.

The middleware `admission` has looked at the token before the body was read; here its finding is held against the
route's role. A route without one of these types is anonymous: only login, health and the documentation are.

    async def list_checkpoints(who: Viewer, services: InServices) -> CheckpointList: ...
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from ksnap.errors import NotAuthenticated, NotPermitted
from ksnap.identity.principal import Principal, Role
from ksnap.identity.users import password_change_first

# Only for the documentation's padlock; the header itself is read by the middleware.
_bearer = HTTPBearer(auto_error=False, scheme_name="token", description="A token from POST /config/user/login")


@dataclass(frozen=True, slots=True)
class Require:
    """A dependency that answers the principal if it may act as `role`.

    `before_password_change`: also for one who must change the password first (the change itself, and who am I).
    """

    role: Role
    before_password_change: bool = False

    def __call__(self, request: Request, _documented: Annotated[object, Depends(_bearer)] = None) -> Principal:
        return self.held_against(principal_of(request))

    def held_against(self, found: Principal) -> Principal:
        """The principal if it may act as the role."""
        if not found.role.may_act_as(self.role):
            raise NotPermitted(
                "Your role may not do this",
                details=f"it needs the role {self.role}, {found.username} has {found.role}",
                hint="Ask an administrator",
            )
        if found.must_change_password and not self.before_password_change:
            raise password_change_first(found.username)
        return found


class RightFirst(APIRoute):
    """Holds the caller against the route's role before FastAPI reads the body, which it does before dependencies.

    Every router takes it as its `route_class`: who may not call a route learns nothing of what it would have read.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        required = [each.call for each in self.dependant.dependencies if isinstance(each.call, Require)]

        async def checked(request: Request) -> Response:
            for each in required:
                each(request)
            return await answer(request)

        return checked


def require(role: Role, *, before_password_change: bool = False) -> Require:
    """The dependency of a role, for a route that declares it without one of the types below."""
    return Require(role, before_password_change)


def principal_of(connection: HTTPConnection) -> Principal:
    """The principal that the middleware found, or NotAuthenticated."""
    state = connection.scope.get("state", {})
    error = state.get("authentication_error")
    if isinstance(error, NotAuthenticated):
        raise error
    found = state.get("principal")
    if not isinstance(found, Principal):
        raise NotAuthenticated(
            "No token was given",
            details="the header Authorization: Bearer <token> is missing",
            hint="Log in with POST /config/user/login",
        )
    return found


# The scopes are documentation: OpenAPI shows them as the roles that a route asks for.
Viewer = Annotated[Principal, Security(require(Role.VIEWER), scopes=["viewer"])]
Operator = Annotated[Principal, Security(require(Role.OPERATOR), scopes=["operator"])]
Administrator = Annotated[Principal, Security(require(Role.ADMINISTRATOR), scopes=["administrator"])]
Agent = Annotated[Principal, Security(require(Role.AGENT), scopes=["agent"])]
AnyUser = Annotated[Principal, Security(require(Role.VIEWER, before_password_change=True), scopes=["viewer"])]
documented_viewer = Security(_bearer, scopes=["viewer"])
"""For a route that asks by itself, and only under some settings."""
