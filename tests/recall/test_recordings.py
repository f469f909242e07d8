from collections.abc import Callable
from typing import Any

import numpy as np
from segue_test_worlds import LOPSIDED_EDGES, LOPSIDED_NODES, World, edges, events, nodes

from graph.log.events import JournalEntry
from graph.snapshot.snapshot import Snapshot
from recall.live.edits import Edits, NewSongs
from recall.recordings import Recordings, recordings


def catalogue(titles: dict[str, str | None], artists: dict[str, str], covers: list[tuple[str, str]] = []) -> Snapshot:  # noqa: B006
    """Songs with a title and artists, each a letter."""
    performed = [(song, artist) for song, letters in artists.items() for artist in letters]
    related = edges({("PERFORMED_BY", "Song", "Artist"): performed, ("COVER_OF", "Song", "Song"): covers})
    return Snapshot.of_frames({"Song": nodes(titles, title=list(titles.values()))}, related, events([]))


def firsts(snapshot: Snapshot) -> dict[str, str]:
    ids = snapshot.ids["Song"].to_list()
    return {song: ids[first] for song, first in zip(ids, recordings(snapshot).tolist(), strict=True)}


def test_the_same_title_by_the_same_artists_is_one_recording() -> None:
    found = firsts(
        catalogue(
            {"1": "Café", "2": "CAFE\u0301 ", "3": "Café", "4": "Cafe"}, {"1": "xy", "2": "yx", "3": "x", "4": "xy"}
        )
    )
    assert found == {"1": "1", "2": "1", "3": "3", "4": "4"}


def test_songs_are_told_apart_by_every_one_of_their_artists() -> None:
    titles = dict.fromkeys("123456", "One")
    found = firsts(catalogue(titles, {"1": "ab", "2": "ac", "3": "abc", "4": "ac", "5": "abd", "6": "abc"}))
    assert found == {"1": "1", "2": "2", "3": "3", "4": "2", "5": "5", "6": "3"}


def test_songs_without_a_title_or_an_artist_are_not_the_same_by_name() -> None:
    found = firsts(catalogue({"1": None, "2": "", "3": "One", "4": "One"}, {"1": "x", "2": "x"}))
    assert found == {song: song for song in "1234"}


def test_covers_of_one_original_are_one_recording_with_what_has_their_name() -> None:
    titles = {"1": "Live", "2": "One", "3": "Two", "4": "Three", "5": "Live"}
    found = firsts(catalogue(titles, {"1": "x", "5": "x"}, covers=[("3", "2"), ("5", "2")]))
    assert found == {"1": "1", "2": "1", "3": "1", "4": "4", "5": "1"}


def test_every_song_stands_alone_where_none_has_a_name() -> None:
    assert recordings(catalogue({"1": None, "2": None}, {})).tolist() == [0, 1]


# ---- songs since the release


def new_songs(world: World, *lines: tuple[str, str, str, dict[str, Any]]) -> NewSongs:
    edits = Edits(world.snapshot, 0).after(JournalEntry(i, *line) for i, line in enumerate(lines, start=1))
    return NewSongs(edits, world.vectors)


def song(id_: str, title: str, **relations: Any) -> list[tuple[str, str, str, dict[str, Any]]]:
    return [("upsert", "Song", id_, {"properties": {"title": title}}), ("relations", "Song", id_, relations)]


def test_a_new_song_is_the_recording_that_has_its_name_or_that_it_covers(lopsided: World) -> None:
    new = new_songs(
        lopsided,
        *song("a", "TWO", artists=["alba"]),
        *song("b", "Two", artists=["brio"]),
        *song("c", "Two", artists=["brio"]),
        *song("d", "Else", cover_of=["s4"]),
        *song("e", "Two"),
    )
    found = Recordings(lopsided.snapshot)
    assert found.of_new(new).tolist() == [1, 6, 6, 0, 9]
    assert found.ids_of(lopsided.song("s1"), new).tolist() == [0, 3, 8]
    assert found.ids_of(7, new).tolist() == [6, 7]


def test_the_first_of_each_recording_is_kept_in_the_order_of_the_list(lopsided: World) -> None:
    new = new_songs(lopsided, *song("d", "Else", cover_of=["s4"]))
    kept = Recordings(lopsided.snapshot).firsts(np.array([5, 2, 3, 0, 1]), new)
    assert kept.tolist() == [0, 1, 4]


def test_recordings_are_of_the_snapshot_that_is_asked(make_world: Callable[..., World]) -> None:
    world = make_world(
        node_tables={
            "Song": LOPSIDED_NODES["Song"].with_columns(title=np.array(["One", "One", "Three", "Four", "One"]))
        },
        edge_tables={rel: frame.clear() for rel, frame in LOPSIDED_EDGES.items() if rel.type == "COVER_OF"},
    )
    assert recordings(world.snapshot).tolist() == [0, 0, 2, 3, 0]
