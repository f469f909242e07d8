"""`situnes`: the SiTunes folder (Stage1, Stage2 and, where it is there, Stage3; music_metadata).

A row of `interactions.csv` is one `play`, or by its rating a `like` or `dislike`, with `rating`, `at` and `played_ms`.
Its `scene` is "lab" in stage 1, and the time of day that `env.json` gives in the field stages: "morning" (8 to 12),
"afternoon" (12 to 18) or "evening" (18 to 2). Songs come from `music_info.csv` with genre and duration, with title and
artist where `music_info_withname.csv` is there. Emotions, weather and wrist signals have no place in the graph;
positions are re-scaled, so no coordinates.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from graph import schema
from graph.batch import Batch
from graph.catalogue import Progress
from graph.errors import InvalidInput
from graph.importers.base import add_ids, columns, existing_file, existing_folder, read_delimited, read_json

_EXPECTED: Final = "Stage1/interactions.csv and music_metadata/music_info.csv"
_STAGES: Final = ("Stage1", "Stage2", "Stage3")
_SCENES: Final = {1: "morning", 2: "afternoon", 3: "evening"}


class SiTunes:
    """The folder at `path`."""

    format = "situnes"

    def __init__(self, path: Path) -> None:
        self._path = path

    def files(self) -> list[Path]:
        existing_folder(self._path, _EXPECTED)
        found = [existing_file(self._path / "music_metadata" / "music_info.csv", _EXPECTED)]
        others = ["music_metadata/music_info_withname.csv"]
        others += [f"{stage}/{name}" for stage in _STAGES for name in ("interactions.csv", "env.json")]
        found += [self._path / name for name in others if (self._path / name).is_file()]
        existing_file(self._path / "Stage1" / "interactions.csv", _EXPECTED)
        return found

    def read(self, progress: Progress) -> Batch:
        batch = Batch(self.format)
        files = self.files()
        progress("reading music_metadata", 0, 1 + len(_STAGES))
        _add_songs(batch, files[0])
        names = self._path / "music_metadata" / "music_info_withname.csv"
        if names in files:
            _add_names(batch, names)
        for done, stage in enumerate(_STAGES, 1):
            file = self._path / stage / "interactions.csv"
            if file in files:
                progress(f"reading {stage}", done, 1 + len(_STAGES))
                _add_plays(batch, file, stage)
        add_ids(batch, "User", batch.events["user_id"], file="interactions.csv")
        add_ids(batch, "Song", batch.events["song_id"], file="interactions.csv")
        batch.warn("emotions, weather, wrist signals and re-scaled positions have no place in the graph; left out")
        return batch


def _add_songs(batch: Batch, file: Path) -> None:
    frame = read_delimited(file, batch)
    names = {"item_id": "id", "duration": "duration_ms", "general_genre_id": "target", "general_genre": "genre"}
    songs = columns(frame, names, file)
    batch.add_nodes("Song", songs.select("id", "duration_ms", "line"), file=file.name)
    named = songs.select("line", id="target", name="genre").drop_nulls("id")
    batch.add_nodes("Genre", named.unique("id", keep="first", maintain_order=True), file=file.name)
    genres = songs.select("line", "target", source="id").drop_nulls("target")
    batch.add_relationships(schema.relationship("HAS_GENRE", "Song", "Genre"), genres, file=file.name)


def _add_names(batch: Batch, file: Path) -> None:
    """Titles and artists; ids in this file are written as decimals ("566.0")."""
    frame = read_delimited(file, batch)
    songs = columns(frame, {"i_id_c": "id", "music": "title", "singer": "artist"}, file)
    songs = songs.with_columns(pl.col("id").str.replace(r"\.0$", ""))
    with_title = batch.nodes["Song"].join(songs.unique("id", keep="first").select("id", "title"), on="id", how="left")
    batch.nodes.pop("Song")
    batch.add_nodes("Song", with_title, file=file.name)
    artists = songs.select("line", source="id", target="artist").drop_nulls("target")
    batch.add_named(schema.relationship("PERFORMED_BY", "Song", "Artist"), artists, file=file.name)


def _add_plays(batch: Batch, file: Path, stage: str) -> None:
    shown = f"{stage}/{file.name}"
    names = {"user_id": "user_id", "item_id": "song_id", "timestamp": "at", "rating": "rating", "duration": "played_ms"}
    frame = read_delimited(file, batch)
    plays = columns(frame, names, file).with_columns(
        action=pl.lit("play"),
        scene=pl.lit("lab" if stage == "Stage1" else None, dtype=pl.String),
    )
    env = file.with_name("env.json")
    if stage != "Stage1" and env.is_file():
        if "inter_id" not in frame.columns:
            raise InvalidInput(f"{file}: expected the column inter_id (env.json names rows by it)")
        scenes = _scenes(env, shown, batch)
        plays = plays.with_columns(scene=frame["inter_id"].replace_strict(scenes, default=None, return_dtype=pl.String))
    batch.add_events(plays, file=shown)


def _scenes(file: Path, shown: str, batch: Batch) -> dict[str, str]:
    """Per `inter_id` the time of day."""
    held = read_json(file)
    if not isinstance(held, dict):
        raise InvalidInput(f"{file}: expected an object of inter_id: {{time, …}}, got {type(held).__name__}")
    scenes: dict[str, str] = {}
    for key, value in held.items():
        time = value.get("time") if isinstance(value, dict) else None
        scene = _SCENES.get(time) if isinstance(time, int) else None
        if scene is not None:
            scenes[key] = scene
    if len(scenes) < len(held):
        batch.warn(f"{shown}: {len(held) - len(scenes)} rows of env.json have no time of day from 1 to 3")
    return scenes
