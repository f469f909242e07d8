"""The songs that a listener will not hear: blocked or disliked, or with an artist, a tag or a genre that is blocked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from recall.grouped import sorted_unique
from recall.listeners.listener import UNHEARD, Listener
from recall.live.edits import NewSong, NewSongs

_RELATIONS: Final = {"Artist": "PERFORMED_BY", "Tag": "HAS_TAG", "Genre": "HAS_GENRE"}
_KINDS: Final = {"Artist": "artists", "Tag": "tags", "Genre": "genres"}
_OF_ARTISTS: Final = ("Tag", "Genre")


def refused_songs(listener: Listener, new: NewSongs | None = None) -> Array:
    """Positions of all songs that the listener refuses, `new` ones included; sorted.

    A song has what its artists have: who blocks a genre hears no artist of it.
    """
    entities = listener.blocked_entities
    known = listener.once("refused", lambda: _of_release(listener.snapshot, entities))
    late = [] if new is None else [new.first + i for i, song in enumerate(new.songs) if _is_blocked(song, listener)]
    parts = [listener.blocked, listener.disliked, known, np.array(late, dtype=np.int64)]
    return sorted_unique(np.concatenate(parts)).astype(np.int32)


def _of_release(snapshot: Snapshot, entities: Mapping[str, frozenset[str]]) -> Array:
    """Positions of the songs of a release with any of these entities."""
    parts = [UNHEARD]
    for label, names in entities.items():
        places = snapshot.ids[label].indices(sorted(names)).tolist()
        performed = snapshot.relation("PERFORMED_BY", "Song")
        for place in places:
            parts.append(snapshot.relation(_RELATIONS[label], "Song").into(place))
            if label in _OF_ARTISTS:
                artists = snapshot.relation(_RELATIONS[label], "Artist").into(place).tolist()
                parts += [performed.into(artist) for artist in artists]
    return np.concatenate(parts)


def _is_blocked(song: NewSong, listener: Listener) -> bool:
    """Whether a song that came after the release has an entity that the listener blocks."""
    entities, artists = listener.blocked_entities, song.relations.get("artists", ())
    if any(not names.isdisjoint(song.relations.get(_KINDS[label], ())) for label, names in entities.items()):
        return True
    snapshot = listener.snapshot
    places = snapshot.ids["Artist"].indices(artists).tolist() if len(artists) else []
    return any(
        not entities.get(label, frozenset()).isdisjoint(_entities_of_artists(snapshot, label, places))
        for label in _OF_ARTISTS
    )


def _entities_of_artists(snapshot: Snapshot, label: str, artists: Iterable[int]) -> set[str]:
    relation = snapshot.relation(_RELATIONS[label], "Artist")
    return {snapshot.ids[label][int(place)] for artist in artists for place in relation.of(artist)}
