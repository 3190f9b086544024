"""Sizes for people, ids, file names, percentages."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.checkpoints.human_size import human_size
from ksnap.checkpoints.names import archive_filename, checkpoint_path, new_id
from ksnap.checkpoints.progress import percent_of
from ksnap.checkpoints.transfer import Thinned
from ksnap.node.protocol import Stage

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "0B"), (0, "0B"), (999, "999B"), (1000, "1kB"), (1500, "1.5kB"), (150_000_000, "150MB"),
        (1_073_741_824, "1.1GB"), (999_600, "1MB"), (10**18, "1000PB"),
    ],
)  # fmt: skip
def test_sizes_are_decimal(size: int | None, text: str) -> None:
    assert human_size(size) == text


def test_ids_sort_by_age_and_fit_labels() -> None:
    older, newer = new_id(NOW, b"\xff" * 4), new_id(NOW + timedelta(milliseconds=1), b"\x00" * 4)
    assert older < newer
    assert len(older) == len(newer) == 20


def test_the_path_ends_in_the_file_name() -> None:
    name = archive_filename(
        pod="cart-0", namespace="shop", container="cart", at=NOW, checkpoint_id="0" * 12 + "abcdef01"
    )
    assert name == "checkpoint-cart-0_shop-cart-20260102t030405z-abcdef01.tar"
    assert checkpoint_path(cluster="prod", namespace="shop", pod="cart-0", filename=name).endswith("/" + name)


@given(st.sampled_from(Stage), st.integers(0, 1 << 50), st.integers(0, 1 << 50))
def test_percentages_stay_within_the_stage(stage: Stage, done: int, total: int) -> None:
    assert 0 <= percent_of(stage, done, total) < 100


def test_later_stages_begin_no_earlier() -> None:
    begins = [percent_of(stage, None, None) for stage in Stage]
    assert begins == sorted(begins)


def test_events_are_thinned_but_for_new_stages() -> None:
    thinned = Thinned(1.0)
    assert thinned.takes("dumping", NOW)
    assert not thinned.takes("dumping", NOW + timedelta(seconds=0.5))
    assert thinned.takes("pushing", NOW + timedelta(seconds=0.6))
    assert thinned.takes("pushing", NOW + timedelta(seconds=2))
