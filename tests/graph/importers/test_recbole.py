from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from graph import schema
from graph.batch import Batch
from graph.errors import InvalidInput
from graph.importers.recbole import read_splits

Read = Callable[..., Batch]


def related(batch: Batch, source: str, target: str) -> list[tuple[str, str, str]]:
    return batch.relationships[schema.relationship("RELATED", source, target)].rows()


def test_interactions_are_what_their_ratings_say(read: Read) -> None:
    events = read("recbole").events
    assert events.select("user_id", "song_id", "action", "rating", "at").rows() == [
        ("1", "10", "like", 5.0, 881_250_949_000),
        ("1", "11", "dislike", 2.5, 881_250_950_000),
        ("2", "10", "dislike", 1.0, 891_717_742_000),
    ]


def test_items_bring_titles_and_genres(read: Read) -> None:
    batch = read("recbole")
    assert batch.nodes["Song"].rows() == [("10", "Toy Story"), ("11", "GoldenEye"), ("12", "Unseen")]
    genres = batch.relationships[schema.relationship("HAS_GENRE", "Song", "Genre")]
    assert genres.rows() == [("10", "Animation"), ("10", "Comedy"), ("11", "Action")]
    assert batch.nodes["Genre"]["name"].to_list() == ["Action", "Animation", "Comedy"]


def test_users_bring_gender_and_net_brings_follows(read: Read) -> None:
    batch = read("recbole")
    assert batch.nodes["User"].rows() == [("1", "M"), ("2", "F")]
    assert batch.relationships[schema.relationship("FOLLOWS", "User", "User")].rows() == [("1", "2")]


def test_a_linked_entity_is_the_song_itself(read: Read) -> None:
    batch = read("recbole")
    assert related(batch, "Song", "Song") == [("10", "11", "film.sequel")]
    assert related(batch, "Entity", "Song") == [("m.c", "10", "film.actor")]
    assert related(batch, "Song", "Entity") == [("11", "m.d", "film.country")]
    assert related(batch, "Entity", "Entity") == [("m.c", "m.d", "born")]
    assert batch.nodes["Entity"]["id"].to_list() == ["m.c", "m.d"]


def test_fields_without_a_place_are_warned_of(read: Read) -> None:
    assert read("recbole").warnings == [
        "tiny.inter: at: read as seconds",
        "tiny.inter: ratings are taken to be 1 to 5: 2 below 3 are dislikes, 1 from 4 on likes",
        "tiny.item: fields with no place in the graph are left out: release_year",
        "tiny.user: fields with no place in the graph are left out: age",
    ]


def test_milliseconds_weights_and_artists_are_understood(read: Read, tmp_path: Path) -> None:
    (tmp_path / "x.inter").write_text(
        "user_id:token\tartist_id:token\tweight:float\ttimestamp:float\nu\ta\t7\t1600000000000\n"
    )
    (tmp_path / "x.item").write_text("item_id:token\tartist:token\ta:float_seq\na\tNina Simone\t1 2\n")
    batch = read("recbole", tmp_path)
    assert batch.events.select("song_id", "count", "at").rows() == [("a", 7, 1_600_000_000_000)]
    assert batch.relationships[schema.relationship("PERFORMED_BY", "Song", "Artist")].rows() == [("a", "Nina Simone")]


def test_of_a_split_only_the_training_part_is_imported(read: Read, tmp_path: Path) -> None:
    for part, item in (("train", "a"), ("valid", "b"), ("test", "c")):
        (tmp_path / f"x.{part}.inter").write_text(f"user_id:token\titem_id:token\nu\t{item}\n")
    assert read("recbole", tmp_path).nodes["Song"]["id"].to_list() == ["a"]
    assert {part: frame["item_id"][0] for part, frame in read_splits(tmp_path).items()} == {
        "train": "a",
        "valid": "b",
        "test": "c",
    }


def test_a_bad_rating_or_time_is_lost_and_its_row_is_kept(read: Read, tmp_path: Path) -> None:
    rows = ["u\ta\tgood\t880000000", "u\tb\t1\tsoon", "u\tc\t1\t880000001"]
    (tmp_path / "x.inter").write_text("user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + "\n".join(rows))
    batch = read("recbole", tmp_path)
    assert batch.events["song_id"].to_list() == ["a", "b", "c"]
    assert batch.events["at"].to_list() == [880000000000, None, 880000001000]
    assert batch.lost.select("line", "field", "value", "reason").rows() == [
        (2, "rating", "good", "rating: expected a number, got 'good'"),
        (3, "at", "soon", "at: expected a time, got 'soon'"),
    ]
    assert batch.rejects.is_empty()


def test_a_header_without_types_is_refused(read: Read, tmp_path: Path) -> None:
    (tmp_path / "x.inter").write_text("user_id\titem_id\nu\ta\n")
    with pytest.raises(InvalidInput, match=r"x\.inter: expected a header of name:type .*, got 'user_id'"):
        read("recbole", tmp_path)


def test_two_data_sets_in_a_folder_are_told_apart_by_name(read: Read, tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / f"{name}.inter").write_text(f"user_id:token\titem_id:token\nu\t{name}\n")
    with pytest.raises(InvalidInput, match=r"expected one \.inter file, got x\.inter, y\.inter"):
        read("recbole", tmp_path)
    assert read("recbole", tmp_path / "y").events["song_id"].to_list() == ["y"]


@pytest.mark.data
def test_the_published_set_has_its_published_counts(read: Read, data: Callable[[str], Path]) -> None:
    batch = read("recbole", data("ml-100k"))
    assert (batch.events.height, batch.nodes["User"].height, batch.nodes["Song"].height) == (100_000, 943, 1_682)
    assert sum(f.height for r, f in batch.relationships.items() if r.type == "RELATED") == 91_631
    assert batch.rejects.is_empty()
