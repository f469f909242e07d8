from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from graph import schema
from graph.batch import Batch

Read = Callable[..., Batch]


def test_linked_entities_are_songs_and_the_others_entities(read: Read) -> None:
    batch = read("kg")
    assert batch.nodes["Song"]["id"].to_list() == ["52", "53"]
    assert batch.nodes["Entity"]["id"].to_list() == ["2", "3"]
    rows = {(r.source, r.target): frame.rows() for r, frame in batch.relationships.items()}
    assert rows == {
        ("Song", "Entity"): [("52", "2", "music.artist.origin"), ("53", "2", "music.artist.origin")],
        ("Song", "Song"): [("52", "53", "influenced")],
        ("Entity", "Entity"): [("2", "3", "contained_by")],
    }


def test_a_line_that_is_no_triple_is_a_bad_row(read: Read, example: Callable[[str], Path]) -> None:
    folder = example("kg")
    (folder / "kg.txt").write_text("0\tr\t2\n0\t2\n")
    assert read("kg", folder).rejects.rows() == [("kg.txt", 2, "target: required", "52,,2")]


@pytest.mark.data
def test_the_published_set_has_its_published_counts(read: Read, data: Callable[[str], Path]) -> None:
    batch = read("kg", data("kgcn-music"))
    assert sum(frame.height for frame in batch.relationships.values()) == 15_518
    assert (batch.nodes["Song"].height, batch.nodes["Entity"].height) == (3_846, 9_366 - 3_846)
    assert len({name for f in batch.relationships.values() for name in f["relation"]}) == 60
    assert {r.type for r in batch.relationships} == {schema.relationship("RELATED", "Song", "Song").type}
