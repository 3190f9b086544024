"""A token service for a registry that wants Bearer tokens, as Harbor, GHCR or Docker Hub have one.

Follows distribution's docs/spec/auth/{token,jwt}.md. The registry that checks its tokens is the real one:

    settings = token_settings(certificate, realm)
    async with token_service(certificate, service="test") as service: ...
"""

import base64
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import jwt
from aiohttp import hdrs, web
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.parties.certificates import ServerCertificate

ISSUER = "ksnap test"
SERVICE = "registry under test"


@dataclass(slots=True)
class TokenService:
    """What was asked, and how long tokens live."""

    url: str = ""
    lifetime_s: int = 300
    scopes: list[list[str]] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)


def token_settings(certificate: ServerCertificate, realm: str) -> Mapping[str, str]:
    """The registry's side of it, for `start_registry(password=False, settings=...)`."""
    return {
        "REGISTRY_AUTH": "token",
        "REGISTRY_AUTH_TOKEN_REALM": realm,
        "REGISTRY_AUTH_TOKEN_SERVICE": SERVICE,
        "REGISTRY_AUTH_TOKEN_ISSUER": ISSUER,
        "REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE": str(certificate.ca),
    }


@asynccontextmanager
async def token_service(certificate: ServerCertificate, *, username: str, password: str) -> AsyncIterator[TokenService]:
    """Serve tokens to one account over TLS; everybody else gets 401."""
    state = TokenService()
    key, chain = _signer(certificate.key, certificate.certificate)

    async def answer(request: web.Request) -> web.Response:
        given = request.headers.get(hdrs.AUTHORIZATION, "")
        expected = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        if given != expected:
            return web.json_response({"details": "unauthorized"}, status=401)
        scopes = request.query.getall("scope", [])
        state.scopes.append(scopes)
        state.accounts.append(request.query.get("account", ""))
        token = _token(key, chain, username, scopes, state.lifetime_s)
        return web.json_response({"token": token, "expires_in": state.lifetime_s})

    application = web.Application()
    application.router.add_get("/token", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=certificate.server_context()).start()
        state.url = f"https://127.0.0.1:{runner.addresses[0][1]}/token"
        yield state
    finally:
        await runner.cleanup()


def _signer(key: Path, certificate: Path) -> tuple[bytes, list[str]]:
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    return key.read_bytes(), [base64.b64encode(loaded.public_bytes(serialization.Encoding.DER)).decode()]


def _token(key: bytes, chain: list[str], subject: str, scopes: list[str], lifetime_s: int) -> str:
    now = int(time.time())
    access = []
    for scope in scopes:
        kind, name, actions = scope.split(":")
        access.append({"type": kind, "name": name, "actions": actions.split(",")})
    claims = {
        "iss": ISSUER, "sub": subject, "aud": SERVICE, "iat": now, "nbf": now - 5, "exp": now + lifetime_s,
        "jti": str(now), "access": access,
    }  # fmt: skip
    return jwt.encode(claims, key, algorithm="ES256", headers={"x5c": chain})
