import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.snapshot import ids as module
from graph.snapshot.ids import Ids, Strings, encode

SORTED = ["", "01", "1", "10", "Z", "a", "é", "ș", "\U0001f3b5"]


def test_texts_come_back_and_unknown_ones_are_empty() -> None:
    texts = Strings.of(["ș", None, "", "\U0001f3b5a"])
    assert texts.to_list() == ["ș", "", "", "\U0001f3b5a"] == [texts[i] for i in range(len(texts))]


def test_every_id_is_found_where_it_stands() -> None:
    ids = Ids.sorted_from(SORTED)
    assert [ids.index(i) for i in SORTED] == list(range(len(SORTED)))


@pytest.mark.parametrize("unknown", ["001", "1 ", "A", "e\u0301", "s", "\ud800"])
def test_ids_are_compared_byte_for_byte(unknown: str) -> None:
    assert Ids.sorted_from(SORTED).index(unknown) == -1


def test_unknown_ids_are_left_out_of_indices() -> None:
    assert Ids.sorted_from(["a", "b", "c"]).indices(["c", "x", "a"]).tolist() == [2, 0]


def test_ids_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_hash", len)
    ids = Ids.sorted_from(["a", "aa", "ab", "b"])
    assert [ids.index(i) for i in ("a", "aa", "ab", "b", "c", "abc")] == [0, 1, 2, 3, -1, -1]


def test_they_survive_being_stored() -> None:
    ids = Ids.sorted_from(SORTED)
    assert Ids.from_arrays(ids.arrays("x"), "x").index("ș") == 7


def test_encode_gives_positions_and_minus_1_for_the_unknown() -> None:
    found = encode(pl.Series(["b", "1", None, "b"]), pl.Series(["01", "b"]))
    assert found.tolist() == [1, -1, -1, 1]
    assert found.dtype == np.int32


@given(st.sets(st.text(st.characters(exclude_categories=("Cs",)), max_size=8), max_size=30))
def test_polars_sorts_ids_by_their_bytes(texts: set[str]) -> None:
    assert pl.Series(list(texts), dtype=pl.String).sort().to_list() == sorted(texts, key=str.encode)
