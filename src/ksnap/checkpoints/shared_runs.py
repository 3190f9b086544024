"""One run per key, shared by all who wait for it: whoever stops waiting leaves it to the others, and to its end.

A run under the time-out of one who waits would be cut off by it, again and again, and a slow one would never end.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

Work = Callable[[], Coroutine[Any, Any, None]]


class SharedRuns:
    """Owns its runs: `aclose` ends them."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[Exception | None]] = {}

    async def join(self, key: str, work: Work) -> None:
        """Wait for the key's run, begun now if there is none; its error comes out to all who wait."""
        run = self._running.get(key)
        if run is None:
            run = asyncio.create_task(self._run(key, work), name=f"shared run {key}")
            self._running[key] = run
        error = await asyncio.shield(run)
        if error is not None:
            raise error

    async def aclose(self) -> None:
        runs = list(self._running.values())
        for each in runs:
            each.cancel()
        await asyncio.gather(*runs, return_exceptions=True)

    async def _run(self, key: str, work: Work) -> Exception | None:
        """The error as a value: perhaps nobody waits any more."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - a task's root; handed to those who wait
            return error
        finally:
            self._running.pop(key, None)
        return None
