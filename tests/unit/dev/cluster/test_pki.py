"""Certificates fit what they are for, survive a second run, and are made again when they must say something else."""

import stat
from pathlib import Path

from cryptography import x509

from dev.cluster.pki import Authority, make_signing_key


def _names(file: Path) -> set[str]:
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def test_a_certificate_is_signed_by_the_authority_and_names_its_server(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("node", common_name="system:node:n", organization="system:nodes", names=["10.0.0.1", "n"])

    certificate = x509.load_pem_x509_certificate((tmp_path / "node.crt").read_bytes())
    certificate.verify_directly_issued_by(authority.certificate)
    assert certificate.subject.rfc4514_string() == "CN=system:node:n,O=system:nodes"
    assert _names(tmp_path / "node.crt") == {"10.0.0.1", "n"}


def test_a_second_run_keeps_what_fits(tmp_path: Path) -> None:
    for _ in range(2):
        Authority(tmp_path).issue("server", common_name="s", names=["10.0.0.1"])
        make_signing_key(tmp_path)
        now = [(tmp_path / name).read_bytes() for name in ("ca.crt", "server.crt", "sa.pub")]
        before = locals().get("before", now)

    assert now == before


def test_a_certificate_is_made_again_for_other_names_or_another_authority(tmp_path: Path) -> None:
    Authority(tmp_path).issue("server", common_name="s", names=["10.0.0.1"])
    Authority(tmp_path).issue("server", common_name="s", names=["10.0.0.2"])
    assert _names(tmp_path / "server.crt") == {"10.0.0.2"}

    (tmp_path / "ca.key").unlink()
    renewed = Authority(tmp_path)
    renewed.issue("server", common_name="s", names=["10.0.0.2"])
    certificate = x509.load_pem_x509_certificate((tmp_path / "server.crt").read_bytes())
    certificate.verify_directly_issued_by(renewed.certificate)


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    Authority(tmp_path).issue("client", common_name="c")
    make_signing_key(tmp_path)

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("*.key")}
    assert set(modes) == {"ca.key", "client.key", "sa.key"}
    assert set(modes.values()) == {0o600}
