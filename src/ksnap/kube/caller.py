"""As whom a request is made at the API server: an impersonated user, or the owner of a token that is passed on.

Kubernetes then authorizes and audits the user, not ksnap (its documentation of authentication, "User impersonation").
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

from pydantic import SecretStr

from ksnap.kube.cluster_config import NO_SECRET

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Caller:
    """A user of a cluster. At least one of `user` and `token` is given."""

    user: str = ""
    """Impersonated, with `groups`, `uid` and `extra`."""
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, str], ...] = ()
    """Pairs of key and value; a key may come several times."""
    token: SecretStr = NO_SECRET
    """Sent in place of our own credentials, and never beside our client certificate, which would win."""

    @cached_property
    def key(self) -> str:
        """Names this identity in caches; tells no secret."""
        told = (self.user, self.groups, self.uid, self.extra, self.token.get_secret_value())
        return hashlib.sha256(repr(told).encode()).hexdigest()

    @property
    def has_token(self) -> bool:
        return bool(self.token.get_secret_value())

    def impersonation(self) -> Headers:
        """The headers of the impersonation; none if nobody is impersonated."""
        if not self.user:
            return []
        headers = [("Impersonate-User", self.user)]
        headers += [("Impersonate-Group", group) for group in self.groups]
        headers += [("Impersonate-Uid", self.uid)] if self.uid else []
        # A header's name is one word: what else a key holds is percent-encoded ("Impersonate-Extra").
        headers += [(f"Impersonate-Extra-{quote(name, safe='')}", value) for name, value in self.extra]
        return headers
