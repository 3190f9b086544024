"""Pods that the server did not name: restored by the image's own signed key or a signed permit, and by nothing else."""

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ksnap.model.digest import parse_digest
from ksnap.model.image import ImageRef
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.protocol import ImageStatus
from ksnap.oci.restore_permit import RestorePermit, issue_permit
from ksnap.oci.signing_keys import SigningKey
from tests.parties.checkpoint_images import digest_of
from tests.parties.checkpoint_keys import KEY, new_key
from tests.parties.fault_proxy import Answer, Fault, FaultProxy, Hang
from tests.parties.pods_api import TOKEN, PodsApi, pods_api
from tests.parties.registry import PASSWORD, RunningRegistry, needs_registry
from tests.parties.restore_socket import ask, outcome_line, prepare_line
from tests.registry.image_cache import eventually
from tests.registry.runtime_node import Node, request_for, running, settled
from tests.registry.test_signatures import OURS, push

pytestmark = [needs_registry, pytest.mark.skipif(os.getuid() != 0, reason="the socket is root's alone")]

UID = "6e7c1f0a-0000-4000-8000-000000000001"
SECRET = "shop/pull"  # a name


@dataclass(frozen=True, slots=True)
class Watching:
    """An agent that watches the pods of a node, and the API server that has them."""

    node: Node
    api: PodsApi
    keys: Path

    async def prepare(self, image: ImageRef, **fields: object) -> dict[str, Any]:
        return await ask(self.node.socket, prepare_line(image, **fields))

    async def ready(self, image: ImageRef) -> None:
        await eventually(lambda: self.node.images.state(digest_of(image)).status is ImageStatus.READY)


@asynccontextmanager
async def watching(
    folder: Path, registry: RunningRegistry, *, trusts: tuple[SigningKey, ...] = (OURS,), **fields: object
) -> AsyncIterator[Watching]:
    """The agent's parts as its entrance puts them together, with a watch."""
    keys = folder / "keys"
    keys.mkdir(exist_ok=True)
    for number, key in enumerate(trusts):
        (keys / f"{number}.pem").write_text(key.public_key.pem)
    (folder / "account" / "token").write_text(TOKEN)
    async with pods_api(registry.certificate) as api:
        api.secrets[SECRET] = pull_secret(registry.access)
        chosen: dict[str, object] = {
            "cluster_name": "prod",
            "trusted_keys_dir": keys,
            "prefetch": True,
            "prefetch_pull_secrets": True,
            "prefetch_ca_file": registry.certificate.ca,
            "api_server_port": api.port,
        }
        async with running(folder, **{**chosen, **fields}) as node:
            await api.watched(1)
            yield Watching(node, api, keys)


def pull_secret(access: RegistryAccess) -> dict[str, Any]:
    pair = base64.b64encode(f"{access.username}:{access.password.get_secret_value()}".encode()).decode()
    config = json.dumps({"auths": {access.host: {"auth": pair}}})
    return {"data": {".dockerconfigjson": base64.b64encode(config.encode()).decode()}}


def pod(
    image: object,
    *,
    owner: str = "web-6d4b75cb6d",
    permit: str | None = None,
    phase: str = "Pending",
    **metadata: Any,
) -> dict[str, Any]:
    """A pod of the workload that `KEY` names, as its ReplicaSet has it made."""
    annotations = {"restore.ksnap.dev/app": str(image)} | ({"permit.ksnap.dev/app": permit} if permit else {})
    return {
        "metadata": {
            "namespace": "shop",
            "name": "web-1",
            "uid": UID,
            "labels": {"pod-template-hash": "6d4b75cb6d"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": owner, "controller": True}],
            "annotations": annotations,
            **metadata,
        },
        "spec": {
            "runtimeClassName": "ksnap",
            "imagePullSecrets": [{"name": "pull"}],
            "containers": [{"name": "app"}, {"name": "sidecar"}],
        },
        "status": {"phase": phase},
    }


async def signed(registry: RunningRegistry, repository: str, key: SigningKey | None = OURS) -> ImageRef:
    pushed = await push(registry.access, repository, key=key)
    return ImageRef(registry.access.host, repository, digest=parse_digest(pushed.digest))


def permit_for(image: ImageRef, *, key: SigningKey = OURS, **fields: str) -> str:
    named = {"cluster": "prod", "namespace": "lab", "pod": "web-1", "container": "app", "digest": digest_of(image)}
    return issue_permit(key, RestorePermit(**{**named, **fields}), now=time.time())


class TestOwnWorkload:
    async def test_a_pod_of_the_images_own_workload_is_restored(
        self, registry: RunningRegistry, repository: str, folder: Path
    ) -> None:
        image = await signed(registry, repository)
        async with watching(folder, registry) as watched:
            await watched.api.put(pod(image))
            await watched.ready(image)  # before anybody asks for it
            answer = await watched.prepare(image)
            assert answer["ready"] is True, answer
        described = json.loads((Path(answer["path"]) / "image.json").read_text())
        assert (described["signed"], described["signed_by"]) == (KEY.annotations(), OURS.public_key.key_id)
        state = "".join(each.read_text(errors="replace") for each in (folder / "state").rglob("*.json"))
        assert PASSWORD not in state

    async def test_a_runtime_that_is_faster_than_the_watch_is_waited_for(
        self, registry: RunningRegistry, repository: str, folder: Path
    ) -> None:
        image = await signed(registry, repository)
        async with watching(folder, registry) as watched:
            asking = asyncio.ensure_future(watched.prepare(image, deadline_ms=20_000))
            await asyncio.sleep(0.2)
            assert not asking.done()
            await watched.api.put(pod(image))
            assert (await asking)["ready"] is True

    async def test_a_pod_that_is_never_seen_is_cold_at_the_deadline(
        self, registry: RunningRegistry, repository: str, folder: Path
    ) -> None:
        image = await signed(registry, repository)
        async with watching(folder, registry) as watched:
            await watched.api.put(pod(image, uid="another"))
            answer = await watched.prepare(image, deadline_ms=300)
        assert (answer["ready"], answer["reason"]) == (False, "DeadlineExceeded")
        assert "not seen" in answer["message"]

    @pytest.mark.parametrize(
        "changes",
        [
            {"namespace": "lab"},
            {"owner": "shop-6d4b75cb6d"},
            {"owner": "web"},
            {"ownerReferences": []},
            {"ownerReferences": [{"kind": "StatefulSet", "name": "web", "controller": True}]},
            {"ownerReferences": [{"kind": "ReplicaSet", "name": "web-6d4b75cb6d"}]},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("before", ["cached", "absent"])
    async def test_another_workload_gets_nothing(
        self, registry: RunningRegistry, repository: str, folder: Path, changes: dict[str, Any], before: str
    ) -> None:
        image = await signed(registry, repository)
        async with watching(folder, registry) as watched:
            watched.api.secrets["lab/pull"] = pull_secret(registry.access)
            if before == "cached":
                await watched.node.prefetched(image, registry.access, ())
            thief = pod(image, **{"name": "thief", "uid": "thief", **changes})
            await watched.api.put(thief)
            where = {"namespace": thief["metadata"]["namespace"], "pod": "thief", "pod_uid": "thief"}
            answer = await watched.prepare(image, **where)
            assert (answer["ready"], answer["reason"]) == (False, "NotPermitted"), answer
            assert "another workload" in answer["message"]
            assert str(KEY.workload) not in answer["message"], "whose it is, is none of its business"
            assert not watched.node.images.store.is_held(digest_of(image))
            if before == "absent":
                assert watched.node.images.store.all() == [], "nor is it pulled for it"
                assert watched.node.images.state(digest_of(image)).status is ImageStatus.ABSENT

    async def test_another_container_of_the_pod_gets_nothing(
        self, registry: RunningRegistry, repository: str, folder: Path
    ) -> None:
        image = await signed(registry, repository)
        async with watching(folder, registry) as watched:
            wishes = {f"restore.ksnap.dev/{each}": str(image) for each in ("app", "sidecar")}
            await watched.api.put(pod(image, annotations=wishes))
            assert (await watched.prepare(image, container="sidecar"))["reason"] == "NotPermitted"
            assert (await watched.prepare(image))["ready"] is True

    async def test_another_cluster_gets_nothing(self, registry: RunningRegistry, repository: str, folder: Path) -> None:
        image = await signed(registry, repository)
        async with watching(folder, registry, cluster_name="staging") as watched:
            await watched.api.put(pod(image))
            assert (await watched.prepare(image))["reason"] == "NotPermitted"

    @pytest.mark.parametrize("lacking", [{"cluster_name": ""}, {"trusts": ()}], ids=str)
    async def test_a_node_without_name_or_keys_admits_nobody_this_way_and_at_once(
        self, registry: RunningRegistry, repository: str, folder: Path, lacking: dict[str, Any]
    ) -> None:
        image = await signed(registry, repository)
        async with watching(folder, registry, **lacking) as watched:
            begun = time.monotonic()
            answer = await watched.prepare(image, deadline_ms=30_000)
            assert (answer["ready"], answer["reason"]) == (False, "ImageUnavailable")
            await watched.api.put(pod(image))
            assert (await watched.prepare(image, deadline_ms=30_000))["ready"] is False
            assert time.monotonic() - begun < 10
            assert watched.node.images.states() == []


class TestTrust:
    async def test_any_of_several_keys_will_do(self, registry: RunningRegistry, repository: str, folder: Path) -> None:
        image = await signed(registry, repository)
        async with watching(folder, registry, trusts=(new_key(), OURS, new_key())) as watched:
            await watched.api.put(pod(image))
            assert (await watched.prepare(image))["ready"] is True

    @pytest.mark.parametrize("signed_by", [None, new_key()], ids=["nobody", "another"])
    async def test_what_no_trusted_key_signed_is_not_unpacked(
        self, registry: RunningRegistry, repository: str, folder: Path, signed_by: SigningKey | None
    ) -> None:
        image = await signed(registry, repository, signed_by)
        async with watching(folder, registry) as watched:
            await watched.api.put(pod(image))
            answer = await watched.prepare(image)
            assert (answer["ready"], answer["reason"]) == (False, "ImageUntrusted"), answer
            assert watched.node.images.store.all() == []

    async def test_a_key_that_is_trusted_no_more_admits_nobody(
        self, registry: RunningRegistry, repository: str, folder: Path
    ) -> None:
        image = await signed(registry, repository)
        async with watching(folder, registry) as watched:
            await watched.api.put(pod(image))
            assert (await watched.prepare(image))["ready"] is True
            (watched.keys / "0.pem").write_text(new_key().public_key.pem)
            answer = await watched.prepare(image)
            assert (answer["ready"], answer["reason"]) == (False, "ImageUntrusted"), answer

    async def test_an_image_that_was_here_before_the_key_is_asked_for_its_signature(
        self, registry: RunningRegistry, repository: str, folder: Path
    ) -> None:
        """As after an update of the agent, whose former version kept no claims."""
        image = await signed(registry, repository)
        async with watching(folder, registry, trusts=()) as watched:
            await watched.node.prefetched(image, registry.access, ())
            [found] = watched.node.images.store.all()
            assert found.signed_by == ""
            (watched.keys / "late.pem").write_text(OURS.public_key.pem)
            await watched.api.put(pod(image))
            assert (await watched.prepare(image))["ready"] is True
        described = json.loads((found.path / "image.json").read_text())
        assert (described["signed_by"], described["digest"]) == (OURS.public_key.key_id, image.digest)
        async with watching(folder, registry) as watched:
            assert [each.signed for each in watched.node.images.store.all()] == [KEY.annotations()]

    async def test_the_servers_request_may_bring_a_key_that_the_node_does_not_know(
        self, registry: RunningRegistry, repository: str, folder: Path
    ) -> None:
        image = await signed(registry, repository)
        async with watching(folder, registry, trusts=(new_key(),)) as watched:
            request = request_for(image, registry.access).model_copy(update={"public_keys": OURS.public_key.pem})
            await watched.node.client.prefetch_image(digest_of(image), request)
            await watched.node.client.image_ready(digest_of(image))
            assert (await watched.prepare(image))["ready"] is True, "named by the server"
            other = pod(image, name="web-2", uid="two")
            await watched.api.put(other)
            answer = await watched.prepare(image, pod="web-2", pod_uid="two")
            assert answer["ready"] is False, "that key says nothing about who else may"

    async def test_nor_does_it_to_who_joins_the_pull_for_that_request(
        self, proxy: FaultProxy, access: RegistryAccess, registry: RunningRegistry, repository: str, folder: Path
    ) -> None:
        """A stranger's key says just what this pod would need."""
        stranger = new_key()
        signed_by_stranger = await signed(registry, repository, stranger)
        image = ImageRef(access.host, repository, digest=signed_by_stranger.digest)
        proxy.add(Fault("GET", "/blobs/", Hang(), times=1))
        async with watching(folder, registry) as watched:
            request = request_for(image, access, ()).model_copy(update={"public_keys": stranger.public_key.pem})
            await watched.node.client.prefetch_image(digest_of(image), request)
            await watched.api.put(pod(image, phase="Running"))
            asking = asyncio.ensure_future(watched.prepare(image, deadline_ms=20_000))
            await eventually(lambda: watched.node.images.store.is_held(digest_of(image)))
            proxy.release()
            answer = await asking
            assert (answer["ready"], answer["reason"]) == (False, "NotPermitted"), answer
            assert watched.node.images.store.all() != [], "the server's request was served"

    async def test_what_cannot_be_pulled_is_cold_and_says_why(
        self, proxy: FaultProxy, access: RegistryAccess, registry: RunningRegistry, repository: str, folder: Path
    ) -> None:
        image = await signed(registry, repository)
        behind = ImageRef(access.host, repository, digest=image.digest)
        proxy.add(Fault("GET", "/manifests/", Answer(404), times=None))
        async with watching(folder, registry) as watched:
            watched.api.secrets[SECRET] = pull_secret(access)
            await watched.api.put(pod(behind))
            answer = await watched.prepare(behind)
        assert (answer["ready"], answer["reason"]) == (False, "ImageUnavailable"), answer
        assert "does not have this" in answer["message"]

    @pytest.mark.parametrize("may_read", [True, False])
    async def test_without_an_account_a_private_image_is_unavailable(
        self, registry: RunningRegistry, repository: str, folder: Path, *, may_read: bool
    ) -> None:
        image = await signed(registry, repository)
        async with watching(folder, registry, prefetch_pull_secrets=may_read) as watched:
            if may_read:
                del watched.api.secrets[SECRET]
            await watched.api.put(pod(image))
            answer = await watched.prepare(image)
        assert (answer["ready"], answer["reason"]) == (False, "ImageUnavailable"), answer

    async def test_an_image_that_was_evicted_is_pulled_again_for_a_pod_that_runs(
        self, registry: RunningRegistry, repository: str, folder: Path
    ) -> None:
        image = await signed(registry, repository)
        async with watching(folder, registry) as watched:
            await watched.api.put(pod(image))
            assert (await watched.prepare(image))["ready"] is True
            await ask(watched.node.socket, outcome_line(image, restored=True))
            await settled(watched.node)
            await watched.node.client.drop_image(digest_of(image))
            await watched.api.put(pod(image, phase="Running"))
            assert (await watched.prepare(image))["ready"] is True


class TestPermits:
    """A pod of another namespace, to which the workload's key opens nothing."""

    async def answer(self, watched: Watching, image: ImageRef, permit: str | None) -> dict[str, Any]:
        watched.api.secrets["lab/pull"] = watched.api.secrets[SECRET]
        await watched.api.put(pod(image, namespace="lab", permit=permit))
        return await watched.prepare(image, namespace="lab")

    @pytest.mark.parametrize("uid", ["", UID])
    async def test_a_permit_opens_it(self, registry: RunningRegistry, repository: str, folder: Path, uid: str) -> None:
        image = await signed(registry, repository)
        async with watching(folder, registry) as watched:
            assert (await self.answer(watched, image, permit_for(image, uid=uid)))["ready"] is True

    @pytest.mark.parametrize(
        ("fields", "why"),
        [({"pod": "web-2"}, "another pod"), ({"cluster": "staging"}, "another cluster"), ({"uid": "x"}, "another uid"),
         ({"digest": "sha256:" + "0" * 64}, "another digest"), ({"container": "sidecar"}, "another container")],
    )  # fmt: skip
    async def test_one_for_something_else_opens_nothing_and_says_so(
        self, registry: RunningRegistry, repository: str, folder: Path, fields: dict[str, str], why: str
    ) -> None:
        image = await signed(registry, repository)
        async with watching(folder, registry) as watched:
            await watched.node.prefetched(image, registry.access, ())
            changed: dict[str, Any] = {**fields}
            permit = permit_for(image, **changed)
            answer = await self.answer(watched, image, permit)
        assert (answer["ready"], answer["reason"]) == (False, "NotPermitted"), answer
        assert why in answer["message"]
        assert permit not in str(answer)

    async def test_one_by_a_stranger_opens_nothing(
        self, registry: RunningRegistry, repository: str, folder: Path
    ) -> None:
        image = await signed(registry, repository)
        async with watching(folder, registry) as watched:
            answer = await self.answer(watched, image, permit_for(image, key=new_key()))
        assert (answer["reason"], "no trusted key" in answer["message"]) == ("NotPermitted", True), answer

    async def test_a_bad_permit_takes_nothing_from_who_needs_none(
        self, registry: RunningRegistry, repository: str, folder: Path
    ) -> None:
        image = await signed(registry, repository)
        async with watching(folder, registry) as watched:
            await watched.api.put(pod(image, permit="x.y.z"))
            assert (await watched.prepare(image))["ready"] is True

    async def test_a_permit_is_verified_by_the_requests_keys_too(
        self, registry: RunningRegistry, repository: str, folder: Path
    ) -> None:
        image = await signed(registry, repository)
        async with watching(folder, registry, trusts=()) as watched:
            request = request_for(image, registry.access, ()).model_copy(update={"public_keys": OURS.public_key.pem})
            await watched.node.client.prefetch_image(digest_of(image), request)
            await watched.node.client.image_ready(digest_of(image))
            assert (await self.answer(watched, image, permit_for(image)))["ready"] is True
            answer = await self.answer(watched, image, permit_for(image, key=new_key()))
            assert answer["reason"] == "NotPermitted"
            assert "no trusted key" in answer["message"]
