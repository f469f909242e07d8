"""`mpd`: the Million Playlist Dataset, `mpd.slice.A-B.json`, any number of slices.

A playlist's id is its `pid`, a song, an artist and an album have their Spotify URIs. A playlist CONTAINS its songs by
position, as of `modified_at`; the graph has one edge for a playlist and a song, so a song that stands there again keeps
its first position, and how many there were is told. Nobody owns a playlist: the data set names no listeners. In reports
a line is the number of a track in its slice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import polars as pl

from graph import schema
from graph.batch import Batch
from graph.catalogue import Progress
from graph.errors import InvalidInput
from graph.importers.histories.columns import Columns
from graph.importers.histories.entries import Entry, json_of
from graph.importers.histories.importer import HistoryImporter
from graph.importers.histories.members import Member
from graph.importers.histories.plays import History

_TRACK: Final = {
    **dict.fromkeys(("playlist", "song", "title", "artist", "artist_id", "album", "album_id"), pl.String),
    "position": pl.Int64, "seconds": pl.Float64, "ms": pl.Float64, "line": pl.Int64,
}  # fmt: skip
_TEXTS: Final = ("track_uri", "track_name", "artist_name", "artist_uri", "album_name", "album_uri")
_LIST: Final = {"id": pl.String, "name": pl.String}
_CONTAINS: Final = schema.relationship("CONTAINS", "Playlist", "Song")


class MPD(HistoryImporter):
    """The slices at `path`."""

    format = "mpd"
    expected = "mpd.slice.A-B.json"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._edges: list[pl.DataFrame] = []

    @classmethod
    def takes(cls, member: Member) -> bool:
        if member.base.startswith("mpd.slice.") and member.base.endswith(".json"):
            return True
        head = member.head() if member.base.endswith(".json") else ""
        return all(f'"{name}"' in head for name in ("playlists", "pid", "tracks"))

    def read(self, progress: Progress) -> Batch:
        self._edges = []
        batch = super().read(progress)
        if self._edges:
            edges = pl.concat(self._edges)
            once = edges.unique(["source", "target"], keep="first", maintain_order=True)
            if once.height < edges.height:
                batch.warn(
                    f"{edges.height - once.height} songs stand in a playlist again; the first position of each is kept"
                )
            batch.add_relationships(_CONTAINS, once, file=self._path.name)
        return batch

    def _read(self, member: Member, history: History) -> None:
        held = json_of(member, history.batch)
        playlists = held.get("playlists") if isinstance(held, dict) else None
        if not isinstance(playlists, list):
            raise InvalidInput(f"{member.file}: expected an object with an array `playlists`")
        lists: list[tuple[Any, ...]] = []
        tracks: list[tuple[Any, ...]] = []
        number = 0  # of the last track
        for one in playlists:
            entry = Entry(one if isinstance(one, dict) else {}, None)
            found, pid = entry.get("tracks"), entry.number("pid")
            history.batch.read += 1
            if pid is None or pid != int(pid) or not isinstance(found, list):
                reason = "expected a playlist with a number `pid` and an array `tracks`"
                history.batch.reject(member.name, [(None, reason, entry.shown())])
                continue
            playlist = (str(int(pid)), entry.text("name"), entry.number("modified_at"))
            lists.append(playlist[:2])
            history.batch.lose(member.name, entry.lost)
            tracks.extend(_tracks(found, playlist, number + 1, member, history))
            number += len(found)
        history.batch.read += number
        history.batch.add_nodes("Playlist", pl.DataFrame(lists, schema=_LIST, orient="row"), file=member.name)
        self._add(pl.DataFrame(tracks, schema=_TRACK, orient="row"), member, history)

    def _add(self, frame: pl.DataFrame, member: Member, history: History) -> None:
        read = Columns(history.batch, member.name, frame["line"])
        frame = frame.with_columns(
            duration=read.lengths("duration_ms", frame["ms"], 1),
            at=read.instants("modified_at", frame["seconds"], 1000),
        )
        songs = history.identified(frame, file=member.name, also=["playlist", "position"])
        history.add_songs(songs, file=member.name)
        edges = songs.select("position", "at", source="playlist", target="song").sort("position", maintain_order=True)
        self._edges.append(edges)


def _tracks(
    found: list[Any], playlist: tuple[str, str | None, float | None], first: int, member: Member, history: History
) -> list[tuple[Any, ...]]:
    """The tracks of a playlist (id, name, seconds), as `_TRACK`; `line` is the number of the track in the slice."""
    rows = []
    for place, one in enumerate(found):
        if not isinstance(one, dict):
            history.batch.reject(member.name, [(first + place, "expected a track (an object)", str(one)[:200])])
            continue
        track = Entry(one, first + place)
        position = track.number("pos")
        texts = (track.text(name) for name in _TEXTS)
        place_ = place if position is None or not 0 <= position < 10**9 else int(position)
        rows.append((playlist[0], *texts, place_, playlist[2], track.number("duration_ms"), first + place))
        if track.lost:
            history.batch.lose(member.name, track.lost)
    return rows
