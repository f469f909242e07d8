"""`listenbrainz`: what ListenBrainz exports: `listens/YYYY/M.jsonl`, `feedback.jsonl`, `pinned_recording.jsonl`,
`user.json` in a zip file or a folder, or as before one JSON array of listens.

A song is the recording's MBID (of the mapping, else as the player gave it), else it is made of its artist and title.
`at` is `listened_at`, when it began. A score of 1 is a `like`, of -1 a `dislike`, of 0 neither; a pinned recording is a
`share`. Feedback finds its song by the listens of the same MSID, else by its MBID.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import polars as pl

from graph.importers.histories.columns import Columns
from graph.importers.histories.entries import Entry, entries, json_of
from graph.importers.histories.importer import HistoryImporter
from graph.importers.histories.members import Member, members
from graph.importers.histories.names import made_of
from graph.importers.histories.plays import ARTIST, History

_ACTIONS: Final = {1: "like", -1: "dislike"}
_LISTEN: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    **dict.fromkeys(("user", "song", "title", "artist", "album", "album_id", "msid"), pl.String),
    "artists": pl.List(ARTIST), "seconds": pl.Float64, "ms": pl.Float64, "line": pl.Int64,
}  # fmt: skip
_OPINION: Final = {"song": pl.String, "action": pl.String, "seconds": pl.Float64, "line": pl.Int64}


class ListenBrainz(HistoryImporter):
    """The export at `path`."""

    format = "listenbrainz"
    expected = "an export of ListenBrainz: listens/YYYY/M.jsonl, or one JSON array of listens"

    @classmethod
    def takes(cls, member: Member) -> bool:
        if member.base in ("feedback.jsonl", "pinned_recording.jsonl", "user.json"):
            return True
        if member.base.endswith(".jsonl") and "listens/" in member.name:
            return True
        return member.base.endswith((".json", ".jsonl")) and '"listened_at"' in member.head()

    def __init__(self, path: Path, *, user: str | None = None) -> None:
        super().__init__(path, user=user)
        self._songs: dict[str, str] = {}  # MSID -> id of the song

    @classmethod
    def recognises(cls, path: Path) -> bool:
        heads = (member.head() for member in members(path) if cls.takes(member) and member.base != "user.json")
        return any('"listened_at"' in head or '"recording_msid"' in head for head in heads)

    def _rank(self, member: Member) -> int:
        """First who it is, then the listens, whose MSIDs feedback names."""
        return {"user.json": 0, "feedback.jsonl": 2, "pinned_recording.jsonl": 2}.get(member.base, 1)

    def _read(self, member: Member, history: History) -> None:
        if member.base == "user.json":
            held = json_of(member, history.batch)
            names = [held.get(name) for name in ("user_name", "username")] if isinstance(held, dict) else []
            history.named = next((name for name in names if isinstance(name, str) and name.strip()), "")
            history.batch.read += 1
            if not history.named:
                history.batch.lose(member.name, [(None, "user_name", None, "user_name: expected a name, got none")])
            return
        for block in entries(member, history.batch):
            if self._rank(member) == 2:
                self._add_opinions(block, member, history)
            else:
                self._add_listens(block, member, history)
            history.batch.lose(member.name, [lost for entry in block for lost in entry.lost])

    def _add_listens(self, block: list[Entry], member: Member, history: History) -> None:
        rows = [_listen(entry, history) for entry in block]
        frame = pl.DataFrame([row for row in rows if row is not None], schema=_LISTEN, orient="row")
        read = Columns(history.batch, member.name, frame["line"])
        plays = frame.with_columns(
            at=read.instants("listened_at", frame["seconds"], 1000),
            duration=read.lengths("duration_ms", frame["ms"], 1),
            action=pl.lit("play"),
        )
        history.add(plays, file=member.name)
        for msid, song, artist, title in frame.select("msid", "song", "artist", "title").rows():
            made = song or (made_of(artist, title) if artist and title else None)
            if msid and made:
                self._songs.setdefault(msid, made)

    def _add_opinions(self, block: list[Entry], member: Member, history: History) -> None:
        rows = []
        for entry in block:
            action = "share" if member.base.startswith("pinned") else _ACTIONS.get(_score(entry, member, history))
            msid, mbid = entry.text("recording_msid"), entry.text("recording_mbid")
            song = self._songs.get(msid or "") or mbid
            if action is None:
                continue
            if song is None:
                history.passed_over["opinions on recordings that no listen names"] += 1
                continue
            rows.append((song, action, entry.number("created"), entry.line))
        frame = pl.DataFrame(rows, schema=_OPINION, orient="row")
        read = Columns(history.batch, member.name, frame["line"])
        history.add(frame.with_columns(at=read.instants("created", frame["seconds"], 1000)), file=member.name)


def _score(entry: Entry, member: Member, history: History) -> int:
    """1, -1 or 0; another one goes to the rejects."""
    score = entry.number("score")
    if score in (0, 1, -1):
        return int(score)
    reason = "score: expected 1, 0 or -1"
    history.batch.reject(member.name, [(entry.line, reason, entry.shown())])
    return 0


def _listen(entry: Entry, history: History) -> tuple[Any, ...]:
    """What a listen says, as `_LISTEN`."""
    track, info, mapping = (
        ("track_metadata",),
        ("track_metadata", "additional_info"),
        ("track_metadata", "mbid_mapping"),
    )
    artist = entry.text(*track, "artist_name")
    mapped = entry.text(*mapping, "recording_mbid")
    history.named = history.named or entry.text("user_name") or ""
    duration = entry.number(*info, "duration_ms")
    if duration is None:
        seconds = entry.number(*info, "duration")
        duration = None if seconds is None else seconds * 1000
    return (
        None,
        mapped or entry.text(*info, "recording_mbid"),
        entry.text(*track, "track_name"),
        artist,
        entry.text(*track, "release_name"),
        entry.text(*mapping, "release_mbid") if mapped else entry.text(*info, "release_mbid"),
        entry.text(*track, "recording_msid") or entry.text("recording_msid"),
        _artists(entry, artist, mapping),
        entry.number("listened_at"),
        duration,
        entry.line,
    )


def _artists(entry: Entry, artist: str | None, mapping: tuple[str, ...]) -> list[dict[str, str | None]] | None:
    """The mapped artists, each with its MBID; None if there are none, and the name alone says who it is."""
    found: list[dict[str, str | None]] = []
    for one in _list(entry, *mapping, "artists"):
        if isinstance(one, dict):
            part = Entry(one, entry.line)
            found.append({"id": part.text("artist_mbid"), "name": part.text("artist_credit_name")})
            entry.lost.extend(part.lost)
    if found:
        return [one for one in found if one["id"] or one["name"]] or None
    mbids = [one for one in _list(entry, *mapping, "artist_mbids") if isinstance(one, str) and one]
    if len(mbids) == 1:
        return [{"id": mbids[0], "name": artist}]
    return [{"id": mbid, "name": None} for mbid in mbids] or None


def _list(entry: Entry, *path: str) -> list[Any]:
    found = entry.get(*path)
    if found is None or isinstance(found, list):
        return found or []
    name = ".".join(path)
    entry.lost.append((entry.line, name, str(found)[:100], f"{name}: expected a list"))
    return []
