"""Settings: lists, URLs, pairs; environment variables by their names."""

from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from ksnap.errors import InvalidInput
from ksnap.settings import ServerSettings


def test_defaults_are_safe() -> None:
    settings = ServerSettings()
    assert settings.host == "127.0.0.1"
    assert settings.allowed_origins == settings.trusted_proxies == ()
    assert not settings.metrics_public
    assert (settings.rate_limit_user, settings.rate_limit_address, settings.rate_limit_agent) == (1000, 100, 600)
    assert (settings.lockout_failures, settings.lockout_s, settings.token_life_s) == (5, 900, 3600)


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSNAP_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1,2001:db8::/32")
    monkeypatch.setenv("KSNAP_ALLOWED_ORIGINS", "https://a.example,https://b.example")
    settings = ServerSettings()
    assert settings.trusted_proxies == tuple(map(ip_network, ("10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32")))
    assert settings.allowed_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("given", "resolved"),
    [
        ("", "sqlite+aiosqlite:///data/ksnap.db"),
        ("sqlite:////x/y.db", "sqlite+aiosqlite:////x/y.db"),
        ("postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
    ],
)
def test_a_database_url_gets_its_driver(given: str, resolved: str) -> None:
    settings = ServerSettings.model_validate({"data_dir": "data", "database_url": given})
    assert settings.resolved_database_url == resolved


def test_blobs_are_in_the_data_folder_unless_told_otherwise(tmp_path: Path) -> None:
    assert ServerSettings(data_dir=tmp_path).resolved_blob_store_url == (tmp_path / "blobs").as_uri()
    assert ServerSettings(blob_store_url="s3://b/p").resolved_blob_store_url == "s3://b/p"


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(ValidationError, match="go together"):
        ServerSettings(tls_cert_file=Path("x"))


def test_the_first_password_comes_from_the_setting_or_the_files_first_line(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from the file\nsecond line\n")
    from_file = ServerSettings(admin_password_file=file).first_password()
    assert from_file is not None
    assert from_file.get_secret_value() == "from the file"
    both = ServerSettings.model_validate({"admin_password": "given", "admin_password_file": file}).first_password()
    assert both is not None
    assert both.get_secret_value() == "given"
    assert ServerSettings().first_password() is None
    with pytest.raises(InvalidInput):
        ServerSettings(admin_password_file=tmp_path / "absent").first_password()


def test_secrets_are_not_shown() -> None:
    secrets = {"admin_password": "4711", "database_url": "postgresql://u:4711@h/d", "encryption_key": "4711"}
    assert "4711" not in repr(ServerSettings.model_validate(secrets))
