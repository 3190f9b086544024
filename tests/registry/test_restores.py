"""What the runtime asks for a restore's image, and what it tells of the restore's end."""

import asyncio
import json
import os
import shutil
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ksnap.agent import metrics
from ksnap.agent.restore_messages import PrepareRequest
from ksnap.model.image import ImageRef
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.protocol import ImageStatus, PermittedPod
from tests.parties.archives import END, Member, criu_images, documents, large_archive, small_archive
from tests.parties.checkpoint_images import digest_of, push_tar
from tests.parties.fault_proxy import Answer, Fault, FaultProxy, Hang
from tests.parties.registry import RunningRegistry, needs_registry
from tests.parties.restore_socket import ask, ended_line, outcome_line, prepare_line
from tests.registry.image_cache import MIB, eventually
from tests.registry.runtime_node import Node, request_for, running, settled

pytestmark = [needs_registry, pytest.mark.skipif(os.getuid() != 0, reason="the socket is root's alone")]


class TestPrepare:
    async def test_permitted_pod_gets_the_folder(self, registry: RunningRegistry, image: ImageRef, node: Node) -> None:
        await node.prefetched(image, registry.access)
        answer = await ask(node.socket, prepare_line(image))
        path = node.settings.state_dir / "images" / f"sha256-{(image.digest or '')[7:]}"
        assert answer == {"ready": True, "path": str(path), "fetch_ms": 0, "unpack_ms": 0}
        assert node.images.store.is_held(digest_of(image))
        assert json.loads((path / "image.json").read_text())["digest"] == image.digest

    @pytest.mark.parametrize(
        "fields", [{"namespace": "other"}, {"pod": "web-2"}, {"pod": "web-1", "namespace": "shop-2"}]
    )
    async def test_other_pod_is_not_permitted(
        self, registry: RunningRegistry, image: ImageRef, node: Node, fields: dict[str, str]
    ) -> None:
        await node.prefetched(image, registry.access)
        answer = await ask(node.socket, prepare_line(image, **fields))
        assert (answer["ready"], answer["reason"]) == (False, "NotPermitted")
        assert not node.images.store.is_held(digest_of(image))

    async def test_permit_for_one_container_is_no_other_ones(
        self, registry: RunningRegistry, image: ImageRef, node: Node
    ) -> None:
        pod = PermittedPod(namespace="shop", pod="web-1", container="app")
        await node.prefetched(image, registry.access, (pod,))
        assert (await ask(node.socket, prepare_line(image)))["ready"]
        assert (await ask(node.socket, prepare_line(image, container="sidecar")))["reason"] == "NotPermitted"

    async def test_fetched_for_nobody_is_for_nobody(
        self, registry: RunningRegistry, image: ImageRef, node: Node
    ) -> None:
        await node.prefetched(image, registry.access, ())
        assert (await ask(node.socket, prepare_line(image)))["reason"] == "NotPermitted"

    async def test_what_was_never_asked_for_is_unavailable(self, image: ImageRef, node: Node) -> None:
        assert (await ask(node.socket, prepare_line(image)))["reason"] == "ImageUnavailable"

    async def test_permit_and_image_outlive_the_agent(
        self, registry: RunningRegistry, image: ImageRef, folder: Path
    ) -> None:
        async with running(folder) as node:
            await node.prefetched(image, registry.access)
        async with running(folder) as node:
            assert (await ask(node.socket, prepare_line(image)))["ready"]
        text = (folder / "state" / "permits.json").read_text()
        assert registry.access.password.get_secret_value() not in text
        assert registry.access.username not in text

    async def test_permit_ends(self, registry: RunningRegistry, image: ImageRef, folder: Path) -> None:
        async with running(folder, permit_ttl_s=0.3) as node:
            await node.prefetched(image, registry.access)
            await asyncio.sleep(0.4)
            assert (await ask(node.socket, prepare_line(image)))["reason"] == "NotPermitted"

    async def test_pull_under_way_is_waited_for(self, registry: RunningRegistry, repository: str, node: Node) -> None:
        image = await push_tar(registry.access, repository, large_archive(16 * MIB))
        await node.client.prefetch_image(digest_of(image), request_for(image, registry.access))
        answer = await ask(node.socket, prepare_line(image, deadline_ms=30_000))
        assert answer["ready"]
        assert answer["unpack_ms"] > 0

    async def test_deadline_is_kept(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, node: Node
    ) -> None:
        image = await push_tar(access, repository, small_archive())
        proxy.add(Fault("GET", "/blobs/", Hang(), times=None))
        await node.client.prefetch_image(digest_of(image), request_for(image, access))
        begun = time.monotonic()
        answer = await ask(node.socket, prepare_line(image, deadline_ms=300))
        assert 0.25 < time.monotonic() - begun < 2
        assert answer["reason"] == "DeadlineExceeded"
        assert not node.images.store.is_held(digest_of(image))
        await node.client.drop_image(digest_of(image))
        proxy.release()

    async def test_pull_that_fails_while_it_is_waited_for_is_told(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, node: Node
    ) -> None:
        image = await push_tar(access, repository, small_archive())
        proxy.add(Fault("GET", "/manifests/", Answer(404), skip=1, times=None))
        await node.client.prefetch_image(digest_of(image), request_for(image, access))
        assert (await ask(node.socket, prepare_line(image)))["reason"] == "ImageUnavailable"

    async def test_hostile_image_is_untrusted(self, registry: RunningRegistry, repository: str, node: Node) -> None:
        link = Member("checkpoint/pages-2.img", kind="2", link="/etc/shadow")
        tar = b"".join(each.encode() for each in [*criu_images(), *documents(), link]) + END
        image = await push_tar(registry.access, repository, tar)
        await node.client.prefetch_image(digest_of(image), request_for(image, registry.access))
        answer = await ask(node.socket, prepare_line(image))
        assert answer["reason"] == "ImageUntrusted"
        assert "neither a regular file nor a folder" in answer["message"]

    async def test_image_that_does_not_fit_is_told(
        self, registry: RunningRegistry, repository: str, folder: Path
    ) -> None:
        image = await push_tar(registry.access, repository, large_archive(4 * MIB))
        async with running(folder, image_cache_bytes=MIB) as node:
            await node.client.prefetch_image(digest_of(image), request_for(image, registry.access))
            assert (await ask(node.socket, prepare_line(image)))["reason"] == "DiskFull"

    async def test_image_that_somebody_removed_by_hand_is_unavailable(
        self, registry: RunningRegistry, image: ImageRef, node: Node
    ) -> None:
        await node.prefetched(image, registry.access)
        await asyncio.to_thread(shutil.rmtree, node.images.store.all()[0].path)
        assert (await ask(node.socket, prepare_line(image)))["reason"] == "ImageUnavailable"
        assert (await node.prefetched(image, registry.access)).status is ImageStatus.READY
        assert (await ask(node.socket, prepare_line(image)))["ready"]

    @pytest.mark.parametrize("text", ["", "x", "host/repo:tag", "host/repo@sha256:12", "host/../x@sha256:" + "0" * 64])
    async def test_image_that_is_no_reference_is_unavailable(self, node: Node, text: str) -> None:
        assert (await ask(node.socket, prepare_line(text)))["reason"] == "ImageUnavailable"

    async def test_many_at_once(self, registry: RunningRegistry, image: ImageRef, node: Node) -> None:
        await node.prefetched(image, registry.access)
        lines = [prepare_line(image, container_id=f"{number:064x}") for number in range(40)]
        answers = await asyncio.gather(*(ask(node.socket, line) for line in lines))
        assert all(each["ready"] for each in answers)


class TestOutcome:
    async def test_breaker_opens_and_is_closed_by_the_server(
        self, registry: RunningRegistry, image: ImageRef, folder: Path
    ) -> None:
        failed = outcome_line(image, restored=False, reason="RestoreFailed", message="criu: no")
        async with running(folder) as node:
            await node.prefetched(image, registry.access)
            for _ in range(3):
                assert (await ask(node.socket, prepare_line(image)))["ready"]
                assert await ask(node.socket, failed) == {}
                await settled(node)
            await counted(node, image, 3)
            assert (await ask(node.socket, prepare_line(image)))["reason"] == "TooManyFailures"
        async with running(folder) as node:
            assert (await ask(node.socket, prepare_line(image)))["reason"] == "TooManyFailures"
            assert (await node.client.clear_failures(digest_of(image))).failures == 0
            assert (await ask(node.socket, prepare_line(image)))["ready"]

    async def test_only_failed_restores_count_and_one_that_lives_clears(
        self, registry: RunningRegistry, image: ImageRef, folder: Path
    ) -> None:
        async with running(folder, restore_proof_s=0.3) as node:
            await node.prefetched(image, registry.access)
            for reason in ("MountMismatch", "DeadlineExceeded", "RestoreFailed"):
                await ask(node.socket, outcome_line(image, restored=False, reason=reason))
            await counted(node, image, 1)
            await ask(node.socket, outcome_line(image, restored=True))
            await counted(node, image, 0)

    async def test_crash_loop_after_restores_opens_the_breaker(
        self, registry: RunningRegistry, image: ImageRef, node: Node
    ) -> None:
        crashed = figure("ksnap_restored_ends_total", reason="Crashed")
        await node.prefetched(image, registry.access)
        for number in range(3):
            line = {"container_id": f"{number:064x}"}
            assert (await ask(node.socket, prepare_line(image, **line)))["ready"]
            assert await ask(node.socket, outcome_line(image, restored=True, **line)) == {}
            assert await ask(node.socket, ended_line(image, lived_ms=900, **line)) == {}
            await counted(node, image, number + 1)
        refused = await ask(node.socket, prepare_line(image))
        assert (refused["reason"], "3 times" in refused["message"]) == ("TooManyFailures", True)
        assert figure("ksnap_restored_ends_total", reason="Crashed") == crashed + 3

    async def test_ends_that_are_nobodys_fault_do_not_count(
        self, registry: RunningRegistry, image: ImageRef, node: Node
    ) -> None:
        signalled = figure("ksnap_restored_ends_total", reason="Signalled")
        proven = figure("ksnap_restored_ends_total", reason="Proven")
        await node.prefetched(image, registry.access)
        await ask(node.socket, ended_line(image, lived_ms=900, signalled=True))
        await ask(node.socket, ended_line(image, lived_ms=30_000))
        await eventually(lambda: figure("ksnap_restored_ends_total", reason="Proven") == proven + 1)
        assert figure("ksnap_restored_ends_total", reason="Signalled") == signalled + 1
        assert node.restores.state(digest_of(image)).failures == 0

    async def test_outcomes_are_measured_without_labels_of_users(self, image: ImageRef, node: Node) -> None:
        before = figure("ksnap_restores_total", outcome="restored", reason="")
        seconds = figure("ksnap_restore_seconds_sum", part="criu")
        cold = figure("ksnap_restores_total", outcome="cold", reason="CpuMismatch")
        other = figure("ksnap_restores_total", outcome="cold", reason="Other")
        await ask(node.socket, outcome_line(image, restored=True))
        await ask(node.socket, outcome_line(image, restored=False, reason="CpuMismatch"))
        await ask(node.socket, outcome_line(image, restored=False, reason="MadeUpByAUser"))
        await eventually(lambda: figure("ksnap_restores_total", outcome="cold", reason="Other") == other + 1)
        assert figure("ksnap_restores_total", outcome="restored", reason="") == before + 1
        assert figure("ksnap_restore_seconds_sum", part="criu") == pytest.approx(seconds + 0.3)
        assert figure("ksnap_restores_total", outcome="cold", reason="CpuMismatch") == cold + 1

    async def test_outcome_of_a_runtime_that_does_not_wait_counts(self, image: ImageRef, node: Node) -> None:
        line = json.dumps(outcome_line(image, restored=False, reason="RestoreFailed")).encode() + b"\n"
        _, writer = await asyncio.open_unix_connection(str(node.socket))
        writer.write(line)
        writer.close()
        await counted(node, image, 1)


async def counted(node: Node, image: ImageRef, failures: int) -> None:
    await eventually(lambda: node.restores.state(digest_of(image)).failures == failures)


def figure(name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return 0.0


async def test_runtime_that_went_away_holds_nothing(registry: RunningRegistry, repository: str, folder: Path) -> None:
    """What the socket does where the answer cannot be handed over."""
    image = await push_tar(registry.access, repository, large_archive(16 * MIB))
    async with running(folder) as node:
        await node.client.prefetch_image(digest_of(image), request_for(image, registry.access))
        request = PrepareRequest.model_validate(prepare_line(image))
        await node.restores.prepare(request)
        assert node.images.store.is_held(digest_of(image))
        await node.restores.abandoned(request)
        assert not node.images.store.is_held(digest_of(image))
