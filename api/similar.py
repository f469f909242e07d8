"""`similar`: the songs, artists, tags or genres nearest to one, as the command line and REST answer it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

from graph.errors import UnknownEntity
from graph.release import Release
from recall.base import NO_SONGS
from recall.blocked import refused_songs
from recall.listeners.listener import Listener
from recall.live.live import Overlay
from recall.similarity.entities import EntitySimilarity
from recall.similarity.songs import Nearest, SongSimilarity
from recall.similarity.sources import FUSION

LABELS: Final = ("Artist", "Tag", "Genre")


class Similar:
    """Answers for one release; what things are compared by is computed when first asked for, or by `warm`."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._entities: dict[str, EntitySimilarity] = {}
        self._computing = threading.RLock()

    def warm(self) -> None:
        """Compute what any first question would wait for."""
        songs = self._of_songs
        if self._release.snapshot.songs:
            songs.nearest(0, 1, Overlay.of(self._release.snapshot))
        for label in LABELS:
            if len(self._release.snapshot.ids[label]):
                self._of(label).nearest(0, 1)

    def check(self, by: str) -> None:
        """Raises: InvalidInput for a name that things cannot be compared by; NotInRelease."""
        self._of_songs.sources.check(by)

    def songs(
        self,
        song: int,
        song_id: str,
        live: Overlay,
        n: int,
        by: str = FUSION,
        gamma: Mapping[str, float] | None = None,
        listener: Listener | None = None,
    ) -> dict[str, Any]:
        """The songs nearest to the one at a position, as it stands in the catalogue now; none that the `listener`
        refuses.

        Raises: InvalidInput for an unknown `by` or relation; NotInRelease.
        """
        refused = NO_SONGS if listener is None else refused_songs(listener, live.songs)
        near = self._of_songs.nearest(song, n, live, by, gamma, refused)
        return self._answer("song_id", song_id, by, near, live.song_id)

    def entities(
        self,
        label: str,
        id_: str,
        n: int,
        by: str = FUSION,
        gamma: Mapping[str, float] | None = None,
        listener: Listener | None = None,
    ) -> dict[str, Any]:
        """The artists, tags or genres (`label`) nearest to one; none that the `listener` blocks.

        Raises: UnknownEntity; InvalidInput for an unknown `by` or relation; NotInRelease.
        """
        ids, kind = self._release.snapshot.ids[label], label.lower()
        entity = ids.index(id_)
        if entity < 0:
            raise UnknownEntity(f"unknown {kind} {id_!r}")
        blocked = () if listener is None else listener.blocked_entities.get(label, ())
        near = self._of(label).nearest(entity, n, by, gamma, ids.indices(sorted(blocked)))
        return self._answer(f"{kind}_id", id_, by, near, ids.__getitem__)

    @cached_property
    def _of_songs(self) -> SongSimilarity:
        with self._computing:
            return SongSimilarity(self._release)

    def _of(self, label: str) -> EntitySimilarity:
        with self._computing:
            if label not in self._entities:
                self._entities[label] = EntitySimilarity(self._of_songs.sources, label)
            return self._entities[label]

    def _answer(self, key: str, id_: str, by: str, near: Nearest, name: Any) -> dict[str, Any]:
        pairs = zip(near.found.songs.tolist(), near.found.scores.tolist(), strict=True)
        return {
            "release": self._release.id,
            key: id_,
            "by": by,
            "gamma": dict(near.gamma),
            "items": [{key: name(place), "score": score} for place, score in pairs],
        }
