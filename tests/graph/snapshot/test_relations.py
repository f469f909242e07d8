import numpy as np
import pytest

from graph.snapshot.relations import Relation

# 3 sources, 5 targets; source 1 has no edge
RELATION = Relation.of_edges(
    "LIKES:User:Song",
    np.array([2, 0, 2, 0]),
    np.array([4, 3, 0, 1]),
    {"weight": np.array([3.0, np.nan, 1.0, 2.0]), "at": np.array([4, 3, 2, 1])},
    3,
    5,
)


def test_edges_are_sorted_by_source_and_target_with_their_properties() -> None:
    assert RELATION.edge_sources.tolist() == [0, 0, 2, 2]
    assert RELATION.indices.tolist() == [1, 3, 0, 4]
    assert RELATION.properties["at"].tolist() == [1, 3, 2, 4]
    assert (len(RELATION), RELATION.sources, RELATION.targets) == (4, 3, 5)


def test_forwards_and_backwards_say_the_same() -> None:
    assert [RELATION.of(i).tolist() for i in range(3)] == [[1, 3], [], [0, 4]]
    assert [RELATION.into(j).tolist() for j in range(5)] == [[2], [0], [], [0], [2]]
    assert RELATION.edges_into(4).tolist() == [3]
    assert RELATION.edges_of(2) == slice(2, 4)


@pytest.mark.parametrize(("key", "name"), [("LIKES:User:Song", "LIKES"), ("RELATED:a:b:Song:Entity", "RELATED:a:b")])
def test_the_name_is_what_users_write(key: str, name: str) -> None:
    none = np.empty(0, dtype=np.int64)
    relation = Relation.of_edges(key, none, none, {}, 1, 1)
    assert relation.name == name
    assert relation.of(0).tolist() == relation.into(0).tolist() == []


def test_unknown_weights_are_1() -> None:
    assert RELATION.weights().tolist() == [2, 1, 1, 3]
    assert RELATION.matrix().toarray().tolist() == [[0, 2, 0, 1, 0], [0] * 5, [1, 0, 0, 0, 3]]


def test_shares_of_a_source_sum_to_1() -> None:
    shares = RELATION.shares.toarray()
    assert shares[0] == pytest.approx([0, 2 / 3, 0, 1 / 3, 0])
    assert shares.sum(axis=1) == pytest.approx([1, 0, 1])


def test_it_survives_being_stored_with_its_reverse() -> None:
    loaded = Relation.from_arrays(RELATION.key, RELATION.arrays("r"), "r")
    assert loaded.into(3).tolist() == [0]
    assert loaded.properties["weight"].tolist()[0] == 2
    assert (loaded.source, loaded.target, loaded.targets) == ("User", "Song", 5)
    for part in ("reverse_indptr", "reverse_indices", "reverse_edges"):
        assert getattr(loaded, part).tolist() == getattr(RELATION, part).tolist()
