"""By which account a pod's checkpoint image is pulled: its imagePullSecrets where the agent may read them, else none.

Kubernetes has copied the service account's pull secrets into the pod already. What is read here lives as long as the
pull, in memory, and stands in no message. Follows the kubelet's reading of `.dockerconfigjson`: a key is a host, with
or without a scheme and a path; the longest path that fits goes first. Globs are not followed.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import structlog
from pydantic import SecretStr

from ksnap.agent.api_server import ApiServer
from ksnap.agent.settings import AgentSettings
from ksnap.agent.sightings import SightedPod
from ksnap.errors import KsnapError, Unavailable
from ksnap.model.image import ImageRef
from ksnap.model.registry_access import RegistryAccess

log = structlog.get_logger()

_CONFIG = ".dockerconfigjson"
# As the cache of images: what a pod names beyond this is not looked at.
_SECRETS_LIMIT = 8


class PullAccounts:
    """Asks the API server for Secrets, if it may."""

    def __init__(self, settings: AgentSettings, api_server: ApiServer) -> None:
        self._settings = settings
        self._api_server = api_server

    async def accesses(self, pod: SightedPod, image: ImageRef) -> list[RegistryAccess]:
        """Ways into the image's registry, best first; at least the one without an account."""
        ca_cert = await asyncio.to_thread(self._authorities)
        accounts = []
        if self._settings.prefetch_pull_secrets:
            for name in pod.pull_secrets[:_SECRETS_LIMIT]:
                accounts += await self._accounts(pod.namespace, name, image)
        anonymous = RegistryAccess(host=image.host, ca_cert=ca_cert)
        named = [
            anonymous.model_copy(update={"username": username, "password": password})
            for _, username, password in sorted(accounts, key=lambda each: -each[0])
        ]
        return named or [anonymous]

    async def _accounts(self, namespace: str, name: str, image: ImageRef) -> list[tuple[int, str, SecretStr]]:
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/secrets/{quote(name, safe='')}"
        try:
            return list(accounts_of(await self._api_server.get(path), image))
        except KsnapError as error:
            log.warning("pull_secret_not_read", secret=f"{namespace}/{name}", reason=error.message)
            return []

    def _authorities(self) -> str:
        path = self._settings.prefetch_ca_file
        try:
            return path.read_text() if path is not None else ""
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable("The registries' CA file cannot be read", details=f"{path}: {error}") from error


def accounts_of(secret: Mapping[str, Any], image: ImageRef) -> Iterator[tuple[int, str, SecretStr]]:
    """Length of the path that fits, user, password: of each account in a pull secret that is for the image."""
    try:
        config = json.loads(base64.b64decode((secret.get("data") or {})[_CONFIG], validate=True))
        entries = config["auths"].items()
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return
    for place, entry in entries:
        path = _path_below(image, str(place))
        if path is not None and isinstance(entry, dict) and (pair := _pair(entry)) is not None:
            yield len(path), *pair


def _path_below(image: ImageRef, place: str) -> str | None:
    """The path that a key of the configuration names, if the image is below it."""
    host, _, path = place.removeprefix("https://").removeprefix("http://").strip("/").partition("/")
    if host != image.host:
        return None
    # What old clients wrote for the registry as a whole.
    path = "" if path in {"v1", "v2"} else path
    return path if not path or f"{image.repository}/".startswith(f"{path}/") else None


def _pair(entry: Mapping[str, Any]) -> tuple[str, SecretStr] | None:
    match entry:
        case {"auth": str(encoded)} if encoded:
            try:
                user, colon, password = base64.b64decode(encoded).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return None
            return (user, SecretStr(password)) if colon else None
        case {"username": str(user), "password": str(password)}:
            return user, SecretStr(password)
        case _:
            return None
