"""The client against the real registry: what a ping tells apart, and faults that one changed answer makes."""

import hashlib
import secrets
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from ksnap.errors import ImagePushFailed, InvalidInput, KsnapError, NotFound, RegistryConnectionFailed
from ksnap.model.backoff import Backoff
from ksnap.model.digest import Digest, sha256_digest
from ksnap.model.registry_access import RegistryAccess
from ksnap.registry.blobs import Blobs
from ksnap.registry.client import RegistryTimeouts, open_registry
from ksnap.registry.manifests import Manifests
from tests.parties.fault_proxy import Answer, Corrupt, CutAnswer, Delay, Fault, FaultProxy, Hang, fault_proxy
from tests.parties.registry import RunningRegistry, free_port, needs_registry, start_registry

pytestmark = needs_registry
QUICK = RegistryTimeouts(connect_s=1, idle_s=0.5, cleanup_s=1)
FAST = Backoff(attempts=3, first_s=0.01, longest_s=0.05)


async def ping(access: RegistryAccess) -> None:
    async with open_registry(access, timeouts=QUICK, backoff=FAST) as client:
        await client.ping()


async def refusal(access: RegistryAccess) -> KsnapError:
    with pytest.raises(RegistryConnectionFailed) as caught:
        await ping(access)
    assert access.host in caught.value.message
    assert caught.value.hint
    return caught.value


def random_blob(size: int = 300_000) -> tuple[bytes, str]:
    data = secrets.token_bytes(size)
    return data, hashlib.sha256(data).hexdigest()


async def read_into(received: list[bytes], blobs: Blobs, digest: Digest) -> None:
    async with blobs.open(digest) as chunks:
        async for chunk in chunks:
            received.append(chunk)


class TestPing:
    async def test_a_registry_with_password(self, registry: RunningRegistry) -> None:
        await ping(registry.access)

    async def test_a_plain_registry_without_password(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        with start_registry(tmp_path_factory.mktemp("plain"), tls=False, password=False) as plain:
            await ping(plain.access)

    @pytest.mark.parametrize("change", [{"password": SecretStr("wrong")}, {"username": "", "password": SecretStr("")}])
    async def test_wrong_credentials(self, registry: RunningRegistry, change: dict[str, object]) -> None:
        error = await refusal(registry.access.model_copy(update=change))
        assert "refused the credentials" in error.message
        assert "wrong" not in error.message + error.explanation

    async def test_an_unknown_authority(self, registry: RunningRegistry) -> None:
        error = await refusal(registry.access.model_copy(update={"ca_cert": ""}))
        assert error.message.startswith("TLS to registry")
        assert "ca_cert" in error.hint

    async def test_verification_switched_off(self, registry: RunningRegistry) -> None:
        await ping(registry.access.model_copy(update={"ca_cert": "", "verify_ssl": False}))

    async def test_a_name_that_the_certificate_lacks(self, registry: RunningRegistry) -> None:
        host = registry.host.replace("127.0.0.1", "127.0.0.2")
        error = await refusal(registry.access.model_copy(update={"host": host}))
        assert "TLS" in error.message or "reached" in error.message

    async def test_an_unusable_authority(self, registry: RunningRegistry) -> None:
        with pytest.raises(InvalidInput):
            await ping(registry.access.model_copy(update={"ca_cert": "no certificate"}))

    async def test_nobody_there(self) -> None:
        error = await refusal(RegistryAccess(host=f"127.0.0.1:{free_port()}"))
        assert "cannot be reached" in error.message

    async def test_tls_spoken_to_a_plain_port(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        with start_registry(tmp_path_factory.mktemp("plain2"), tls=False, password=False) as plain:
            error = await refusal(plain.access.model_copy(update={"scheme": "https"}))
        assert "TLS" in error.message

    async def test_another_web_server(self, proxy: FaultProxy, access: RegistryAccess) -> None:
        proxy.add(Fault("GET", "/v2/$", Answer(404, b"nothing here"), times=None))
        assert "no container registry" in (await refusal(access)).message


class TestBlobs:
    async def test_round_trip(self, registry: RunningRegistry, repository: str) -> None:
        data, hexdigest = random_blob(1_000_000)
        digest = sha256_digest(hexdigest)
        async with open_registry(registry.access) as client:
            blobs = Blobs(client, repository)
            assert not await blobs.exists(digest)
            await blobs.put_small(data, digest)
            assert await blobs.exists(digest)
            async with blobs.open(digest) as chunks:
                assert b"".join([chunk async for chunk in chunks]) == data
            async with blobs.open(digest, offset=999_000) as chunks:
                assert b"".join([chunk async for chunk in chunks]) == data[999_000:]
            assert await blobs.delete(digest)
            assert not await blobs.exists(digest)
            assert not await blobs.delete(digest)

    async def test_mount_from_another_repository(self, registry: RunningRegistry, repository: str) -> None:
        data, hexdigest = random_blob()
        digest = sha256_digest(hexdigest)
        async with open_registry(registry.access) as client:
            await Blobs(client, repository).put_small(data, digest)
            other = Blobs(client, f"{repository}-2")
            assert await other.mount(digest, source=repository)
            assert await other.exists(digest)
            missing = sha256_digest("0" * 64)
            assert not await other.mount(missing, source=repository)
        assert registry.stored_uploads(f"{repository}-2") == []

    async def test_a_missing_blob(self, registry: RunningRegistry, repository: str) -> None:
        async with open_registry(registry.access) as client:
            with pytest.raises(NotFound):
                async with Blobs(client, repository).open(sha256_digest("1" * 64)):
                    pass

    async def test_a_registry_may_take_its_time_to_commit(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str
    ) -> None:
        """With the whole blob at hand it copies it to its place, for longer than silence is borne elsewhere."""
        data, hexdigest = random_blob()
        digest = sha256_digest(hexdigest)
        proxy.add(Fault("PUT", "/uploads/", Delay(1.5)))

        async def pieces() -> AsyncIterator[bytes]:
            yield data

        async with open_registry(access, timeouts=QUICK, backoff=FAST) as client:
            blobs = Blobs(client, repository)
            await blobs.put_whole(await blobs.start_upload(), pieces(), digest=digest, size=len(data))
            assert await blobs.exists(digest)

    async def test_a_wrong_digest_is_refused_by_the_registry(self, registry: RunningRegistry, repository: str) -> None:
        async with open_registry(registry.access) as client:
            with pytest.raises(ImagePushFailed, match="refused the request") as caught:
                await Blobs(client, repository).put_small(b"data", sha256_digest("2" * 64))
        assert "digest" in caught.value.details.lower()

    async def test_damaged_bytes_are_found_before_the_end(
        self, registry: RunningRegistry, proxy: FaultProxy, access: RegistryAccess, repository: str
    ) -> None:
        data, hexdigest = random_blob()
        digest = sha256_digest(hexdigest)
        proxy.add(Fault("GET", "/blobs/sha256", Corrupt(offset=200_000)))
        async with open_registry(access) as client:
            await Blobs(client, repository).put_small(data, digest)
            received: list[bytes] = []
            with pytest.raises(RegistryConnectionFailed, match="wrong bytes"):
                await read_into(received, Blobs(client, repository), digest)
            assert len(b"".join(received)) < len(data)

    async def test_a_cut_answer_goes_on_where_it_was_cut(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str
    ) -> None:
        data, hexdigest = random_blob(900_000)
        digest = sha256_digest(hexdigest)
        proxy.add(Fault("GET", "/blobs/sha256", CutAnswer(600_000)))
        received: list[bytes] = []
        async with open_registry(access, backoff=FAST) as client:
            await Blobs(client, repository).put_small(data, digest)
            await read_into(received, Blobs(client, repository), digest)
        assert b"".join(received) == data
        ranges = [seen.headers.get("Range") for seen in proxy.requests if seen.method == "GET"]
        assert ranges[0] is None
        assert ranges[1] is not None
        assert int(ranges[1].removeprefix("bytes=").removesuffix("-")) > 0

    async def test_a_long_read_may_be_cut_again_and_again(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str
    ) -> None:
        """Each connection brings some bytes, or the registry is busy once in between: more failures than attempts."""
        data, hexdigest = random_blob(1_000_000)
        digest = sha256_digest(hexdigest)
        received: list[bytes] = []
        async with open_registry(access, backoff=FAST) as client:
            await Blobs(client, repository).put_small(data, digest)
            cuts, busy = [], []
            for _ in range(9):
                cuts.append(proxy.add(Fault("GET", "/blobs/sha256", CutAnswer(100_000))))
                busy.append(proxy.add(Fault("GET", "/blobs/sha256", Answer(503))))
            await read_into(received, Blobs(client, repository), digest)
        assert b"".join(received) == data
        assert all(each.met == 1 for each in [*cuts, *busy])

    async def test_an_answer_that_is_always_cut_is_given_up(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str
    ) -> None:
        data, hexdigest = random_blob()
        digest = sha256_digest(hexdigest)
        fault = proxy.add(Fault("GET", "/blobs/sha256", CutAnswer(0), times=None))
        async with open_registry(access, backoff=FAST) as client:
            await Blobs(client, repository).put_small(data, digest)
            with pytest.raises(RegistryConnectionFailed, match="dropped the connection"):
                await read_into([], Blobs(client, repository), digest)
        assert fault.met == FAST.attempts

    async def test_credentials_stay_at_home(
        self, registry: RunningRegistry, proxy: FaultProxy, access: RegistryAccess, repository: str
    ) -> None:
        """A redirect to another host carries no Authorization; the target here answers with the blob itself."""
        data, hexdigest = random_blob()
        digest = sha256_digest(hexdigest)
        context = registry.certificate.client_context()
        async with (
            fault_proxy(registry.url, tls=registry.certificate, upstream_tls=context) as store,
            open_registry(access) as client,
        ):
            await Blobs(client, repository).put_small(data, digest)
            store.add(Fault("GET", "/elsewhere", Answer(200, data)))
            proxy.add(
                Fault("GET", "/blobs/sha256", Answer(307, headers={"Location": f"https://{store.host}/elsewhere"}))
            )
            async with Blobs(client, repository).open(digest) as chunks:
                assert b"".join([chunk async for chunk in chunks]) == data
            assert "Authorization" not in store.requests[0].headers
            assert any("Authorization" in seen.headers for seen in proxy.requests)


class TestRepeats:
    async def test_a_busy_registry_is_asked_again(self, proxy: FaultProxy, access: RegistryAccess) -> None:
        fault = proxy.add(Fault("GET", "/v2/$", Answer(503, headers={"Retry-After": "0"}), times=2))
        await ping(access)
        assert fault.met == 2

    async def test_a_registry_that_stays_busy_is_given_up(self, proxy: FaultProxy, access: RegistryAccess) -> None:
        fault = proxy.add(Fault("GET", "/v2/$", Answer(500, b"oops"), times=None))
        with pytest.raises(RegistryConnectionFailed, match="refused the request"):
            await ping(access)
        assert fault.met == FAST.attempts

    async def test_a_registry_that_hangs_is_noticed(self, proxy: FaultProxy, access: RegistryAccess) -> None:
        fault = proxy.add(Fault("GET", "/v2/$", Hang(), times=None))
        with pytest.raises(RegistryConnectionFailed, match="stopped answering"):
            await ping(access)
        assert fault.met == 1, "its silence is not waited for a second time"

    async def test_a_token_that_ran_out_is_renewed(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str
    ) -> None:
        refused = Answer(401, headers={"WWW-Authenticate": 'Basic realm="test"'})
        async with open_registry(access) as client:
            manifests = Manifests(client, repository)
            assert await manifests.head("none") is None
            proxy.add(Fault("HEAD", "/manifests/none", refused))
            assert await manifests.head("none") is None

    async def test_endless_redirects_end(self, proxy: FaultProxy, access: RegistryAccess, repository: str) -> None:
        proxy.add(Fault("GET", "/manifests/", Answer(302, headers={"Location": "/v2/x/manifests/y"}), times=None))
        async with open_registry(access) as client:
            with pytest.raises(RegistryConnectionFailed, match="redirects without end"):
                await Manifests(client, repository).get("a")
