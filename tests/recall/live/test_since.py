from dataclasses import replace

import numpy as np
from segue_test_worlds import NOW, World

from graph.snapshot.histories import CODE
from recall.live.counters import Counters
from recall.live.live import EventBatch
from recall.live.since import EventsSinceRelease, people_events, whereabouts


def test_doings_are_the_latest_of_the_release_and_all_that_came_since(lopsided: World) -> None:
    query = lopsided.query("ana")
    live = replace(query.live, counters=Counters(lopsided.snapshot))
    query = replace(query, overlay=live)
    ana, ben, cy = (lopsided.snapshot.ids["User"].index(user) for user in ("ana", "ben", "cy"))
    first = people_events(query.listener.snapshot.histories, query.live.counters, np.array([ben, cy]), 2)
    for song in (3, 4):
        one = np.ones(3, dtype=np.int64)
        action = np.full(3, CODE["like"], dtype=np.uint8)
        live.counters.fold(EventBatch(np.array([-1, cy, ana]), song * one, action, NOW * one, one, 7 * one))
    found = people_events(query.listener.snapshot.histories, query.live.counters, np.array([ben, cy]), 2)
    assert first.who.tolist() == [0, 0, 1, 1]
    assert found.song[:4].tolist() == first.song.tolist() == lopsided.songs("s4", "s4", "s2", "s3")
    assert found.who[4:].tolist() == [1, 1]
    assert found.song[4:].tolist() == [3, 4]
    at, cell = whereabouts(query.listener.snapshot.histories, query.live.counters, cy, 1)
    assert (at.tolist(), cell.tolist()) == ([NOW] * 3, [0, 7, 7])


def test_the_events_of_each_listener_stay_in_the_order_in_which_they_came() -> None:
    rng, since, expected = np.random.default_rng(0), EventsSinceRelease(), dict[int, list[int]]()
    for number in range(40):
        size = int(rng.integers(0, 30))
        user, song = rng.integers(-1, 4, size), np.arange(size) + 100 * number
        one = np.ones(size, dtype=np.int64)
        since.add(EventBatch(user, song, one, one, one, one))
        for u, s in zip(user.tolist(), song.tolist(), strict=True):
            expected.setdefault(u, []).append(s)
    people = np.array([3, 0, 9])
    found = since.of(people, ("song",))
    assert len(found) < 10
    which, songs = (np.concatenate(column) for column in zip(*found, strict=True))
    assert [songs[which == i].tolist() for i in range(3)] == [expected[3], expected[0], []]
