"""`recbole`: atomic files `.inter .user .item .kg .link .net`, whose header gives each field's name and type.

A row of `.inter` is one event with its `rating` (or `label`), its `weight` as `count` and its `timestamp` as `at`: a
`play`, or by its rating a `like` or `dislike` (see `graph.reading.ratings`). Of a split (`NAME.train.inter`, …) only
the training part is imported; `read_splits` gives all parts to an evaluation. `.item`: titles, genres (fields that say
`genre` or `class`), artists, albums, tags, languages and durations; `.user`: gender and language; `.net`: follows;
`.kg` with `.link`: entities and triples, a linked entity being the song itself. Fields with no place in the graph are
left out with a warning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from graph import schema
from graph.batch import Batch, one_line
from graph.catalogue import Progress
from graph.errors import InvalidInput
from graph.importers.base import (
    add_ends_as_nodes,
    add_ids,
    add_triples,
    columns,
    existing_folder,
    read_delimited,
)

_KINDS: Final = ("inter", "item", "user", "link", "kg", "net")
_TYPES: Final = ("token", "token_seq", "float", "float_seq")
_EXPECTED: Final = "RecBole atomic files: NAME.inter, and NAME.item, .user, .kg, .link, .net"
_SPLITS: Final = ("train", "valid", "test")
_TITLES: Final = ("title", "name", "movie_title", "song_title", "track_name", "item_name", "music_name")
_RELATIONS: Final = (  # what a field's name says -> (label, type)
    (("genre", "genres", "class", "genre_id", "genre_ids", "general_genre_id"), "Genre", "HAS_GENRE"),
    (("artist", "artists", "artist_id", "artist_name", "singer", "performer"), "Artist", "PERFORMED_BY"),
    (("album", "albums", "album_id"), "Album", "ON_ALBUM"),
    (("tag", "tags"), "Tag", "HAS_TAG"),
)
_INTER: Final = ("user_id", "item_id", "rating", "label", "weight", "timestamp")


class RecBole:
    """The atomic files in the folder at `path` (or beside `path`, if it is a folder and a name)."""

    format = "recbole"

    def __init__(self, path: Path) -> None:
        self._path = path

    def files(self) -> list[Path]:
        return list(_found(self._path).values())

    def read(self, progress: Progress) -> Batch:
        batch = Batch(self.format)
        found = _found(self._path)
        links = pl.DataFrame(schema={"entity": pl.String, "song": pl.String})
        for done, (kind, file) in enumerate(found.items()):
            progress(f"reading {file.name}", done, len(found))
            frame, types = _read(file, batch)
            if kind == "inter":
                _add_events(batch, frame, file)
            elif kind == "item":
                _add_items(batch, frame, types, file)
            elif kind == "user":
                _add_users(batch, frame, file)
            elif kind == "link":
                links = columns(frame, {"item_id": "song", "entity_id": "entity"}, file)
                batch.add_nodes("Song", links.select("line", id="song"), file=file.name)
                links = links.join(batch.nodes["Song"], left_on="song", right_on="id", how="semi").drop("line")
            elif kind == "kg":
                names = {"head_id": "head", "relation_id": "relation", "tail_id": "tail"}
                add_triples(batch, columns(frame, names, file), links, file=file.name)
            else:
                ends = columns(frame, {"source_id": "source", "target_id": "target"}, file)
                batch.add_relationships(schema.relationship("FOLLOWS", "User", "User"), ends, file=file.name)
                add_ends_as_nodes(batch, "User", file=file.name)
        add_ids(batch, "User", batch.events["user_id"], file="NAME.inter")
        add_ids(batch, "Song", batch.events["song_id"], file="NAME.inter")
        return batch


def read_splits(path: Path) -> dict[str, pl.DataFrame]:
    """The interactions of each part of a split: `train`, `valid`, `test` -> all fields of the file as texts.

    Raises: InvalidInput if there is no split.
    """
    existing_folder(path, _EXPECTED)
    splits = {}
    for part in _SPLITS:
        files = sorted(path.glob(f"*.{part}.inter"))
        if len(files) != 1:
            raise InvalidInput(f"{path}: expected one NAME.{part}.inter, got {len(files)}")
        splits[part] = _read(files[0], Batch("recbole"))[0].drop("line")
    return splits


def _found(path: Path) -> dict[str, Path]:
    """The file of each kind that is there, `.link` before `.kg`.

    Raises: InvalidInput if there is none, or two of a kind.
    """
    folder, stem = (path, "*") if path.is_dir() or not path.parent.is_dir() else (path.parent, path.name)
    existing_folder(folder, _EXPECTED)
    found = {}
    for kind in _KINDS:
        files = sorted(folder.glob(f"{stem}.{kind}"))
        parts = {part: [f for f in files if f.name.endswith(f".{part}.{kind}")] for part in _SPLITS}
        if parts["train"]:
            files = parts["train"]
        if len(files) > 1:
            names = ", ".join(f.name for f in files[:5])
            raise InvalidInput(f"{path}: expected one .{kind} file, got {names} (name the data set: FOLDER/NAME)")
        if files:
            found[kind] = files[0]
    if not found:
        existing_folder(path, _EXPECTED)
        raise InvalidInput(f"{path}: expected {_EXPECTED}, got none of them")
    return found


def _read(file: Path, batch: Batch) -> tuple[pl.DataFrame, dict[str, str]]:
    """The table under its fields' names, and each field's type.

    Raises: InvalidInput for a header without types.
    """
    frame = read_delimited(file, batch, separator="\t", quoted=False)
    types = {}
    for header in frame.columns:
        if header == "line":
            continue
        name, _, kind = header.rpartition(":")
        if not name or kind not in _TYPES:
            raise InvalidInput(
                f"{file}: expected a header of name:type ({', '.join(_TYPES)}), got {one_line(header, 80)!r}"
            )
        if name in types or name == "line":
            raise InvalidInput(f"{file}: the field {one_line(name, 80)!r} stands there twice")
        types[name] = kind
    return frame.rename({f"{name}:{kind}": name for name, kind in types.items()}), types


def _left_out(batch: Batch, frame: pl.DataFrame, used: set[str], file: Path) -> None:
    rest = [name for name in frame.columns if name not in used and name != "line"]
    if rest:
        batch.warn(f"{file.name}: fields with no place in the graph are left out: {one_line(', '.join(rest))}")


def _add_events(batch: Batch, frame: pl.DataFrame, file: Path) -> None:
    if "item_id" not in frame.columns and "artist_id" in frame.columns:
        frame = frame.rename({"artist_id": "item_id"})
    columns(frame, {"user_id": "user_id", "item_id": "song_id"}, file)
    _left_out(batch, frame, set(_INTER) - ({"label"} if "rating" in frame.columns else set()), file)
    names = {"user_id": "user_id", "item_id": "song_id", "rating": "rating", "weight": "count", "timestamp": "at"}
    names |= {"label": "rating"} if "rating" not in frame.columns else {}
    events = frame.select(
        *(pl.col(name).alias(ours) for name, ours in names.items() if name in frame.columns),
        "line",
        action=pl.lit("play"),
    )
    batch.add_events(events, file=file.name)


def _add_items(batch: Batch, frame: pl.DataFrame, types: dict[str, str], file: Path) -> None:
    songs = columns(frame, {"item_id": "id"}, file)
    used = {"item_id"}
    title = next((name for name in _TITLES if name in types), None)
    named: dict[str, str] = {title: "title"} if title is not None else {}
    named |= {name: name for name in ("language", "duration_ms") if name in types}
    used |= set(named)
    batch.add_nodes(
        "Song",
        pl.concat([songs, frame.select(pl.col(n).alias(ours) for n, ours in named.items())], how="horizontal"),
        file=file.name,
    )
    for names, label, kind in _RELATIONS:
        field = next((name for name in names if name in types), None)
        if field is None:
            continue
        used.add(field)
        values = pl.col(field).str.split(" ") if types[field] == "token_seq" else pl.concat_list(field)
        pairs = frame.select("line", source="item_id", target=values)
        pairs = pairs.explode("target", empty_as_null=True, keep_nulls=True)
        pairs = pairs.filter(pl.col("target").is_not_null() & (pl.col("target") != ""))
        batch.add_named(schema.relationship(kind, "Song", label), pairs, file=file.name)
    _left_out(batch, frame, used, file)


def _add_users(batch: Batch, frame: pl.DataFrame, file: Path) -> None:
    columns(frame, {"user_id": "id"}, file)
    kept = [name for name in ("gender", "language", "birth_year") if name in frame.columns]
    batch.add_nodes("User", frame.select(pl.col("user_id").alias("id"), *kept, "line"), file=file.name)
    _left_out(batch, frame, {"user_id", *kept}, file)
