"""`/config/user/*`: logins and the users' own configuration (contract, section 3.4)."""

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Query, Response
from fastapi import Request as HttpRequest
from pydantic import Field

from ksnap.errors import AlreadyExists, Conflict, InvalidInput, NotAuthenticated, NotFound
from ksnap.identity.principal import ROLE_ALIASES, Role
from ksnap.identity.users import NewUser, UserChange
from ksnap.server.access import Administrator, AnyUser, RightFirst
from ksnap.server.documented import responses
from ksnap.server.messages import Changed, Email, Line, Reply, Request, Secret, Timestamp, Username, one_name
from ksnap.server.services import InServices
from ksnap.store.tables import User

router = APIRouter(prefix="/config/user", tags=["users"], route_class=RightFirst)

RoleName = Literal["administrator", "operator", "viewer", "admin", "user"]
CanonicalRole = Literal["administrator", "operator", "viewer"]


class CreateUser(Request):
    username: Username
    password: Secret = Field(max_length=1024)
    role: RoleName
    email: Email = ""
    name: Line = ""


class UpdateUser(Request):
    username: Username
    password: Secret | None = Field(default=None, max_length=1024)
    """Empty leaves the password as it is."""
    current_password: Secret | None = Field(default=None, max_length=1024)
    """Needed to change one's own password."""
    role: RoleName | None = None
    email: Email | None = None
    name: Line | None = None


class DeleteUser(Request):
    username: Username | None = None
    """Or in the query."""


class Login(Request):
    username: Line
    password: Secret = Field(max_length=1024)


class LoggedInUser(Reply):
    username: str
    name: str
    role: CanonicalRole
    must_change_password: bool
    """The password is a one-time one: nothing but its change is allowed."""


class LoggedIn(Reply):
    success: Literal[True] = True
    token: str
    expires_at: Timestamp
    user: LoggedInUser


class Verified(Reply):
    success: Literal[True] = True
    user: LoggedInUser


class ListedUser(Reply):
    username: str
    name: str
    email: str
    role: CanonicalRole
    created_at: Timestamp


class UserList(Reply):
    success: Literal[True] = True
    message: str
    users: list[ListedUser]


@router.post(
    "/login", summary="Log in for a token", responses=responses(NotAuthenticated, InvalidInput, anonymous=True)
)
async def login(body: Login, http: HttpRequest, answer: Response, services: InServices) -> LoggedIn:
    state = http.scope["state"]
    done = await services.logins.login(
        body.username, body.password, address=state["address"], request_id=state["request_id"]
    )
    answer.headers["Cache-Control"] = "no-store"
    return LoggedIn(token=done.token.text, expires_at=done.token.expires_at, user=_logged_in(done.user))


@router.post("/verify", summary="Who the token's user is", responses=responses())
async def verify(who: AnyUser, services: InServices) -> Verified:
    return Verified(user=_logged_in(await services.users.get(who.username)))


@router.post("/create", summary="Create a user", responses=responses(AlreadyExists))
async def create(body: CreateUser, who: Administrator, services: InServices) -> Changed:
    new = NewUser(body.username, body.password, _role(body.role), body.name, body.email)
    await services.users.create(who, new)
    return Changed(message=f"User {body.username} created")


@router.get("/list", summary="List the users", responses=responses())
async def list_users(who: Administrator, services: InServices) -> UserList:
    users = [ListedUser.model_validate(each, from_attributes=True) for each in await services.users.list()]
    return UserList(message=f"{len(users)} users", users=users)


@router.put("/update", summary="Change a user, or oneself", responses=responses(NotFound, Conflict))
async def update(body: UpdateUser, who: AnyUser, services: InServices) -> Changed:
    password = body.password if body.password and body.password.get_secret_value() else None
    change = UserChange(
        username=body.username,
        password=password,
        current_password=body.current_password,
        role=_role(body.role) if body.role else None,
        name=body.name,
        email=body.email,
    )
    await services.users.update(who, change)
    return Changed(message=f"User {body.username} updated")


@router.delete("/delete", summary="Delete a user", responses=responses(NotFound, Conflict))
async def delete(
    who: Administrator,
    services: InServices,
    body: Annotated[DeleteUser | None, Body()] = None,
    username: Annotated[Username | None, Query(description="Instead of the body")] = None,
) -> Changed:
    name = one_name("username", body.username if body else None, username)
    await services.users.delete(who, name)
    return Changed(message=f"User {name} deleted")


def _role(name: str) -> Role:
    return ROLE_ALIASES.get(name) or Role(name)


def _logged_in(user: User) -> LoggedInUser:
    return LoggedInUser.model_validate(user, from_attributes=True)
