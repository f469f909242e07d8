import threading

import numpy as np
import pytest
from segue_test_worlds import DAY, NOW, events, lopsided_snapshot

from graph.snapshot.arrays import Array
from graph.snapshot.histories import UNKNOWN_TIME
from graph.snapshot.snapshot import Snapshot
from recall.decay import Decay
from recall.live.counters import Counters, GroupSums, SongSums, plays
from recall.live.live import EventBatch

ROWS = [
    ("ana", "play", "s1", NOW),
    ("ben", "full_play", "s1", NOW - DAY),
    ("ana", "skip", "s2", NOW - 3 * DAY),
    ("ana", "like", "s2", NOW),
    ("cy", "play", "s3", None),
]


@pytest.fixture
def snapshot() -> Snapshot:
    return lopsided_snapshot(log=events(ROWS))


def happened(rows: list[tuple[int, int, int]], count: int = 1) -> EventBatch:
    """Full plays (user, song, at)."""
    user, song, at = np.array(rows).T
    one = np.ones(len(rows), dtype=np.int64)
    return EventBatch(user, song, one, at, count * one, 0 * one)


def sums(snapshot: Snapshot) -> SongSums:
    return SongSums(snapshot.songs, Decay.of(snapshot, DAY), plays)


def test_a_sum_halves_every_half_life(snapshot: Snapshot) -> None:
    mine = Counters(snapshot).events("plays", lambda: sums(snapshot))
    # s1: 1 + 1/2; s2: a skip three days ago; what has no time does not count, nor does what is no playback
    assert mine.at(NOW, 5) == pytest.approx([1.5, 0.125, 0, 0, 0])
    assert mine.at(NOW + DAY, 5) == pytest.approx([0.75, 0.0625, 0, 0, 0])
    assert mine.of(NOW, np.array([1, 0, 99])) == pytest.approx([0.125, 1.5, 0])


def test_what_follows_counts_as_if_it_had_been_there_from_the_first(snapshot: Snapshot) -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([rng.integers(0, 3, 500), rng.integers(0, 7, 500), NOW + rng.integers(-DAY, DAY, 500)], axis=1)
    live, late = Counters(snapshot), Counters(snapshot)
    live.events("plays", lambda: sums(snapshot))
    for part in np.array_split(rows, 9):
        live.fold(happened([tuple(row) for row in part.tolist()]))
    late.fold(happened([tuple(row) for row in rows.tolist()]))
    found, expected = (c.events("plays", lambda: sums(snapshot)).at(NOW, 7) for c in (live, late))
    by_hand = sums(snapshot)
    by_hand.add(snapshot.histories)
    weights = 2.0 ** ((rows[:, 2] - NOW) / DAY)
    by_hand_total = by_hand.at(NOW, 7) + np.bincount(rows[:, 1], weights, 7)
    np.testing.assert_allclose(found, by_hand_total, rtol=1e-9)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_new_songs_are_counted_beyond_those_of_the_release(snapshot: Snapshot) -> None:
    counters = Counters(snapshot)
    mine = counters.events("plays", lambda: sums(snapshot))
    counters.fold(happened([(0, 1000, NOW)], count=3))
    assert mine.at(NOW, 1001)[1000] == pytest.approx(3)
    assert mine.at(NOW, 1002)[1001] == 0


@pytest.mark.parametrize("events_of_a_batch", [1_000, 300_000])  # songs that are kept apart, and all of them
def test_a_reader_sees_all_of_a_batch_or_nothing(events_of_a_batch: int) -> None:
    every = np.arange(events_of_a_batch)
    batch = happened(np.stack([every * 0, every, every * 0 + NOW], axis=1).tolist())
    mine, torn, done = SongSums(300_000, Decay(DAY, NOW), plays), list[Array](), threading.Event()

    def read() -> None:
        while not done.is_set():
            for sums in (mine.at(NOW, events_of_a_batch), mine.of(NOW, every)):
                if sums.min() != sums.max():
                    torn.append(sums)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(50):
        mine.add(batch)
    done.set()
    for reader in readers:
        reader.join()
    assert not torn
    assert mine.at(NOW, 1) == pytest.approx([50])
    assert mine.total(NOW) == pytest.approx(50 * events_of_a_batch)


def test_a_tally_is_made_once(snapshot: Snapshot) -> None:
    counters = Counters(snapshot)
    assert counters.events("a", lambda: sums(snapshot)) is counters.events("a", lambda: sums(snapshot))
    assert Counters.of(snapshot) is Counters.of(snapshot)


def test_sums_of_groups_hold_what_each_group_has() -> None:
    snapshot = lopsided_snapshot(log=events(ROWS))

    def home(given: EventBatch) -> Array:
        return np.where(given.user == 2, -1, given.user)

    groups = GroupSums(Decay.of(snapshot, DAY), plays, home)
    groups.add(snapshot.histories)
    for day in range(20):  # more parts than are kept apart
        groups.add(happened([(0, 4, NOW), (0, day % 2, NOW), (2, 4, NOW)]))
    songs, found = groups.of(0, NOW)
    assert dict(zip(songs.tolist(), found.tolist(), strict=True)) == pytest.approx({0: 11, 1: 10.125, 4: 20})
    assert groups.of(1, NOW)[1] == pytest.approx([0.5])
    assert len(groups.of(7, NOW)[0]) == 0
    assert sorted(groups.groups()) == [0, 1]


def test_a_time_far_away_is_worth_a_number_still() -> None:
    decay = Decay(1.0, 0)
    assert np.isfinite(decay.weights(np.array([10**15, -(10**15), UNKNOWN_TIME]))).all()
    assert decay.weights(np.array([UNKNOWN_TIME]))[0] == 0
    assert np.isfinite(decay.since(10**15))
    with pytest.raises(ValueError, match=r"half_life_ms must be above 0 \(got 0\)"):
        Decay(0, 0)
