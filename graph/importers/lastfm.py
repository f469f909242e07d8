"""`lastfm`: the HetRec 2011 Last.fm folder.

Each artist is one song performed by that artist (both have the artist's id). A row of `user_artists.dat` is one `play`
without a time whose `count` is the row's weight; friends follow each other; the tags of an artist are HAS_TAG of the
artist and of its song, weighted by how many listeners gave them.

Its dirt comes in and is reported: `tags.dat` is latin-1, some tagged artists have no row in `artists.dat` (they become
songs without a title), some dates are before Last.fm began (dates are not kept, the assignments count).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from graph import schema
from graph.batch import Batch
from graph.catalogue import Progress
from graph.importers.base import add_ids, columns, existing_file, existing_folder, read_delimited

_FILES: Final = ("artists.dat", "user_artists.dat", "tags.dat", "user_taggedartists.dat", "user_friends.dat")
_FIRST_YEAR: Final = 2002  # Last.fm began in it
_PERFORMED_BY: Final = schema.relationship("PERFORMED_BY", "Song", "Artist")
_FOLLOWS: Final = schema.relationship("FOLLOWS", "User", "User")


class LastFM:
    """The folder at `path`; `only` (`user_id`, `song_id`) keeps the plays of those pairs alone, `without` leaves out
    the tag assignments of those pairs, and `people` those of everybody else.

    Both are for evaluations: whatever says that a listener met an item held out from them must not be read.
    """

    format = "lastfm"

    def __init__(
        self,
        path: Path,
        *,
        only: pl.DataFrame | None = None,
        without: pl.DataFrame | None = None,
        people: pl.Series | None = None,
    ) -> None:
        self._path, self._only, self._without, self._people = path, only, without, people

    def files(self) -> list[Path]:
        existing_folder(self._path, ", ".join(_FILES))
        return [existing_file(self._path / name, ", ".join(_FILES)) for name in _FILES]

    def read(self, progress: Progress) -> Batch:
        batch = Batch(self.format)
        artists, plays, tags, assignments, friends = self.files()
        readers: tuple[tuple[Path, Callable[[Batch, Path], None]], ...] = (
            (artists, _add_artists),
            (plays, partial(_add_plays, only=self._only)),
            (tags, _add_tags),
            (assignments, partial(_add_assignments, without=self._without, people=self._people)),
            (friends, _add_friends),
        )
        for done, (file, add) in enumerate(readers):
            progress(f"reading {file.name}", done, len(_FILES))
            add(batch, file)
        _complete(batch)
        return batch


def _read(batch: Batch, file: Path, names: dict[str, str]) -> pl.DataFrame:
    return columns(read_delimited(file, batch, separator="\t", quoted=False, otherwise="latin-1"), names, file)


def _add_artists(batch: Batch, file: Path) -> None:
    frame = _read(batch, file, {"id": "id", "name": "name"})
    batch.add_nodes("Artist", frame, file=file.name, repeats="reject")
    batch.add_nodes("Song", batch.nodes["Artist"].rename({"name": "title"}), file=file.name)


def _add_plays(batch: Batch, file: Path, only: pl.DataFrame | None = None) -> None:
    frame = _read(batch, file, {"userID": "user_id", "artistID": "song_id", "weight": "count"})
    if only is not None:
        frame = frame.join(only, on=["user_id", "song_id"], how="semi", maintain_order="left")
    batch.add_events(frame.with_columns(action=pl.lit("play")), file=file.name)
    batch.warn(f"{file.name}: plays carry no time; they are ordered as in the file")


def _add_tags(batch: Batch, file: Path) -> None:
    frame = _read(batch, file, {"tagID": "id", "tagValue": "name"})
    damaged = int(frame["name"].str.contains("\ufffd", literal=True).sum())
    if damaged:
        batch.warn(f"{file.name}: {damaged} tag names hold a character that was lost before (U+FFFD)")
    batch.add_nodes("Tag", frame, file=file.name, repeats="reject")


def _add_assignments(
    batch: Batch, file: Path, without: pl.DataFrame | None = None, people: pl.Series | None = None
) -> None:
    frame = _read(batch, file, {"userID": "user", "artistID": "source", "tagID": "target", "year": "year"})
    if people is not None:
        frame = frame.filter(pl.col("user").is_in(people.implode()))
    if without is not None:
        held = without.select(user="user_id", source="song_id")
        frame = frame.join(held, on=["user", "source"], how="anti", maintain_order="left")
    years = frame["year"].cast(pl.Int64, strict=False)
    early = int((years < _FIRST_YEAR).sum())
    if early:
        found = ", ".join(str(y) for y in years.filter(years < _FIRST_YEAR).unique().sort().to_list()[:5])
        batch.warn(f"{file.name}: {early} tag dates are before {_FIRST_YEAR} ({found}); dates are not kept")
    known = batch.nodes["Artist"]["id"]
    missing = (
        frame["source"].drop_nulls().unique().filter(~frame["source"].drop_nulls().unique().is_in(known.implode()))
    )
    if missing.len():
        batch.warn(f"{file.name}: {missing.len()} tagged artists have no row in artists.dat; made without a name")
    weights = frame.group_by("source", "target", maintain_order=True).agg(
        pl.len().cast(pl.Float64).alias("weight"), pl.col("line").first()
    )
    for label in ("Artist", "Song"):
        batch.add_relationships(schema.relationship("HAS_TAG", label, "Tag"), weights, file=file.name)
    add_ids(batch, "User", frame["user"], file=file.name)


def _add_friends(batch: Batch, file: Path) -> None:
    frame = _read(batch, file, {"userID": "source", "friendID": "target"})
    both = pl.concat([frame, frame.select(source="target", target="source", line="line")])
    both = both.unique(["source", "target"], keep="first", maintain_order=True)
    batch.add_relationships(_FOLLOWS, both, file=file.name)


def _complete(batch: Batch) -> None:
    """Nodes for everyone and everything the rows name, and a song for each artist."""
    add_ids(batch, "User", batch.events["user_id"], file="user_artists.dat")
    for end in ("source", "target"):
        add_ids(batch, "User", batch.relationships[_FOLLOWS][end], file="user_friends.dat")
    tagged = batch.relationships[schema.relationship("HAS_TAG", "Artist", "Tag")]["source"]
    for ids, file in ((batch.events["song_id"], "user_artists.dat"), (tagged, "user_taggedartists.dat")):
        add_ids(batch, "Artist", ids, file=file)
        add_ids(batch, "Song", ids, file=file)
    artists = batch.nodes["Artist"].select(source="id", target="id")
    batch.add_relationships(_PERFORMED_BY, artists, file="artists.dat")
