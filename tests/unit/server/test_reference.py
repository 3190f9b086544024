"""The committed reference pages are what the code says; each setting and each error explains itself."""

from pathlib import Path

import pytest

from ksnap.errors import KsnapError
from ksnap.server.documented import EXAMPLES
from ksnap.server.reference import DOCUMENTS, document
from ksnap.settings import ServerSettings

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_page_is_current(name: str) -> None:
    assert (REFERENCE / name).read_text() == document(name), "run: make docs"


@pytest.mark.parametrize("name", list(ServerSettings.model_fields))
def test_a_setting_says_what_it_means(name: str) -> None:
    description = ServerSettings.model_fields[name].description or ""
    assert len(description) > 20
    assert description.endswith(".")


def test_every_error_has_an_example() -> None:
    def below(kind: type[KsnapError]) -> list[type[KsnapError]]:
        return [each for child in kind.__subclasses__() for each in (child, *below(child))]

    tree = {each for each in (KsnapError, *below(KsnapError)) if each.__module__ == "ksnap.errors"}
    assert tree <= set(EXAMPLES)
