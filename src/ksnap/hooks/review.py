"""AdmissionReview v1, as far as a mutating webhook for pods needs it (admission.k8s.io/v1). Pure."""

from base64 import b64encode
from typing import Any

import msgspec

from ksnap.errors import InvalidInput

Json = dict[str, Any]
Operation = dict[str, Any]
"""One operation of RFC 6902."""


class Request(msgspec.Struct, rename="camel"):
    """What the API server asks. `object` is the pod as it is going to be made; its name may come later."""

    uid: str
    operation: str = ""
    namespace: str = ""
    sub_resource: str = ""
    dry_run: bool = False
    object: Json | None = None


class Review(msgspec.Struct, rename="camel"):
    request: Request
    api_version: str = "admission.k8s.io/v1"


_decoder = msgspec.json.Decoder(Review)
_encoder = msgspec.json.Encoder()


def parse_review(body: bytes) -> Request:
    """The request of a review; InvalidInput for anything else."""
    try:
        review = _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput("Not an AdmissionReview", details=str(error)[:300]) from error
    if review.api_version != "admission.k8s.io/v1":
        raise InvalidInput("An AdmissionReview of another version", details=review.api_version[:100])
    return review.request


def answer(uid: str, patch: list[Operation]) -> bytes:
    """The pod is allowed, whatever else; with a patch if there is anything to change."""
    response: Json = {"uid": uid, "allowed": True}
    if patch:
        response |= {"patchType": "JSONPatch", "patch": b64encode(_encoder.encode(patch)).decode()}
    return _encoder.encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})


def pointer(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def set_members(path: str, present: Json | None, wanted: dict[str, str]) -> list[Operation]:
    """Operations that put members into a map of the pod, which may not be there yet; what is so already stays.

    `add` throughout: `replace` of what is absent is an error by RFC 6902.
    """
    missing = {name: text for name, text in wanted.items() if (present or {}).get(name) != text}
    if not missing:
        return []
    if present is None:
        return [{"op": "add", "path": path, "value": missing}]
    return [{"op": "add", "path": path + pointer(name), "value": text} for name, text in sorted(missing.items())]
