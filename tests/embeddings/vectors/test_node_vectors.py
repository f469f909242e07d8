from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors

from embeddings.vectors.node_vectors import NodeVectors, replacing
from graph.errors import InvalidInput

FOUND = NodeVectors(
    ["a", "b", "c"], np.arange(6, dtype=np.float32).reshape(3, 2), np.array([1, 3, 2]), 2, 3, 6, 0.1, 0.2
)


def test_what_is_written_is_read_by_gensim_most_frequent_first(tmp_path: Path) -> None:
    FOUND.save(tmp_path / "v.kv")
    read = KeyedVectors.load(str(tmp_path / "v.kv"))
    assert read.index_to_key == ["b", "c", "a"]
    assert read["c"].tolist() == [4, 5]
    assert read.get_vecattr("b", "count") == 3
    assert [p.name for p in tmp_path.iterdir()] == ["v.kv"]


def test_large_vectors_are_one_file_too(tmp_path: Path) -> None:
    ids = [str(i) for i in range(30_000)]
    many = NodeVectors(ids, np.ones((30_000, 100), dtype=np.float32), np.ones(30_000, dtype=int), 1, 1, 1, 0, 0)
    many.save(tmp_path / "v.kv")
    assert [p.name for p in tmp_path.iterdir()] == ["v.kv"]
    assert len(KeyedVectors.load(str(tmp_path / "v.kv"))) == 30_000


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_the_old_file_alone(tmp_path: Path, failure: type[BaseException]) -> None:
    (tmp_path / "v.kv").write_text("old")

    def stopped() -> None:
        with replacing(tmp_path / "v.kv") as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(failure):
        stopped()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("v.kv", "old")]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "no" / "v.kv", r"cannot be written \(No such file"), (tmp_path, "got a folder")):
        with pytest.raises(InvalidInput, match=reason):
            FOUND.save(path)
