"""Messages that a client sends by requests of their own: xhr_send and jsonp_send."""

from urllib.parse import parse_qs

from ksnap.errors import KsnapError, NotFound
from ksnap.server.sockjs.connection import LiveSession
from ksnap.server.sockjs.options import SockJsOptions
from ksnap.server.sockjs.request import Request
from ksnap.sockjs.answers import PLAIN, Answer, Headers, text_answer
from ksnap.sockjs.frames import BrokenEncoding, PayloadExpected, messages_of
from ksnap.sockjs.paths import Place

FORM = "application/x-www-form-urlencoded"
FORM_FIELDS_LIMIT = 16


async def accept(
    request: Request, place: Place, session: LiveSession | None, headers: Headers, options: SockJsOptions
) -> Answer:
    """Take what the request brings; NotFound for a session that is not there, TooLarge for a body that is."""
    if session is None:
        raise NotFound("No such session")
    body = await request.body(options.body_limit_bytes)
    try:
        messages = messages_of(_form_field(request, body) if place is Place.JSONP_SEND else body)
    except (PayloadExpected, BrokenEncoding) as error:
        return text_answer(500, error.message, headers)
    await session.accept(messages)
    if place is Place.JSONP_SEND:
        return text_answer(200, "ok", headers)  # old browsers do not take an empty answer for one
    return Answer(204, [("Content-Type", PLAIN), *headers])


def _form_field(request: Request, body: bytes) -> bytes | str:
    """A form's field `d`; the body itself if it is no form."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        return body
    try:
        fields = parse_qs(body.decode("ascii"), errors="strict", max_num_fields=FORM_FIELDS_LIMIT)
    except ValueError:
        raise BrokenEncoding from None
    return fields.get("d", [""])[0]


def refusal(error: KsnapError, headers: Headers) -> Answer:
    """An error as these routes tell it: in plain text, as clients of the protocol expect."""
    return text_answer(error.status, error.message, headers)
