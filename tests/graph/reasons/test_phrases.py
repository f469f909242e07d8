"""Words are found whole, in any case."""

import pytest

from graph.reasons.phrases import NEVER_CITED, mentions


@pytest.mark.parametrize(
    ("name", "cited"),
    [
        ("songs to feel happy to", False),
        ("LASTFM elitist repellent", False),
        ("Seen-Live", False),
        ("live", True),
        ("lovely", True),
        ("love metal", False),
        ("progressive rock", True),
    ],
)
def test_words_are_found_whole_and_in_any_case(name: str, cited: bool) -> None:
    assert mentions(name, NEVER_CITED) is not cited


def test_an_empty_phrase_forbids_nothing() -> None:
    assert not mentions("rock", ["", "!"])
