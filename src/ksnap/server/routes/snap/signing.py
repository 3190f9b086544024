"""`/config/signing/*`: what whoever verifies checkpoint images needs."""

from typing import Literal

from fastapi import APIRouter

from ksnap.server.access import Viewer
from ksnap.server.documented import responses
from ksnap.server.messages import Reply
from ksnap.server.services import InServices

router = APIRouter(prefix="/config/signing", tags=["signing"])


class PublicKey(Reply):
    success: Literal[True] = True
    public_key: str
    """PEM: what `cosign verify --key` takes."""
    key_id: str
    """sha256 of the key in DER, in hex."""


@router.get("/public-key", summary="The key that verifies checkpoint images", responses=responses())
async def public_key(who: Viewer, services: InServices) -> PublicKey:
    key = services.signing_key.public_key
    return PublicKey(public_key=key.pem, key_id=key.key_id)
