"""How long to wait before a request is repeated. No network; chance and time are arguments."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Answers that say nothing about the request itself: it may be repeated.
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waits with full jitter, bounded."""

    attempts: int = 4
    first_s: float = 0.25
    longest_s: float = 20.0

    def wait_s(self, attempt: int, *, chance: float, retry_after_s: float | None = None) -> float:
        """Seconds before attempt `attempt` + 1 (counted from 1); `chance` is a number from 0 to 1."""
        if retry_after_s is not None:
            return min(max(retry_after_s, 0.0), self.longest_s)
        ceiling = min(self.first_s * 2.0 ** (attempt - 1), self.longest_s)
        return ceiling * (0.5 + chance / 2)


def retry_after_s(header: str | None, *, now: datetime) -> float | None:
    """Retry-After (RFC 9110, 10.2.3): seconds or a date; None where there is none or it is nonsense."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text) if len(text) < 10 else None
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return max((aware - now).total_seconds(), 0.0)
