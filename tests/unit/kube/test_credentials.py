"""What a configuration becomes on the wire."""

import ssl

import pytest
from pydantic import SecretStr

from ksnap.errors import ClusterConnectionFailed, InvalidInput
from ksnap.kube.cluster_config import AuthType, ClusterConfig
from ksnap.kube.credentials import resolve


def config(**more: object) -> ClusterConfig:
    given: dict[str, object] = {
        "name": "prod",
        "api_server_url": "https://api.example:6443/",
        "auth_type": AuthType.TOKEN,
        "credentials": SecretStr(" t0ken\n"),
    }
    return ClusterConfig(**(given | more))  # type: ignore[arg-type] # a test's own words


def test_a_token_is_a_bearer_header() -> None:
    access = resolve(config())
    assert (access.base_url, access.authorization.header()) == ("https://api.example:6443", "Bearer t0ken")
    assert access.tls.verify_mode is ssl.CERT_REQUIRED
    assert "t0ken" not in repr(access)


def test_verifying_is_switched_off_only_by_the_cluster() -> None:
    assert resolve(config(verify_ssl=False)).tls.verify_mode is ssl.CERT_NONE


def test_bad_configurations_are_told() -> None:
    with pytest.raises(InvalidInput):
        resolve(config(api_server_url="http://api.example"))
    with pytest.raises(InvalidInput):
        resolve(config(ca_cert="-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"))
    with pytest.raises(InvalidInput):
        resolve(config(auth_type=AuthType.KUBECONFIG))
    with pytest.raises(ClusterConnectionFailed):
        resolve(config(auth_type=AuthType.SERVICE_ACCOUNT))
