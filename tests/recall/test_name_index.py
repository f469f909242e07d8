import pytest
from segue_test_worlds import World

from recall.name_index import NameIndex, fit

NAMES = ["The Beatles", "Beatles", "Let It Be", "AC/DC", "", "Ștefan Bănică", "Let it let it"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("beatles", {0: 1 / 2, 1: 1.0}),
        ("THE BEATLES", {0: 1.0, 1: 1 / 2}),
        ("beatles let it be", {1: 1 / 4, 2: 3 / 4, 6: 2 / 4}),  # "The" is not in it
        ("it it", {2: 1 / 3, 6: 1 / 2}),
        ("ac-dc!", {3: 1.0}),
        ("ștefan", {5: 1 / 2}),
        ("beat", {}),
        ("beatles now", {1: 1 / 2}),
        (" /!", {}),
    ],
)
def test_a_search_means_names_by_whole_words_of_either(text: str, found: dict[int, float]) -> None:
    names, fits = NameIndex(NAMES).find(text)
    assert dict(zip(names.tolist(), fits.tolist(), strict=True)) == pytest.approx(found)
    assert [fit(text, name) for name in NAMES] == pytest.approx([found.get(i, 0.0) for i in range(len(NAMES))])


def test_a_node_without_a_name_goes_by_its_id(lopsided: World) -> None:
    assert NameIndex.of(lopsided.snapshot, "Song").find("s5")[0].tolist() == [4]
    assert NameIndex.of(lopsided.snapshot, "Genre").find("Folk")[0].tolist() == [0]
    assert NameIndex.of(lopsided.snapshot, "Song") is NameIndex.of(lopsided.snapshot, "Song")


def test_without_names_nothing_is_found() -> None:
    assert NameIndex([]).find("x")[0].tolist() == []
