"""Secrets, config maps, volumes, claims, storage classes and service accounts out of literals."""

from typing import Any

import msgspec

from ksnap.dashboard.kinds.access.accounts import pull_secret_names, secret_names
from ksnap.dashboard.kinds.access.roles import cluster_role_detail, role_binding_detail
from ksnap.dashboard.kinds.common import as_record
from ksnap.dashboard.kinds.config.contents import config_map_detail
from ksnap.dashboard.kinds.config.secrets import SECRETS, secret_detail
from ksnap.dashboard.kinds.storage.claims import claim_detail
from ksnap.dashboard.kinds.storage.volumes import storage_class_detail, volume_detail
from ksnap.kube.watch.decoding import Decoder
from ksnap.kube.watch.records import LAST_APPLIED
from ksnap.kube.watch.strings import Strings

META = {"name": "x", "namespace": "shop", "creationTimestamp": "2026-03-05T10:00:00Z"}
SECRET: dict[str, Any] = {
    "metadata": {**META, "annotations": {LAST_APPLIED: '{"data":{"password":"aHVudGVyMg=="}}', "team": "a"}},
    "type": "Opaque",
    "data": {"password": "aHVudGVyMg=="},
}


def test_no_record_of_a_secret_holds_anything_secret() -> None:
    rows = [{"cells": ["x", "Opaque", 1, "5s"], "object": {"metadata": SECRET["metadata"]}}]
    table = {"columnDefinitions": [{"name": each} for each in ("Name", "Type", "Data", "Age")], "rows": rows}
    decoded = Decoder(SECRETS.resource, Strings()).record(msgspec.json.encode(table))
    for record in (decoded, as_record(SECRETS.resource, SECRET)):
        assert "aHVudGVyMg" not in repr(record)
        assert record.metadata.annotations == {"team": "a"}
        assert record.type == "Opaque"


def test_a_secrets_detail_has_its_data() -> None:
    detail = secret_detail(SECRET)
    assert (detail["type"], detail["data"]) == ("Opaque", {"password": "aHVudGVyMg=="})
    assert secret_detail({"metadata": META, "type": "t"})["data"] == {}


def test_a_config_map_shows_texts_alone() -> None:
    detail = config_map_detail({"metadata": META, "data": {"a": "1"}, "binaryData": {"b": "AAAA"}})
    assert (detail["data"], "binaryData" in detail) == ({"a": "1"}, False)
    assert "data" not in config_map_detail({"metadata": META})


def test_a_claim_before_and_after_it_is_bound() -> None:
    pending = claim_detail(
        {"metadata": META, "spec": {"accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Pending"}}
    )
    assert (pending["volume"], pending["capacity"], pending["storageClass"]) == ("", {}, None)
    spec = {"accessModes": ["ReadWriteOnce"], "volumeName": "pv-1", "storageClassName": "fast"}
    bound = claim_detail({"metadata": META, "spec": spec, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}})
    assert (bound["status"], bound["volume"], bound["storageClass"]) == ("Bound", "pv-1", "fast")
    assert (list(bound["accessModes"]), bound["capacity"]) == (["ReadWriteOnce"], {"storage": "1Gi"})


def test_a_volume_with_its_source_and_its_claim() -> None:
    source = {"csi": {"driver": "d", "volumeHandle": "h"}}
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "fast",
        "volumeMode": "Filesystem",
        "nodeAffinity": {"required": {}},
        "claimRef": {"namespace": "shop", "name": "data", "kind": "PersistentVolumeClaim"},
        **source,
    }
    detail = volume_detail({"metadata": {"name": "pv"}, "spec": spec, "status": {"phase": "Failed", "message": "lost"}})
    assert detail["persistentVolumeSource"] == source
    assert (detail["claim"], detail["status"], detail["message"]) == ("shop/data", "Failed", "lost")
    assert (detail["reclaimPolicy"], detail["storageClass"], list(detail["mountOptions"])) == ("Retain", "fast", [])
    free = volume_detail({"metadata": {"name": "pv"}, "spec": {}, "status": {}})
    assert free["claim"] == ""


def test_a_storage_class_without_parameters() -> None:
    detail = storage_class_detail({"metadata": {"name": "fast"}, "provisioner": "p"})
    assert (detail["provisioner"], detail["parameters"]) == ("p", {})


def test_the_secrets_that_an_account_names() -> None:
    account = {"metadata": META, "secrets": [{"name": "a"}], "imagePullSecrets": [{"name": "b"}]}
    assert (secret_names(account), pull_secret_names(account)) == (["a"], ["b"])
    assert (secret_names({"metadata": META}), pull_secret_names({"metadata": META})) == ([], [])


def test_a_role_without_rules_has_a_list_of_none() -> None:
    assert cluster_role_detail({"metadata": {"name": "r"}, "rules": None})["rules"] == []
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    binding = role_binding_detail({"metadata": META, "roleRef": reference})
    assert (binding["roleRef"], "subjects" in binding) == (reference, False)
