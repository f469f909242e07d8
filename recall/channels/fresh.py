"""Songs that have just come out, those first that lie near what the listener loves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from embeddings.vectors.model_vectors import ModelVectors
from graph.configure import check_positive
from graph.durations import DAY_MS, HOUR_MS
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import UNKNOWN_INTEGER
from recall.base import Candidates, Query
from recall.listeners.listener import Listener
from recall.release_times import release_times

_NEWEST: Final = 2048


@dataclass(frozen=True)
class FreshConfig:
    """What is new, and how it is ordered.

    Raises: ValueError for a number out of range.
    """

    days: float = 30.0
    """Days since it came out for which a song is new, above 0."""
    half_life_days: float = 10.0
    """Days after which a song's newness counts half, above 0."""
    loves: int = 100
    """The listener's favourite songs that make the listener's vector, 1 or more."""
    taste: float = 3.0
    """Weight of the cosine beside that of quality and newness; 0 leaves taste out."""
    songs: int = 30_000
    """Songs that are looked at, the newest ones, 1 or more. A large catalogue has more than a request has time for."""

    def __post_init__(self) -> None:
        check_positive(self, "days", "half_life_days", "loves", "songs")


class Fresh:
    """score = (1 + quality + taste x cosine to the listener's loves) x 2^(-age / half-life).

    A song comes out when it is released, else when it is uploaded; unknown quality is 0.5. Songs that came after the
    release are among them as soon as the journal names them, by their composed vectors.
    """

    audience: ClassVar[str] = "everybody"
    in_memory: ClassVar[bool] = True
    vectors: ClassVar[tuple[str, ...]] = ("song2vec",)
    lasts_ms: ClassVar[float] = HOUR_MS

    def __init__(self, release: Release, config: FreshConfig = FreshConfig()) -> None:
        self._config = config
        snapshot = release.snapshot
        self._unit = ModelVectors.load(release, "song2vec").unit
        out = release_times(snapshot)
        known = np.flatnonzero(out != UNKNOWN_INTEGER)
        # sorted by when they came out, so that a request looks at the newest alone
        self._songs = known[np.argsort(out[known], kind="stable")].astype(np.int32)
        self._out = out[self._songs]
        self._worth = 1 + np.nan_to_num(snapshot.column("Song", "quality")[self._songs], nan=0.5)
        # what is new now lies side by side: a request reads it from end to end
        self._lately = int(np.searchsorted(self._out, snapshot.as_of - config.days * DAY_MS, side="right"))
        self._near = self._unit[self._songs[self._lately :]]
        self._best = float(self._worth.max(initial=1.5)) + abs(config.taste) * 1.001  # float32 cosines

    def serves(self, listener: Listener) -> bool:  # noqa: ARG002
        return True

    def version(self, query: Query) -> object:
        """Of which songs are new by now."""
        late = [query.live.songs.out_by(when) for when in (self._since(query), query.at)]
        return self._new(query), late

    def recall(self, query: Query, k: int) -> Candidates:
        config, (begin, end) = self._config, self._new(query)
        begin, taste = max(begin, end - config.songs), self._taste(query)
        # no song that came out before the `newest` few can do better than the best of its age
        newest = max(begin, end - _NEWEST)
        songs, scores = self._late(query, taste)
        songs = np.concatenate([self._songs[newest:end], songs]).astype(np.int32)
        scores = np.concatenate([self._scores(query, taste, newest, end), scores])
        found = Candidates.permitted(songs, scores, query, k)
        if len(found) == k > 0 and newest > begin:
            share = max(float(found.scores[-1]) / self._best, 1e-12)
            oldest = query.hour + int(np.log2(share) * config.half_life_days * DAY_MS)
            begin = max(begin, int(np.searchsorted(self._out, oldest)))
        if begin >= newest:
            return found
        older = Candidates.permitted(self._songs[begin:newest], self._scores(query, taste, begin, newest), query, k)
        both = np.concatenate([older.songs, found.songs]), np.concatenate([older.scores, found.scores])
        return Candidates.best(*both, k)

    def _since(self, query: Query) -> int:
        return query.at - int(self._config.days * DAY_MS)

    def _new(self, query: Query) -> tuple[int, int]:
        """The first song that is new by now, and the first that is not out yet, in the order in which they come out."""
        # whole numbers: a search for another kind would copy all times
        begin, end = np.searchsorted(self._out, (self._since(query), query.at), side="right").tolist()
        return begin, end

    def _scores(self, query: Query, taste: Array | None, begin: int, end: int) -> Array:
        """(n,) those of the songs from the `begin`th to the `end`th that came out."""
        scores = self._worth[begin:end]
        if taste is not None:
            lately = begin >= self._lately
            known = (
                self._near[begin - self._lately : end - self._lately] if lately else self._unit[self._songs[begin:end]]
            )
            scores = scores + self._config.taste * (known @ taste)
        return self._faded(scores, query.hour - self._out[begin:end])

    def _late(self, query: Query, taste: Array | None) -> tuple[Array, Array]:
        """Songs (n,) that came since the release, and their scores (n,)."""
        new, since = query.live.songs, self._since(query)
        known = np.flatnonzero((new.released > since) & (new.released <= query.at))
        unknown = np.flatnonzero(new.released == UNKNOWN_INTEGER)  # it came after the release: it is new
        places = np.concatenate([known, unknown])
        quality = new.quality[places]
        scores = 1 + np.where(np.isnan(quality), 0.5, quality)
        if taste is not None and len(places):
            scores += self._config.taste * (new.unit[places] @ taste)
        age = np.concatenate([query.hour - new.released[known], np.zeros(len(unknown), dtype=np.int64)])
        return new.first + places, self._faded(scores, age)

    def _faded(self, scores: Array, age: Array) -> Array:
        return np.asarray(np.maximum(scores, 0) * np.exp2(-(age / DAY_MS) / self._config.half_life_days))

    def _taste(self, query: Query) -> Array | None:
        """The direction (D,) of what the listener loves, None where that is unknown."""

        def direction() -> Array | None:
            loved, weights = query.listener.top_songs(query.at, self._config.loves)
            vector = weights @ self._unit[loved]
            if not len(loved) or not vector.any():
                return None
            return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)

        return query.listener.at_moment(query.at, (self, "taste"), direction)
