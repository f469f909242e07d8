from dataclasses import replace

import numpy as np
from segue_test_worlds import NOW, World

from graph.histories import CODE
from recall.counters import Counters
from recall.live import Happened
from recall.since import doings, spread, whereabouts


def test_spread_gives_the_entries_of_some_rows() -> None:
    indptr = np.array([0, 2, 2, 5, 6])
    which, at = spread(indptr, np.array([2, 1, 0]))
    assert (which.tolist(), at.tolist()) == ([0, 0, 0, 2, 2], [2, 3, 4, 0, 1])
    which, at = spread(indptr, np.array([2, 3]), most=2)
    assert (which.tolist(), at.tolist()) == ([0, 0, 1], [3, 4, 5])
    assert [len(part) for part in spread(indptr, np.array([], dtype=np.int64))] == [0, 0]


def test_doings_are_the_latest_of_the_release_and_all_that_came_since(lopsided: World) -> None:
    query = lopsided.query("ana")
    live = replace(query.live, counters=Counters(lopsided.snapshot))
    query = replace(query, overlay=live)
    ana, ben, cy = (lopsided.snapshot.ids["User"].index(user) for user in ("ana", "ben", "cy"))
    first = doings(query, np.array([ben, cy]), 2)
    for song in (3, 4):
        one = np.ones(3, dtype=np.int64)
        action = np.full(3, CODE["like"], dtype=np.uint8)
        live.counters.fold(Happened(np.array([-1, cy, ana]), song * one, action, NOW * one, one, 7 * one))
    found = doings(query, np.array([ben, cy]), 2)
    assert first.who.tolist() == [0, 0, 1, 1]
    assert found.song[:4].tolist() == first.song.tolist() == lopsided.songs("s4", "s4", "s2", "s3")
    assert found.who[4:].tolist() == [1, 1]
    assert found.song[4:].tolist() == [3, 4]
    at, cell = whereabouts(query, cy, 1)
    assert (at.tolist(), cell.tolist()) == ([NOW] * 3, [0, 7, 7])
