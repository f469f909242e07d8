"""`rockbox`, `deezer` and `apple-music`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from graph import schema
from graph.batch import Batch
from graph.errors import InvalidInput

Read = Callable[..., Batch]
AT = 1_709_287_450_000


def test_a_log_of_rockbox(tmp_path: Path, read: Read) -> None:
    rows = (
        "Boats\tTides\tSea\t1\t187\tL\t1709287450\trec-1",
        "Boats\tTides\tLow\t2\t200\tS\t1709287460",
        "Boats\tTides\tLow\t2\tlong\tL\tx\t",
        "Boats\tTides\tLow\t2\t200\tQ\t1709287460\t",
        "Boats\tTides",
        "#1 Band\t\tHigh\t\t\tL\t1709287460\t",
    )
    log = "#AUDIOSCROBBLER/1.1\r\n#TZ/UNKNOWN\r\n" + "\r\n".join(rows) + "\r\n"
    (tmp_path / ".scrobbler.log").write_bytes(log.encode() + b"Bj\xf6rk\t\tOver\t\t\tL\t1709287460\t\r\n")
    batch = read("rockbox", tmp_path)
    assert batch.events.select("song_id", "action", "at").rows() == [
        ("rec-1", "play", AT),
        ("boats%09low", "skip", AT + 10_000),
        ("boats%09low", "play", None),
        ("#1 band%09high", "play", AT + 10_000),
    ]
    assert batch.nodes["Song"].rows()[0] == ("rec-1", "Sea", 187_000)
    assert batch.rejects["line"].to_list() == [6, 7, 9]
    assert batch.lost.select("line", "field").rows() == [(5, "time"), (5, "duration")]
    assert "knew no time zone" in batch.warnings[0]


def workbook(folder: Path, *rows: list[Any], sheet: str = "10_listeningHistory") -> Path:
    book = Workbook()
    page = book.create_sheet(sheet)
    page.append(["Song Title", "Artist", "ISRC", "Album Title", "IP Address", "Listening Time", "Date"])
    for row in rows:
        page.append(row)
    book.save(folder / "deezer-data_1.xlsx")
    return folder


def test_a_workbook_of_deezer(tmp_path: Path, read: Read) -> None:
    rows: list[list[Any]] = [
        ["Río", "Ana, Boats", "XX1", "Agua", "-", 187, datetime(2024, 3, 1, 10, 4, 10)],
        [1989, "Boats", None, None, "-", 29, "2024-03-01 10:04:20"],
        ["Sea", "Boats", None, None, "-", "long", "soon"],
        [None, "Boats", None, None, "-", 5, None],
        [None] * 7,
    ]
    batch = read("deezer", workbook(tmp_path, *rows))
    assert batch.events.select("song_id", "action", "at", "played_ms").rows() == [
        ("XX1", "play", AT, 187_000),
        ("boats%091989", "skip", AT + 10_000, 29_000),
        ("boats%09sea", "play", None, None),
    ]
    performed = batch.relationships[schema.relationship("PERFORMED_BY", "Song", "Artist")]
    assert performed.rows()[:2] == [("XX1", "ana"), ("XX1", "boats")]
    assert batch.nodes["Artist"].rows() == [("ana", "Ana"), ("boats", "Boats")]
    assert (batch.read, batch.rejects["line"].to_list()) == (4, [5])
    assert batch.lost.select("line", "field").rows() == [(4, "Date"), (4, "Listening Time")]


def test_a_workbook_of_something_else_is_refused(tmp_path: Path, read: Read) -> None:
    with pytest.raises(InvalidInput, match="expected the sheet 10_listeningHistory, got Sheet, other"):
        read("deezer", workbook(tmp_path, sheet="other"))


def test_an_activity_of_apple_music(tmp_path: Path, read: Read) -> None:
    rows = (
        "Intro,Tides,PLAY_END,187000,187000,NATURAL_END_OF_TRACK,2024-03-01T10:04:10Z,",
        "Intro,Agua,PLAY_END,90000,200000,TRACK_SKIPPED_FORWARDS,,2024-03-01T10:04:20.000Z",
        "Sea,Agua,PLAY_END,90000,200000,SCRUB_END,7,",
        "Sea,Agua,PLAY_END,-5,x,,2024-03-01T10:04:30Z,",
        "Sea,Agua,PLAY_START,,,,2024-03-01T10:04:10Z,",
        ",Agua,PLAY_END,5,200000,,2024-03-01T10:04:10Z,",
    )
    header = (
        "Song Name,Album Name,Event Type,Play Duration Milliseconds,Media Duration In Milliseconds,End Reason Type,"
        "Event Start Timestamp,Event End Timestamp\n"
    )
    (tmp_path / "Apple Music Play Activity.csv").write_text(header + "\n".join(rows))
    batch = read("apple-music", tmp_path)
    assert batch.events.select("song_id", "action", "at", "played_ms").rows() == [
        ("%09tides%09intro", "full_play", AT, 187_000),
        ("%09agua%09intro", "skip", AT + 10_000, 90_000),
        ("%09agua%09sea", "play", None, 90_000),
        ("%09agua%09sea", "play", AT + 20_000, None),
    ]
    assert batch.lost["line"].to_list() == [4, 5, 5]
    assert batch.warnings[0] == (
        "2 entries without a track are passed over: 1 plays without a name, 1 rows other than PLAY_END"
    )
