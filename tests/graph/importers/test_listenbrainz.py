from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graph import schema
from graph.batch import Batch
from graph.importers.base import recognised

Read = Callable[..., Batch]
AT = 1_709_287_450


def listen(at: Any, artist: Any, title: Any, msid: str, **more: Any) -> dict[str, Any]:
    track = {"artist_name": artist, "track_name": title, "recording_msid": msid, "mbid_mapping": None, **more}
    return {"listened_at": at, "track_metadata": track}


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


MAPPED = {
    "recording_mbid": "rec-1",
    "release_mbid": "rel-1",
    "artist_mbids": ["art-1", "art-2"],
    "artists": [
        {"artist_credit_name": "Ana", "artist_mbid": "art-1"},
        {"artist_credit_name": "Sol", "artist_mbid": "art-2"},
    ],
}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    (folder / "listens" / "2024").mkdir(parents=True)
    (folder / "user.json").write_text('{"user_id": 1, "user_name": "vera"}')
    march = lines(
        listen(AT, "Ana feat. Sol", "Río", "m1", mbid_mapping=MAPPED, release_name="Agua"),
        listen(AT + 200.5, "Boats", "Sea", "m2", additional_info={"duration": 187}),
        listen(AT + 400, "Boats", "Sea", "m2", additional_info={"duration_ms": 187_000, "recording_mbid": "rec-2"}),
    )
    (folder / "listens" / "2024" / "3.jsonl").write_text(march)
    (folder / "listens" / "2024" / "4.jsonl.gz").write_bytes(gzip.compress(march.encode()))
    (folder / "feedback.jsonl").write_text(
        lines(
            {"recording_msid": "m2", "recording_mbid": "rec-9", "score": 1, "created": AT + 500},
            {"recording_msid": "m1", "recording_mbid": "rec-1", "score": -1, "created": AT + 501},
            {"recording_msid": "m1", "recording_mbid": "rec-1", "score": 0, "created": AT + 502},
            {"recording_msid": "m9", "recording_mbid": None, "score": 1, "created": AT + 503},
        )
    )
    (folder / "pinned_recording.jsonl").write_text(lines({"recording_mbid": "rec-1", "created": AT + 600}))
    return folder


def test_listens_feedback_and_pins_of_an_export(export: Path, read: Read) -> None:
    assert recognised(export) == "listenbrainz"
    batch = read("listenbrainz", export)
    assert batch.read == 12
    assert batch.events.select("user_id", "song_id", "action", "at").rows() == [
        ("vera", "rec-1", "play", AT * 1000),
        ("vera", "boats%09sea", "play", AT * 1000 + 200_500),
        ("vera", "rec-2", "play", AT * 1000 + 400_000),
        ("vera", "boats%09sea", "like", AT * 1000 + 500_000),
        ("vera", "rec-1", "dislike", AT * 1000 + 501_000),
        ("vera", "rec-1", "share", AT * 1000 + 600_000),
    ]
    assert batch.warnings == [
        "3 plays stand in several files, and are kept once",
        "1 entries without a track are passed over: 1 opinions on recordings that no listen names",
    ]
    assert batch.rejects.is_empty()
    assert batch.lost.is_empty()


def test_a_mapping_names_each_artist_and_the_release(export: Path, read: Read) -> None:
    batch = read("listenbrainz", export)
    assert batch.nodes["Song"].rows() == [
        ("rec-1", "Río", None),
        ("boats%09sea", "Sea", 187_000),
        ("rec-2", "Sea", 187_000),
    ]
    assert batch.nodes["Artist"].rows() == [("art-1", "Ana"), ("art-2", "Sol"), ("boats", "Boats")]
    assert batch.relationships[schema.relationship("PERFORMED_BY", "Song", "Artist")].rows() == [
        ("rec-1", "art-1"),
        ("rec-1", "art-2"),
        ("boats%09sea", "boats"),
        ("rec-2", "boats"),
    ]
    assert batch.nodes["Album"].rows() == [("rel-1", "Agua")]


def test_an_older_export_is_one_array(tmp_path: Path, read: Read) -> None:
    file = tmp_path / "vera_lb-2019.json"
    file.write_text(json.dumps([listen(AT, "Boats", "Sea", "m"), listen(AT, "Boats", "Sea", "m")]))
    assert recognised(file) == "listenbrainz"
    assert read("listenbrainz", file).events.select("user_id", "at").rows() == [("me", AT * 1000)] * 2


def test_a_broken_line_costs_itself(export: Path, read: Read) -> None:
    rows = [
        listen("soon", "Boats", "Sea", "m"),
        listen(AT, "Boats", 5, "m"),
        listen(AT, None, "Sea", "m"),
        listen(AT, "Boats", "Sea", "m", mbid_mapping="no", additional_info=None),
        {"track_metadata": "x"},
        listen(0, "Boats", "Sea", "m"),
    ]
    file = export / "listens" / "2024" / "3.jsonl"
    file.write_text(lines(*rows) + '{"listened_at": 17')
    (export / "feedback.jsonl").write_text(lines({"recording_msid": "m", "score": "high"}))
    batch = read("listenbrainz", export)
    name = "listens/2024/3.jsonl"
    assert batch.rejects.filter(batch.rejects["file"] == name)["line"].to_list() == [2, 3, 5, 7]
    assert batch.rejects.filter(batch.rejects["file"] == "feedback.jsonl").height == 1
    assert batch.lost.filter(batch.lost["file"] == name).select("line", "field").rows() == [
        (1, "listened_at"),
        (4, "track_metadata.mbid_mapping"),
        (6, "at"),
    ]
    assert batch.events.head(3).select("song_id", "at").rows() == [
        ("boats%09sea", None),
        ("boats%09sea", AT * 1000),
        ("boats%09sea", None),
    ]
