"""Our lines in runc.conf come and go; nobody else's change."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ksnap.agent.criu_options import (
    BEGIN,
    END,
    FILE_NAME,
    apply_options,
    merged,
    options_of,
    read_options,
    take_back_options,
    without_ours,
)

WANTED = ["tcp-close", "skip-in-flight"]
LINES = st.lists(
    st.sampled_from(["tcp-close", "# a remark", "", "link-remap", "ghost-limit 10M", "skip-in-flight # x"])
)


def test_options_are_added_between_marks() -> None:
    assert merged("link-remap\n", WANTED) == f"link-remap\n{BEGIN}\ntcp-close\nskip-in-flight\n{END}\n"


def test_option_that_somebody_else_set_is_not_repeated() -> None:
    assert merged("tcp-close\n", WANTED) == f"tcp-close\n{BEGIN}\nskip-in-flight\n{END}\n"


def test_nothing_is_written_where_all_is_set_already() -> None:
    text = "tcp-close\nskip-in-flight\n"

    assert merged(text, WANTED) == text


@given(LINES)
def test_taking_back_gives_the_file_as_it_was(lines: list[str]) -> None:
    text = "".join(line + "\n" for line in lines)

    assert without_ours(merged(text, WANTED)) == text


@given(LINES)
def test_all_wanted_options_are_in_force_and_merging_twice_is_merging_once(lines: list[str]) -> None:
    text = "".join(line + "\n" for line in lines)
    once = merged(text, WANTED)

    assert set(WANTED) <= set(options_of(once))
    assert merged(once, WANTED) == once


def test_options_are_read_without_dashes_values_and_remarks() -> None:
    assert options_of("--tcp-close\n# no\nghost-limit 1M\n\n") == ["tcp-close", "ghost-limit"]


def test_file_appears_and_goes_with_our_lines(tmp_path: Path) -> None:
    assert apply_options(tmp_path, WANTED)
    assert not apply_options(tmp_path, WANTED)
    assert read_options(tmp_path) == WANTED

    assert take_back_options(tmp_path)
    assert not take_back_options(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_file_of_somebody_else_stays(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("link-remap\n")
    apply_options(tmp_path, WANTED)
    take_back_options(tmp_path)

    assert (tmp_path / FILE_NAME).read_text() == "link-remap\n"
