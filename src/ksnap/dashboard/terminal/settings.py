"""What an administrator may say about terminals; the texts are with the server's settings."""

from dataclasses import dataclass

# The reference's own figure, and part of its safety: an id is worth nothing after it.
BIND_S = 10.0


@dataclass(frozen=True, slots=True)
class TerminalSettings:
    idle_s: float = 1800.0
    sessions_token: int = 10
    sessions: int = 200
    further_shells: tuple[str, ...] = ()
    debug_image: str = ""
    bind_s: float = BIND_S
