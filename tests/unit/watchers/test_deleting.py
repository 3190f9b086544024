"""A pod stays unless everything speaks for its successor starting from the checkpoint: each obstacle by itself."""

from typing import Any

import pytest
from pydantic import SecretStr

from ksnap.configuration.registries import Registries
from ksnap.settings import ServerSettings
from ksnap.store.database import Database
from ksnap.store.encryption import open_vault
from ksnap.store.tables import Checkpoint
from ksnap.watchers.deleting import Deleting

OWNER = {"kind": "ReplicaSet", "name": "web-1", "controller": True}
POD = {"metadata": {"uid": "u1", "ownerReferences": [OWNER]}}
IMAGE = {"image": "127.0.0.1:1/snap/web:1", "image_digest": "sha256:" + "a" * 64, "registry_name": "gone"}


class EveryHook:
    """A SnapHook that covers all namespaces."""

    def covers(self, cluster: str, namespace: str) -> bool:
        return True


class NoHook:
    """Where none runs."""

    def covers(self, cluster: str, namespace: str) -> bool:
        return False


@pytest.fixture
def registries(database: Database, tmp_path: Any) -> Registries:
    return Registries(database, open_vault(ServerSettings(data_dir=tmp_path, database_url=SecretStr(""))))


def checkpoint(**different: Any) -> Checkpoint:
    return Checkpoint(**{"cluster_name": "prod", "namespace": "shop", "pod_uid": "u1", **different})


async def test_each_obstacle(registries: Registries) -> None:
    covered, uncovered = Deleting(registries, EveryHook()), Deleting(registries, NoHook())
    bare: dict[str, Any] = {"metadata": {"uid": "u1"}}
    assert "no controller" in await covered.obstacle(bare, checkpoint(**IMAGE))
    assert "another pod" in await covered.obstacle(POD, checkpoint(**IMAGE | {"pod_uid": "u0"}))
    assert "no running SnapHook" in await uncovered.obstacle(POD, checkpoint(**IMAGE))
    assert "no image" in await covered.obstacle(POD, checkpoint())


async def test_a_registry_that_cannot_be_asked_verifies_nothing(registries: Registries) -> None:
    assert "cannot be verified" in await Deleting(registries, EveryHook()).obstacle(POD, checkpoint(**IMAGE))
