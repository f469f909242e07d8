"""Sums of what listeners love, kept up to date from the log."""

import numpy as np
import pytest
from segue_test_worlds import DAY, NOW, World

from graph.snapshot.histories import CODE, strengths
from recall.decay import HALF_LIFE_MS, Decay, decay
from recall.live.counters import Counters
from recall.live.live import EventBatch
from recall.live.loves import KEPT, PeopleLoves


def batch(user: np.ndarray, song: np.ndarray, action: np.ndarray, at: np.ndarray) -> EventBatch:
    one = np.ones(len(user), dtype=np.int64)
    return EventBatch(user, song, action.astype(np.uint8), at, one, one)


def sums(loves: PeopleLoves, now: int) -> dict[tuple[int, int], float]:
    found: dict[tuple[int, int], float] = {}
    for part in (loves.release, *loves.since):
        worth = part.timed * loves.decay.since(now) + part.lasting
        for user, song, love in zip(part.user.tolist(), part.song.tolist(), worth.tolist(), strict=True):
            found[user, song] = found.get((user, song), 0.0) + love
    return found


def test_sums_are_those_of_the_decayed_events_however_they_came(lopsided: World) -> None:
    rng, counters = np.random.default_rng(5), Counters(lopsided.snapshot)
    loves = PeopleLoves.of(counters, lopsided.snapshot)
    histories, now = lopsided.snapshot.histories, NOW + 3 * DAY
    expected: dict[tuple[int, int], float] = {}

    def expect(events: object) -> None:
        columns = (getattr(events, name) for name in ("user", "song", "action", "at", "count"))
        user, song, action, at, count = columns
        worth = strengths(action, count) * decay(at, now, HALF_LIFE_MS)
        for who, what, love in zip(user.tolist(), song.tolist(), worth.tolist(), strict=True):
            if who >= 0:
                expected[who, what] = expected.get((who, what), 0.0) + love

    expect(histories)
    for size in (1, 30, 2, 3, 200, 1, 1):
        at = np.where(rng.random(size) < 0.2, -1, NOW + rng.integers(0, DAY, size))
        added = batch(rng.integers(-1, 3, size), rng.integers(0, 9, size), rng.integers(0, len(CODE), size), at)
        counters.fold(events=added)
        expect(added)
    assert sums(loves, now) == pytest.approx(expected)
    sizes = [len(part) for part in loves.since]
    assert sizes == sorted(sizes, reverse=True)


def test_of_what_came_since_the_most_loved_songs_of_each_listener_are_kept(lopsided: World) -> None:
    loves = PeopleLoves(Decay.of(lopsided.snapshot, HALF_LIFE_MS))
    songs = np.arange(3 * KEPT)
    at = NOW + songs  # the later, the more they weigh
    for start in range(0, 3 * KEPT, 50):
        part = slice(start, start + 50)
        like = np.full(50, CODE["like"])
        loves.add(batch(np.zeros(50, dtype=np.int64), songs[part], like, at[part] * np.int64(1)))
    assert sum(len(part) for part in loves.since) <= 2 * KEPT
    assert set(range(2 * KEPT, 3 * KEPT)) <= {song for part in loves.since for song in part.song.tolist()}
