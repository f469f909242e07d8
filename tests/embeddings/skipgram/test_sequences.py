from collections.abc import Sequence
from typing import Any

import pytest
from segue_test_worlds import edges, events, lopsided_snapshot

from embeddings.skipgram.sequences import SequenceConfig, Sequences

MINUTE = 60_000


def sequences(rows: Sequence[Sequence[Any]], playlists: bool = False, **config: int) -> list[str]:
    """Sequences as texts of song numbers; a bag stands in braces."""
    snapshot = lopsided_snapshot(log=events(rows))
    found = Sequences.of(snapshot, SequenceConfig(playlists=playlists, **config))
    texts = [
        "".join(str(s + 1) for s in found.songs[a:b]) for a, b in zip(found.indptr, found.indptr[1:], strict=False)
    ]
    return [f"{{{text}}}" if bag else text for text, bag in zip(texts, found.bag, strict=True)]


def plays(*rows: tuple[str, str, float]) -> list[tuple[Any, ...]]:
    return [("ana", action, song, int(minute * MINUTE)) for action, song, minute in rows]


def test_a_session_ends_where_the_next_playback_comes_later_than_the_gap() -> None:
    rows = plays(("play", "s1", 0), ("full_play", "s2", 30), ("play", "s3", 60.1), ("play", "s4", 61))
    assert sequences(rows) == ["12", "34"]
    assert sequences(rows, session_gap_ms=31 * MINUTE) == ["1234"]


def test_two_listeners_never_share_a_session() -> None:
    assert sequences([("ana", "play", "s1", 5), ("ben", "play", "s2", 5), ("ana", "play", "s3", 6)]) == ["13", "2"]


def test_a_skip_is_left_out() -> None:
    assert sequences(plays(("play", "s1", 0), ("skip", "s2", 1), ("play", "s3", 2))) == ["13"]


@pytest.mark.parametrize(("least", "expected"), [(10_000, ["13"]), (0, ["123"])])
def test_a_playback_known_to_be_short_is_left_out(least: int, expected: list[str]) -> None:
    rows = [("ana", "play", "s1", 0, 1, 10_000), ("ana", "play", "s2", 1, 1, 9_999), ("ana", "play", "s3", 2)]
    assert sequences(rows, min_played_ms=least) == expected


def test_a_song_repeated_at_once_counts_once() -> None:
    rows = plays(("play", "s1", 0), ("play", "s1", 1), ("play", "s2", 2), ("play", "s1", 3), ("like", "s1", 4))
    assert sequences(rows) == ["121"]


def test_other_actions_are_no_playbacks() -> None:
    assert sequences(plays(("collect", "s1", 0), ("play", "s2", 1), ("like", "s3", 2))) == ["2"]


def test_what_plays_to_an_empty_room_is_left_out_until_the_next_sign() -> None:
    songs = [("play", f"s{1 + i % 5}", i) for i in range(8)]
    assert sequences(plays(*songs), unattended_after=3) == ["123"]
    attended = [*songs[:5], ("skip", "s5", 4.5), *songs[5:]]
    assert sequences(plays(*attended), unattended_after=3) == ["123123"]


def test_a_history_without_times_is_learned_from_whole() -> None:
    songs = [("play", f"s{1 + i % 5}", None) for i in range(8)]
    assert sequences([("ana", *row) for row in songs], unattended_after=3) == ["12345123"]


def test_a_new_session_begins_attended() -> None:
    songs = [("play", f"s{1 + i % 5}", i if i < 4 else i + 60) for i in range(8)]
    assert sequences(plays(*songs), unattended_after=2) == ["12", "51"]


def test_events_without_a_time_keep_the_order_of_the_log() -> None:
    assert sequences([("ana", "play", "s3", None), ("ana", "play", "s1", None)]) == ["31"]


def test_aggregates_are_a_bag() -> None:
    assert sequences([("ana", "play", "s3", None, 5), ("ana", "play", "s1", None), ("ben", "play", "s2", 7, 4)]) == [
        *("{31}", "2")
    ]


def test_only_sessions_among_whose_events_is_one_of_those_given() -> None:
    rows = plays(("play", "s1", 0), ("play", "s2", 1), ("play", "s3", 100), ("skip", "s4", 101), ("play", "s5", 300))
    snapshot = lopsided_snapshot(log=events(rows))
    skip = snapshot.histories.song == snapshot.ids["Song"].index("s4")
    found = Sequences.of(snapshot, SequenceConfig(), among=skip)
    assert found.songs.tolist() == [2]  # the skip itself is left out, and so are playlists


def test_playlists_are_sequences_by_position() -> None:
    assert sequences([], playlists=True) == ["321"]
    assert sequences([], playlists=False) == []


def test_every_playlist_is_a_sequence_of_its_own() -> None:
    table = edges({("CONTAINS", "Playlist", "Song"): [("b", "s1", 1), ("a", "s5", 9), ("b", "s2", 0), ("a", "s4", 10)]})
    found = Sequences.of(lopsided_snapshot(log=events([]), edge_tables=table), SequenceConfig())
    assert (found.indptr.tolist(), found.songs.tolist(), len(found)) == ([0, 2, 4], [4, 3, 1, 0], 2)
