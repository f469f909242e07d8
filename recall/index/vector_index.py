"""Nearest neighbours behind one interface: exact or approximate by size, filtered inside the search, changed live."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from graph.errors import CorruptRelease
from graph.release import Release
from graph.snapshot.arrays import Array, read_arrays, write_arrays
from recall.base import Candidates
from recall.index import build
from recall.index.approximate import ApproximateIndex
from recall.index.config import IndexConfig
from recall.index.filters import Columns, Filter, Members

Progress = Callable[[str, int, int], None]

_FILTERS: Final = 64
"""Filters whose members are remembered."""
_DEFAULT: Final = IndexConfig()
_NO_SONGS: Final = np.empty(0, dtype=np.int32)


class Exact:
    """Search by one matrix product over the unit vectors (N, D) of N songs."""

    def __init__(self, unit: Array) -> None:
        self.unit = unit
        self.filled = np.einsum("nd,nd->n", unit, unit) > 0.5
        self._offsets = np.array([0, len(unit)])

    def members(self, welcome: Array) -> Members:
        """The songs with a vector that are `welcome` (N,)."""
        return Members.of(welcome & self.filled, self._offsets)

    def scores(self, unit: Array) -> Array:
        """Cosine of every song with `unit` (D,): (N,) float32."""
        return np.asarray(self.unit @ unit)

    def search(self, unit: Array, k: int, members: Members | None, hidden: Array) -> Candidates:
        """The `k` songs nearest to `unit` (D,) among `members`, none of which is at a position in `hidden`."""
        if members is not None and members.share < 0.2:  # with more, gathering costs more than multiplying them all
            masked = self.unit[members.rows] @ unit
            masked[np.isin(members.rows, hidden)] = -np.inf
            return _best(members.rows, masked, k)
        masked = np.where(self.filled if members is None else members.welcome, self.scores(unit), -np.inf)
        masked[hidden] = -np.inf
        return _best(np.arange(len(masked)), masked, k)


def _best(songs: Array, masked: Array, k: int) -> Candidates:
    """The `k` best of `songs` whose score is not -inf; equal scores in the order in which the songs come."""
    if not len(masked):
        return Candidates.none()
    take = min(k, len(masked))
    # Partition first: sorting a whole catalogue for a few dozen songs is most of the time otherwise. All that tie
    # with the last one taken come along, so that a partition's whim shows nowhere.
    border = max(np.partition(masked, len(masked) - take)[len(masked) - take], np.finfo(np.float32).min)
    top = np.flatnonzero(masked >= border)
    return Candidates.best(songs[top], masked[top], k)


@dataclass(frozen=True)
class _Changes:
    """What has changed since the index was built; replaced as a whole, so that a search sees one state.

    Shapes: L songs added or replaced at `songs` (L,), ascending, with `unit` (L, D) and columns; `gone` (G,) the
    positions of the base that are replaced or removed.
    """

    songs: Array
    unit: Array
    columns: Columns
    gone: Array


class VectorIndex:
    """Search by cosine over N songs; safe to share between threads, of which one at a time changes it.

    A song whose vector is 0 has none and is never found. Added and replaced songs are searched exactly beside what was
    built, removed ones are masked; the next build takes them in. `measured` tells an approximate kind's recall@100 on
    questions drawn from the data, and how far it has to look for that.
    """

    def __init__(self, unit: Array, columns: Columns | None = None) -> None:
        """An exact index of `unit` (N, D) float32, rows of length 1 or 0; `columns` are what filters ask about."""
        self._become(Exact(unit), len(unit), unit.shape[1], columns)
        self.config = IndexConfig(kind="exact")

    def _become(self, base: Exact | ApproximateIndex, songs: int, dim: int, columns: Columns | None) -> None:
        if columns is not None and len(columns) != songs:
            raise ValueError(f"columns must tell of {songs} songs (got {len(columns)})")
        self._base, self.songs, self.dim, self.columns = base, songs, dim, columns
        nothing = Columns.of_songs([], [], [])
        self._changes = _Changes(_NO_SONGS, np.empty((0, dim), dtype=np.float32), nothing, _NO_SONGS)
        self._members: dict[Filter, Members] = {}
        self._lock = threading.Lock()

    @classmethod
    def build(
        cls,
        unit: Array,
        config: IndexConfig = _DEFAULT,
        columns: Columns | None = None,
        *,
        seed: int,
        workers: int = 1,
        progress: Progress = lambda *_: None,
    ) -> VectorIndex:
        """An index of `unit` (N, D) of the kind that the config asks for.

        The same seed gives the same index with one worker. Raises: ValueError if `unit` is not a matrix of finite
        numbers whose rows are of length 1 or 0.
        """
        _check(unit)
        index = cls(unit, columns)
        index.config = config.chosen(int(index._exact.filled.sum()))
        if index.kind != "exact":
            near = build.build(unit, index.config, seed=seed, workers=workers, progress=progress)
            index._become(near, len(unit), unit.shape[1], columns)
        return index

    def save(self, path: Path) -> None:
        """Write what was built to `path`.bin, `path`.json and, if approximate, `path`.faiss; durable on return.

        Raises: ValueError if there were changes since, which only the vectors they come from can build anew.
        """
        if len(self._changes.songs) or len(self._changes.gone):
            raise ValueError("an index that was changed cannot be saved: build it anew from the changed vectors")
        if isinstance(self._base, ApproximateIndex):
            self._base.save(path)
        else:
            write_arrays(path, {"unit": self._base.unit}, {"config": asdict(self.config)})

    @classmethod
    def load(cls, path: Path, columns: Columns | None = None) -> VectorIndex:
        """What `save` wrote, memory-mapped: workers share its pages.

        Raises: CorruptRelease if it is missing or damaged.
        """
        return cls._stored(path, *read_arrays(path), columns)

    @classmethod
    def _stored(
        cls, path: Path, arrays: dict[str, Array], meta: dict[str, Any], columns: Columns | None
    ) -> VectorIndex:
        try:
            config = IndexConfig(**meta["config"])
            if config.kind == "exact":
                index = cls(arrays["unit"], columns)
            else:
                near = ApproximateIndex.load(path, arrays, meta, config)
                index = cls.__new__(cls)
                index._become(near, len(near.rows), near.vectors.shape[1], columns)
        except (LookupError, TypeError) as error:
            raise CorruptRelease(f"{path}: cannot be read ({error!r})") from error
        index.config = config
        return index

    @classmethod
    def of(cls, release: Release, name: str, unit: Array, columns: Columns | None = None) -> VectorIndex:
        """The one that a release holds under `name`, such as `index/song2vec`; else an exact one of `unit`."""
        if not release.has(name):
            return cls(unit, columns)
        return cls._stored(release.file(name), *release.arrays(name), columns)

    @property
    def kind(self) -> str:
        return self.config.kind

    @property
    def measured(self) -> dict[str, Any]:
        """Recall@100 as measured when it was built; of an exact index it is 1."""
        return {"k": 100, "recall": 1.0} if isinstance(self._base, Exact) else self._base.measured

    @property
    def _exact(self) -> Exact:
        assert isinstance(self._base, Exact)
        return self._base

    def __len__(self) -> int:
        """How many positions it knows, with or without a vector."""
        return max(self.songs, int(self._changes.songs[-1]) + 1) if len(self._changes.songs) else self.songs

    def scores(self, vector: Array) -> Array:
        """Cosine of every song that was built in with `vector` (D,), which is not 0: (N,) float32."""
        return self._base.scores((vector / np.linalg.norm(vector)).astype(np.float32))

    def search(
        self,
        vector: Array,
        k: int,
        allowed: Array | Filter | None = None,
        *,
        exclude: Array = _NO_SONGS,
        exact: bool = False,
    ) -> Candidates:
        """The `k` songs nearest to `vector` (D,); none for a zero vector.

        Only songs that are `allowed`: by a filter, whose members are remembered, or by a boolean array, which costs a
        look at all of it and allows nothing beyond its end. None at a position in `exclude`, which costs little
        however large the catalogue is. `exact` looks at every song whatever the kind.

        Raises: ValueError if the vector is not of D finite numbers, or a filter asks an index without columns.
        """
        if vector.shape != (self.dim,) or not np.isfinite(vector).all():
            raise ValueError(f"vector must be {self.dim} finite numbers (got shape {vector.shape})")
        if not vector.any() or k <= 0:
            return Candidates.none()
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        changes = self._changes
        hidden = changes.gone if len(changes.gone) else _NO_SONGS
        outside = np.asarray(exclude, dtype=np.int64)
        outside = outside[(outside >= 0) & (outside < self.songs)]
        hidden = np.concatenate([hidden, outside]) if len(outside) else hidden
        members = None if allowed is None else self._welcome(allowed)
        if isinstance(self._base, ApproximateIndex):
            found = self._base.search(unit, k, members, hidden, exact=exact)
        else:
            found = self._base.search(unit, k, members, hidden)
        return _merged(found, _changed(changes, unit, k, allowed, exclude), k) if len(changes.songs) else found

    def _welcome(self, allowed: Array | Filter) -> Members:
        if not isinstance(allowed, Filter):
            mask = np.zeros(self.songs, dtype=bool)
            mask[: len(allowed)] = allowed[: self.songs]
            return self._base.members(mask)
        if self.columns is None:
            raise ValueError("a filter needs the columns of the songs: give them when the index is made")
        members = self._members.get(allowed)
        if members is None:
            members = self._base.members(allowed.mask(self.columns))
            with self._lock:
                while len(self._members) >= _FILTERS:
                    self._members.pop(next(iter(self._members)))
                self._members[allowed] = members
        return members

    def update(self, songs: Array, vectors: Array, columns: Columns | None = None) -> None:
        """Add songs, at positions beyond the last, or replace them: `vectors` (L, D) at `songs` (L,).

        Vectors may have any length; one of 0 takes the song's vector away. Without `columns` (of L songs) a song keeps
        those that it has, and nothing is known of a new one.

        Raises: ValueError if shapes do not fit, a position is below 0 or comes twice, or a number is not finite.
        """
        songs, vectors = np.asarray(songs, dtype=np.int64), np.asarray(vectors, dtype=np.float32)
        _check_update(songs, vectors, self.dim)
        if columns is not None and len(columns) != len(songs):
            raise ValueError(f"columns must tell of {len(songs)} songs (got {len(columns)})")
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit = vectors / np.where(norms > 0, norms, 1)
        with self._lock:
            known = self._known(songs) if columns is None else columns
            self._replace(songs, unit, known)

    def remove(self, songs: Iterable[int] | Array) -> None:
        """Take songs out; those that are not there are passed over.

        Raises: ValueError if a position is below 0.
        """
        gone = np.unique(np.asarray(list(songs), dtype=np.int64))
        if len(gone) and gone[0] < 0:
            raise ValueError(f"songs must be positions from 0 (got {gone[0]})")
        with self._lock:
            empty = np.zeros((0, self.dim), dtype=np.float32)
            self._replace(_NO_SONGS, empty, Columns.of_songs([], [], []), gone)

    def _known(self, songs: Array) -> Columns:
        """The columns that songs have at present."""
        base, changes = self.columns or Columns.of_songs([], [], []), self._changes
        place = np.searchsorted(changes.songs, songs)
        changed = place < len(changes.songs)
        changed[changed] = changes.songs[place[changed]] == songs[changed]
        both = base.take(songs).joined(changes.columns)
        return both.take(np.where(changed, len(songs) + place, np.arange(len(songs))))

    def _replace(self, songs: Array, unit: Array, columns: Columns, removed: Array = _NO_SONGS) -> None:
        """Put a new state in the place of the old one; the lock is held."""
        old = self._changes
        kept = ~np.isin(old.songs, np.concatenate([songs, removed]))
        together = np.concatenate([old.songs[kept], songs]).astype(np.int32)
        order = np.argsort(together)
        gone = np.union1d(old.gone, np.concatenate([songs, removed]))
        self._changes = _Changes(
            together[order],
            np.concatenate([old.unit[kept], unit])[order],
            old.columns.take(np.flatnonzero(kept)).joined(columns).take(order),
            gone[gone < self.songs].astype(np.int32),
        )


def _changed(changes: _Changes, unit: Array, k: int, allowed: Array | Filter | None, exclude: Array) -> Candidates:
    """The `k` nearest of the songs that have changed."""
    usable = changes.unit.any(axis=1) & ~np.isin(changes.songs, exclude)
    if isinstance(allowed, Filter):
        usable &= allowed.mask(changes.columns)
    elif allowed is not None:
        inside = int(np.searchsorted(changes.songs, len(allowed)))
        usable[:inside] &= allowed[changes.songs[:inside]]
        usable[inside:] = False
    return _best(changes.songs, np.where(usable, changes.unit @ unit, -np.inf), k)


def _merged(one: Candidates, other: Candidates, k: int) -> Candidates:
    songs, scores = np.concatenate([one.songs, other.songs]), np.concatenate([one.scores, other.scores])
    order = np.argsort(songs)
    return Candidates.best(songs[order], scores[order], k)


def _check(unit: Array) -> None:
    if unit.ndim != 2 or unit.shape[1] == 0:
        raise ValueError(f"unit must be a matrix of N rows (got shape {unit.shape})")
    length = np.einsum("nd,nd->n", unit, unit)
    wrong = np.flatnonzero(~((np.abs(length - 1) < 1e-3) | (length == 0)))
    if len(wrong):
        raise ValueError(f"rows must be of length 1 or 0 (row {wrong[0]} has {float(length[wrong[0]]) ** 0.5:g})")


def _check_update(songs: Array, vectors: Array, dim: int) -> None:
    if songs.ndim != 1 or vectors.shape != (len(songs), dim):
        raise ValueError(f"vectors must be {songs.size} x {dim} (got shape {vectors.shape})")
    if len(songs) and songs.min() < 0:
        raise ValueError(f"songs must be positions from 0 (got {songs.min()})")
    if len(np.unique(songs)) != len(songs):
        raise ValueError("a song comes twice in one update")
    if not np.isfinite(vectors).all():
        raise ValueError("vectors must be finite")
