"""Several reads of one answer side by side: the first failure ends the others, and is the one that is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ksnap.errors import KsnapError


@asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group whose failure is not hidden in a group of failures."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failed:
        ours = [each for each in failed.exceptions if isinstance(each, KsnapError)]
        if not ours:
            raise
        raise ours[0] from None
