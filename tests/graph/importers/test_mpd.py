from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graph import schema
from graph.batch import Batch
from graph.errors import InvalidInput

Read = Callable[..., Batch]
CONTAINS = schema.relationship("CONTAINS", "Playlist", "Song")


def track(pos: Any, number: int, **more: Any) -> dict[str, Any]:
    ids = {name: f"spotify:{name}:{number}" for name in ("track", "artist", "album")}
    named = {"track_name": f"T{number}", "artist_name": "Boats", "album_name": "Tides", "duration_ms": 187_000}
    return {"pos": pos, **{f"{name}_uri": uri for name, uri in ids.items()}, **named, **more}


def write(folder: Path, *slices: Any) -> Path:
    for number, playlists in enumerate(slices):
        (folder / f"mpd.slice.{number}-{number}.json").write_text(json.dumps({"playlists": playlists}))
    return folder


def test_playlists_contain_their_songs_by_position(tmp_path: Path, read: Read) -> None:
    first = {"pid": 7, "name": "sea", "modified_at": 1_493_424_000, "tracks": [track(1, 2), track(0, 1), track(2, 2)]}
    second = {"pid": 8, "name": "rain", "modified_at": 1_493_424_001, "tracks": [track(0, 2)]}
    batch = read("mpd", write(tmp_path, [first], [second]))
    assert batch.nodes["Playlist"].rows() == [("7", "sea"), ("8", "rain")]
    assert batch.relationships[CONTAINS].rows() == [
        ("7", "spotify:track:1", 0, 1_493_424_000_000),
        ("7", "spotify:track:2", 1, 1_493_424_000_000),
        ("8", "spotify:track:2", 0, 1_493_424_001_000),
    ]
    assert batch.nodes["Song"].rows() == [("spotify:track:2", "T2", 187_000), ("spotify:track:1", "T1", 187_000)]
    assert schema.relationship("OWNS", "User", "Playlist") not in batch.relationships
    assert batch.warnings == ["1 songs stand in a playlist again; the first position of each is kept"]
    assert (batch.read, batch.events.height) == (6, 0)


def test_wrong_playlists_and_tracks_are_told(tmp_path: Path, read: Read) -> None:
    tracks = [5, {"pos": 0}, track("x", 1, track_name=9, duration_ms="long"), {"track_name": "T", "artist_name": "B"}]
    playlists = [{"pid": 1, "name": 7, "tracks": tracks}, {"pid": "x", "tracks": []}, {"pid": 2}, 3]
    batch = read("mpd", write(tmp_path, playlists))
    assert batch.rejects["line"].to_list() == [1, 2, None, None, None]
    lost = batch.lost.select("line", "field").rows()
    assert lost == [(3, "pos"), (3, "track_name"), (3, "duration_ms"), (None, "name")]
    assert batch.relationships[CONTAINS].rows() == [("1", "spotify:track:1", 2, None), ("1", "b%09t", 3, None)]


def test_a_slice_of_another_shape_is_refused(tmp_path: Path, read: Read) -> None:
    write(tmp_path, "none")
    with pytest.raises(InvalidInput, match="expected an object with an array `playlists`"):
        read("mpd", tmp_path)
