from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import io

from embeddings.skipgram.edges import Edges
from graph.errors import InvalidInput


@pytest.fixture
def music(tmp_path: Path) -> Edges:
    text = "user:2 song:1 2 heard\nuser:1 song:1 3 heard\nuser:1 user:2\nsong:1 rock 1 genre\nsong:1 rock 2 genre\n"
    (tmp_path / "e").write_text(text)
    return Edges.read(tmp_path / "e")


def test_nodes_are_numbered_by_id(music: Edges) -> None:
    assert music.ids == ["rock", "song:1", "user:1", "user:2"]
    assert music.source.tolist() == [3, 2, 2, 1, 1]
    assert music.target.tolist() == [1, 1, 3, 0, 0]
    assert music.names == ("genre", "heard")
    assert music.relation.tolist() == [1, 1, -1, 0, 0]


def test_gamma_is_a_factor_of_the_weights_of_its_relation(music: Edges) -> None:
    assert music.weighed({"heard": 10, "genre": 0}).tolist() == [20, 30, 1, 0, 0]
    graph = music.graph({"heard": 10, "genre": 0})
    assert graph.edges == 3
    assert graph.weights.tolist() == [30, 20, 30, 1, 20, 1]


def test_gamma_has_to_fit(music: Edges) -> None:
    with pytest.raises(InvalidInput, match=r"unknown relation 'x' \(known: genre, heard\)"):
        music.graph({"x": 1})
    with pytest.raises(ValueError, match="gamma of heard must be 0 or more"):
        music.graph({"heard": -1})


def test_gamma_that_leaves_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "e").write_text("a b 1 r\n")
    with pytest.raises(InvalidInput, match="gamma leaves no edge to walk on"):
        Edges.read(tmp_path / "e").graph({"r": 0})


def test_side_relations_add_parallel_edges_and_lead_one_way(music: Edges, tmp_path: Path) -> None:
    assert music.base_graph(None).edges == 1
    assert set(music.side(None)) == {"genre", "heard"}
    assert set(music.side("heard")) == {"genre"}
    (tmp_path / "e").write_text("song rock 1 genre\nsong pop 1 genre\nsong rock 2 genre\n")
    genre = Edges.read(tmp_path / "e").side(None)["genre"]
    assert (genre.name, genre.of(2).tolist(), genre.weights().tolist(), genre.of(1).tolist()) == (
        *("genre", [0, 1], [1, 3], []),
    )


def test_a_base_without_edges_is_told(tmp_path: Path) -> None:
    (tmp_path / "e").write_text("a b 1 r\n")
    with pytest.raises(InvalidInput, match=r"no edge without a relation to walk on \(relations .*: r\)"):
        Edges.read(tmp_path / "e").base_graph(None)


def test_types_stand_before_the_colon(music: Edges) -> None:
    assert {name: nodes.tolist() for name, nodes in music.types.items()} == {"song": [1], "user": [2, 3]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b 0\n", "expected at least one edge with a weight above 0, got none"),
        ("source target\n", "expected at least one edge with a weight above 0, got none"),
        ("", "the file is empty"),
        ("a b\na b c d e\n", "e line 2: expected 2 to 4 fields, got 5"),
    ],
)
def test_a_file_without_usable_edges_is_told(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "e").write_text(text)
    with pytest.raises(InvalidInput, match=expected):
        Edges.read(tmp_path / "e")


def test_a_symmetric_matrix_reads_the_same_as_a_directed_graph(tmp_path: Path) -> None:
    io.savemat(tmp_path / "n.mat", {"network": np.array([[0, 1, 0], [1, 0, 2], [0, 2, 0]])})
    one, other = (Edges.read(tmp_path / "n.mat", directed=d) for d in (False, True))
    assert (len(one), len(other)) == (2, 4)
    for a, b in zip((one.graph().indices, one.graph().weights), (other.graph().indices, other.graph().weights)):  # noqa: B905
        np.testing.assert_array_equal(a, b)
