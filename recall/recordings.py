"""Which songs are one recording under several ids: the same title by the same artists, or covers of one original."""

from __future__ import annotations

import unicodedata
from typing import Final

import numpy as np
from scipy import sparse

from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from recall.grouped import rank_within_group
from recall.live.edits import NewSongs
from recall.once import once

_COVERS: Final = "COVER_OF"
_ARTISTS: Final = "PERFORMED_BY"


def recordings(snapshot: Snapshot) -> Array:
    """(songs,) int32: the position of the first song of each song's recording, which is its own where it stands alone.

    Two songs are one recording if they have the same set of artists and the same title, letter case and Unicode form
    aside, or are joined by `COVER_OF`, also through an original. A song without a title or without an artist is known
    too little to be the same as another one by name. Computed once for a snapshot.
    """
    return once(snapshot, "recordings", lambda: _recordings(snapshot))


class Recordings:
    """The recordings of a release's songs and of the songs that came after it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot, self.known = snapshot, recordings(snapshot)
        self._late: tuple[NewSongs, Array] | None = None

    def of(self, songs: Array, new: NewSongs) -> Array:
        """(n,) the recording of each of `songs` (n,), of which `new` ones stand beyond the release."""
        return new.take(self.known, self.of_new(new), songs)

    def of_new(self, new: NewSongs) -> Array:
        """(M,) the recordings of new songs; they are the same from one request to the next."""
        late = self._late
        if late is None or late[0] is not new:
            late = self._late = new, self._found(new)
        return late[1]

    def ids_of(self, song: int, new: NewSongs) -> Array:
        """Every song of the recording of `song`, itself among them, ascending."""
        mine = int(self.of(np.array([song]), new)[0])
        known = np.flatnonzero(self.known == mine)
        late = np.flatnonzero(self.of_new(new) == mine) + new.first
        return np.concatenate([known, late]).astype(np.int32)

    def firsts(self, songs: Array, new: NewSongs) -> Array:
        """Where (m,), ascending, the first song of each recording stands in `songs` (n,), the best first."""
        return np.flatnonzero(rank_within_group(self.of(songs, new)) == 0)

    def _found(self, new: NewSongs) -> Array:
        found = np.arange(new.first, new.first + len(new), dtype=np.int32)
        named: dict[tuple[str, tuple[int, ...]], int] = {}
        for i in range(len(new)):
            originals = new.entities[_COVERS][i]
            artists = tuple(sorted(set(new.entities[_ARTISTS][i].tolist())))
            title = plain_title(str(new.songs[i].properties.get("title") or ""))
            if len(originals):
                found[i] = self.known[originals[0]]
            elif title and artists:
                known = self._named(title, artists)
                found[i] = named.setdefault((title, artists), int(found[i])) if known < 0 else known
        return found

    def _named(self, title: str, artists: tuple[int, ...]) -> int:
        """The recording of a title by artists in the release, or -1."""
        performed, titles = self._snapshot.relation(_ARTISTS), self._snapshot.texts("Song", "title")
        for song in performed.into(artists[0]).tolist():
            if tuple(performed.of(song).tolist()) == artists and plain_title(titles[song]) == title:
                return int(self.known[song])
        return -1


def plain_title(title: str) -> str:
    """A title without letter case, in NFC, with single blanks."""
    return unicodedata.normalize("NFC", " ".join(title.split()).casefold())


def _recordings(snapshot: Snapshot) -> Array:
    covers = snapshot.relation(_COVERS)
    named, first = _same_by_name(snapshot)
    source = np.concatenate([covers.edge_sources, named])
    target = np.concatenate([covers.indices, first])
    graph = sparse.csr_array((np.ones(len(source), dtype=bool), (source, target)), shape=(snapshot.songs,) * 2)
    _, group = sparse.csgraph.connected_components(graph, directed=False)
    _, firsts, place = np.unique(group, return_index=True, return_inverse=True)
    return firsts[place].astype(np.int32)


def _same_by_name(snapshot: Snapshot) -> tuple[Array, Array]:
    """Songs (n,) that share title and artists with others, and the first of those each (n,)."""
    titles = np.array([plain_title(t) for t in snapshot.texts("Song", "title").to_list()], dtype=object)
    performed = snapshot.relation(_ARTISTS)
    counts = np.diff(performed.indptr)
    songs = np.flatnonzero((titles != "") & (counts > 0))
    place = {title: i for i, title in enumerate(dict.fromkeys(titles[songs]))}
    group = np.fromiter((place[t] for t in titles[songs]), dtype=np.int64, count=len(songs))
    songs, group = _shared(songs, group)
    # a song's artists stand in order: songs are told apart by how many they are, then by one artist after the other
    songs, group = _parted(songs, group, counts[songs])
    turn = 0
    while (more := counts[songs] > turn).any():
        artist = np.full(len(songs), -1, dtype=np.int64)
        artist[more] = performed.indices[performed.indptr[songs[more]] + turn]
        songs, group = _parted(songs, group, artist)
        turn += 1
    _, first, same = np.unique(group, return_index=True, return_inverse=True)
    return songs, songs[first][same]


def _parted(songs: Array, group: Array, by: Array) -> tuple[Array, Array]:
    """Groups split by a number (n,) of each song from -1, without the songs that are then alone."""
    if not len(songs):
        return songs, group
    both = group * (int(by.max()) + 2) + by + 1
    _, parted = np.unique(both, return_inverse=True)
    return _shared(songs, parted)


def _shared(songs: Array, group: Array) -> tuple[Array, Array]:
    """Without the songs that are alone in their group."""
    kept = np.bincount(group)[group] > 1 if len(group) else np.zeros(0, dtype=bool)
    return songs[kept], group[kept]
