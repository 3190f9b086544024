"""Certificates that an API server's TLS would take: verified by OpenSSL, in a handshake."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ksnap.errors import InvalidInput
from ksnap.hooks.certificates import Pair, covers, load_pair, new_authority, new_leaf

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


def handshake(authority: Pair, leaf: Pair, host: str, folder: Path) -> None:
    """A whole handshake in memory; SSLError if the client does not trust what it sees."""
    path = folder / "leaf.pem"
    path.write_text(leaf.certificate_pem + leaf.key_pem)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(path)
    asking = ssl.create_default_context(cadata=authority.certificate_pem)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(to_client, to_server, server_hostname=host)
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(6):
        for each in (client, server):
            try:
                each.do_handshake()
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize("host", ["hook.example", "10.1.2.3", "snaphook.snap.svc"])
def test_a_leaf_is_trusted_for_its_hosts(host: str, tmp_path: Path) -> None:
    authority = new_authority(NOW)
    leaf = new_leaf(authority, ["hook.example", "10.1.2.3", "snaphook.snap.svc"], NOW, DAY)
    handshake(authority, leaf, host, tmp_path)


def test_and_for_no_other(tmp_path: Path) -> None:
    authority = new_authority(NOW)
    leaf = new_leaf(authority, ["hook.example"], NOW, DAY)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(authority, leaf, "other.example", tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(new_authority(NOW), leaf, "hook.example", tmp_path)


def test_what_a_leaf_covers() -> None:
    authority = new_authority(NOW)
    leaf = new_leaf(authority, ["hook.example", "10.1.2.3"], NOW, DAY)
    assert covers(leaf, authority, ["10.1.2.3"])
    assert not covers(leaf, authority, ["10.1.2.4"])
    assert not covers(leaf, new_authority(NOW), ["hook.example"])


def test_it_is_due_after_two_thirds_of_its_life() -> None:
    leaf = new_leaf(new_authority(NOW), ["h"], NOW, 3 * DAY)
    assert not leaf.is_due(NOW + 2 * DAY - timedelta(minutes=1))
    assert leaf.is_due(NOW + 2 * DAY)


def test_a_leaf_ends_with_its_authority() -> None:
    authority = new_authority(NOW, life=DAY)
    assert new_leaf(authority, ["h"], NOW, 9 * DAY).not_after == authority.not_after


def test_a_pair_comes_back_and_shows_no_key() -> None:
    pair = new_authority(NOW)
    assert load_pair(pair.certificate_pem, pair.key_pem) == pair
    assert "PRIVATE" not in repr(pair)
    with pytest.raises(InvalidInput):
        load_pair("nothing", "nothing")
