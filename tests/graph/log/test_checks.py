"""Checks of one row and of whole columns give the same verdict."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from graph.batch import Batch
from graph.durations import DAY_MS
from graph.log.checks import EVENT_COLUMNS, event_problem, problem_of_event

NOW = 1_700_000_000_000
GOOD: list[dict[str, Any]] = [
    {"user_id": "u", "action": "play", "song_id": "s"},
    {"user_id": "01", "action": "skip", "song_id": "ä", "at": NOW + DAY_MS, "count": 10**9, "rating": -1.5},
    {"user_id": "u", "action": "search", "query": "blue monday"},
    {"user_id": "u", "action": "follow", "target_label": "Artist", "target_id": "a"},
    {"user_id": "u", "action": "playlist_add", "song_id": "s", "target_label": "Playlist", "target_id": "p"},
    {"user_id": "u", "action": "like", "song_id": "s", "latitude": -90, "longitude": 180.0, "at": 0, "played_ms": 0},
    {"user_id": "x" * 256, "action": "play", "song_id": "s"},
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"action": "play", "song_id": "s"}, "user_id: required"),
    ({"user_id": "u", "song_id": "s"}, "action: required"),
    ({"user_id": "", "action": "play", "song_id": "s"}, "user_id: expected an id, got an empty text"),
    ({"user_id": "a/b", "action": "play", "song_id": "s"}, "user_id: expected an id without '/'"),
    ({"user_id": "a\x00b", "action": "play", "song_id": "s"}, "user_id: expected an id without control characters"),
    ({"user_id": "a\x9fb", "action": "play", "song_id": "s"}, "user_id: expected an id without control characters"),
    ({"user_id": "x" * 257, "action": "play", "song_id": "s"}, "user_id: expected an id of at most 256 bytes"),
    ({"user_id": "u", "action": "dance", "song_id": "s"}, "action: expected one of play"),
    ({"user_id": "u", "action": "play"}, "song_id: required for play"),
    ({"user_id": "u", "action": "search"}, "query: required for search"),
    ({"user_id": "u", "action": "search", "query": ""}, "query: expected a text"),
    ({"user_id": "u", "action": "search", "query": "q", "song_id": "s"}, "song_id: only actions on songs have one"),
    ({"user_id": "u", "action": "follow", "target_label": "User"}, "target_label, target_id: required for follow"),
    ({"user_id": "u", "action": "follow", "target_label": "Song", "target_id": "s"}, "target_label: expected User or"),
    ({"user_id": "u", "action": "play", "song_id": "s", "target_id": "t"}, "target_label, target_id: expected both"),
    ({"user_id": "u", "action": "play", "song_id": "s", "count": 0}, "count: expected 1 to 1000000000"),
    ({"user_id": "u", "action": "play", "song_id": "s", "count": 10**9 + 1}, "count: expected 1 to 1000000000"),
    ({"user_id": "u", "action": "play", "song_id": "s", "rating": float("nan")}, "rating: expected a finite number"),
    ({"user_id": "u", "action": "play", "song_id": "s", "rating": float("inf")}, "rating: expected a finite number"),
    ({"user_id": "u", "action": "play", "song_id": "s", "at": -1}, "at: expected at least 0"),
    ({"user_id": "u", "action": "play", "song_id": "s", "at": NOW + DAY_MS + 1}, "at: more than a day ahead"),
    ({"user_id": "u", "action": "play", "song_id": "s", "played_ms": -1}, "played_ms: expected 0 to"),
    ({"user_id": "u", "action": "play", "song_id": "s", "latitude": 1.0}, "latitude, longitude: expected both or none"),
    ({"user_id": "u", "action": "play", "song_id": "s", "latitude": 91.0, "longitude": 0.0}, "latitude: expected -90"),
]
# Only a request can be of the wrong type altogether; a table's columns are converted first.
MISTYPED: list[tuple[Any, str]] = [
    ("text", "expected an event"),
    ({"user_id": 1, "action": "play", "song_id": "s"}, "user_id: expected an id (text), got int"),
    ({"user_id": "u", "action": ["play"], "song_id": "s"}, "action: expected one of"),
    ({"user_id": "u", "action": "play", "song_id": "s", "count": True}, "count: expected an integer, got bool"),
    ({"user_id": "u", "action": "play", "song_id": "s", "count": "3"}, "count: expected an integer, got str"),
    ({"user_id": "u", "action": "play", "song_id": "s", "at": 1.5}, "at: expected an integer, got float"),
    ({"user_id": "u", "action": "play", "song_id": "s", "at": 2**70}, "at: expected at least 0"),
    ({"user_id": "u", "action": "play", "song_id": "s", "rating": 10**400}, "rating: expected a number of at most"),
    ({"user_id": "\ud800", "action": "play", "song_id": "s"}, "user_id: expected an id in UTF-8"),
    ({"user_id": "u", "action": "play", "song_id": "s", "colour": 1}, "unknown field 'colour'"),
]


def of_column(event: dict[str, Any]) -> str | None:
    row = pl.DataFrame({name: [event.get(name)] for name in EVENT_COLUMNS}, schema=EVENT_COLUMNS)
    found: str | None = row.with_columns(event_problem(NOW))["problem"][0]
    return found


@pytest.mark.parametrize("event", GOOD)
def test_a_good_event_has_no_problem(event: dict[str, Any]) -> None:
    assert problem_of_event(event, NOW) is None
    assert of_column(event) is None


@pytest.mark.parametrize(("event", "expected"), BAD)
def test_a_bad_event_is_told_which_field(event: dict[str, Any], expected: str) -> None:
    assert str(problem_of_event(event, NOW)).startswith(expected)
    assert str(of_column(event)).startswith(expected)


@pytest.mark.parametrize(("event", "expected"), MISTYPED)
def test_a_mistyped_event_is_told_what_was_expected(event: Any, expected: str) -> None:
    assert str(problem_of_event(event, NOW)).startswith(expected)


def test_a_column_of_texts_becomes_numbers_where_they_are_whole() -> None:
    batch = Batch("tables")
    texts = ["7", " 8 ", "9.0", "1e3", "9.5", "seven", "", None, "1" * 30, "nan"]
    batch.add_nodes("Song", pl.DataFrame({"id": [f"s{i}" for i in range(10)], "tier": texts}), file="f")
    assert batch.nodes["Song"]["tier"].to_list() == [7, 8, 9, 1000, None, None, None, None, None, None]
    assert batch.lost["reason"].to_list() == [
        "tier: expected an integer of 64 bits, got '9.5'",
        "tier: expected an integer of 64 bits, got 'seven'",
        f"tier: expected an integer of 64 bits, got '{'1' * 30}'",
    ]


def test_columns_of_other_types_are_taken_where_nothing_is_lost() -> None:
    batch = Batch("tables")
    frame = pl.DataFrame({"id": [1, 2], "tier": [1.0, 2.5], "quality": [1, 0]})
    batch.add_nodes("Song", frame, file="f")
    assert batch.nodes["Song"].rows() == [("1", 1.0, 1), ("2", 0.0, None)]
    assert batch.lost["value"].to_list() == ["2.5"]
