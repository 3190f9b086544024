"""Whose request it is, behind proxies. Only what a trusted one says is believed.

There are two rules. Limits and the trail go by the SNAP API's: of `X-Forwarded-For` the first address from the right
that is no trusted proxy, which a client cannot choose. The dashboard's log shows what its reference has (contract
dashboard-api, section 5): the first address of the first header that names one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from starlette.datastructures import Headers

from ksnap.settings import Network

FORWARDED_FOR = "x-forwarded-for"
TOLD_BY = ("x-original-forwarded-for", FORWARDED_FOR, "x-real-ip")


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The proxies in front of this server."""

    networks: Sequence[Network]

    def nearest_stranger(self, peer: str, headers: Headers) -> str:
        """The peer, or what trusted proxies say: from the right, the first address that is none of theirs."""
        address = peer
        if not self.trusts(address):
            return address
        # A header on several lines is one list (RFC 9110, 5.3): what a client wrote itself stands on the first.
        for hop in reversed(",".join(headers.getlist(FORWARDED_FOR)).split(",")):
            candidate = hop.strip()
            if not is_address(candidate):
                return address
            address = candidate
            if not self.trusts(address):
                return address
        return address

    def first_told(self, peer: str, headers: Headers) -> str:
        """The peer, or the first address of the first header of a trusted proxy that has one."""
        if not self.trusts(peer):
            return peer
        told = (headers.get(name, "").partition(",")[0].strip() for name in TOLD_BY)
        return next((each for each in told if is_address(each)), peer)

    def trusts(self, address: str) -> bool:
        return bool(self.networks) and is_address(address) and self._is_within(address)

    def _is_within(self, address: str) -> bool:
        parsed = ip_address(address)
        return any(parsed in network for network in self.networks if network.version == parsed.version)


def is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
