"""What version 2.7 of the Dashboard asks of a server before its login page (contract, section 2). Optional there."""

from fastapi import APIRouter, Request, Response

from ksnap.server.answers import json_answer
from ksnap.server.routes.dashboard.route import DashboardRoute, bearer_of

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)


@router.get("/login/status", summary="What came along with a request (version 2.7)")
async def status(request: Request) -> Response:
    user = request.headers.get("impersonate-user", "")
    has_token = bool(bearer_of(request))
    return json_answer(
        {
            "tokenPresent": has_token,
            "headerPresent": has_token,
            "httpsMode": request.url.scheme == "https",
            "impersonationPresent": bool(user),
            "impersonatedUser": user,
        }
    )


@router.get("/login/modes", summary="How one can log in (version 2.7)")
async def modes() -> Response:
    return json_answer({"modes": ["token"]})


@router.get("/login/skippable", summary="Whether one can go without (version 2.7)")
async def skippable() -> Response:
    return json_answer({"skippable": False})
