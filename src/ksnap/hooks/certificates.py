"""The certificates that the admission listener shows: an authority of the installation, and a leaf for each hook.

The API server trusts what `caBundle` of the webhook's configuration says and nothing else, and checks the host name of
the URL against the leaf's alternative names (RFC 6125). Keys are ECDSA on P-256.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ksnap.errors import InvalidInput

# The API server's clock may be behind ours.
BACKDATED = timedelta(hours=1)
AUTHORITY_LIFE = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key, both PEM."""

    certificate_pem: str
    key_pem: str = field(repr=False)
    not_before: datetime
    not_after: datetime

    def is_due(self, now: datetime) -> bool:
        """Whether two thirds of its life are over: time to renew."""
        begins = self.not_before + BACKDATED
        return now >= begins + (self.not_after - begins) * 2 / 3


def new_authority(now: datetime, life: timedelta = AUTHORITY_LIFE) -> Pair:
    """A new certificate authority, which signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ksnap admission")])
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        _builder(name, name, key.public_key(), now, life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def new_leaf(authority: Pair, hosts: Sequence[str], now: datetime, life: timedelta) -> Pair:
    """A server's certificate for these host names and addresses; it ends with its authority at the latest."""
    if not hosts:
        raise InvalidInput("A certificate without a host name")
    issuer = x509.load_pem_x509_certificate(authority.certificate_pem.encode())
    issuer_key = _private_key(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    alternatives = x509.SubjectAlternativeName([_alternative(host) for host in dict.fromkeys(hosts)])
    certificate = (
        _builder(name, issuer.subject, key.public_key(), now, min(life, authority.not_after - now))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(alternatives, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return _pair(certificate, key)


def covers(leaf: Pair, authority: Pair, hosts: Sequence[str]) -> bool:
    """Whether a leaf is this authority's and names all these hosts."""
    certificate = x509.load_pem_x509_certificate(leaf.certificate_pem.encode())
    issuer = x509.load_pem_x509_certificate(authority.certificate_pem.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return all(_alternative(host) in names for host in hosts)


def load_pair(certificate_pem: str, key_pem: str) -> Pair:
    """A stored pair again; InvalidInput if it is none."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    except ValueError as error:
        raise InvalidInput("A stored certificate cannot be read") from error
    return Pair(certificate_pem, key_pem, certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host.strip("[]")))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    return Pair(public.decode(), private.decode(), certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def _private_key(pair: Pair) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pair.key_pem.encode(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InvalidInput("The authority's key is of another kind")
    return key
