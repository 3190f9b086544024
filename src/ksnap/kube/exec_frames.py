"""Kubernetes' exec protocol over WebSocket, as bytes: channels, v5's close frame, and the Status that ends it. Pure.

Each binary message is one byte that names a channel, and data. `v4.channel.k8s.io` has the five channels; v5 adds a
message of channel 255 that closes the channel which its data names. The error channel carries one Status: the exit
code, or why there is none (k8s.io/apimachinery/pkg/util/remotecommand, KEP 4006).
"""

import json
from dataclasses import dataclass
from enum import IntEnum

# In order of preference. What came before v4 has no exit code, so it is not offered.
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
CLOSE = 255
# A Status is some hundred bytes; what is longer is cut, and then is none.
STATUS_LIMIT = 64 * 1024
NON_ZERO = "NonZeroExitCode"
EXIT_CODE = "ExitCode"


class Channel(IntEnum):
    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    RESIZE = 4


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of one channel; none at the beginning, by which a server says that the channel is there."""

    channel: Channel
    data: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing more comes on this channel."""

    channel: Channel


def parse(message: bytes) -> Data | Closed | None:
    """One message; None for an empty one and for channels that are not known, which a later version may add."""
    try:
        if message[0] == CLOSE:
            return Closed(Channel(message[1]))
        return Data(Channel(message[0]), message[1:])
    except (IndexError, ValueError):
        return None


def data_message(channel: Channel, data: bytes) -> bytes:
    return bytes([channel]) + data


def close_message(channel: Channel) -> bytes:
    """v5 alone: v4 has no way to end a command's input but the end of the connection."""
    return bytes([CLOSE, channel])


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended; no exit code: it was not run, and `message` says why."""

    exit_code: int | None
    message: str = ""


def parse_status(data: bytes) -> Ending | None:
    """What the error channel said; None if that is no whole Status (yet)."""
    try:
        status = json.loads(data)
        if status["status"] == "Success":
            return Ending(0)
        message = str(status.get("message", ""))
        if status.get("reason") != NON_ZERO:
            return Ending(None, message)
        causes = status["details"]["causes"]
        return Ending(next(int(each["message"]) for each in causes if each["reason"] == EXIT_CODE), message)
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration, RecursionError):
        return None


class Tail:
    """The last bytes of a stream that may have any length."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        self._kept += data
        del self._kept[: max(0, len(self._kept) - self._limit)]

    def __bytes__(self) -> bytes:
        return bytes(self._kept)
