"""A key goes into annotations and comes out the same, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.errors import InvalidInput
from ksnap.model.checkpoint_key import CheckpointKey, key_of_annotations

KEY = CheckpointKey("c", "ns", "Deployment/web", "web", "app", "r/web:1", "sha256:" + "1" * 64, "t", "e")


@given(st.lists(st.text(), min_size=9, max_size=9))
def test_a_key_comes_back(parts: list[str]) -> None:
    key = CheckpointKey(*parts)
    assert key_of_annotations(key.annotations() | {"ksnap.dev/checkpoint-id": "c1"}) == key


@pytest.mark.parametrize("name", list(KEY.annotations()))
def test_a_missing_part_is_named_and_an_altered_one_noticed(name: str) -> None:
    whole = KEY.annotations()
    with pytest.raises(InvalidInput) as caught:
        key_of_annotations({each: value for each, value in whole.items() if each != name})
    assert name in caught.value.details
    with pytest.raises(InvalidInput, match="Not a checkpoint key"):
        key_of_annotations(whole | {name: "x"})
