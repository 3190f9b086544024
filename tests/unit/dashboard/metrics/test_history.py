"""What a row of the store holds is what was read, and small."""

import pytest

from ksnap.dashboard.metrics.history import pack, unpack
from ksnap.model.usage import Reading


def test_a_reading_comes_back() -> None:
    reading = Reading({("default", "web-0"): (250, 1 << 40), ("a", "b"): (0, 0)}, {("", "node1"): (64_000, 1 << 43)})
    assert unpack(pack(reading)) == reading
    assert unpack(pack(Reading())) == Reading()


def test_ten_thousand_pods_take_little_room() -> None:
    pods = {(f"team-{n % 40}", f"web-{n % 40}-5d8f7c9b6d-{n:05}"): (n * 7 % 900, n * 4096) for n in range(10_000)}
    assert len(pack(Reading(pods))) < 150_000


@pytest.mark.parametrize("content", [b"", b"not zstd", pack(Reading())[:-3]])
def test_a_damaged_row_is_said_to_be_one(content: bytes) -> None:
    with pytest.raises(ValueError, match="not understood"):
        unpack(content)
