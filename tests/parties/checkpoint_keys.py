"""A checkpoint key for tests that need a whole one, and a key that signs."""

from ksnap.model.checkpoint_key import CheckpointKey
from ksnap.oci.signing_keys import SigningKey, new_signing_key, parse_signing_key
from ksnap.registry.signatures import LocalSigner, Signing

KEY = CheckpointKey(
    cluster="prod",
    namespace="shop",
    owner="Deployment/web",
    app="web",
    container="app",
    image="registry.example/web:1",
    image_digest="sha256:" + "1" * 64,
    template_hash="6d4b75cb6d",
    environment_hash="0123456789abcdef",
)


def new_key() -> SigningKey:
    return parse_signing_key(new_signing_key())


def signing_by(key: SigningKey) -> Signing:
    """What an agent does with the key that came with a request."""
    return Signing(LocalSigner(key), KEY.annotations())
