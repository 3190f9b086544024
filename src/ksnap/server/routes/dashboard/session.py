"""Who am I, is this token good, and a token against forged requests (contract dashboard-api, sections 2 and 4)."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from ksnap.dashboard.who import check_token, who_is
from ksnap.errors import NotAuthenticated
from ksnap.kube.caller import Caller
from ksnap.server.answers import json_answer
from ksnap.server.messages import Request as Body
from ksnap.server.messages import Secret
from ksnap.server.middleware.admission import is_passed_on
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.route import DashboardRoute, bearer_of
from ksnap.server.services import InServices

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)


class Login(Body):
    """A token to be looked at."""

    token: Secret


@router.get("/csrftoken/{action}", summary="A token for a POST")
async def csrf_token(request: Request, services: InServices, action: Annotated[str, Path(max_length=253)]) -> Response:
    return json_answer({"token": services.csrf.issue(action, bearer_of(request))})


@router.post("/login", summary="Whether a token is good")
async def login(request: Request, services: InServices, login: Login) -> Response:
    token = login.token.get_secret_value().strip()
    if not token:
        raise NotAuthenticated("The token is empty")
    if is_passed_on(token):
        at = await services.dashboard.at(request.path_params.get("cluster", ""), Caller(token=login.token))
        await check_token(at)
    else:
        state = request.scope["state"]
        await services.logins.authenticate(token, address=state["address"], request_id=state["request_id"])
    return json_answer({"token": token})


@router.get("/me", summary="Who the caller is")
async def me(at: AsCaller) -> Response:
    return json_answer(await who_is(at))
