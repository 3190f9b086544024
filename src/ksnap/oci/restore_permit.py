"""Signed permits: the server's word that one very pod may be restored from one image, for a short while (ADR 13).

A compact JWS (RFC 7519, ES256) by the installation's signing key, whose public half the nodes know. It travels as an
annotation of the pod, so that no node has to be told beforehand, and is of no use to any other pod. Its type says what
it is (RFC 8725, section 3.11); what the same key signs otherwise, cosign's payloads, has another form altogether.

PyJWT is imported where it is needed, as `cryptography` is (`signing_keys`): from an event loop call this in a thread.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ksnap.errors import InvalidInput, NotPermitted
from ksnap.model.digest import parse_digest
from ksnap.oci.signing_keys import SigningKey, VerifyingKey

AUDIENCE = "ksnap-node"
TYPE = "ksnap-permit+jwt"
LIFETIME_S = 900.0
"""How long a server's permits hold: a pod may have to wait for its node, an image for its pull."""
LONGEST_S = 3600.0
"""A permit for longer is refused, whoever signed it."""
MAX_BYTES = 4096
# A node's clock and a server's agree to within this, or nothing else of a cluster works.
_LEEWAY_S = 60.0
_ALGORITHM = "ES256"
_JTI = re.compile(r"^[0-9a-f]{32}$")


@dataclass(frozen=True, slots=True)
class RestorePermit:
    """Which container may be restored from which image."""

    cluster: str
    namespace: str
    pod: str
    container: str
    digest: str
    """The image index's."""
    uid: str = ""
    """Of the pod, where it was known when the permit was issued; a pod that is still to be created has none."""


def issue_permit(key: SigningKey, permit: RestorePermit, *, now: float, lifetime_s: float = LIFETIME_S) -> str:
    """The signed text. `now` is the wall clock in seconds."""
    import jwt  # noqa: PLC0415 # see above

    parse_digest(permit.digest)
    if not 0 < lifetime_s <= LONGEST_S:
        raise InvalidInput("A permit is for a short while", details=f"{lifetime_s:g} s, at most {LONGEST_S:g} s")
    claims = {
        **{name: value for name, value in asdict(permit).items() if value},
        "aud": AUDIENCE,
        "iat": int(now),
        "exp": int(now + lifetime_s),
        "jti": secrets.token_hex(16),
    }
    headers = {"typ": TYPE, "kid": key.public_key.key_id}
    return jwt.encode(claims, key.pem.get_secret_value(), algorithm=_ALGORITHM, headers=headers)


def check_permit(text: str, trusted: Sequence[VerifyingKey], wanted: RestorePermit) -> str:
    """The permit's id, if a trusted key permits just what is wanted, now; else NotPermitted, which says why not.

    `wanted` is what a node sees: its own cluster, and the pod with its uid.
    """
    content = _content(text, trusted)
    claims = content["payload"]
    if str(content["header"].get("typ", "")).lower() != TYPE:
        raise _refused("it is a signed text of another type")
    match claims["iat"], claims["exp"], claims["jti"]:
        case int(issued), int(ends), str(permit_id) if _JTI.match(permit_id):
            pass
        case _:
            raise _refused("its times or its id are none")
    if not 0 < ends - issued <= LONGEST_S:
        raise _refused(f"it was issued for {ends - issued} s, and {LONGEST_S:g} s are the most")
    for name, value in asdict(_named(claims)).items():
        # An empty uid names no pod in particular; nothing else may be left out.
        if value != getattr(wanted, name) and (name != "uid" or value):
            raise _refused(f"it is for another {name}")
    return permit_id


def _content(text: str, trusted: Sequence[VerifyingKey]) -> Mapping[str, Any]:
    """Header and claims, once one of the keys has vouched for them and the time is right."""
    import jwt  # noqa: PLC0415 # see above

    if len(text) > MAX_BYTES:
        raise _refused(f"it has more than {MAX_BYTES} characters")
    for key in trusted:
        try:
            return jwt.decode_complete(
                text,
                key.pem,
                algorithms=[_ALGORITHM],
                audience=AUDIENCE,
                leeway=_LEEWAY_S,
                options={"require": ["aud", "iat", "exp", "jti"], "strict_aud": True},
            )
        except jwt.InvalidSignatureError:
            continue
        except jwt.ExpiredSignatureError:
            raise _refused("it is over") from None
        except (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
            # Beside its own errors those of the JSON that it reads before it knows whose it is.
            raise _refused(f"it is not valid ({type(error).__name__})") from None
    raise _refused("no trusted key signed it")


def _named(claims: Mapping[str, Any]) -> RestorePermit:
    match claims:
        case {
            "cluster": str(cluster),
            "namespace": str(namespace),
            "pod": str(pod),
            "container": str(container),
            "digest": str(digest),
        } if isinstance(claims.get("uid", ""), str):
            return RestorePermit(cluster, namespace, pod, container, digest, claims.get("uid", ""))
        case _:
            raise _refused("it does not say for whom it is")


def _refused(why: str) -> NotPermitted:
    return NotPermitted("The pod's permit does not hold", details=why, hint="Have the server restore it anew")
