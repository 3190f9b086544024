"""The agent's serving certificate, made anew at each start, signed by itself and never written to the node's disk.

Why that is enough: the server comes through the API server's pod proxy, and that proxy does not verify a pod's
certificate, whoever signed it (pkg/registry/core/pod/strategy.go, ResourceLocation: InsecureSkipVerify). TLS here
keeps credentials and process memory unreadable on the pod network; who the caller is tells its token (`authority.py`).
The key passes through a file on a memory-backed folder, as Python's ssl takes keys from files alone. It is made by a
process of its own (`python -m ksnap.agent.certificate`), since the library for that stays in memory for ever: 7 MB.
"""

import asyncio
import ssl
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ksnap.errors import KsnapError

# Longer than any agent runs without a restart; nobody verifies it (see above).
_LIFE = timedelta(days=3650)
_DEADLINE_S = 60.0


async def serving_context(node_name: str) -> ssl.SSLContext:
    """A TLS context with a key that exists in this process alone."""
    with tempfile.TemporaryDirectory(prefix="ksnap-") as folder:
        path = Path(folder) / "serving.pem"
        maker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ksnap.agent.certificate", node_name, str(path)
        )
        try:
            async with asyncio.timeout(_DEADLINE_S):
                code = await maker.wait()
        except TimeoutError:
            maker.kill()
            code = await maker.wait()
        if code != 0:
            raise KsnapError("The agent could not make its certificate", details=f"exit code {code}")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(path)
    return context


def write_certificate(node_name: str, path: Path, *, now: datetime) -> None:
    """A new key and its certificate as one PEM file."""
    from cryptography import x509  # noqa: PLC0415 # in the child process alone
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"ksnap-agent-{node_name}"[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A node's clock may be behind.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LIFE)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.touch(mode=0o600)
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))


if __name__ == "__main__":
    write_certificate(sys.argv[1], Path(sys.argv[2]), now=datetime.now(UTC))
