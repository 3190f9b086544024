"""Checkpoint archives as containerd writes them, made to measure: for tests, and for benchmarks of any size.

The header blocks are written here by hand, since tests need headers that no tar library would write.
"""

import itertools
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = 512
END = bytes(2 * BLOCK)
IMAGE = "registry.test/snap/webapp:1"
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """One member; any field may lie."""

    name: str
    data: bytes = b""
    kind: str = "0"
    size: int | None = None
    """What the header says, if not the data's length."""
    pax: Mapping[str, str] = field(default_factory=dict)
    link: str = ""
    long_name: str = ""

    def encode(self) -> bytes:
        size = len(self.data) if self.size is None else self.size
        before = b""
        if self.pax:
            records = b"".join(pax_record(name, value) for name, value in self.pax.items())
            before += header("PaxHeaders.0/x", len(records), "x") + padded(records)
        if self.long_name:
            text = self.long_name.encode() + b"\0"
            before += header("././@LongLink", len(text), "L", gnu=True) + padded(text)
        return before + header(self.name, size, self.kind, link=self.link, gnu=bool(self.long_name)) + padded(self.data)


def header(name: str, size: int, kind: str = "0", *, link: str = "", gnu: bool = False) -> bytes:
    """One ustar (or GNU) header block with a right checksum."""
    fields = [
        name.encode()[:100].ljust(100, b"\0"),
        b"0000600\0" if kind != "5" else b"0000700\0",
        b"0000000\0",
        b"0000000\0",
        f"{size:011o}\0".encode() if size < 8**11 else b"\x80" + size.to_bytes(11),
        b"14000000000\0",
        b" " * 8,
        kind.encode(),
        link.encode()[:100].ljust(100, b"\0"),
        b"ustar  \0" if gnu else b"ustar\x0000",
    ]
    block = b"".join(fields).ljust(BLOCK, b"\0")
    return block[:148] + f"{sum(block):06o}\0 ".encode() + block[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def pax_record(name: str, value: str) -> bytes:
    text = b" " + name.encode() + b"=" + value.encode() + b"\n"
    length = len(text)
    while len(str(length)) + len(text) != length:
        length = len(str(length)) + len(text)
    return str(length).encode() + text


def documents(
    *, container: str = "webapp", pod: str = "webapp-6d5c9c8b7d-x2x4p", namespace: str = "demo"
) -> list[Member]:
    """The small members of containerd 2.1."""
    config = {
        "id": "0a" * 32,
        "name": f"{container}_{pod}_{namespace}_0",
        "rootfsImage": IMAGE,
        "rootfsImageRef": f"registry.test/snap/webapp@sha256:{'1' * 64}",
        "rootfsImageName": IMAGE,
        "runtime": "io.containerd.runc.v2",
        "createdTime": "2026-11-22T09:00:00Z",
        "checkpointedTime": "2026-11-22T09:30:00.5Z",
        "restoredTime": "0001-01-01T00:00:00Z",
        "restored": False,
    }
    spec = {
        "ociVersion": "1.2.1",
        "annotations": {
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.container-name": container,
            "io.kubernetes.cri.sandbox-name": pod,
            "io.kubernetes.cri.sandbox-namespace": namespace,
        },
    }
    status = {"CreatedAt": 1, "StartedAt": 2, "FinishedAt": 0, "ExitCode": 0, "Pid": 42, "Reason": "", "Message": ""}
    return [
        Member("config.dump", json.dumps(config).encode()),
        Member("container.log", b"2026-11-22T09:00:00Z stdout F hello\n" * 40),
        Member("dump.log", b"(00.000000) Version: 4.2.1 (gitid 0)\n(00.000001) Running on node Linux\n"),
        Member("rootfs-diff.tar", bytes(1024)),
        Member("spec.dump", json.dumps(spec).encode()),
        Member("stats-dump", b"\x53\x10\x57\x54" + bytes(60)),
        Member("status", json.dumps(status).encode()),
        Member("status.dump", json.dumps({"id": "0a" * 32}).encode()),
    ]


def criu_images() -> list[Member]:
    """CRIU's images, less the pages."""
    names = ("core-1", "fdinfo-2", "files", "fs-1", "ids-1", "inventory", "mm-1", "pagemap-1", "pstree", "seccomp")
    images = [Member(f"checkpoint/{name}.img", name.encode() * 30) for name in names]
    return [Member("checkpoint/", kind="5"), Member("checkpoint/descriptors.json", b'["/dev/null"]'), *images]


def small_archive(*, pages: bytes = b"p" * 5000, container: str = "webapp") -> bytes:
    """A whole valid archive in memory."""
    members = [*criu_images(), Member("checkpoint/pages-1.img", pages), *documents(container=container)]
    return b"".join(member.encode() for member in members) + END


def large_archive(size: int, *, seed: int = 1) -> bytes:
    """Pages that do not compress, so that its layer is about as large."""
    return b"".join(archive_chunks(size, seed=seed, incompressible=1.0))


def archive_chunks(pages_bytes: int, *, seed: int = 1, incompressible: float = 0.5) -> Iterator[bytes]:
    """A valid archive with pages of any size: one part of them random, the other like text; the same for one seed."""
    for member in criu_images():
        yield member.encode()
    yield header("checkpoint/pages-1.img", pages_bytes)
    noise, text = _pages(random.Random(seed), fresh=pages_bytes <= 1 << 30)
    left, owed = pages_bytes, 0.0
    while left > 0:
        owed += incompressible
        source = noise if owed >= 1 else text
        owed -= owed >= 1
        piece = next(source)[:left]
        yield piece
        left -= len(piece)
    yield bytes(-pages_bytes % BLOCK)
    for member in documents():
        yield member.encode()
    yield END


def _pages(source: random.Random, *, fresh: bool) -> tuple[Iterator[bytes], Iterator[bytes]]:
    """Pieces without and with structure. Where not all are fresh they come again after 16 MiB, too far for zstd -3."""
    words = [source.randbytes(6).hex() for _ in range(500)]
    noise = (source.randbytes(_PIECE) for _ in itertools.count())
    text = (_text(words, source) for _ in itertools.count())
    if fresh:
        return noise, text
    return itertools.cycle(list(itertools.islice(noise, 16))), itertools.cycle(list(itertools.islice(text, 16)))


def write_archive(path: Path, pages_bytes: int, *, seed: int = 1, incompressible: float = 0.5) -> None:
    with path.open("wb") as file:
        for chunk in archive_chunks(pages_bytes, seed=seed, incompressible=incompressible):
            file.write(chunk)


def _text(words: list[str], source: random.Random) -> bytes:
    """Compresses about as a heap full of small strings does."""
    paragraph = " ".join(source.choices(words, k=4000)).encode()
    lines = [paragraph[at : at + 200] for at in source.choices(range(len(paragraph) - 200), k=_PIECE // 200 + 1)]
    return b"".join(lines)[:_PIECE]
