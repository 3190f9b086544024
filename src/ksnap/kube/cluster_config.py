"""What is needed to reach one cluster, as the store has it (contract, section 3.4). Values only."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import SecretStr

NO_SECRET = SecretStr("")


class AuthType(StrEnum):
    KUBECONFIG = "kubeconfig"
    TOKEN = "token"  # noqa: S105 - the name of a way to authenticate
    SERVICE_ACCOUNT = "service_account"


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """One cluster's configuration. Equal configurations may share a connection."""

    name: str
    api_server_url: str
    """https://host[:port]; wins over the kubeconfig's own server."""
    auth_type: AuthType
    credentials: SecretStr = NO_SECRET
    """The kubeconfig (YAML text) or the token; empty for service_account."""
    verify_ssl: bool = True
    ca_cert: str = ""
    """PEM; trusted beside the kubeconfig's own authorities."""
    timeout_s: float = 30.0
    agent_namespace: str = "ksnap"
    """Where the cluster's agents and the account `ksnap-server` live."""
