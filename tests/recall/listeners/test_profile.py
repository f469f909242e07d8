import numpy as np
import pytest
from segue_test_worlds import DAY, NOW, World

from graph.snapshot.histories import Histories
from recall.decay import Decay
from recall.listeners.profile import Dimensions, Profile, offered_shares

ALBA, BRIO = 0, 1


def of(world: World, user: str, half_life: float = 21 * DAY) -> Profile:
    snapshot = world.snapshot
    return Profile.of(Dimensions.of([snapshot.relation("PERFORMED_BY")]), [Decay(half_life, NOW)], world.listener(user))


def test_it_keeps_what_was_said_and_what_was_offered(lopsided: World) -> None:
    # Ana: s1 played in full (1) and collected (3) a half-life ago, s2 skipped (-0.6) now; both are by Alba
    ana = of(lopsided, "ana")
    assert ana.entities.tolist() == [ALBA]
    assert (ana.liked[0], ana.said[0]) == (pytest.approx(4 / 2 - 0.6), pytest.approx(4 / 2 + 0.6))
    assert ana.offered == pytest.approx([1 / 2 + 1])  # two playbacks; to collect is none


def test_events_without_a_time_count_as_the_newest(lopsided: World) -> None:
    ben = of(lopsided, "ben")  # s3 ten times (0.4 each, an aggregate), s4 in full and liked a week ago: Brio both
    worth = 2 ** (-1 / 3)
    assert ben.liked == pytest.approx([0.4 * (1 + np.log(10)) + 3 * worth])


def random_events(n: int, songs: int, seed: int = 0) -> Histories:
    rng = np.random.default_rng(seed)
    draw = {
        "song": rng.integers(0, songs, n),
        "action": rng.integers(0, 6, n),
        "at": NOW - rng.integers(-DAY, 90 * DAY, n),
    }
    draw |= {"count": rng.integers(1, 5, n), "offset": np.arange(n), "cell": np.zeros(n, dtype=np.int64)}
    draw |= {"played_ms": np.full(n, -1), "rating": np.full(n, np.nan), "user": np.zeros(n, dtype=np.int64)}
    return Histories.of_events(draw, 1, songs)


NAMES = ("PERFORMED_BY", "HAS_GENRE", "HAS_TAG")
DECAYS = (Decay(5 * DAY, NOW), Decay(DAY, NOW - DAY), Decay(5 * DAY, NOW))


def test_event_by_event_it_is_what_all_of_them_make(lopsided: World) -> None:
    dimensions = Dimensions.of([lopsided.snapshot.relation(name) for name in NAMES])
    everything = random_events(200, lopsided.snapshot.songs)
    whole = Profile.of(dimensions, DECAYS, everything)
    live = Profile.of(dimensions, DECAYS, everything.where(np.zeros(200, dtype=bool)))
    for i in np.random.default_rng(1).permutation(200):
        live = live.merged(Profile.of(dimensions, DECAYS, everything.where(np.arange(200) == i)))
    assert live.entities.tolist() == whole.entities.tolist()
    for mine, theirs in ((live.liked, whole.liked), (live.offered, whole.offered), (live.said, whole.said)):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9)


def test_dimensions_side_by_side_are_each_as_it_is_alone(lopsided: World) -> None:
    relations = [lopsided.snapshot.relation(name) for name in NAMES]
    events, together = random_events(50, lopsided.snapshot.songs), Dimensions.of(relations)
    shown = [offered_shares(relation, np.arange(lopsided.snapshot.songs)) for relation in relations]
    profile = Profile.of(together, DECAYS, events)
    found = profile.preferences(NOW + DAY, np.concatenate(shown), 3.0, 0.5)
    alone = [Profile.of(Dimensions.of([one]), [decay], events) for one, decay in zip(relations, DECAYS, strict=True)]
    assert profile.entities.tolist() == [
        entity + first for one, first in zip(alone, together.first.tolist(), strict=False) for entity in one.entities
    ]
    expected = [one.preferences(NOW + DAY, common, 3.0, 0.5) for one, common in zip(alone, shown, strict=True)]
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-12)


def test_a_preference_is_corrected_by_what_was_offered(lopsided: World) -> None:
    artists, liked, offered = Dimensions.of([lopsided.snapshot.relation("PERFORMED_BY")]), [3.0, 1.0], [8.0, 2.0]
    sums = np.array([liked, offered])
    profile = Profile(artists, [Decay(DAY, NOW)], np.array([0, 1]), *sums, np.array([4.0]))
    common = np.array([0.5, 0.5])
    assert profile.preferences(NOW, common, 10, 0.0) == pytest.approx([0.75, 0.25])
    # shares of what was offered: (8 + 5) / 20 and (2 + 5) / 20
    assert profile.preferences(NOW, common, 10, 1.0) == pytest.approx([0.75 / 0.65, 0.25 / 0.35])
    # a day later what was offered is worth half: (4 + 5) / 15 and (1 + 5) / 15
    assert profile.preferences(NOW + DAY, common, 10, 1.0) == pytest.approx([0.75 / 0.6, 0.25 / 0.4])


def test_what_all_listeners_are_offered_is_shared_out(lopsided: World) -> None:
    tags = lopsided.snapshot.relation("HAS_TAG", "Song")  # s1 calm; s4 loud; s5 a quarter calm
    assert offered_shares(tags, np.array([2, 0, 0, 1, 4])) == pytest.approx([3 / 7, 4 / 7])
    assert offered_shares(tags, np.zeros(5)) == pytest.approx([0.5, 0.5])
