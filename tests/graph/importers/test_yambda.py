from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from graph import schema
from graph.batch import Batch
from graph.errors import InvalidInput
from graph.log.checks import EVENT_COLUMNS

Read = Callable[..., Batch]
ORIGIN = 1_672_531_200_000  # 2023-01-01


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pl.DataFrame(
        {
            "uid": [100, 100, 100, 101],
            "timestamp": [0, 5, 10, 15],
            "item_id": [7, 7, 8, 9],
            "is_organic": [1, 0, 0, 1],
            "played_ratio_pct": [100, 10, 40, 60],
            "track_length_seconds": [170, 170, 100, 40],
        }
    ).write_parquet(tmp_path / "listens.parquet")
    opinion = pl.DataFrame({"uid": [100], "timestamp": [20], "item_id": [7], "is_organic": [1]})
    for name in ("likes", "unlikes", "dislikes", "undislikes"):
        opinion.write_parquet(tmp_path / f"{name}.parquet")
    pl.DataFrame({"artist_id": [1, 2, 2], "item_id": [7, 7, 7]}).write_parquet(tmp_path / "artist_item_mapping.parquet")
    return tmp_path


def test_listens_and_opinions_count_from_the_origin(folder: Path, read: Read) -> None:
    batch = read("yambda", folder, origin="2023-01-01")
    found = batch.events.sort("at", maintain_order=True).select("user_id", "song_id", "action", "at", "played_ms")
    assert found.rows()[:4] == [
        ("100", "7", "full_play", ORIGIN, 170_000),
        ("100", "7", "skip", ORIGIN + 5_000, 17_000),
        ("100", "8", "play", ORIGIN + 10_000, 40_000),  # over 30 s
        ("101", "9", "play", ORIGIN + 15_000, 24_000),  # over half
    ]
    assert sorted(row[2] for row in found.rows()[4:]) == ["dislike", "like", "undislike", "unlike"]
    if "is_organic" in EVENT_COLUMNS:
        assert batch.events.sort("at", maintain_order=True)["is_organic"].to_list()[:4] == [1, 0, 0, 1]
    assert batch.nodes["Song"].select("id", "duration_ms").rows() == [("7", 170_000), ("8", 100_000), ("9", 40_000)]
    performed = batch.relationships[schema.relationship("PERFORMED_BY", "Song", "Artist")]
    assert performed.rows() == [("7", "1"), ("7", "2")]
    assert batch.warnings == []


def test_one_table_of_all_events_is_read_alone(folder: Path, read: Read) -> None:
    events = pl.read_parquet(folder / "listens.parquet").with_columns(
        event_type=pl.Series(["listen", "like", "undislike", "sing"])
    )
    events.write_parquet(folder / "multi_event.parquet")
    batch = read("yambda", folder, origin="2023-01-01")
    assert batch.events.select("action", "played_ms").rows() == [
        ("full_play", 170_000),
        ("like", None),
        ("undislike", None),
    ]
    assert batch.rejects.select("file", "line").rows() == [("multi_event.parquet", 4)]


def test_without_an_origin_one_is_made_up_and_told(folder: Path, read: Read) -> None:
    batch = read("yambda", folder)
    assert batch.events["at"].min() == 1_704_067_200_000
    assert "times count from 2024-01-01, which is made up" in batch.warnings[0]
    for origin in ("soon", "2999-01-01", "1950-01-01", "5"):
        with pytest.raises(InvalidInput, match="origin: expected a day since 1990"):
            read("yambda", folder, origin=origin)


def test_wrong_values_and_layouts_are_told(folder: Path, read: Read) -> None:
    rows = {"uid": [1, None, 1], "timestamp": ["x", "5", "5"], "item_id": [1, 1, None], "is_organic": [1, 7, 0]}
    pl.DataFrame(rows).write_parquet(folder / "likes.parquet")
    batch = read("yambda", folder / "likes.parquet")
    assert batch.events.select("song_id", "at").rows() == [("1", None)]
    assert batch.rejects["line"].to_list() == [2, 3]
    assert batch.lost.select("line", "field").rows() == [(1, "timestamp")]
    pl.DataFrame({"uid": [1], "item_id": [[1]], "timestamp": [[5]]}).write_parquet(folder / "likes.parquet")
    with pytest.raises(InvalidInput, match="in the flat layout"):
        read("yambda", folder)
