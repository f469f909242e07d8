"""Who stands near whom on the follow graph: personalised PageRank, looked up for follows as they are now.

A walk from a listener follows one of the people it stands on, and at each step it stops with the chance `restart`; with
somebody who follows nobody it is lost if it does not stop. The mass p(v) of v is the chance that it stops there.
Divided by its sum this is what PageRank gives where dead ends lead back to the listener. The first step is linear:
with followees F

    p_u = restart x e_u + (1 - restart) / |F| x sum of p_f over F

so the nearest people of everybody, computed at refresh, answer for a listener who came later or follows somebody new.

Source: Andersen, Chung and Lang 2006, Local graph partitioning using PageRank vectors; Jeh and Widom 2003, Scaling
personalized web search.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from graph.release import Release
from graph.snapshot.arrays import Array, write_arrays
from graph.snapshot.relations import Relation
from recall.kernels.people import around_of

Progress = Callable[[str, int, int], None]
_BLOCK: Final = 2048


@dataclass(frozen=True)
class Circles:
    """The nearest of each of U people but themselves: people (U, K) positions, -1 where there are fewer than K, and
    mass (U, K), descending; `restart` is the chance with which a walk stops."""

    people: Array
    mass: Array
    restart: float

    def around(self, followees: Array, but: int = -1, most: int = 1_000) -> tuple[Array, Array, Array]:
        """Whom the followees (F,) of somebody are close to, `most` at most: people (n,) who are neither among them nor
        `but`, their mass (n,), the highest first, and via (n,), the followee from whom most of it comes."""
        found, total, via = around_of(self.people, self.mass, followees.astype(np.int64), but, most)
        return found, total * ((1 - self.restart) / max(len(followees), 1)), via

    def save(self, path: Path) -> None:
        write_arrays(path, {"people": self.people, "mass": self.mass}, {"restart": self.restart})

    @classmethod
    def load(cls, release: Release, name: str) -> Circles:
        """Those stored under `name`, such as `recall/social/circles`.

        Raises: CorruptRelease if there are none.
        """
        arrays, meta = release.arrays(name)
        return cls(arrays["people"], arrays["mass"], meta["restart"])


def nearest(
    follows: Relation,
    sources: Array,
    kept: int,
    *,
    restart: float = 0.15,
    tolerance: float = 1e-6,
    threads: int = 2,
    progress: Progress = lambda what, done, total: None,  # noqa: ARG005
) -> Circles:
    """The `kept` people nearest to each of `sources` (B,), by forward push: rows of the answer are those sources.

    No person's mass is wrong by more than `tolerance` x the out-degrees on the way; the smaller, the slower. The same
    for any number of threads.
    Raises: ValueError if restart is not between 0 and 1, or tolerance, kept or threads are not above 0.
    """
    from recall.pagerank.push import push

    if not 0 < restart < 1:
        raise ValueError(f"restart must be between 0 and 1 (got {restart})")
    for name, value in (("tolerance", tolerance), ("kept", kept), ("threads", threads)):
        if not value > 0:
            raise ValueError(f"{name} must be more than 0 (got {value})")
    sources = np.ascontiguousarray(sources, dtype=np.int32)
    indptr, indices = np.ascontiguousarray(follows.indptr), np.ascontiguousarray(follows.indices)
    people = np.full((len(sources), kept), -1, dtype=np.int32)
    mass = np.zeros((len(sources), kept), dtype=np.float32)

    def block(start: int) -> None:
        rows = slice(start, start + _BLOCK)
        push(indptr, indices, restart, tolerance, sources[rows], people[rows], mass[rows])

    starts = range(0, len(sources), _BLOCK)
    with ThreadPoolExecutor(threads) as pool:
        try:
            for done, _ in enumerate(pool.map(block, starts)):
                progress("people nearby", min((done + 1) * _BLOCK, len(sources)), len(sources))
        finally:
            pool.shutdown(cancel_futures=True)  # Ctrl-C waits for the blocks at work, not for all
    return Circles(people, mass, restart)
