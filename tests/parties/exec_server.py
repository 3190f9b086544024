"""An API server's `pods/exec`, its word on who may use it, and one pod: runs the command here, by WebSocket.

    async with exec_server(certificate) as party:
        party.plan = Plan(protocols=(V4,), cut_after=10)
        ... connect to party.url ...
        party.asked    # what came: path, container, argv, Authorization

Written after the API server's own code (k8s.io/apimachinery/pkg/util/httpstream/wsstream), not after our client's: it
opens each channel with an empty message, may send output after the Status, and then closes.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.parties.certificates import ServerCertificate

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, CLOSE = 0, 1, 2, 3, 255


@dataclass(frozen=True, slots=True)
class Plan:
    """How it behaves."""

    protocols: tuple[str, ...] = (V5, V4)
    refuse: int | None = None
    """Answer so instead of upgrading."""
    cut_after: int | None = None
    """Close the TCP connection once so many bytes of output were sent."""
    status: dict[str, Any] | None = None
    """End with this Status, and run nothing."""
    late_output: bytes = b""
    """On stderr, after the Status."""
    stays_open: bool = False
    """Do not close at the end."""
    unknown_messages: tuple[bytes, ...] = ()
    """Sent first."""


@dataclass(frozen=True, slots=True)
class Asked:
    path: str
    container: str
    argv: tuple[str, ...]
    authorization: str


@dataclass(slots=True)
class ExecServer:
    """Made by `exec_server`."""

    url: str = ""
    plan: Plan = field(default_factory=Plan)
    asked: list[Asked] = field(default_factory=list)
    rights: set[str] = field(default_factory=lambda: {"get pods/exec", "create pods/exec"})
    pod: dict[str, Any] = field(default_factory=dict)
    running: int = 0

    async def review(self, request: web.Request) -> web.Response:
        """A SelfSubjectAccessReview."""
        asked = (await request.json())["spec"]["resourceAttributes"]
        right = f"{asked['verb']} {asked['resource']}/{asked['subresource']}"
        return web.json_response({"status": {"allowed": asked["namespace"] == "shop" and right in self.rights}})

    async def get_pod(self, request: web.Request) -> web.Response:
        return web.json_response(self.pod)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        query, plan = request.query, self.plan
        argv = tuple(query.getall("command"))
        self.asked.append(Asked(request.path, query["container"], argv, request.headers.get("Authorization", "")))
        if plan.refuse is not None:
            headers = {"Location": str(request.url)} if plan.refuse // 100 == 3 else {}
            status = {"kind": "Status", "message": "refused on purpose"}
            return web.json_response(status, status=plan.refuse, headers=headers)
        socket = web.WebSocketResponse(protocols=plan.protocols)
        await socket.prepare(request)
        self.running += 1
        try:
            await self._serve(request, socket, argv)
        except ConnectionError:
            pass
        finally:
            self.running -= 1
        return socket

    async def _serve(self, request: web.Request, socket: web.WebSocketResponse, argv: tuple[str, ...]) -> None:
        plan = self.plan
        for channel in (STDOUT, STDERR, ERROR):
            await socket.send_bytes(bytes([channel]))
        for message in plan.unknown_messages:
            await socket.send_bytes(message)
        status = plan.status
        if status is None:
            status = await self._run(request, socket, argv)
        if status is None:
            return
        await socket.send_bytes(bytes([ERROR]) + json.dumps(status).encode())
        if plan.late_output:
            await asyncio.sleep(0.05)
            await socket.send_bytes(bytes([STDERR]) + plan.late_output)
        if plan.stays_open:
            await socket.receive()
        await socket.close()

    async def _run(
        self, request: web.Request, socket: web.WebSocketResponse, argv: tuple[str, ...]
    ) -> dict[str, Any] | None:
        """The command's Status; None if the connection was cut or the client went away."""
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        sent = 0

        async def copy(channel: int, stream: asyncio.StreamReader | None) -> None:
            nonlocal sent
            assert stream is not None
            while data := await stream.read(32 * 1024):
                await socket.send_bytes(bytes([channel]) + data)
                sent += len(data)
                if self.plan.cut_after is not None and sent >= self.plan.cut_after:
                    assert request.transport is not None
                    request.transport.abort()
                    raise ConnectionAbortedError("cut on purpose")

        copies = [
            asyncio.create_task(copy(channel, stream))
            for channel, stream in ((STDOUT, process.stdout), (STDERR, process.stderr))
        ]
        copying: asyncio.Future[Any] = asyncio.gather(*copies)
        leaving = asyncio.create_task(_gone(socket))
        tasks: list[asyncio.Future[Any]] = [copying, *copies, leaving]
        try:
            await asyncio.wait([copying, leaving], return_when=asyncio.FIRST_COMPLETED)
            if not copying.done() or copying.exception() is not None:
                return None
            return status_of(await process.wait())
        finally:
            # Each by itself: a copy that failed leaves the other one reading.
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError, ConnectionError):
                    await task
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()


async def _gone(socket: web.WebSocketResponse) -> None:
    """Until the client closes."""
    while not socket.closed:
        await socket.receive()


def status_of(exit_code: int) -> dict[str, Any]:
    """As the kubelet writes it."""
    if exit_code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {exit_code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(exit_code)}]},
    }


@asynccontextmanager
async def exec_server(certificate: ServerCertificate) -> AsyncIterator[ExecServer]:
    """The party on a loopback port, by TLS as an API server is."""
    party = ExecServer()
    application = web.Application()
    application.router.add_get("/api/v1/namespaces/{namespace}/pods/{pod}", party.get_pod)
    application.router.add_get("/api/v1/namespaces/{namespace}/pods/{pod}/exec", party.handle)
    application.router.add_post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", party.review)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=certificate.server_context())
    try:
        await site.start()
        party.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        yield party
    finally:
        await runner.cleanup()
