"""The parties themselves: a registry that asks for its password, and a proxy that changes exactly one answer."""

import aiohttp
import pytest

from tests.parties.fault_proxy import Answer, CutAnswer, Fault, Hang, fault_proxy
from tests.parties.registry import PASSWORD, USERNAME, RunningRegistry, needs_registry
from tests.parties.tcp_gate import tcp_gate

pytestmark = needs_registry


async def test_registry_asks_for_the_password(registry: RunningRegistry) -> None:
    context = registry.certificate.client_context()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        async with session.get(f"{registry.url}/v2/") as answer:
            assert answer.status == 401
        account = {"Authorization": aiohttp.encode_basic_auth(USERNAME, PASSWORD)}
        async with session.get(f"{registry.url}/v2/", headers=account) as answer:
            assert answer.status == 200


async def test_proxy_changes_one_answer_and_passes_the_next(registry: RunningRegistry) -> None:
    context = registry.certificate.client_context()
    async with (
        fault_proxy(registry.url, tls=registry.certificate, upstream_tls=context) as proxy,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
    ):
        proxy.add(Fault("GET", "/v2/$", Answer(503, b"busy")))
        async with session.get(f"https://{proxy.host}/v2/") as answer:
            assert (answer.status, await answer.read()) == (503, b"busy")
        async with session.get(f"https://{proxy.host}/v2/") as answer:
            assert answer.status == 401
            assert "errors" in await answer.text()
        assert [each.path for each in proxy.requests] == ["/v2/", "/v2/"]


async def test_proxy_hangs_and_cuts(registry: RunningRegistry) -> None:
    context = registry.certificate.client_context()
    async with (
        fault_proxy(registry.url, tls=registry.certificate, upstream_tls=context) as proxy,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
    ):
        proxy.add(Fault("GET", "/v2/$", Hang()))
        with pytest.raises(TimeoutError):
            await session.get(f"https://{proxy.host}/v2/", timeout=aiohttp.ClientTimeout(total=0.3))
        proxy.add(Fault("GET", "/v2/$", CutAnswer(5)))
        with pytest.raises(aiohttp.ClientPayloadError):
            async with session.get(f"https://{proxy.host}/v2/") as answer:
                await answer.read()


async def test_gate_cuts_who_is_through_and_lets_nobody_in_while_it_is_shut(registry: RunningRegistry) -> None:
    context = registry.certificate.client_context()
    host, port = registry.host.rsplit(":", 1)
    async with (
        tcp_gate(host, int(port)) as gate,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
    ):
        async with session.get(f"https://{gate.host}/v2/") as answer:
            assert answer.status == 401
        await gate.shut()
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"https://{gate.host}/v2/")
        await gate.open()
        async with session.get(f"https://{gate.host}/v2/") as answer:
            assert answer.status == 401
