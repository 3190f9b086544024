"""The name under which a browser keeps a download. Pure.

Follows RFC 6266 (Content-Disposition), RFC 8187 (`filename*`, UTF-8) and 6266's appendix D: a plain `filename` for old
readers first. Names come from clusters and users, so nothing of them may lead out of a folder or hide a file's kind.
"""

import re
from urllib.parse import quote

# A slash, a colon or the like would be a path to some system; control and direction marks would show another name.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]')
# What quoted-string and every browser take as it is.
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 !#$&+.^_`~(){}\[\],;=@'-]")
_ATTR_CHARS = "!#$&+-.^_`|~"
NAME_LIMIT = 200
"""Characters; file systems take 255 bytes."""


def safe_name(name: str) -> str:
    """A file name that is one everywhere."""
    cleaned = _UNSAFE.sub("_", name).strip(" .")
    if len(cleaned) > NAME_LIMIT:
        stem, dot, extension = cleaned.rpartition(".")
        keep = dot + extension if stem and len(extension) <= 10 else ""
        cleaned = cleaned[: NAME_LIMIT - len(keep)].rstrip(" .") + keep
    return cleaned or "download"


def content_disposition(name: str) -> str:
    """The header's value for a download called so."""
    name = safe_name(name)
    plain = _NOT_PLAIN.sub("_", name)
    value = f'attachment; filename="{plain}"'
    return value if plain == name else f"{value}; filename*=UTF-8''{quote(name, safe=_ATTR_CHARS)}"
