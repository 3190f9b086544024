"""The tags of a repository, page by page (distribution-spec, "Listing Tags")."""

import json
import re
from collections.abc import AsyncIterator
from urllib.parse import urljoin

from ksnap.errors import RegistryConnectionFailed
from ksnap.registry import failures
from ksnap.registry.addresses import same_origin
from ksnap.registry.client import RegistryClient

PAGE = 500
_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')


async def tags_of(client: RegistryClient, repository: str) -> AsyncIterator[str]:
    """Every tag; none for a repository that is not there."""
    url: str | None = f"{client.base}/v2/{repository}/tags/list?n={PAGE}"
    while url is not None:
        answer = await client.request(
            "GET", url, repository=repository, purpose=f"pull:{repository}", scope=f"repository:{repository}:pull"
        )
        if answer.status == 404:
            return
        if answer.status != 200:
            raise failures.refused(client.access.host, repository, answer.status, answer.body)
        for tag in _tags(client, repository, answer.body):
            yield tag
        following = _NEXT.search(answer.headers.get("Link", ""))
        url = urljoin(url, following[1]) if following else None
        if url is not None and not same_origin(url, client.base):
            raise RegistryConnectionFailed(
                "The registry's list of tags goes on elsewhere", details=f"{client.access.host}/{repository}"
            )


def _tags(client: RegistryClient, repository: str, body: bytes) -> list[str]:
    try:
        return [str(each) for each in json.loads(body).get("tags") or []]
    except (ValueError, AttributeError) as error:
        raise RegistryConnectionFailed(
            "The registry's list of tags cannot be read", details=f"{client.access.host}/{repository}"
        ) from error
