"""The ASGI application: which request is what, and who may make it."""

import secrets
from datetime import UTC, datetime
from importlib.resources import files

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from ksnap.errors import KsnapError
from ksnap.server.sockjs.connection import Handler, LiveSession, Opening
from ksnap.server.sockjs.options import SockJsOptions
from ksnap.server.sockjs.receiving import Receiver
from ksnap.server.sockjs.request import Request, headers_of, path_below
from ksnap.server.sockjs.sending import accept, refusal
from ksnap.server.sockjs.sessions import Sessions
from ksnap.server.sockjs.websocket import WebSocketReceiver
from ksnap.sockjs import answers
from ksnap.sockjs.answers import Answer, Headers, text_answer
from ksnap.sockjs.origins import cors_headers, may_speak
from ksnap.sockjs.paths import LIBRARY_NAME, METHODS, Address, Place, parse_path
from ksnap.sockjs.wire import wire_of

LIFESPAN_END_S = 2.0
"""For the close frames, where the application is served by itself."""


def sockjs_app(handler: Handler, options: SockJsOptions | None = None) -> "SockJsApp":
    """An application to be mounted at a prefix. Where nobody sends it lifespan events, call its `end` at the end."""
    return SockJsApp(handler, options or SockJsOptions())


class SockJsApp:
    """One service: a handler, its options, its sessions."""

    def __init__(self, handler: Handler, options: SockJsOptions) -> None:
        self._options = options
        self._sessions = Sessions(handler, options)
        self._library = files(__package__).joinpath("assets", LIBRARY_NAME).read_bytes()

    @property
    def open_sessions(self) -> int:
        """Sessions whose application is at work, or whose client may come to hear of the end."""
        return len(self._sessions)

    async def end(self, within_s: float) -> None:
        """End all sessions with a close frame, and wait for their applications, for so long at most."""
        await self._sessions.end(within_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._http(Request(scope, receive, send))
            case "websocket":
                await self._websocket(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)

    async def _http(self, request: Request) -> None:
        address = parse_path(path_below(request.scope))
        if address is None:
            await request.answer(text_answer(404, "Not found"))
        elif request.method not in METHODS[address.place]:
            await request.answer(answers.method_not_allowed(address.place))
        elif (static := self._static(request, address.place)) is not None:
            await request.answer(static)
        elif not may_speak(request.headers, self._options.origins):
            await request.answer(text_answer(403, "Pages of this origin may not connect"))
        else:
            await self._for_clients(request, address)

    def _static(self, request: Request, place: Place) -> Answer | None:
        """What anybody may read, wherever it is shown."""
        known, now = request.headers.get("if-none-match"), datetime.now(UTC)
        match place:
            case Place.GREETING:
                return answers.greeting()
            case Place.IFRAME:
                url = self._options.client_library_url or f"{request.scope.get('root_path', '')}/{LIBRARY_NAME}"
                page = answers.iframe_page(url)
                framing = answers.framing(self._options.origins)
                return answers.file_answer(
                    page, answers.HTML, seconds=answers.YEAR_S, known=known, now=now, headers=framing
                )
            case Place.LIBRARY:
                # A day: the page that names it is kept for a year, and must find a newer one after an upgrade.
                return answers.file_answer(
                    self._library, answers.JAVASCRIPT, seconds=answers.DAY_S, known=known, now=now
                )
            case _:
                return None

    async def _for_clients(self, request: Request, address: Address) -> None:
        cors = cors_headers(request.headers, self._options.origins)
        if request.method == "OPTIONS":
            await request.answer(answers.preflight(address.place, cors, datetime.now(UTC)))
            return
        match address.place:
            case Place.INFO:
                await request.answer(self._info(cors))
            case Place.WEBSOCKET | Place.RAW_WEBSOCKET:
                await request.answer(self._no_websocket(request))
            case _:
                await self._of_session(request, address)

    def _info(self, cors: Headers) -> Answer:
        return answers.info(
            websocket=self._options.websocket,
            cookie_needed=self._options.cookie,
            entropy=secrets.randbits(31),
            headers=cors,
        )

    def _no_websocket(self, request: Request) -> Answer:
        """It came as plain HTTP: no handshake, or one that a proxy has broken."""
        if not self._options.websocket:
            return text_answer(404, "Not found")
        if request.headers.get("upgrade", "").lower() != "websocket":
            return text_answer(400, 'Can "Upgrade" only to "WebSocket".')
        return text_answer(400, '"Connection" must be "Upgrade".')

    async def _of_session(self, request: Request, address: Address) -> None:
        headers = answers.session_headers(
            request.headers, request.cookies, self._options.origins, cookie=self._options.cookie
        )
        try:
            if address.place in {Place.XHR_SEND, Place.JSONP_SEND}:
                session = self._sessions.find(address.session)
                await request.answer(await accept(request, address.place, session, headers, self._options))
            else:
                await self._receive(request, address, headers)
        except KsnapError as error:
            await request.answer(refusal(error, headers))
        except ClientDisconnect:
            return

    async def _receive(self, request: Request, address: Address, headers: Headers) -> None:
        wire = wire_of(address.place, request.callback)
        if address.place is Place.HTMLFILE:
            headers = [*headers, *answers.framing(self._options.origins)]
        session = self._sessions.find(address.session) or self._open(request.scope, address.session)
        await Receiver(request, wire, headers, self._options).serve(session)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = parse_path(path_below(scope))
        raw = address is not None and address.place is Place.RAW_WEBSOCKET
        socket = WebSocketReceiver(scope, receive, send, raw=raw)
        known = address is not None and address.place in {Place.WEBSOCKET, Place.RAW_WEBSOCKET}
        if not known or not self._options.websocket:
            await socket.refuse(404)
        elif not may_speak(headers_of(scope), self._options.origins):
            await socket.refuse(403)
        else:
            try:
                session = self._open(scope)
            except KsnapError as error:
                await socket.refuse(error.status)
                return
            await socket.serve(session)

    def _open(self, scope: Scope, session_id: str | None = None) -> LiveSession:
        query = scope["query_string"].decode("latin-1")
        return self._sessions.open(Opening(headers_of(scope), query, self._options.address_of(scope)), session_id)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.end(LIFESPAN_END_S)
        await send({"type": "lifespan.shutdown.complete"})
