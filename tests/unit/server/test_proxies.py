"""Whose request it is, as the dashboard's log shows it: in the reference's order, of trusted proxies alone."""

from ipaddress import ip_network

import pytest
from starlette.datastructures import Headers

from ksnap.server.proxies import TrustedProxies

PROXIES = TrustedProxies((ip_network("10.0.0.0/8"), ip_network("fd00::/8")))
ALL = {
    "X-Original-Forwarded-For": " 192.0.2.1 , 192.0.2.2",
    "X-Forwarded-For": "192.0.2.3 , 10.0.0.9",
    "X-Real-Ip": " 192.0.2.4 ",
}


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        (ALL, "192.0.2.1"),
        ({**ALL, "X-Original-Forwarded-For": ""}, "192.0.2.3"),
        ({**ALL, "X-Original-Forwarded-For": "unknown", "X-Forwarded-For": "<script>"}, "192.0.2.4"),
        ({"X-Real-Ip": "2001:db8::1"}, "2001:db8::1"),
        ({"X-Real-Ip": "192.0.2.4:80"}, "10.0.0.1"),
        ({}, "10.0.0.1"),
    ],
)
def test_the_first_header_that_names_an_address(headers: dict[str, str], told: str) -> None:
    assert PROXIES.first_told("10.0.0.1", Headers(headers)) == told


@pytest.mark.parametrize("peer", ["192.0.2.9", "2001:db8::2", "unknown"])
def test_nobody_else_is_believed(peer: str) -> None:
    assert PROXIES.first_told(peer, Headers(ALL)) == peer
    assert TrustedProxies(()).first_told("10.0.0.1", Headers(ALL)) == "10.0.0.1"
