"""Pull credentials in the form that the kubelet reads."""

import base64
import json

from pydantic import SecretStr

from ksnap.kube.secrets import pull_secret
from ksnap.model.registry_access import RegistryAccess


def test_each_registry_has_its_account() -> None:
    accounts = [
        RegistryAccess(host="a.example:5000", username="ann", password=SecretStr("s3cret")),
        RegistryAccess(host="b.example", username="bob", password=SecretStr("pa:ss")),
    ]
    secret = pull_secret("pull", accounts, labels={"ksnap.dev/job": "j1"})
    auths = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))["auths"]
    assert {host: base64.b64decode(each["auth"]).decode() for host, each in auths.items()} == {
        "a.example:5000": "ann:s3cret",
        "b.example": "bob:pa:ss",
    }
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
