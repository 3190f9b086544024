"""Tests a registry's account on demand: its own handshake at /v2/, nothing kept or written."""

import asyncio

from ksnap.configuration.registries import StoredRegistry
from ksnap.errors import ImagePushFailed, RegistryConnectionFailed
from ksnap.registry.client import open_registry


async def check_login(registry: StoredRegistry, *, timeout_s: float) -> None:
    """Nothing, if the registry takes the account; else RegistryConnectionFailed that tells why it does not."""
    host = registry.access.host
    try:
        async with asyncio.timeout(timeout_s), open_registry(registry.access) as client:
            await client.ping()
    except TimeoutError as error:
        raise RegistryConnectionFailed(
            f"Registry {host} does not answer",
            details=f"unreachable: no answer within {timeout_s:g} s",
            hint="Check the registry's address, and that a firewall lets this machine through",
        ) from error
    except ImagePushFailed as error:
        # The client's word for "reachable, and it went wrong then"; here nothing was pushed.
        raise RegistryConnectionFailed(error.message, details=error.details, hint=error.hint) from error
