"""Logs: structlog's events and the standard library's records as one stream on standard error, JSON or for eyes.

What carries secrets never gets here: fields are chosen where an event is logged. As a second lock, fields that are
named like a secret are blotted out.
"""

import logging
import sys
from typing import Literal

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

SECRET_NAMES = ("password", "token", "secret", "authorization", "kubeconfig", "credentials", "private_key")
# These are chatty below a warning, and what they say then is said by our own events.
QUIET = ("uvicorn.error", "sqlalchemy", "alembic", "aiosqlite", "asyncio")


def configure_logs(level: str, form: Literal["json", "console"]) -> None:
    """Send all logs of the process to standard error."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    rendered: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if form == "json"
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.getLogger("uvicorn.error").addFilter(_is_no_trace_of_ours)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING if level != "debug" else logging.INFO)


def _is_no_trace_of_ours(record: logging.LogRecord) -> bool:
    """uvicorn's trace of a start that failed, as text: what failed and what to do was said in an event of ours."""
    lines = record.getMessage().strip().splitlines()
    return not (len(lines) > 1 and lines[0].startswith("Traceback") and lines[-1].startswith("ksnap."))


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Blot out what is named like a secret."""
    for name in event:
        if any(word in name.lower() for word in SECRET_NAMES):
            event[name] = "REDACTED"
    return event
