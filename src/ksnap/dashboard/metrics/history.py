"""The hour of looks in the store: one row a minute and cluster, packed.

Servers that share a database share their looks: who finds the minute's row takes it instead of asking the cluster. A
server that starts, or whose last reader had gone, finds the hour there.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import zstandard
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from ksnap.dashboard.metrics.window import SPAN_S
from ksnap.model.usage import Amounts, Name, Reading
from ksnap.store.database import Database
from ksnap.store.tables import UsageLook

# Names repeat their beginnings: the fastest level makes a fifth of them already.
_LEVEL = 1
# What a row may unpack to: a hundred times ten thousand pods.
_UNPACKED_LIMIT = 256 << 20


class _Packed(msgspec.Struct, array_like=True, gc=False):
    """Names in their order (`namespace/name`), and the amounts as words of 64 bits, little-endian as all machines that
    we run on have them."""

    names: list[str]
    cpu: bytes
    memory: bytes


class _Row(msgspec.Struct, array_like=True, gc=False):
    pods: _Packed
    nodes: _Packed


@dataclass(frozen=True, slots=True)
class History:
    """The looks of all clusters."""

    database: Database

    async def since(self, cluster: str, at: int) -> list[tuple[int, bytes]]:
        """The looks after a moment, packed, the oldest first."""
        query = (
            select(UsageLook.at, UsageLook.content)
            .where(UsageLook.cluster_name == cluster, UsageLook.at > at)
            .order_by(UsageLook.at)
        )
        async with self.database.reading() as session:
            return [(moment, content) for moment, content in await session.execute(query)]

    async def add(self, cluster: str, at: int, content: bytes) -> None:
        """Keep a look, and forget what is older than an hour, of any cluster."""
        try:
            async with self.database.writing() as session:
                await session.execute(delete(UsageLook).where(UsageLook.at <= at - SPAN_S))
                session.add(UsageLook(cluster_name=cluster, at=at, content=content))
        except IntegrityError:
            return  # another server was faster, or the cluster was removed meanwhile


def pack(reading: Reading) -> bytes:
    """A reading as a row holds it. Some ten milliseconds for ten thousand pods: for a thread."""
    row = _Row(_packed(reading.pods), _packed(reading.nodes))
    return zstandard.ZstdCompressor(level=_LEVEL).compress(msgspec.msgpack.encode(row))


def unpack(content: bytes) -> Reading:
    """The reading again. ValueError for what is none."""
    try:
        plain = zstandard.ZstdDecompressor().decompress(content, max_output_size=_UNPACKED_LIMIT)
        row = msgspec.msgpack.decode(plain, type=_Row)
    except (zstandard.ZstdError, msgspec.DecodeError) as error:
        raise ValueError(f"a kept look is not understood: {error}") from error
    return Reading(_amounts(row.pods), _amounts(row.nodes))


def _packed(amounts: Mapping[Name, Amounts]) -> _Packed:
    cpu = array("Q", [each[0] for each in amounts.values()])
    memory = array("Q", [each[1] for each in amounts.values()])
    return _Packed(["/".join(name) for name in amounts], cpu.tobytes(), memory.tobytes())


def _amounts(packed: _Packed) -> dict[Name, Amounts]:
    cpu, memory = array("Q", packed.cpu), array("Q", packed.memory)
    found: dict[Name, Amounts] = {}
    for text, *amounts in zip(packed.names, cpu, memory, strict=True):
        namespace, _, name = text.partition("/")
        found[namespace, name] = (amounts[0], amounts[1])
    return found
