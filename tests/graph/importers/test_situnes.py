from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from graph import schema
from graph.batch import Batch

Read = Callable[..., Batch]


def test_plays_have_rating_time_duration_and_scene(read: Read) -> None:
    events = read("situnes").events
    assert events.select("user_id", "song_id", "at", "rating", "played_ms", "scene").rows() == [
        ("1", "132", 1_625_022_948_000, 4.0, 96_590, "lab"),
        ("2", "132", 1_625_023_059_000, 2.0, 10_000, "lab"),
        ("1", "529", 1_625_103_746_000, 1.0, None, "morning"),
        ("1", "132", 1_625_121_151_000, 3.0, 205_000, "evening"),
    ]
    assert events["latitude"].null_count() == 4  # re-scaled positions are no coordinates


def test_songs_have_title_artist_genre_and_duration(read: Read) -> None:
    batch = read("situnes")
    assert batch.nodes["Song"].select("id", "duration_ms", "title").rows() == [
        ("132", 184_480, "Never Stops"),
        ("529", 801_893, None),
    ]
    assert batch.nodes["Genre"].rows() == [("1", "rock"), ("2", "jazz")]
    performed = batch.relationships[schema.relationship("PERFORMED_BY", "Song", "Artist")]
    assert performed.rows() == [("132", "Deerhunter")]


def test_a_row_with_a_bad_time_loses_only_that(read: Read, example: Callable[[str], Path]) -> None:
    folder = example("situnes")
    file = folder / "Stage1" / "interactions.csv"
    file.write_text(file.read_text().replace("1625023059", "noon"))
    batch = read("situnes", folder)
    assert batch.lost.select("file", "line", "reason").rows() == [
        ("Stage1/interactions.csv", 3, "at: expected a time, got 'noon'")
    ]
    assert batch.rejects.is_empty()


@pytest.mark.data
def test_the_published_set_has_its_published_counts(read: Read, data: Callable[[str], Path]) -> None:
    batch = read("situnes", data("situnes"))
    assert (batch.nodes["User"].height, batch.nodes["Song"].height, batch.events.height) == (30, 946, 600 + 897)
    assert batch.rejects.is_empty()
