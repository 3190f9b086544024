"""Turns a cluster's configuration into what a connection needs: base URL, TLS context, the header that says who we are.

Blocking, since Python's TLS contexts read files: `resolve` belongs in a thread.
"""

import os
import ssl
import tempfile
import time
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from ksnap.errors import ClusterConnectionFailed, InvalidInput
from ksnap.kube.cluster_config import NO_SECRET, AuthType, ClusterConfig
from ksnap.kube.kubeconfig import Kubeconfig, parse_kubeconfig

# Where Kubernetes mounts a pod's own account; see "Accessing the API from within a Pod" in its documentation.
SERVICE_ACCOUNT_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# The kubelet replaces the token file at 80 % of an hour at the latest: a minute's delay is harmless.
TOKEN_FILE_FRESH_S = 60.0


class Authorization(Protocol):
    """Who we are, for one request."""

    def header(self) -> str:
        """The Authorization header's value, or nothing where a client certificate says it. May read a small file."""


@dataclass(frozen=True, slots=True)
class FixedAuthorization:
    value: SecretStr = NO_SECRET

    def header(self) -> str:
        return self.value.get_secret_value()


class TokenFile:
    """A mounted service account token, read again when it may have been replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._header = ""
        self._read_at = float("-inf")

    def header(self) -> str:
        if time.monotonic() - self._read_at > TOKEN_FILE_FRESH_S:
            self._header = "Bearer " + _read(self._path).strip()
            self._read_at = time.monotonic()
        return self._header


@dataclass(frozen=True, slots=True)
class Access:
    """What every request to one cluster carries."""

    base_url: str
    tls: ssl.SSLContext
    authorization: Authorization
    server_hostname: str | None = None
    tls_for_tokens: ssl.SSLContext | None = None
    """For requests with somebody's token, where `tls` holds a client certificate: the API server looks at that first,
    and would take whoever the token names for us."""


def resolve(config: ClusterConfig) -> Access:
    """The access of a configuration, or InvalidInput that says what is wrong with it. Blocking."""
    if config.auth_type is AuthType.SERVICE_ACCOUNT:
        return _in_cluster(config)
    if config.auth_type is AuthType.TOKEN:
        token = SecretStr("Bearer " + config.credentials.get_secret_value().strip())
        return Access(_base_url(config.api_server_url), _tls(config, ""), FixedAuthorization(token))
    return _from_kubeconfig(config, parse_kubeconfig(config.credentials.get_secret_value()))


def _from_kubeconfig(config: ClusterConfig, kubeconfig: Kubeconfig) -> Access:
    tls, without_certificate = _tls(config, kubeconfig.ca_pem), None
    if kubeconfig.client_certificate_pem:
        without_certificate = _tls(config, kubeconfig.ca_pem)
        _load_client_certificate(tls, kubeconfig)
    return Access(
        _base_url(config.api_server_url or kubeconfig.server),
        tls,
        FixedAuthorization(_kubeconfig_header(kubeconfig)),
        kubeconfig.tls_server_name or None,
        without_certificate,
    )


def _kubeconfig_header(kubeconfig: Kubeconfig) -> SecretStr:
    if token := kubeconfig.token.get_secret_value():
        return SecretStr("Bearer " + token)
    if kubeconfig.username:
        pair = f"{kubeconfig.username}:{kubeconfig.password.get_secret_value()}"
        return SecretStr("Basic " + b64encode(pair.encode()).decode())
    return NO_SECRET


def _in_cluster(config: ClusterConfig) -> Access:
    return Access(
        _base_url(config.api_server_url or _service_url()),
        _tls(config, _read(SERVICE_ACCOUNT_FOLDER / "ca.crt")),
        TokenFile(SERVICE_ACCOUNT_FOLDER / "token"),
    )


def _service_url() -> str:
    # Set by the kubelet in every pod; no setting of ours, hence not in settings.py.
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ClusterConnectionFailed(
            "ksnap does not run in a cluster",
            details="auth_type service_account needs the account that Kubernetes mounts into a pod",
            hint="Use auth_type kubeconfig or token",
        )
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _base_url(url: str) -> str:
    if not url.startswith("https://"):
        raise InvalidInput(
            "The API server's URL cannot be used", details=repr(url[:200]), hint="Write https://HOST:PORT"
        )
    return url.rstrip("/")


def _tls(config: ClusterConfig, ca_pem: str) -> ssl.SSLContext:
    authorities = "\n".join(part for part in (ca_pem, config.ca_cert) if part)
    try:
        # With authorities of its own a cluster needs no public ones, and trusts none.
        tls = ssl.create_default_context(cadata=authorities or None)
    except (ssl.SSLError, ValueError, TypeError) as error:  # TypeError: what is not ASCII
        raise InvalidInput("The cluster's CA certificate cannot be read", hint="Give it as PEM text") from error
    if not config.verify_ssl:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return tls


def _load_client_certificate(tls: ssl.SSLContext, kubeconfig: Kubeconfig) -> None:
    """OpenSSL's binding takes files alone: one of mode 0600 holds the pair for the length of this call."""
    with tempfile.NamedTemporaryFile("w", prefix="ksnap-", suffix=".pem") as file:
        file.write(kubeconfig.client_certificate_pem + "\n" + kubeconfig.client_key_pem.get_secret_value())
        file.flush()
        try:
            tls.load_cert_chain(file.name)
        except (ssl.SSLError, OSError) as error:
            raise InvalidInput("The kubeconfig's client certificate and key do not fit together") from error


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise ClusterConnectionFailed(
            "The pod's service account cannot be read",
            details=f"{path}: {error.strerror}",
            hint="Use auth_type kubeconfig or token outside a cluster",
        ) from error
