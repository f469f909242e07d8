from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from graph import schema
from graph.batch import Batch

Read = Callable[..., Batch]
HAS_TAG = schema.relationship("HAS_TAG", "Artist", "Tag")
FOLLOWS = schema.relationship("FOLLOWS", "User", "User")


def test_each_artist_is_a_song_performed_by_that_artist(read: Read) -> None:
    batch = read("lastfm")
    assert batch.nodes["Song"].rows() == [("1", 'MALICE "M" MIZER'), ("2", "Diary of Dreams"), ("3", None)]
    assert batch.nodes["Artist"]["id"].to_list() == ["1", "2", "3"]
    performed = batch.relationships[schema.relationship("PERFORMED_BY", "Song", "Artist")]
    assert performed.rows() == [("1", "1"), ("2", "2"), ("3", "3")]


def test_play_counts_are_one_event_each_without_a_time(read: Read) -> None:
    events = read("lastfm").events
    assert events.select("user_id", "action", "song_id", "count", "at").rows() == [
        ("7", "play", "1", 13883, None),
        ("7", "play", "2", 5, None),
        ("8", "play", "2", 1, None),
    ]
    assert read("lastfm", Path(__file__).with_name("examples") / "lastfm").clock == "data"


def test_tags_weigh_as_many_listeners_gave_them(read: Read) -> None:
    batch = read("lastfm")
    assert batch.relationships[HAS_TAG].rows() == [("1", "2", 2.0), ("3", "1", 1.0)]
    assert batch.relationships[schema.relationship("HAS_TAG", "Song", "Tag")].equals(batch.relationships[HAS_TAG])


def test_friends_follow_each_other(read: Read) -> None:
    follows = read("lastfm").relationships[FOLLOWS].sort("source", "target")
    assert follows.rows() == [("7", "8"), ("8", "7"), ("8", "9"), ("9", "8")]


def test_its_dirt_is_reported(read: Read) -> None:
    batch = read("lastfm")
    assert batch.nodes["Tag"].rows() == [("1", "español"), ("2", "metal")]
    assert batch.warnings == [
        "user_artists.dat: plays carry no time; they are ordered as in the file",
        "tags.dat: not UTF-8, read as latin-1",
        "user_taggedartists.dat: 1 tag dates are before 2002 (1956); dates are not kept",
        "user_taggedartists.dat: 1 tagged artists have no row in artists.dat; made without a name",
    ]


@pytest.mark.data
def test_the_published_set_has_its_published_counts(read: Read, data: Callable[[str], Path]) -> None:
    batch = read("lastfm", data("lastfm-2k"))
    counts = {label: frame.height for label, frame in batch.nodes.items()}
    assert counts == {"User": 1892, "Artist": 17632 + 390, "Song": 17632 + 390, "Tag": 11946}
    assert (batch.events.height, batch.relationships[FOLLOWS].height) == (92_834, 25_434)
    assert batch.relationships[HAS_TAG]["weight"].sum() == 186_479
    assert batch.rejects.is_empty()
    assert batch.events["user_id"].n_unique() == 1892
    assert any("390 tagged artists" in warning for warning in batch.warnings)
    assert any("1956" in warning for warning in batch.warnings)
    assert isinstance(batch.events, pl.DataFrame)
