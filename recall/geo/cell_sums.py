"""What is loved where: decayed sums of songs by cell, of the release's events and of those that follow.

A city's cell holds most of a catalogue. Forward decay keeps the order of its songs as it is while time goes by, so the
`DEEP` first ones of the release are picked out once for each cell; with what came since they are all that is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from graph.snapshot.arrays import Array
from graph.snapshot.histories import UNKNOWN_TIME, strengths
from recall.decay import Decay
from recall.geo.cells import UNKNOWN_CELL
from recall.grouped import index_in_sorted
from recall.live.counters import GroupSums, SongSums

DEEP: Final = 2000
"""Songs of a cell that are read, the most loved ones, beside all that were loved there since the release."""


class Lasting(Decay):
    """As `Decay`, but an event without a time, an imported count of plays say, weighs as one at the landmark."""

    def weights(self, at: Array) -> Array:
        return np.where(at == UNKNOWN_TIME, 1.0, super().weights(at))


def loved(events: Any) -> Array:
    """(E,) what each event says in favour of its song; nothing where it speaks against it."""
    return np.asarray(np.maximum(strengths(events.action, events.count), 0.0))


class CellSums:
    """Sums of songs by cell, and of all songs over all cells; a tally for `recall.live.counters`.

    `cell` gives each event's cell (E,) int64, `UNKNOWN_CELL` where it has none: such events do not count.
    """

    def __init__(self, songs: int, decay: Decay, cell: Callable[[Any], Array]) -> None:
        self._decay, self._cell = decay, cell
        self._everywhere = SongSums(songs, decay, lambda events: loved(events) * (cell(events) != UNKNOWN_CELL))
        self._late = GroupSums(decay, loved, lambda events: np.where((c := cell(events)) == UNKNOWN_CELL, -1, c))
        self._totals: dict[int, float] = {}
        self._sum, self._first = 0.0, True
        self._cells = self._indptr = self._songs = np.empty(0, dtype=np.int64)
        self._sums = np.empty(0)
        self._top: dict[int, tuple[Array, Array]] = {}

    def add(self, events: Any) -> None:
        cell, weights = self._cell(events), loved(events) * self._decay.weights(events.at)
        known = (cell != UNKNOWN_CELL) & (weights > 0)
        if self._first:
            self._keep(cell[known], events.song[known].astype(np.int64), weights[known])
            self._first = False
        else:
            self._late.add(events)
        self._everywhere.add(events)
        cells, place = np.unique(cell[known], return_inverse=True)
        for one, total in zip(cells.tolist(), np.bincount(place, weights[known], len(cells)).tolist(), strict=True):
            self._totals[one] = self._totals.get(one, 0.0) + total
        self._sum += float(weights[known].sum())

    def __contains__(self, cell: int) -> bool:
        """Whether anything is loved in a cell; most of those around a listener in the country have nothing."""
        return cell in self._totals

    def of(self, cell: int, now: int) -> tuple[Array, Array]:
        """Songs (n,) liked in a cell, ascending, and their sums (n,) decayed to `now`."""
        songs, sums = self._late.of(cell, now)
        row = int(np.searchsorted(self._cells, cell))
        if row == len(self._cells) or self._cells[row] != cell:
            return songs, sums
        mine = slice(int(self._indptr[row]), int(self._indptr[row + 1]))
        top = self._top.get(row)
        if top is None:
            top = self._top[row] = self._best(mine)
        since = self._decay.since(now)
        if not len(songs):
            return top[0], top[1] * since
        # those that came since are few: the sums before of what is not among the first are looked up singly
        place = index_in_sorted(top[0], songs)
        total, among = np.append(top[1] * since, 0.0), place < len(top[0])
        total[place] += np.where(among, sums, 0.0)
        late = songs[~among]
        before = np.append(self._sums[mine], 0.0)[index_in_sorted(self._songs[mine], late)] * since
        at = np.searchsorted(top[0], late)
        return np.insert(top[0], at, late), np.insert(total[:-1], at, before + sums[~among])

    def total(self, cell: int, now: int) -> float:
        """The sum over all songs of a cell."""
        return self._totals.get(cell, 0.0) * self._decay.since(now)

    def share(self, songs: Array) -> Array:
        """(n,) the share that each song has of all there is, everywhere; it does not depend on the time."""
        return self._everywhere.of(self._decay.landmark, songs) / max(self._sum, 1e-300)

    def _keep(self, cell: Array, song: Array, weights: Array) -> None:
        order = np.lexsort((song, cell))
        cell, song, weights = cell[order], song[order], weights[order]
        first = np.flatnonzero(np.append(True, (np.diff(cell) != 0) | (np.diff(song) != 0))[: len(cell)])
        self._sums = np.add.reduceat(weights, first) if len(first) else np.empty(0)
        self._songs, cell = song[first], cell[first]
        self._cells, starts = np.unique(cell, return_index=True)
        self._indptr = np.append(starts, len(cell))

    def _best(self, mine: slice) -> tuple[Array, Array]:
        songs, sums = self._songs[mine], self._sums[mine]
        if len(songs) <= DEEP:
            return songs, sums
        best = np.sort(np.argpartition(-sums, DEEP)[:DEEP])
        return songs[best], sums[best]
