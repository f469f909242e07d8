"""H3 cells as numbers: wider ones around them, rings, and where listeners are at home."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from h3.api import basic_int as h3

from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from recall.once import once

UNKNOWN_CELL: Final = 0
PREPARED: Final = "recall/lbs/homes"
"""Where a release has the homes that `lbs` prepared."""
_LEVELS: Final = 15
_DIGIT: Final = 3  # bits of a cell's place within the one around it
_RESOLUTION: Final = 52  # where an index says its resolution


def cell_at(latitude: float, longitude: float, resolution: int) -> int:
    """The cell of a point in degrees."""
    return int(h3.latlng_to_cell(latitude, longitude, resolution))


def around(cells: Array, resolution: int) -> Array:
    """(n,) the cells of `resolution` in which finer cells (n,) int64 lie; unknown ones stay so."""
    cells = np.asarray(cells, dtype=np.int64)
    unused = (np.int64(1) << np.int64(_DIGIT * (_LEVELS - resolution))) - np.int64(1)
    wider = cells & ~(np.int64(15) << np.int64(_RESOLUTION)) | (np.int64(resolution) << np.int64(_RESOLUTION)) | unused
    return np.where(cells == UNKNOWN_CELL, UNKNOWN_CELL, wider)


def ring(cell: int, steps: int) -> Sequence[int]:
    """The cells that are so many steps from `cell`, ascending."""
    return sorted(h3.grid_ring(cell, steps))


@lru_cache
def spacing_km(resolution: int) -> float:
    """Kilometres from the middle of a cell to the next, on average."""
    return float(np.sqrt(3) * h3.average_hexagon_edge_length(resolution, unit="km"))


def homes(snapshot: Snapshot, resolution: int) -> tuple[Array, Array]:
    """Where each listener is at home: cells (U,) of `resolution`, and given (U,), whether the catalogue says so.

    That is by the listener's own coordinates, else those of the place where the listener lives; else it is the cell
    where most of the listener's events happened.
    """
    latitude, longitude = (snapshot.column("User", name).copy() for name in ("latitude", "longitude"))
    lives = snapshot.relation("LIVES_IN")
    place = np.full(snapshot.users, -1, dtype=np.int64)
    place[lives.edge_sources] = lives.indices
    lodged = np.isnan(latitude + longitude) & (place >= 0)
    for own, name in ((latitude, "latitude"), (longitude, "longitude")):
        own[lodged] = snapshot.column("Place", name)[place[lodged]]
    given = ~np.isnan(latitude + longitude)
    cells = _usual(snapshot, resolution)
    points, which = np.unique(np.stack([latitude[given], longitude[given]], axis=1), axis=0, return_inverse=True)
    found = np.array([cell_at(point[0], point[1], resolution) for point in points.tolist()], dtype=np.int64)
    if len(found):
        cells[given] = found[which.reshape(-1)]
    return cells, given


def home_cells(release: Release, resolution: int) -> tuple[Array, Array]:
    """As `homes`, those that the channel `lbs` prepared where the release has them so fine, else computed once."""
    if release.has(PREPARED):
        arrays, meta = release.arrays(PREPARED)
        if int(meta["resolution"]) == resolution:
            return arrays["home"], arrays["given"]
    return once(release.snapshot, f"homes:{resolution}", lambda: homes(release.snapshot, resolution))


def distance_km(cell: int, latitude: float, longitude: float) -> float:
    """Kilometres from the middle of a cell to a point in degrees; infinite from a cell that is not known."""
    if cell == UNKNOWN_CELL:
        return float("inf")
    return float(h3.great_circle_distance(h3.cell_to_latlng(cell), (latitude, longitude), unit="km"))


def _usual(snapshot: Snapshot, resolution: int) -> Array:
    """(U,) the cell where most of each listener's events happened, of equals the lowest."""
    histories = snapshot.histories
    here = histories.cell != UNKNOWN_CELL
    cells = np.full(snapshot.users, UNKNOWN_CELL, dtype=np.int64)
    if here.any():
        known, cell = np.unique(around(histories.cell[here], resolution), return_inverse=True)
        pairs, count = np.unique(histories.user[here] * np.int64(len(known)) + cell, return_counts=True)
        user = pairs // len(known)
        order = np.lexsort((-pairs, count, user))  # the last of each listener is the most frequent
        last = order[np.flatnonzero(np.append(np.diff(user[order]) != 0, True))]
        cells[user[last]] = known[pairs[last] % len(known)]
    return cells
