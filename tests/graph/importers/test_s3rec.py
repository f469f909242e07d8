from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from graph import schema
from graph.batch import Batch
from graph.errors import InvalidInput

Read = Callable[..., Batch]
HAS_TAG = schema.relationship("HAS_TAG", "Song", "Tag")


def test_sequences_keep_their_order_and_have_no_time(read: Read) -> None:
    events = read("s3rec").events
    assert events.select("user_id", "song_id", "at").rows() == [
        ("1", "5", None),
        ("1", "6", None),
        ("1", "5", None),
        ("2", "6", None),
    ]


def test_attributes_are_tags_weighted_by_how_often_they_stand_there(read: Read) -> None:
    batch = read("s3rec")
    assert batch.relationships[HAS_TAG].rows() == [("5", "1", 2.0), ("5", "2", 1.0), ("6", "2", 1.0)]
    assert batch.nodes["Tag"]["id"].to_list() == ["1", "2"]


def test_the_name_without_its_ending_is_enough(read: Read, example: Callable[[str], Path]) -> None:
    assert read("s3rec", example("s3rec") / "Mini").events.height == 4


def test_attributes_that_are_no_list_are_bad_rows(read: Read, example: Callable[[str], Path]) -> None:
    folder = example("s3rec")
    (folder / "Mini_item2attributes.json").write_text('{"5": 1, "6": [null], "7": [3]}')
    batch = read("s3rec", folder)
    assert batch.rejects["row"].to_list() == ["5: 1", "6: [None]"]
    assert batch.relationships[HAS_TAG].rows() == [("7", "3", 1.0)]


def test_a_folder_of_two_sets_asks_which(read: Read, example: Callable[[str], Path]) -> None:
    folder = example("s3rec")
    (folder / "Other.txt").write_text("1 2\n")
    with pytest.raises(InvalidInput, match=r"expected one \.txt file .*, got Mini\.txt, Other\.txt"):
        read("s3rec", folder)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "users", "songs", "events"),
    [("LastFM", 1_090, 3_646, 52_551), ("Sports_and_Outdoors", 35_598, 18_357, 296_337)],
)
def test_the_published_sets_have_their_published_counts(
    read: Read, data: Callable[[str], Path], name: str, users: int, songs: int, events: int
) -> None:
    batch = read("s3rec", data("s3rec") / name)
    assert (batch.nodes["User"].height, batch.nodes["Song"].height, batch.events.height) == (users, songs, events)
