"""Nearest neighbours behind one interface: exact or approximate by size, filtered inside the search."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict
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


class VectorIndex:
    """Search by cosine over N songs; safe to share between threads.

    A song whose vector is 0 has none and is never found. `measured` tells an approximate kind's recall@100 on
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
        """Write what was built to `path`.bin, `path`.json and, if approximate, `path`.faiss; durable on return."""
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
        return self.songs

    def scores(self, vector: Array) -> Array:
        """Cosine of every song with `vector` (D,), which is not 0: (N,) float32."""
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
        hidden = np.asarray(exclude, dtype=np.int64)
        hidden = hidden[(hidden >= 0) & (hidden < self.songs)]
        members = None if allowed is None else self._welcome(allowed)
        if isinstance(self._base, ApproximateIndex):
            return self._base.search(unit, k, members, hidden, exact=exact)
        return self._base.search(unit, k, members, hidden)

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


def _check(unit: Array) -> None:
    if unit.ndim != 2 or unit.shape[1] == 0:
        raise ValueError(f"unit must be a matrix of N rows (got shape {unit.shape})")
    length = np.einsum("nd,nd->n", unit, unit)
    wrong = np.flatnonzero(~((np.abs(length - 1) < 1e-3) | (length == 0)))
    if len(wrong):
        raise ValueError(f"rows must be of length 1 or 0 (row {wrong[0]} has {float(length[wrong[0]]) ** 0.5:g})")
