"""What many routes take and give: names, text without control characters, the reply of a change.

Request models ignore unknown fields and are strict: "1" is no number and 1 no text (contract, section 1).
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer, SecretStr, StringConstraints

from ksnap.errors import InvalidInput

NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
USERNAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
_ONE_LINE = r"^[^\x00-\x1f\x7f]*$"
_LINES = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"

ObjectName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Username = Annotated[str, StringConstraints(pattern=USERNAME_PATTERN)]
Line = Annotated[str, StringConstraints(pattern=_ONE_LINE, max_length=200)]
Email = Annotated[str, StringConstraints(pattern=_ONE_LINE, max_length=320)]
LongLine = Annotated[str, StringConstraints(pattern=_ONE_LINE, max_length=500)]
Lines = Annotated[str, StringConstraints(pattern=_LINES, max_length=1 << 20)]


def _of_characters(secret: SecretStr) -> SecretStr:
    """JSON can write half a character (`\\ud800`); pydantic refuses that in plain text of ours, not in a secret."""
    try:
        secret.get_secret_value().encode()
    except UnicodeEncodeError:
        raise ValueError("it holds what is no character") from None
    return secret


Secret = Annotated[SecretStr, AfterValidator(_of_characters)]
"""A secret in a request; never shown again."""


class Request(BaseModel):
    """A request's body."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, populate_by_name=True)


class Reply(BaseModel):
    """A reply's body."""

    model_config = ConfigDict(frozen=True)


class Changed(Reply):
    """Something was created, updated or deleted."""

    success: Literal[True] = True
    message: str


def rfc3339(time: datetime) -> str:
    """UTC, whole seconds, Z."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Timestamp = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]
"""A time in replies, as the contract writes it."""


def one_name(field: str, in_body: str | None, in_query: str | None) -> str:
    """What a DELETE names: in its body, or in the query for clients that drop a DELETE's body."""
    if in_body is not None and in_query is not None and in_body != in_query:
        raise InvalidInput("The request is not valid", details=f"{field}: body and query differ")
    name = in_body if in_body is not None else in_query
    if name is None:
        raise InvalidInput("The request is not valid", details=f"{field}: Field required")
    return name
