from pathlib import Path

import pytest
from segue_test_worlds import World, built

from recall.channels.item_knn import ItemKnn, ItemKnnConfig

S4 = 3 * 2 ** (-7 / 21)  # what Ben's full play and like of s4 a week ago say


def test_common_listeners_weighed_by_what_is_loved(lopsided: World) -> None:
    # s4 {ben, cy} and s2 {ana, cy}: 1 / (sqrt 2 sqrt 2 + shrink 10)
    answer = lopsided.answer(ItemKnn(lopsided.release), "ben", heard=True)
    assert answer == pytest.approx({"s2": S4 / 12}, abs=1e-5)


def test_without_shrinking_it_is_the_cosine(lopsided: World, tmp_path: Path) -> None:
    release = built(tmp_path, lopsided.snapshot, lopsided.vectors, ["item_knn"], {"item_knn": {"shrink": 0.0}})
    answer = World(release, lopsided.vectors).answer(ItemKnn(release), "ben", heard=True)
    assert answer == pytest.approx({"s2": S4 / 2}, abs=1e-5)


def test_asks_only_the_most_loved_songs(lopsided: World) -> None:
    # only s4 is asked, and s3 {ben} is its neighbour: 1 / (sqrt 2 + 10)
    answer = lopsided.answer(ItemKnn(lopsided.release, ItemKnnConfig(loves=1)), "ben")
    assert answer == pytest.approx({"s3": S4 / (2**0.5 + 10), "s2": S4 / 12}, abs=1e-5)
