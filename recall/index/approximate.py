"""Approximate search behind `VectorIndex`: a graph for single questions, cells for filtered ones, measured recall.

Vectors lie in rows, sorted by the cell of a k-means partition that they are nearest to. Two engines of FAISS find rows
near a question, and whatever they find is scored again by the exact vectors:

- `hnsw` (Malkov & Yashunin 2016, arXiv 1603.09320): a navigable graph over vectors of 8 bits a number. A vector is then
  one cache line instead of four, which is most of a step's time.
- `ivfpq` (Jegou et al. 2011, doi 10.1109/TPAMI.2010.57): the nearest cells, whose vectors are product-quantised.

A graph walks through rows that a filter forbids as well, so a selective filter makes it slow or blind. Questions with
a filter therefore look at the members of the nearest cells, and at more cells the fewer members these hold; only where
a filter lets most songs through is the graph asked for more instead, and the cells if that does not fill the list. How
far to look (the breadth of the graph's search, the fraction of members) is set when the index is built, on questions
drawn from the data, so that recall reaches the target; it is stored with what was measured.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from graph.errors import CorruptRelease
from graph.snapshot.arrays import Array, write_arrays
from recall.base import Candidates
from recall.index.config import IndexConfig
from recall.index.filters import Members, holds, without

K: Final = 100
"""The length of the lists on which recall is measured."""
SHARES: Final = (1.0, 0.5, 0.1, 0.01)
"""Selectivities for which the fraction of members to look at is measured; between them it is interpolated."""
_LOG_SHARES: Final = [math.log(share) for share in reversed(SHARES)]
_WIDE: Final = 0.5
"""The share below which a filter is never left to the graph."""
# What a search costs in microseconds on one core: a unit of the graph's breadth, finding the cells, a row of a cell.
# Only their proportions matter, as measured on 10^6 vectors of 64 numbers.
_HOP_US, _CELLS_US, _ROW_US = 0.5, 130.0, 0.06
_SPARE: Final = 1.25
"""How many more rows than wanted are taken from the graph, whose scores are of 8 bits."""


@dataclass(frozen=True)
class Plan:
    """How far a search looks: `breadth` of the graph (0 without one), and the fraction of members for each of
    `SHARES`. Fewer than `least` members are not worth choosing among."""

    breadth: int
    fractions: tuple[float, ...]
    least: int = 512

    def fraction(self, share: float) -> float:
        """That of a filter which lets this share through; below the last of `SHARES` it stays what it is there."""
        return float(np.interp(math.log(max(share, 1e-12)), _LOG_SHARES, self.fractions[::-1]))


class ApproximateIndex:
    """N songs of which F have a vector, searched approximately.

    Shapes: arrays["vectors"] (F, D) float32 of length 1 and arrays["songs"] (F,) their positions, by rows;
    arrays["rows"] (N,) the way back, -1 for a song without a vector; arrays["centres"] (C, D) and
    arrays["offsets"] (C + 1,) the cells and the first row of each.
    """

    def __init__(self, arrays: Mapping[str, Array], engine: Any, config: IndexConfig, plan: Plan) -> None:
        self.arrays, self.engine, self.config, self.plan = arrays, engine, config, plan
        self.vectors, self.songs, self.rows = arrays["vectors"], arrays["songs"], arrays["rows"]
        self.centres, self.offsets = arrays["centres"], arrays["offsets"]
        self.measured: dict[str, Any] = {}
        self.everyone = np.packbits(np.ones(len(self.vectors), dtype=bool), bitorder="little")

    def members(self, welcome: Array) -> Members:
        """The rows of the songs that are `welcome` (N,)."""
        return Members.of(welcome[self.songs], self.offsets)

    def scores(self, unit: Array) -> Array:
        """Cosine of every song with `unit` (D,), 0 for one without a vector: (N,) float32."""
        scores = np.zeros(len(self.rows), dtype=np.float32)
        scores[self.songs] = self.vectors @ unit
        return scores

    def search(self, unit: Array, k: int, members: Members | None, hidden: Array, *, exact: bool = False) -> Candidates:
        """The `k` songs nearest to `unit` (D,) among `members`, none of which is at a position in `hidden`."""
        count = len(self.vectors) if members is None else len(members.rows)
        if not count:
            return Candidates.none()
        rows = self.rows[hidden]
        rows = rows[rows >= 0]
        bits = self.everyone if members is None else members.bits
        bits = without(bits, rows) if len(rows) else bits
        found = None
        if exact:
            found = self._every(unit, k, members, bits)
        elif self._walks(count):
            found = self._walk(unit, k, bits, count / len(self.vectors))
        if found is None:
            found = self._probe(unit, k, members, bits, rows)
        songs, scores = self.songs[found], self.vectors[found] @ unit
        order = np.argsort(songs)  # so that ties come in the order of the songs
        return Candidates.best(songs[order], scores[order], k)

    def _walks(self, count: int) -> bool:
        """Whether the graph is the cheaper way to so many members, by estimate; never to a few."""
        share = count / len(self.vectors)
        if not self.plan.breadth or share < _WIDE:
            return False
        probe = _CELLS_US + _ROW_US * max(self.plan.fraction(share) * count, self.plan.least)
        return self.plan.breadth / share * _HOP_US <= probe

    def _walk(self, unit: Array, k: int, bits: Array, share: float) -> Array | None:
        """Rows by the graph, which is asked for so many that those whose bits are set, a `share`, fill the list; None
        if they do not, because more than that are forbidden around the question."""
        wanted = math.ceil(_SPARE * k / share)
        breadth = max(round(self.plan.breadth * max(1.0, wanted / (_SPARE * K))), wanted)
        found = self._ask(unit, wanted, _breadth(breadth))
        if bits is not self.everyone:
            found = found[holds(bits, found)]
        return found if len(found) >= k else None

    def _probe(self, unit: Array, k: int, members: Members | None, bits: Array, hidden: Array) -> Array:
        """Rows of the nearest cells; of more of them as long as rows that are `hidden` stand before the `k`th."""
        order = np.argsort(-(self.centres @ unit), kind="stable")
        ahead, depth = self.vectors[hidden] @ unit, k
        while True:
            cells, whole = self._cells(order, members, depth)
            found = self._near(unit, k, members, bits, cells)
            if len(found) <= k:
                if whole:
                    return found
                depth *= 4
                continue
            scores = self.vectors[found] @ unit
            border = np.partition(scores, len(found) - k)[len(found) - k]
            deeper = k + int((ahead >= border).sum())
            if whole or deeper <= depth:
                best: Array = found[scores >= border]
                return best
            depth = deeper

    def _cells(self, order: Array, members: Members | None, depth: int) -> tuple[Array, bool]:
        """The first of the cells in `order` that are to be looked at for a list of length `depth`, and whether they
        hold all members.

        A filter that forbids what is near lets a smaller share through there than on the whole: it is as selective as
        it is around the question.
        """
        rows = np.cumsum(np.diff(self.offsets)[order])
        held = rows if members is None else np.cumsum(np.diff(members.starts)[order])
        count, share, taken = held[-1], held[-1] / rows[-1], 0
        while True:
            look = max(self.plan.fraction(share) * count, self.plan.least) * max(1.0, depth / K)
            enough = min(int(np.searchsorted(held, min(math.ceil(look), count))) + 1, len(order))
            if enough <= taken:
                return order[:taken], bool(held[taken - 1] == count)
            taken, share = enough, min(share, held[enough - 1] / rows[enough - 1])

    def _near(self, unit: Array, k: int, members: Members | None, bits: Array, cells: Array) -> Array:
        """The visible members in `cells`, or the best of them by their codes."""
        if self.config.kind == "ivfpq":
            visible = None if bits is self.everyone else faiss().IDSelectorBitmap(bits)
            parameters = faiss().SearchParametersIVF(nprobe=len(cells), sel=visible)
            return self._ask(unit, k * self.config.refine, parameters)
        starts = self.offsets if members is None else members.starts
        lengths = starts[cells + 1] - starts[cells]
        ends = np.cumsum(lengths)
        place = np.arange(ends[-1]) + np.repeat(starts[cells] - (ends - lengths), lengths)
        rows: Array = place if members is None else members.rows[place]
        return rows[holds(bits, rows)]

    def _ask(self, unit: Array, wanted: int, parameters: Any) -> Array:
        with threads(1):
            _, found = self.engine.search(unit[None, :], wanted, params=parameters)
        rows: Array = found[0]
        return rows[rows >= 0]

    def _every(self, unit: Array, k: int, members: Members | None, bits: Array) -> Array:
        """The `k` best of all visible members, and with them all that tie with the last."""
        rows = np.arange(len(self.vectors)) if members is None else members.rows
        scores = self.vectors @ unit if members is None else self.vectors[rows] @ unit
        scores = np.where(holds(bits, rows), scores, -np.inf)
        border = np.partition(scores, len(scores) - k)[len(scores) - k] if len(scores) > k else -np.inf
        best: Array = rows[scores >= max(border, np.finfo(np.float32).min)]
        return best

    def save(self, path: Path) -> None:
        """Write to `path`.bin, `path`.json and `path`.faiss; durable on return."""
        path.parent.mkdir(parents=True, exist_ok=True)
        engine = path.with_suffix(".faiss")
        faiss().write_index(self.engine, str(engine))
        with engine.open("rb") as file:
            os.fsync(file.fileno())
        meta = {"config": asdict(self.config), "plan": asdict(self.plan), "measured": self.measured}
        write_arrays(path, self.arrays, meta)

    @classmethod
    def load(
        cls, path: Path, arrays: Mapping[str, Array], meta: Mapping[str, Any], config: IndexConfig
    ) -> ApproximateIndex:
        """What `save` wrote, with FAISS's part mapped too: the workers of a machine share one copy of the pages.

        Raises: CorruptRelease if a part is missing or damaged.
        """
        engine = path.with_suffix(".faiss")
        try:
            mapped = faiss().read_index(str(engine), faiss().IO_FLAG_MMAP_IFC)
            plan = Plan(meta["plan"]["breadth"], tuple(meta["plan"]["fractions"]))
            near = cls(arrays, mapped, config, plan)
            near.measured = dict(meta["measured"])
        except (RuntimeError, LookupError, TypeError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise CorruptRelease(f"{engine}: cannot be read ({reason})") from error
        if mapped.ntotal != len(near.vectors):
            raise CorruptRelease(f"{engine}: {mapped.ntotal} vectors (expected {len(near.vectors)})")
        return near


def faiss() -> Any:
    """FAISS, imported where it is first needed; the types that it declares lack half of what it has."""
    return importlib.import_module("faiss")


@lru_cache(maxsize=256)
def _breadth(breadth: int) -> Any:
    return faiss().SearchParametersHNSW(efSearch=breadth)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """FAISS with so many threads, which OpenMP keeps for the calling thread."""
    before = faiss().omp_get_max_threads()
    faiss().omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss().omp_set_num_threads(before)
