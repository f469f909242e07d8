"""`yambda`: the Yambda data set in its flat layout, Parquet files `listens`, `likes`, `dislikes`, `unlikes`,
`undislikes`, or `multi_event`, which has them all, and the mappings of items to artists and albums.

Listeners, songs, artists and albums keep their numbers as ids. Times are seconds from a beginning that the data set
does not tell: `at`, when it ended, counts from `origin`. How much was heard is `played_ratio_pct` of
`track_length_seconds`; `is_organic` says whether the listener chose the song, or was given it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl

from graph import schema
from graph.batch import Batch, listed, one_line
from graph.catalogue import Progress, no_progress
from graph.errors import InvalidInput
from graph.importers.histories.columns import Columns
from graph.importers.histories.importer import HistoryImporter
from graph.importers.histories.members import Member, members
from graph.importers.histories.plays import History, action_of
from graph.log.checks import now_ms
from graph.reading.opened import open_bytes
from graph.reading.values import EVENTS_BEGIN_MS, floats, integers

_ACTIONS: Final = {"likes": "like", "dislikes": "dislike", "unlikes": "unlike", "undislikes": "undislike"}
_ALL: Final = "multi_event"
_MAPPINGS: Final = {"artist_item_mapping": ("PERFORMED_BY", "Artist"), "album_item_mapping": ("ON_ALBUM", "Album")}
_NAMES: Final = ("listens", *_ACTIONS, _ALL, *_MAPPINGS)
_ORIGIN: Final = "2024-01-01"
_BLOCK_ROWS: Final = 1_000_000
_FAR: Final = 10**10  # seconds


class Yambda(HistoryImporter):
    """The files at `path`; `origin`: the day from which times count (default: one that is made up, 2024-01-01)."""

    format = "yambda"
    expected = "Parquet files listens, likes, dislikes, unlikes, undislikes or multi_event"
    several = True
    overlapping = False

    def __init__(self, path: Path, *, origin: str | None = None) -> None:
        super().__init__(path)
        self._told = origin is not None
        self._origin = _epoch_ms(origin or _ORIGIN)

    @classmethod
    def takes(cls, member: Member) -> bool:
        return member.base.endswith(".parquet") and _stem(member) in _NAMES

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return any(cls.takes(member) and _stem(member) not in _MAPPINGS for member in members(path))

    def read(self, progress: Progress = no_progress) -> Batch:
        batch = super().read(progress)
        if not self._told:
            batch.warn(
                f"times count from {_ORIGIN}, which is made up: the data set has none (--origin DATE says another)"
            )
        return batch

    def _rank(self, member: Member) -> int:
        """Listens first, which know how long songs are; the mappings last, which name songs that nobody played."""
        stem = _stem(member)
        return 0 if stem in ("listens", _ALL) else 2 if stem in _MAPPINGS else 1

    def _members(self, batch: Batch | None = None) -> list[Member]:
        found = super()._members(batch)
        stems = [_stem(member) for member in found]
        again = next((stem for stem in stems if stems.count(stem) > 1), None)
        if again is not None:
            raise InvalidInput(
                f"{self._path}: expected one {again}.parquet, got {stems.count(again)} (name one folder)"
            )
        if _ALL not in stems or len(found) == 1:
            return found
        rest = [member for member in found if _stem(member) in ("listens", *_ACTIONS)]
        if rest and batch is not None:
            batch.warn(f"{', '.join(one.base for one in rest)}: not read, since {_ALL}.parquet has it all")
        return [member for member in found if member not in rest]

    def _read(self, member: Member, history: History) -> None:
        stem = _stem(member)
        for frame in _blocks(member, history.batch):
            if stem in _MAPPINGS:
                _add_mapping(frame, stem, member, history.batch)
            else:
                self._add_events(frame, stem, member, history)

    def _add_events(self, frame: pl.DataFrame, stem: str, member: Member, history: History) -> None:
        _require(frame, ("uid", "item_id", "timestamp"), member)
        read = Columns(history.batch, member.name, frame["line"])
        raw = {name: _numbers(frame, name) for name in ("timestamp", "played_ratio_pct", "is_organic")}
        ratio = floats("played_ratio_pct", raw["played_ratio_pct"], 0, 10_000)
        seconds = read.kept("timestamp", raw["timestamp"], floats("timestamp", raw["timestamp"], 0, _FAR))
        length = read.lengths("track_length_seconds", _numbers(frame, "track_length_seconds"), 1000)
        heard = length.dt.total_milliseconds() * read.kept("played_ratio_pct", raw["played_ratio_pct"], ratio) / 100
        plays = frame.select("line", user=_id("uid"), song=_id("item_id")).with_columns(
            at=((seconds * 1000).cast(pl.Int64) + self._origin).cast(pl.Datetime("ms")),
            duration=length,
            played=heard.round(0).cast(pl.Int64).cast(pl.Duration("ms")),
            is_organic=read.kept("is_organic", raw["is_organic"], integers("is_organic", raw["is_organic"], 0, 1)),
        )
        plays = plays.with_columns(action=_action(frame, stem, member, history.batch)).drop_nulls("action")
        listened = pl.col("action").is_in(list(schema.PLAYBACK_ACTIONS))
        history.add(plays.with_columns(played=pl.when(listened).then("played")), file=member.name)


def _epoch_ms(day: str) -> int:
    """The beginning of a day, or another moment in ISO 8601, as epoch milliseconds.

    Raises: InvalidInput if it is none, or lies before 1990 or ahead.
    """
    try:
        read = datetime.fromisoformat(day)
        found = round((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        found = 0
    if not EVENTS_BEGIN_MS <= found <= now_ms():
        raise InvalidInput(f"origin: expected a day since 1990 such as {_ORIGIN}, got {one_line(day, 40)!r}")
    return found


def _action(frame: pl.DataFrame, stem: str, member: Member, batch: Batch) -> pl.Expr | pl.Series:
    """What each event is; rows of an unknown `event_type` go to the rejects, and have none."""
    listen = action_of(pl.col("played"), pl.col("duration"))
    if stem != _ALL:
        return pl.lit(_ACTIONS[stem]) if stem in _ACTIONS else listen
    _require(frame, ("event_type",), member)
    kind = frame["event_type"].cast(pl.String)
    known = {"listen": "listen", **{action: action for action in _ACTIONS.values()}}
    bad = frame.filter(~kind.is_in(list(known)).fill_null(value=False)).select("line", "event_type")
    reason = f"event_type: expected one of {', '.join(known)}"
    batch.reject(member.name, [(line, reason, str(value)) for line, value in bad.rows()])
    kind = kind.replace_strict(known, default=None, return_dtype=pl.String).alias("kind")
    return pl.when(pl.lit(kind) == "listen").then(listen).otherwise(pl.lit(kind))


def _add_mapping(frame: pl.DataFrame, stem: str, member: Member, batch: Batch) -> None:
    """Relations of items to artists or albums, and nodes of what they name."""
    kind, label = _MAPPINGS[stem]
    other = f"{label.lower()}_id"
    _require(frame, ("item_id", other), member)
    relationship = schema.relationship(kind, "Song", label)
    pairs = frame.select("line", source=_id("item_id"), target=_id(other)).unique(
        ["source", "target"], keep="first", maintain_order=True
    )
    batch.add_relationships(relationship, pairs, file=member.name)
    for node, ids in (("Song", pairs["source"]), (label, pairs["target"])):
        unique = ids.drop_nulls().unique(maintain_order=True).alias("id").to_frame()
        batch.add_nodes(node, unique, file=member.name)


def _blocks(member: Member, batch: Batch) -> Iterator[pl.DataFrame]:
    """The rows of a Parquet file in blocks, with `line`: the number of the row, from 1.

    Raises: InvalidInput if it is no Parquet file, or a truncated one.
    """
    from pyarrow import parquet

    done = 0
    try:
        with open_bytes(member.file) as stream:
            for block in parquet.ParquetFile(stream).iter_batches(_BLOCK_ROWS):
                frame = pl.DataFrame(block)
                frame = frame.with_columns(line=pl.int_range(done + 1, done + 1 + pl.len(), dtype=pl.Int64))
                done += frame.height
                batch.read += frame.height
                yield frame
    except InvalidInput:
        raise
    except Exception as failure:
        raise InvalidInput(f"{member.file}: expected a whole Parquet file ({one_line(str(failure))})") from failure


def _numbers(frame: pl.DataFrame, name: str) -> pl.Series:
    """A column of numbers or of texts; nulls if the table has none of that name."""
    if name not in frame.columns:
        return pl.repeat(None, frame.height, dtype=pl.Float64, eager=True)
    return frame[name].cast(pl.Int8) if frame[name].dtype == pl.Boolean else frame[name]


def _id(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String, strict=False)


def _require(frame: pl.DataFrame, names: tuple[str, ...], member: Member) -> None:
    missing = [name for name in names if name not in frame.columns]
    nested = [name for name in frame.columns if frame[name].dtype.is_nested()]
    if missing or nested:
        raise InvalidInput(
            f"{member.file}: expected the columns {', '.join(names)} in the flat layout, got {listed(frame)}"
        )


def _stem(member: Member) -> str:
    return member.base.removesuffix(".parquet")
