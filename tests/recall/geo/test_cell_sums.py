from typing import Any

import numpy as np
import pytest
from segue_test_worlds import DAY, NOW, lopsided_snapshot

from graph.snapshot.arrays import Array
from graph.snapshot.histories import CODE
from recall.geo.cell_sums import CellSums, Lasting
from recall.live.live import EventBatch


def happened(rows: list[tuple[int, str, int, int]]) -> EventBatch:
    """Events (song, action, at, cell)."""
    n = len(rows)
    song, at, cell = (np.array([row[i] for row in rows], dtype=np.int64).reshape(n) for i in (0, 2, 3))
    action = np.array([CODE[row[1]] for row in rows], dtype=np.uint8).reshape(n)
    return EventBatch(np.zeros(n, dtype=np.int64), song, action, at, np.ones(n, dtype=np.int64), cell)


def cell_sums(half_life: float = DAY) -> CellSums:
    def cell(given: Any) -> Array:
        return np.asarray(given.cell)

    return CellSums(5, Lasting.of(lopsided_snapshot(), half_life), cell)


def found(sums: CellSums, cell: int, now: int = NOW) -> dict[int, float]:
    songs, loves = sums.of(cell, now)
    return dict(zip(songs.tolist(), loves.tolist(), strict=True))


def test_a_cell_holds_the_decayed_love_for_its_songs() -> None:
    sums = cell_sums()
    # an undated play weighs as one of this moment; a skip is no love; what has no cell counts nowhere
    sums.add(happened([(1, "full_play", NOW - DAY, 8), (1, "play", -1, 8), (3, "like", NOW, 9), (1, "like", NOW, 0)]))
    sums.add(happened([(2, "skip", NOW, 8)]))
    assert found(sums, 8) == pytest.approx({1: 0.9})
    assert found(sums, 8, NOW + DAY) == pytest.approx({1: 0.45})
    assert (sums.total(8, NOW), sums.total(9, NOW), sums.total(7, NOW)) == pytest.approx((0.9, 2.0, 0.0))
    assert sums.share(np.array([1, 3, 99])) == pytest.approx([0.9 / 2.9, 2 / 2.9, 0])


def test_what_follows_counts_as_if_it_had_been_there_from_the_first() -> None:
    rng = np.random.default_rng(0)
    rows = [(int(s), "full_play", NOW - int(a), int(c)) for s, a, c in rng.integers(0, (7, 9 * DAY, 5), (400, 3))]
    whole, live = cell_sums(), cell_sums()
    whole.add(happened(rows))
    for part in range(0, 400, 40):
        live.add(happened(rows[part : part + 40]))
    for cell in range(1, 5):
        assert found(live, cell, NOW + DAY) == pytest.approx(found(whole, cell, NOW + DAY), rel=1e-9)
        assert live.total(cell, NOW) == pytest.approx(whole.total(cell, NOW))
    assert live.share(np.arange(7)) == pytest.approx(whole.share(np.arange(7)))


def test_of_a_full_cell_the_most_loved_are_read_and_whatever_came_since(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recall.geo.cell_sums.DEEP", 2)
    sums = cell_sums()
    sums.add(happened([(0, "play", NOW, 8), (1, "like", NOW, 8), (2, "full_play", NOW, 8), (3, "play", NOW, 8)]))
    assert found(sums, 8) == pytest.approx({1: 2.0, 2: 1.0})
    sums.add(happened([(3, "like", NOW, 8), (6, "play", NOW, 8)]))
    assert found(sums, 8) == pytest.approx({1: 2.0, 2: 1.0, 3: 2.4, 6: 0.4})


def test_an_empty_log_has_nothing_anywhere() -> None:
    sums = cell_sums()
    sums.add(happened([]))
    assert found(sums, 8) == {}
    assert sums.share(np.array([0])) == [0]
