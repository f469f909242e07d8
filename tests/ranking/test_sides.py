"""Side sources joined to a split: what they add, and what they must not tell."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from graph import schema
from graph.batch import Batch
from graph.errors import InvalidInput
from ranking.sides import join_side, read_map

HAS_TAG = schema.relationship("HAS_TAG", "Song", "Tag")
FOLLOWS = schema.relationship("FOLLOWS", "User", "User")


def _write(folder: Path, name: str, *lines: str) -> None:
    (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@pytest.fixture
def side(tmp_path: Path) -> Path:
    """Listeners 10, 11, 12 and 13 of Last.fm are u0 to u3 of the split, artists 70 and 71 its items i0 and i1."""
    _write(tmp_path, "artists.dat", "id\tname\turl\tpictureURL", "70\tA\t\t", "71\tB\t\t")
    plays = ("10\t70\t5", "11\t70\t6", "12\t70\t7", "13\t70\t8", "10\t71\t9")
    _write(tmp_path, "user_artists.dat", "userID\tartistID\tweight", *plays)
    _write(tmp_path, "tags.dat", "tagID\ttagValue", "1\trock", "2\tsecret", "3\tmellow", "4\tstrange")
    tags = (
        "10\t70\t1\t1\t4\t2009",
        "13\t70\t2\t1\t4\t2009",
        "10\t71\t1\t1\t4\t2009",
        "10\t70\t3\t1\t4\t2009",
        "99\t70\t4\t1\t4\t2009",
    )
    _write(tmp_path, "user_taggedartists.dat", "userID\tartistID\ttagID\tday\tmonth\tyear", *tags)
    _write(tmp_path, "user_friends.dat", "userID\tfriendID", "10\t11", "11\t10", "10\t99")
    _write(tmp_path, "user_map_x.tsv", "own\tother", "u0\t10", "u1\t11", "u2\t12", "u3\t13")
    _write(tmp_path, "item_map_x.tsv", "own\tother", "i0\t70", "i1\t71")
    return tmp_path


@pytest.fixture
def joined(side: Path) -> Batch:
    """Training: u0, u1 and u2 know i0, u0 knows i1; held out: that u3 knows i0."""
    batch = Batch("lightgcn")
    rows = [("u0", "i0", "train"), ("u1", "i0", "train"), ("u2", "i0", "train"), ("u0", "i1", "train")]
    rows.append(("u3", "i0", "test"))
    events = pl.DataFrame(rows, schema=["user_id", "song_id", "split"], orient="row")
    batch.events = events.with_columns(action=pl.lit("play"), count=pl.lit(1, dtype=pl.Int64))
    training = pl.col("split") == "train"
    join_side(batch, batch.events.filter(training), batch.events.filter(~training), f"lastfm:{side}", side)
    return batch


def test_training_pairs_take_the_play_counts_of_the_side_source(joined: Batch) -> None:
    assert joined.events["count"].to_list() == [5, 6, 7, 9, 1]


def test_a_tag_that_only_a_held_out_listener_gave_is_not_joined(joined: Batch) -> None:
    assert "2" not in joined.relationships[HAS_TAG]["target"].to_list()


def test_tags_of_all_other_pairs_are_joined_but_none_of_people_who_are_not_in_the_map(joined: Batch) -> None:
    assert joined.relationships[HAS_TAG]["target"].to_list() == ["1", "3"]


def test_an_item_with_fewer_than_three_training_listeners_gets_no_attribute(joined: Batch) -> None:
    assert set(joined.relationships[HAS_TAG]["source"].to_list()) == {"i0"}


def test_friends_are_joined_under_the_names_of_the_split_and_strangers_left_out(joined: Batch) -> None:
    pairs = joined.relationships[FOLLOWS].select("source", "target").rows()
    assert sorted(pairs) == [("u0", "u1"), ("u1", "u0")]


def test_a_side_source_adds_no_listener_and_no_item(joined: Batch) -> None:
    assert "User" not in joined.nodes
    assert "Song" not in joined.nodes


def test_a_missing_map_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="user_map"):
        read_map(tmp_path, "user")
