from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from graph.batch import Batch
from graph.importers.lightgcn import read_splits

Read = Callable[..., Batch]


def test_only_the_training_pairs_are_imported(read: Read) -> None:
    batch = read("lightgcn")
    assert batch.events.select("user_id", "song_id", "count", "at").rows() == [
        ("0", "0", 1, None),
        ("0", "1", 1, None),
        ("0", "2", 1, None),
        ("1", "2", 1, None),
    ]
    assert batch.nodes["Song"]["id"].to_list() == ["0", "1", "2"]
    assert batch.warnings == ["train.txt: 1 users have no item"]


def test_an_evaluation_gets_all_splits(example: Callable[[str], Path]) -> None:
    folder = example("lightgcn")
    assert {name: frame.rows() for name, frame in read_splits(folder).items() if name != "train"} == {
        "valid": [("0", "3")],
        "test": [("0", "4"), ("1", "0")],
    }
    (folder / "valid.txt").unlink()
    assert list(read_splits(folder)) == ["train", "test"]


@pytest.mark.data
def test_the_published_split_has_its_published_counts(read: Read, data: Callable[[str], Path]) -> None:
    folder = data("lastfm-lightgcnpp")
    assert {name: frame.height for name, frame in read_splits(folder).items()} == {
        "train": 64_315,
        "valid": 9_143,
        "test": 18_321,
    }
    batch = read("lightgcn", folder)
    assert (batch.nodes["User"].height, batch.nodes["Song"].height, batch.events.height) == (1_885, 13_973, 64_315)
