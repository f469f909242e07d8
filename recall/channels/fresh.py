"""Songs that have just come out, those first that lie near what the listener loves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from embeddings.vectors import SongVectors
from graph.arrays import Array
from graph.configure import check_positive
from graph.release import Release
from graph.snapshot import UNKNOWN_INTEGER
from recall.base import Candidates, Query
from recall.listener import Listener

DAY_MS = 86_400_000


@dataclass(frozen=True)
class FreshConfig:
    """`days` since a song came out that it counts as new; `half_life_days` of its newness; `loves` make the listener's
    vector; `taste` is the weight of the cosine beside that of quality and newness."""

    days: float = 30.0
    half_life_days: float = 10.0
    loves: int = 100
    taste: float = 3.0

    def __post_init__(self) -> None:
        check_positive(self, "days", "half_life_days", "loves")


class Fresh:
    """score = (1 + quality + taste x cosine to the listener's loves) x 2^(-age / half-life).

    A song comes out when it is released, else when it is uploaded; unknown quality is 0.5. Songs that came after the
    release are among them as soon as the journal names them, by their composed vectors.
    """

    audience: ClassVar[str] = "everybody"
    vectors: ClassVar[tuple[str, ...]] = ("song2vec",)

    def __init__(self, release: Release, config: FreshConfig = FreshConfig()) -> None:
        self._config = config
        snapshot = release.snapshot
        self._unit = SongVectors.load(release, "song2vec").unit
        released, uploaded = (snapshot.column("Song", name) for name in ("released_at", "uploaded_at"))
        out = np.where(released == UNKNOWN_INTEGER, uploaded, released)
        known = np.flatnonzero(out != UNKNOWN_INTEGER)
        # sorted by when they came out, so that a request looks at the newest alone
        self._songs = known[np.argsort(out[known], kind="stable")].astype(np.int32)
        self._out = out[self._songs]
        self._quality = snapshot.column("Song", "quality")

    def serves(self, listener: Listener) -> bool:  # noqa: ARG002
        return True

    def recall(self, query: Query, k: int) -> Candidates:
        config, new = self._config, query.live.songs
        since = query.at - config.days * DAY_MS
        begin, end = np.searchsorted(self._out, (since, query.at), side="right")
        late = np.flatnonzero((new.released > since) & (new.released <= query.at))
        unknown = np.flatnonzero(new.released == UNKNOWN_INTEGER)  # it came after the release: it is new
        places = np.concatenate([late, unknown])
        songs = np.concatenate([self._songs[begin:end], new.first + places]).astype(np.int32)
        out = np.concatenate([self._out[begin:end], new.released[late], np.full(len(unknown), query.at)])
        kept = query.permits(songs)
        songs, age = songs[kept], (query.at - out[kept]) / DAY_MS
        quality = np.nan_to_num(new.take(self._quality, new.quality, songs), nan=0.5)
        scores = 1 + quality + config.taste * self._cosines(query, songs)
        return Candidates.best(songs, np.maximum(scores, 0) * np.exp2(-age / config.half_life_days), k)

    def _cosines(self, query: Query, songs: Array) -> Array:
        loved, weights = query.listener.loves(query.at, self._config.loves)
        vector, new = weights @ self._unit[loved], query.live.songs
        if not len(loved) or not vector.any():
            return np.zeros(len(songs))
        rows = new.take(self._unit, new.unit, songs)
        return np.asarray(rows @ (vector / np.linalg.norm(vector)), dtype=np.float64)
