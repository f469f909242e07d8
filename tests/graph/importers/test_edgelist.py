from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import io, sparse

from graph import schema
from graph.batch import Batch
from graph.errors import InvalidInput
from graph.importers.edgelist import read_edges, read_labels

Read = Callable[..., Batch]
RELATED = schema.relationship("RELATED", "Entity", "Entity")


def test_edges_become_related_entities(read: Read) -> None:
    batch = read("edgelist")
    assert batch.relationships[RELATED].rows() == [("a", "b", "edge"), ("b", "c", "edge"), ("c", "a", "knows")]
    assert batch.nodes["Entity"]["id"].to_list() == ["a", "b", "c"]
    assert read(
        "edgelist", Path(__file__).with_name("examples") / "edgelist" / "edges.txt", relation="x"
    ).relationships[RELATED]["relation"].to_list() == ["x", "x", "knows"]


def test_training_gets_the_weights(example: Callable[[str], Path]) -> None:
    assert read_edges(example("edgelist")).rows() == [
        ("a", "b", 1.0, None),
        ("b", "c", 2.5, None),
        ("c", "a", 1.0, "knows"),
    ]


@pytest.mark.parametrize(
    "text", ["a,b,2,knows\n", "source,target\na,b,2,knows\n", "a\tb\t2\tknows", "% c\n a   b 2  knows \r\n\r\n"]
)
def test_every_separator_is_understood(tmp_path: Path, text: str) -> None:
    (tmp_path / "e").write_text(text)
    assert read_edges(tmp_path / "e").rows() == [("a", "b", 2.0, "knows")]


def test_a_third_word_is_the_relation(tmp_path: Path) -> None:
    (tmp_path / "e").write_text("a b knows\n")
    assert read_edges(tmp_path / "e").rows() == [("a", "b", 1.0, "knows")]


def test_bad_lines_are_named(read: Read, tmp_path: Path) -> None:
    (tmp_path / "e").write_text("a b\na\na b -1\na b nan r\na b 1 r x\n")
    assert read("edgelist", tmp_path / "e").rejects.select("line", "reason").rows() == [
        (2, "expected 2 to 4 fields, got 1"),
        (3, "expected a weight of at least 0, got '-1'"),
        (4, "expected a weight of at least 0, got 'nan'"),
        (5, "expected 2 to 4 fields, got 5"),
    ]
    with pytest.raises(InvalidInput, match="e line 2: expected 2 to 4 fields, got 1"):
        read_edges(tmp_path / "e")


def test_a_symmetric_matrix_comes_in_once_with_its_labels(read: Read, tmp_path: Path) -> None:
    network = np.array([[0, 1, 0], [1, 0, 2], [0, 2, 0]])
    io.savemat(tmp_path / "n.mat", {"network": sparse.csc_matrix(network), "group": np.array([[1, 0], [1, 1], [0, 0]])})
    batch = read("edgelist", tmp_path / "n.mat")
    rows = batch.relationships[RELATED].rows()
    assert rows[:2] == [("0", "1", "edge"), ("1", "2", "edge")]
    assert rows[2:] == [("0", "group:0", "group"), ("1", "group:0", "group"), ("1", "group:1", "group")]
    assert len(read_edges(tmp_path / "n.mat")) == 2
    assert len(read_edges(tmp_path / "n.mat", both_ways=True)) == 4
    labels = read_labels(tmp_path / "n.mat")
    assert labels is not None
    assert labels.rows() == [("0", "0"), ("1", "0"), ("1", "1")]


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({"graph": np.eye(2)}, "expected a matrix `network`, got graph"),
        ({"network": np.ones((2, 3))}, "expected a square `network`, got 2 by 3"),
        ({"network": np.eye(2), "group": np.ones((3, 1))}, "expected 2 rows of `group`, got 3"),
        ({"network": np.array([[0, np.nan], [1, 0]])}, "expected weights of at least 0"),
        ({"network": "text"}, "expected matrices of numbers"),
    ],
)
def test_a_matrix_file_that_is_not_as_it_should_be_is_told(
    read: Read, tmp_path: Path, held: dict[str, object], expected: str
) -> None:
    io.savemat(tmp_path / "n.mat", held)
    with pytest.raises(InvalidInput) as caught:
        read("edgelist", tmp_path / "n.mat")
    assert expected in str(caught.value)


@pytest.mark.data
def test_the_published_graphs_have_their_published_counts(read: Read, data: Callable[[str], Path]) -> None:
    file = data("blogcatalog") / "blogcatalog.mat"
    batch = read("edgelist", file)
    assert batch.nodes["Entity"].height == 10_312 + 39
    assert (batch.relationships[RELATED]["relation"] == "edge").sum() == 333_983
    friends = read("edgelist", data("deezer-ro") / "RO_edges.csv")
    assert (friends.nodes["Entity"].height, friends.relationships[RELATED].height) == (41_773, 125_826)
