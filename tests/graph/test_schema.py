import pytest

from graph import schema
from graph.errors import InvalidInput


@pytest.mark.parametrize("good", ["1", "01", "ș", "a b", "x" * 256, "\U0001f3b5" * 64, "a.b:c", "'\"`"])
def test_ids_that_are_good(good: str) -> None:
    assert schema.problem_of_id(good) is None


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (None, "got NoneType"),
        (7, "got int"),
        ("", "empty"),
        ("x" * 257, "got 257"),
        ("\U0001f3b5" * 65, "got 260"),
        ("a/b", "'/'"),
        ("a\nb", "control"),
        ("a\x00", "control"),
        ("a\x7f", "control"),
        ("a\x85", "control"),
        ("\ud800", "surrogate"),
    ],
)
def test_ids_that_are_bad_and_why(bad: object, why: str) -> None:
    assert why in str(schema.problem_of_id(bad))


def test_every_relationship_joins_labels_of_the_schema_once() -> None:
    labels = {label.name for label in schema.LABELS}
    keys = [rel.key for rel in schema.RELATIONSHIPS]
    assert all({rel.source, rel.target} <= labels for rel in schema.RELATIONSHIPS)
    assert len(set(keys)) == len(keys)


def test_derived_is_what_the_event_log_and_the_vectors_give() -> None:
    derived = {rel.key for rel in schema.RELATIONSHIPS if rel.derived}
    assert derived == {
        *(f"{kind}:User:Song" for kind in ("LISTENED", "COLLECTED", "LIKED", "DISLIKED", "SHARED", "BLOCKED")),
        *(f"BLOCKED:User:{label}" for label in ("Artist", "Tag", "Genre")),
        "SIMILAR_TO:Song:Song",
    }


def test_one_playback_is_one_of_three_actions() -> None:
    assert set(schema.PLAYBACK_ACTIONS) == {"play", "full_play", "skip"} < schema.SONG_ACTIONS < set(schema.ACTIONS)
    assert set(schema.ACTIONS) - schema.SONG_ACTIONS == {"search", "follow", "unfollow"}


def test_an_action_keeps_the_place_that_releases_of_before_know_it_by() -> None:
    places = {"play": 0, "block": 7, "unfollow": 14, "dislike": 15, "undislike": 16}
    assert {action: schema.ACTIONS.index(action) for action in places} == places


def test_the_import_tables_are_those_of_the_contract() -> None:
    tables = {rel.table for rel in schema.RELATIONSHIPS if rel.table}
    assert tables == {
        *("song_artist", "song_album", "song_genre", "song_tag", "artist_genre", "artist_tag", "artist_similar"),
        *("cover_of", "uploads", "playlist_song", "user_playlist", "follows", "artist_follows", "user_place"),
    }


def test_look_ups_name_what_is_unknown() -> None:
    assert schema.label("Song").property("tier").kind == "integer"
    assert schema.relationship("HAS_TAG", "Artist", "Tag").key == "HAS_TAG:Artist:Tag"
    with pytest.raises(InvalidInput, match="unknown label 'Sing'"):
        schema.label("Sing")
    with pytest.raises(InvalidInput, match=r"unknown relationship \(:Song\)-\[:LIKES\]->\(:Song\)"):
        schema.relationship("LIKES", "Song", "Song")


def test_there_is_one_constraint_a_label() -> None:
    assert len(schema.statements()) == len(schema.LABELS)
    assert schema.statements()[1] == "CREATE CONSTRAINT song_id IF NOT EXISTS FOR (n:Song) REQUIRE n.id IS UNIQUE"
