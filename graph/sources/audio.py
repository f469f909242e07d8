"""Audio segments of all sources, in one file of the state folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import polars as pl

FILE: Final = "audio_segments.parquet"
_KEY: Final = ("song_id", "segment")


def audio_segments(state_dir: Path) -> pl.DataFrame | None:
    """All imported audio segments, sorted by song and segment, or None if no source had any."""
    file = state_dir / FILE
    return pl.read_parquet(file) if file.exists() else None


def add(state_dir: Path, segments: pl.DataFrame) -> None:
    """Join new segments to those that are there; the newer row of a segment stays."""
    old = audio_segments(state_dir)
    if old is not None:
        segments = pl.concat([segments, old], how="diagonal").unique(list(_KEY), keep="first")
    _write(state_dir, segments)


def remove(state_dir: Path, keys: pl.DataFrame) -> None:
    """Take out the segments with these keys (`song_id`, `segment`)."""
    old = audio_segments(state_dir)
    if old is not None and keys.height:
        _write(state_dir, old.join(keys, on=list(_KEY), how="anti"))


def _write(state_dir: Path, segments: pl.DataFrame) -> None:
    file = state_dir / FILE
    partial = file.with_suffix(".partial")
    file.parent.mkdir(parents=True, exist_ok=True)
    segments.sort(_KEY).write_parquet(partial)
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    partial.replace(file)
