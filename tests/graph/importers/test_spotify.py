from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graph import schema
from graph.batch import Batch
from graph.importers.base import recognised
from graph.log.checks import EVENT_COLUMNS

Read = Callable[..., Batch]
MORNING, NOON = 1_709_287_450_000, 1_709_294_400_000  # 2024-03-01 10:04:10 and 12:00:00


def play(ts: str, title: str | None, uri: str | None, ms: int, **more: Any) -> dict[str, Any]:
    names = {"master_metadata_track_name": title, "master_metadata_album_artist_name": title and "AC/DC"}
    return {"ts": ts, "ms_played": ms, **names, "spotify_track_uri": uri, "reason_end": "endplay", **more}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Two extended files that overlap, and a short one of the same days."""
    folder = tmp_path / "MyData"
    folder.mkdir()
    once = play("2024-03-01T10:04:10Z", "Río", "spotify:track:1", 200_000, reason_end="trackdone")
    first = [
        once,
        once,  # twice in one file: two plays
        play("2024-03-01T11:00:00Z", "Sea", "spotify:track:2", 29_999),
        play("2024-03-01T11:01:00Z", "Sea", "spotify:track:2", 90_000, reason_end="fwdbtn"),
        play("2024-03-01T11:02:00Z", "Sea", "spotify:track:2", 90_000, skipped=True),
        play("2024-03-01T11:03:00Z", "Sea", None, 90_000),
        play("2024-03-01T11:04:00Z", "Own", "spotify:track:3", 60_000, incognito_mode=True),
        play("2024-03-01T11:05:00Z", None, None, 60_000, episode_name="A talk"),
        play("2024-03-01T11:06:00Z", None, None, 60_000, audiobook_title="A book"),
    ]
    second = [once, play("2024-03-01T12:00:00Z", "Río", "spotify:track:1", 100_000)]
    short = [
        {"endTime": "2024-03-01 10:04", "artistName": "ac/dc", "trackName": "RI\u0301O", "msPlayed": 200_000},
        {"endTime": "2024-03-01 11:04", "artistName": "AC/DC", "trackName": "Own", "msPlayed": 60_000},
        {"endTime": "2023-01-01 08:00", "artistName": "AC/DC", "trackName": "Río", "msPlayed": 40_000},
    ]
    podcasts = [{"endTime": "2023-01-01 08:00", "podcastName": "P", "episodeName": "E", "msPlayed": 5}]
    files = {
        "Streaming_History_Audio_2023-2024_1.json": first,
        "Streaming_History_Audio_2024_2.json": second,
        "StreamingHistory_music_0.json": short,
        "StreamingHistory_podcast_0.json": podcasts,
    }
    for name, rows in files.items():
        (folder / name).write_text(json.dumps(rows), encoding="utf-8")
    return folder


def test_plays_of_overlapping_files_come_in_once_and_true_repeats_stay(export: Path, read: Read) -> None:
    batch = read("spotify", export)
    assert batch.read == 15
    assert batch.events.select("song_id", "action", "at", "played_ms").rows() == [
        ("spotify:track:1", "full_play", MORNING, 200_000),
        ("spotify:track:1", "full_play", MORNING, 200_000),
        ("spotify:track:2", "skip", MORNING + 3_350_000, 29_999),
        ("spotify:track:2", "skip", MORNING + 3_410_000, 90_000),
        ("spotify:track:2", "skip", MORNING + 3_470_000, 90_000),
        ("ac%2Fdc%09sea", "play", MORNING + 3_530_000, 90_000),
        ("spotify:track:1", "play", NOON, 100_000),
        ("ac%2Fdc%09río", "play", 1_672_560_000_000, 40_000),
    ]
    assert batch.warnings == [
        "Streaming_History_Audio_2023-2024_1.json: 1 plays of private sessions are left out (--incognito keeps them)",
        "3 plays stand in several files, and are kept once",
        "3 entries without a track are passed over: 1 chapters of audiobooks, 2 episodes of podcasts",
        "the files do not name the listener, who is called me (--user NAME says who it is)",
    ]


def test_names_are_kept_and_ids_are_made_of_what_is_the_same_in_them(export: Path, read: Read) -> None:
    batch = read("spotify", export)
    titles = dict(batch.nodes["Song"].select("id", "title").rows())
    assert titles["spotify:track:1"] == "Río"
    assert titles["ac%2Fdc%09río"] == "RI\u0301O"  # as it was met first
    assert batch.nodes["Artist"].rows() == [("ac%2Fdc", "AC/DC")]
    assert batch.relationships[schema.relationship("PERFORMED_BY", "Song", "Artist")].height == 5


def test_private_sessions_come_in_on_demand_and_the_listener_is_named(export: Path, read: Read) -> None:
    batch = read("spotify", export, incognito=True, user="vera")
    assert batch.events.height == 9
    assert batch.nodes["User"]["id"].to_list() == ["vera"]
    assert read("spotify", export).nodes["User"]["id"].to_list() == ["me"]


def test_a_zip_gives_the_same_events_with_the_same_ids(export: Path, read: Read, tmp_path: Path) -> None:
    packed = tmp_path / "my_spotify_data.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in export.iterdir():
            archive.write(file, f"MyData/{file.name}")
        archive.writestr("MyData/Userdata.json", "{}")
    assert recognised(packed) == recognised(export) == "spotify"
    batch = read("spotify", packed)
    assert batch.events.equals(read("spotify", export).events)
    assert batch.events["event_id"].n_unique() == 8
    assert "1 files are not of this format, and not read: MyData/Userdata.json" in batch.warnings
    assert list(batch.events.columns) == list(EVENT_COLUMNS)


def test_an_export_of_later_adds_only_what_is_new(export: Path, read: Read) -> None:
    before = set(read("spotify", export).events["event_id"])
    later = [play("2024-04-01T12:00:00Z", "Río", "spotify:track:1", 100_000)]
    (export / "Streaming_History_Audio_2024_3.json").write_text(json.dumps(later))
    after = read("spotify", export).events
    assert after.filter(~after["event_id"].is_in(list(before)))["at"].to_list() == [1_711_972_800_000]
    assert before < set(after["event_id"])


def test_the_account_named_in_the_file_is_the_listener(tmp_path: Path, read: Read) -> None:
    rows = [play("2024-03-01T10:04:10Z", "T", "spotify:track:1", 5, username="vera")]
    (tmp_path / "endsong_0.json").write_text(json.dumps(rows))
    assert read("spotify", tmp_path).events["user_id"].to_list() == ["vera"]


def test_a_byte_that_is_no_text_costs_its_character(tmp_path: Path, read: Read) -> None:
    rows = [play("2024-03-01T10:04:10Z", title, "spotify:track:1", 5) for title in ("Rio", "Sea")]
    (tmp_path / "endsong_0.json").write_bytes(json.dumps(rows).encode().replace(b"Rio", b"R\xedo"))
    batch = read("spotify", tmp_path)
    assert batch.events.height == 2
    assert batch.nodes["Song"]["title"].to_list() == ["R\ufffdo"]
    assert batch.lost["reason"].to_list() == ["line 1: expected UTF-8 text, got the byte 0xed: the character is lost"]


def test_only_what_is_wrong_in_an_entry_is_lost(tmp_path: Path, read: Read) -> None:
    good = play("2024-03-01T10:04:10Z", "T", "spotify:track:1", 40_000)
    rows: list[Any] = [
        {**good, "ts": 5, "ms_played": "long"},
        {**good, "master_metadata_track_name": 7, "skipped": "no"},
        {**good, "master_metadata_track_name": 7, "spotify_track_uri": None},
        {"spotify_track_uri": "spotify:track:9"},
        None,
        {**good, "ts": "2999-01-01T00:00:00Z"},
        {**good, "master_metadata_track_name": "\ud800"},
    ]
    rows.append(play("2999-01-01T00:00:00Z", "Never", "spotify:track:never", 40_000))
    (tmp_path / "endsong_0.json").write_text(json.dumps(rows))
    (tmp_path / "endsong_1.json").write_text("[]")
    batch = read("spotify", tmp_path)
    assert batch.nodes["Song"]["id"].to_list() == ["spotify:track:1", "spotify:track:9"]
    assert batch.events.select("song_id", "at", "action").rows() == [
        ("spotify:track:1", None, "play"),
        ("spotify:track:1", MORNING, "play"),
        ("spotify:track:9", None, "play"),
        ("spotify:track:1", MORNING, "play"),
    ]
    assert batch.rejects.select("line", "reason").rows() == [
        (3, "expected the id of a recording, or its title and artist"),
        (5, "expected an object, got null"),
        (6, "at: more than a day ahead (expected epoch milliseconds)"),
        (8, "at: more than a day ahead (expected epoch milliseconds)"),
    ]
    assert batch.lost.select("line", "field").rows() == [
        (1, "ts"),
        (1, "ms_played"),
        (2, "master_metadata_track_name"),
        (2, "skipped"),
        (7, "master_metadata_track_name"),
    ]
