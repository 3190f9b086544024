"""Who may be restored from what, for how long, and over the agent's restart."""

from pathlib import Path

import pytest

from ksnap.agent.permits import Permits
from ksnap.errors import InsufficientStorage
from ksnap.node.protocol import PermittedPod

ONE, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


async def opened(folder: Path, clock: Clock) -> Permits:
    permits = Permits(folder, ttl_s=900, now=clock)
    await permits.open()
    return permits


def has(
    permits: Permits, digest: str = ONE, *, namespace: str = "shop", pod: str = "web", container: str = "app"
) -> bool:
    return permits.has(digest, namespace=namespace, pod=pod, container=container)


async def test_only_the_pod_that_was_named_is_permitted(tmp_path: Path) -> None:
    permits = await opened(tmp_path, Clock())
    await permits.grant(ONE, [PermittedPod(namespace="shop", pod="web")])
    assert has(permits)
    assert has(permits, container="sidecar")
    assert not has(permits, OTHER)
    assert not has(permits, namespace="other")
    assert not has(permits, pod="web-2")


async def test_a_named_container_permits_no_other(tmp_path: Path) -> None:
    permits = await opened(tmp_path, Clock())
    await permits.grant(ONE, [PermittedPod(namespace="shop", pod="web", container="app")])
    assert has(permits)
    assert not has(permits, container="sidecar")
    assert not has(permits, container="")


async def test_permits_end_and_are_renewed(tmp_path: Path) -> None:
    clock = Clock()
    permits = await opened(tmp_path, clock)
    await permits.grant(ONE, [PermittedPod(namespace="shop", pod="web")])
    clock.now += 900
    assert has(permits)
    clock.now += 1
    assert not has(permits)
    await permits.grant(ONE, [PermittedPod(namespace="shop", pod="web")])
    assert has(permits)


async def test_permits_outlive_the_agent_with_their_time(tmp_path: Path) -> None:
    clock = Clock()
    await (await opened(tmp_path, clock)).grant(ONE, [PermittedPod(namespace="shop", pod="web")])
    clock.now += 600
    again = await opened(tmp_path, clock)
    assert has(again)
    clock.now += 301
    assert not has(again)
    assert not has(await opened(tmp_path, clock))
    assert (tmp_path / "permits.json").stat().st_mode & 0o777 == 0o600


async def test_revoking_takes_all_of_an_image(tmp_path: Path) -> None:
    clock = Clock()
    permits = await opened(tmp_path, clock)
    pods = [PermittedPod(namespace="shop", pod=name) for name in ("a", "b")]
    await permits.grant(ONE, pods)
    await permits.grant(OTHER, pods)
    await permits.revoke(ONE)
    again = await opened(tmp_path, clock)
    assert not has(again, pod="a")
    assert has(again, OTHER, pod="a")


@pytest.mark.parametrize("text", ["", "[]", '{"permits": 1}', '{"permits": [1, {"digest": 2}]}', "{"])
async def test_unreadable_file_permits_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "permits.json").write_text(text)
    assert not has(await opened(tmp_path, Clock()))


async def test_permit_that_cannot_be_written_down_is_told(tmp_path: Path) -> None:
    permits = Permits(tmp_path / "absent", ttl_s=900)
    with pytest.raises(InsufficientStorage):
        await permits.grant(ONE, [PermittedPod(namespace="shop", pod="web")])
