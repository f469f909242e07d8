"""Plays of one or many listeners on their way into a batch: identity, catalogue, overlapping files, event ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import polars as pl

from graph import schema
from graph.batch import Batch
from graph.importers.histories.names import made_ids
from graph.log.checks import EVENT_COLUMNS

ARTIST: Final = pl.Struct({"id": pl.String, "name": pl.String})
PLAY: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "user": pl.String,
    "song": pl.String,
    "title": pl.String,
    "artist": pl.String,
    "artist_id": pl.String,
    "artists": pl.List(ARTIST),
    "album": pl.String,
    "album_id": pl.String,
    "duration": pl.Duration("ms"),
    "at": pl.Datetime("ms"),
    "played": pl.Duration("ms"),
    "action": pl.String,
    "count": pl.Int64,
    "is_organic": pl.Int64,
    "line": pl.Int64,
}
"""What a play may say. `user`: null is the history's own listener; `song`: its recording id; `artist`: the name that
stands beside the title; `artists`: those to relate it to (default: `artist_id` and `artist` alone)."""
_PERFORMED_BY: Final = schema.relationship("PERFORMED_BY", "Song", "Artist")
_ON_ALBUM: Final = schema.relationship("ON_ALBUM", "Song", "Album")
_MINUTE: Final = 60_000
_SHORT_MS: Final = 30_000
_NEAR_MS: Final = 1_000  # files round to seconds


def action_of(
    played: pl.Expr, duration: pl.Expr, *, cut: pl.Expr | None = None, ended: pl.Expr | None = None
) -> pl.Expr:
    """What a playback was: `skip` if it was cut short, `full_play` if it went to the end, else `play`.

    cut, ended: what the file says of it itself (Boolean). Without such a word a play under 30 s and under half of the
    duration, where that is known, is cut short, and one that lasted as long as the song, to a second, went to the end.
    """
    said_cut = cut.fill_null(value=False) if cut is not None else pl.lit(value=False)
    said_end = ended.fill_null(value=False) if ended is not None else pl.lit(value=False)
    heard, whole = played.dt.total_milliseconds(), duration.dt.total_milliseconds()
    brief = (heard < _SHORT_MS) & ((heard < whole / 2) | whole.is_null())
    full = (whole > 0) & (heard >= whole - _NEAR_MS)
    return (
        pl.when(said_cut | brief.fill_null(value=False))
        .then(pl.lit("skip"))
        .when(said_end | full.fill_null(value=False))
        .then(pl.lit("full_play"))
        .otherwise(pl.lit("play"))
    )


class History:
    """Adds the rows of a history's files to a batch; `finish` says that all files were read.

    user: who listened, whatever the files say; several: whether each row has to say it; overlapping: whether files may
    have the same plays; `named`: who the files say listened, if rows do not.
    """

    def __init__(
        self, batch: Batch, user: str | None = None, *, several: bool = False, overlapping: bool = True
    ) -> None:
        self.batch, self.user, self.named = batch, user, ""
        self._several, self._overlapping = several, overlapping
        self.passed_over: Counter[str] = Counter()
        self._files: list[str] = []
        self._parts: list[pl.DataFrame] = []  # `file` (number), `coarse` (times are of whole minutes), per event
        self._keys: list[pl.DataFrame] = []  # `song`, `key`: the id that its names would give it
        self._hidden: list[pl.DataFrame] = []
        self._lengths: list[pl.DataFrame] = []  # `id`, `duration_ms` of songs, for those that are met without it first

    @property
    def listener(self) -> str:
        """Who listened where a row does not say it."""
        return self.user or self.named or "me"

    def add(self, frame: pl.DataFrame, *, file: str, coarse: bool = False) -> None:
        """Add plays or feedback: columns of `PLAY`; rows that name no song go to the rejects.

        coarse: whether the file gives its times to the minute only.
        """
        frame = self.identified(frame, file=file)
        found = self._events(frame)
        before = self.batch.events.height
        self.batch.add_events(found, file=file)
        added = self.batch.events.height - before
        self._number(file, added, coarse)
        if added < frame.height:  # what nobody played is no song of the history
            played = set(self.batch.events.tail(added)["song_id"])
            frame = frame.filter(pl.Series([schema.id_of(song) in played for song in frame["song"]], dtype=pl.Boolean))
        self.add_songs(frame, file=file)

    def add_songs(self, frame: pl.DataFrame, *, file: str) -> None:
        """Add songs, artists, albums and their relations from rows that `identified` gave."""
        songs = frame.group_by("song", maintain_order=True).agg(
            pl.col("title").drop_nulls().first(), pl.col("duration").drop_nulls().first(), pl.col("line").first()
        )
        songs = songs.rename({"song": "id", "duration": "duration_ms"})
        if "Song" in self.batch.nodes:
            without = self.batch.nodes["Song"].filter(pl.col("duration_ms").is_null())
            late = songs.select("id", pl.col("duration_ms").dt.total_milliseconds()).drop_nulls()
            self._lengths.append(late.join(without, on="id", how="semi"))
        self._add_nodes("Song", songs, file)
        pairs = frame.select("song", "artists", "line").explode("artists").drop_nulls("artists").unnest("artists")
        pairs = self._with_made(pairs, "id", "name").drop_nulls("id")
        self._add_nodes("Artist", pairs.select("id", "name", "line"), file)
        self._add_relations(_PERFORMED_BY, pairs.select("line", source="song", target="id"), file)
        first = pl.col("artists").list.first().struct.field("name")  # a guest of one song is none of its album
        albums = frame.select("song", "album", "album_id", "line", artist=pl.coalesce(first, "artist"))
        albums = self._with_made(albums, "album_id", "artist", "album")
        albums = albums.drop_nulls("album_id")
        self._add_nodes("Album", albums.select("line", id="album_id", title="album"), file)
        self._add_relations(_ON_ALBUM, albums.select("line", source="song", target="album_id"), file)

    def identified(self, frame: pl.DataFrame, *, file: str, also: Sequence[str] = ()) -> pl.DataFrame:
        """The rows with all columns of `PLAY`, those of `also`, and an id of their song; rows that name no song go to
        the rejects."""
        frame = frame.with_columns(
            pl.lit(None, dtype=kind).alias(n) for n, kind in PLAY.items() if n not in frame.columns
        )
        blank = [
            pl.when(pl.col(n).str.strip_chars() != "").then(pl.col(n)) for n in ("song", "title", "artist", "album")
        ]
        frame = frame.select(*PLAY, *also).with_columns(blank)
        alone = pl.concat_list(pl.struct(id="artist_id", name="artist"))
        told = pl.col("artist").is_not_null() | pl.col("artist_id").is_not_null()
        frame = frame.with_columns(artists=pl.coalesce("artists", pl.when(told).then(alone)))
        named = frame.select("artist", title=pl.when(pl.col("artist").is_not_null()).then("title"))
        key = made_ids(named, "artist", "title")
        keys = frame.select("song", key=key).drop_nulls().unique("song", keep="first", maintain_order=True)
        if "Song" in self.batch.nodes:
            keys = keys.join(self.batch.nodes["Song"], left_on="song", right_on="id", how="anti", maintain_order="left")
        self._keys.append(keys)
        frame = frame.with_columns(song=pl.coalesce("song", key))
        nameless = frame.filter(pl.col("song").is_null())
        reason = "expected the id of a recording, or its title and artist"
        shown = nameless.select("line", pl.concat_str("title", "artist", "album", separator=",", ignore_nulls=True))
        self.batch.reject(file, [(line, reason, text) for line, text in shown.rows()])
        return frame.drop_nulls("song")

    def hide(self, frame: pl.DataFrame, *, file: str) -> None:
        """Plays that are not to come in from any other file either; columns as of `add`."""
        known = self.identified(frame, file=file)
        self._hidden.append(self._events(known).select("user_id", "action", "song_id", "at", "played_ms"))

    def finish(self) -> None:
        """Keep once what stands in several files, add the listeners, and give each event its id."""
        self._keep_once()
        self._fill_durations()
        batch = self.batch
        users = batch.events["user_id"].drop_nulls().unique(maintain_order=True)
        self._add_nodes("User", users.alias("id").to_frame().with_columns(line=pl.lit(None, pl.Int64)), "users")
        if self.passed_over:
            each = ", ".join(f"{count} {what}" for what, count in sorted(self.passed_over.items()))
            batch.warn(f"{self.passed_over.total()} entries without a track are passed over: {each}")
        if users.len() and not (self._several or self.user or self.named):
            batch.warn("the files do not name the listener, who is called me (--user NAME says who it is)")
        timeless = batch.events["at"].null_count()
        if timeless:
            batch.warn(f"{timeless} of {batch.events.height} events have no time")
        # The ids do not depend on where the files lie, so an export of next year adds only what is new in it.
        batch.name_events(batch.format)

    # ---- inside

    def _events(self, frame: pl.DataFrame) -> pl.DataFrame:
        told = pl.lit(self.user) if self.user else pl.col("user").fill_null(pl.lit(self.listener))
        whose = pl.col("user") if self._several else told
        kept = [name for name in ("is_organic",) if name in EVENT_COLUMNS]
        return frame.select("action", "at", "count", "line", *kept, user_id=whose, song_id="song", played_ms="played")

    def _number(self, file: str, count: int, coarse: bool) -> None:
        if file not in self._files:
            self._files.append(file)
        number = self._files.index(file)
        self._parts.append(
            pl.select(file=pl.repeat(number, count, dtype=pl.Int64), coarse=pl.repeat(coarse, count, dtype=pl.Boolean))
        )

    def _add_nodes(self, label: str, frame: pl.DataFrame, file: str) -> None:
        frame = frame.unique("id", keep="first", maintain_order=True)
        if label in self.batch.nodes:
            frame = frame.join(self.batch.nodes[label], on="id", how="anti", maintain_order="left")
        if frame.height:
            self.batch.add_nodes(label, frame, file=file)

    def _add_relations(self, relationship: schema.Relationship, frame: pl.DataFrame, file: str) -> None:
        ends = ["source", "target"]
        frame = frame.unique(ends, keep="first", maintain_order=True)
        if relationship in self.batch.relationships:
            frame = frame.join(self.batch.relationships[relationship], on=ends, how="anti", maintain_order="left")
        if frame.height:
            self.batch.add_relationships(relationship, frame, file=file)

    @staticmethod
    def _with_made(frame: pl.DataFrame, id_: str, *names: str) -> pl.DataFrame:
        return frame.with_columns(pl.coalesce(id_, made_ids(frame, *names)).alias(id_))

    def _fill_durations(self) -> None:
        songs = self.batch.nodes.get("Song")
        if songs is not None and self._lengths and songs["duration_ms"].null_count():
            known = pl.concat(self._lengths).unique("id", keep="first", maintain_order=True)
            known = known.rename({"duration_ms": "known"})
            filled = songs.join(known, on="id", how="left", maintain_order="left")
            filled = filled.with_columns(duration_ms=pl.coalesce("duration_ms", "known"))
            self.batch.nodes["Song"] = filled.select(songs.columns)

    def _keep_once(self) -> None:
        """Of plays that stand in several files keep those of the file that has most of them.

        A play is known by listener, song (by its names, where it has them), time and how long it was played. Files
        whose times are of whole minutes are compared by the minute with those that are finer.
        """
        if not self._overlapping or (len(self._files) < 2 and not self._hidden):
            return
        events = self.batch.events
        parts = pl.concat(self._parts)
        frame = self._compared(events).with_columns(parts)
        same = ["user_id", "key", "kind", "at", "played"]
        frame = frame.with_columns(nth=pl.int_range(pl.len()).over("file", *same))
        kept = frame.select(pl.struct(*same, "nth").is_first_distinct()).to_series()
        minutes = ["user_id", "key", "kind", "minute", "played"]
        frame = frame.with_columns(row=pl.int_range(pl.len()), minute=pl.col("at") // _MINUTE)
        fine = frame.filter(kept & ~pl.col("coarse")).select(minutes)
        hidden = [
            self._compared(one).with_columns(minute=pl.col("at") // _MINUTE).select(minutes) for one in self._hidden
        ]
        fine = pl.concat([fine, *hidden]).with_columns(nth=pl.int_range(pl.len()).over(minutes))
        rough = frame.filter(kept & pl.col("coarse")).with_columns(nth=pl.int_range(pl.len()).over(minutes))
        again = rough.join(fine, on=[*minutes, "nth"], how="semi", nulls_equal=True)["row"]
        kept &= ~frame["row"].is_in(again.implode())
        if not kept.all():
            self.batch.warn(f"{kept.len() - int(kept.sum())} plays stand in several files, and are kept once")
            self.batch.events = events.filter(kept)

    def _compared(self, events: pl.DataFrame) -> pl.DataFrame:
        """`user_id`, `key`, `kind`, `at`, `played` of events, by which the same one is known in another file."""
        keys = pl.concat(self._keys).unique("song", keep="first", maintain_order=True)
        at, played = pl.col("at"), pl.col("played_ms")
        frame = events.join(keys, left_on="song_id", right_on="song", how="left", maintain_order="left")
        playback = pl.col("action").is_in(list(schema.PLAYBACK_ACTIONS))
        return frame.select(
            "user_id",
            key=pl.coalesce("key", "song_id"),
            kind=pl.when(playback).then(pl.lit("play")).otherwise("action"),
            at=at.dt.epoch("ms") if isinstance(events["at"].dtype, pl.Datetime) else at,
            played=(
                played.dt.total_milliseconds() if isinstance(events["played_ms"].dtype, pl.Duration) else played
            ).fill_null(-1),
        )
