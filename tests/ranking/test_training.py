from collections.abc import Callable

import numpy as np
import pytest
from segue_test_worlds import World, events, lopsided_snapshot

from graph.snapshot.snapshot import Snapshot
from graph.units import UnitUse
from ranking import training
from ranking.cascade import Cascade
from ranking.scene import ChannelUse, SceneConfig
from ranking.training import (
    CHANNEL_TRAIN,
    RANKER_TRAIN,
    TEST,
    RankerLists,
    best_first,
    cold_start,
    cut,
    fit_fusion,
    fit_ranker,
    loved,
    measure,
    sampled,
    without_memory,
)
from recall.base import Candidates
from recall.listeners.listener import Listener


def log(*rows: tuple[object, ...]) -> Snapshot:
    return lopsided_snapshot(log=events(rows))


def test_the_newest_tenth_measures_and_the_tenth_before_ranks() -> None:
    snapshot = log(*(("ana", "play", f"s{1 + i % 5}", 100 + i) for i in range(10)))
    split = cut(snapshot, rank_share=0.1, measure_share=0.1, seed=0)
    assert split.subset.tolist() == [CHANNEL_TRAIN] * 8 + [RANKER_TRAIN, TEST]
    assert (split.rank_at, split.measure_at) == (108, 109)


def test_events_of_one_moment_stay_together() -> None:
    snapshot = log(*(("ana", "play", "s1", at) for at in (1, 1, 1, 1, 1, 1, 2, 2, 2, 2)))
    assert cut(snapshot, rank_share=0.1, measure_share=0.1, seed=0).subset.tolist() == [CHANNEL_TRAIN] * 6 + [TEST] * 4


def test_without_a_share_nothing_is_measured() -> None:
    snapshot = log(*(("ana", "play", "s1", at) for at in range(10)))
    assert (
        cut(snapshot, rank_share=0.2, measure_share=0.0, seed=0).subset.tolist()
        == [CHANNEL_TRAIN] * 8 + [RANKER_TRAIN] * 2
    )


def test_without_times_a_listener_and_song_is_on_one_side_as_a_whole() -> None:
    rows = [(f"u{i:03}", "play", f"s{1 + i % 5}", None) for i in range(600)]
    snapshot = log(*rows, *rows)
    subset = cut(snapshot, rank_share=0.2, measure_share=0.1, seed=1).subset
    pairs = {}
    for user, song, side in zip(
        snapshot.histories.user.tolist(), snapshot.histories.song.tolist(), subset.tolist(), strict=True
    ):
        assert pairs.setdefault((user, song), side) == side
    shares = np.bincount(list(pairs.values()), minlength=3) / len(pairs)
    assert shares == pytest.approx([0.7, 0.2, 0.1], abs=0.05)
    assert (subset != cut(snapshot, rank_share=0.2, measure_share=0.1, seed=2).subset).any()


def test_without_times_a_new_song_moves_no_pair_to_another_side() -> None:
    rows = [(f"u{i:03}", "play", f"s{1 + i % 5}", None) for i in range(60)]
    before = log(*rows)
    after = log(*rows, ("u000", "play", "a-new-first-song", None))
    sides = [
        dict(zip(pairs(s), cut(s, rank_share=0.2, measure_share=0.2, seed=1).subset, strict=True))
        for s in (before, after)
    ]
    assert {pair: sides[1][pair] for pair in sides[0]} == sides[0]


def pairs(snapshot: Snapshot) -> list[tuple[str, str]]:
    users, songs = snapshot.ids["User"], snapshot.ids["Song"]
    return [(users[u], songs[s]) for u, s in zip(snapshot.histories.user, snapshot.histories.song, strict=True)]


def test_an_empty_log_is_cut_too() -> None:
    assert len(cut(log(), rank_share=0.1, measure_share=0.1, seed=0).subset) == 0


def test_loved_is_a_full_play_or_more_each_song_once() -> None:
    histories = log(
        *(("ana", "full_play", "s2", 1), ("ana", "like", "s1", 2), ("ana", "full_play", "s2", 3)),
        *(("ana", "play", "s3", 4), ("ben", "play", "s3", 5), ("cy", "collect", "s5", 6), ("cy", "skip", "s1", 7)),
    ).histories
    everything = np.ones(len(histories), dtype=bool)
    assert [(user, songs.tolist()) for user, songs in loved(histories, everything)] == [(0, [0, 1]), (2, [4])]
    assert [(user, songs.tolist()) for user, songs in loved(histories, histories.at < 2)] == [(0, [1])]


def test_in_a_log_of_plays_a_play_is_loved() -> None:
    histories = log(("ana", "play", "s3", 4), ("ben", "skip", "s3", 5)).histories
    assert [(u, s.tolist()) for u, s in loved(histories, np.ones(2, dtype=bool))] == [(0, [2])]


def test_a_sample_keeps_the_order_and_everybody_when_there_are_few() -> None:
    pairs = [(i, np.array([i])) for i in range(20)]
    assert sampled(iter(pairs), 20, np.random.default_rng(0)) == pairs
    some = [user for user, _ in sampled(iter(pairs), 5, np.random.default_rng(0))]
    assert len(some) == 5
    assert some == sorted(set(some))
    assert some == [user for user, _ in sampled(iter(pairs), 5, np.random.default_rng(0))]


def test_best_first_breaks_ties_by_first_appearance(lopsided: World) -> None:
    found = Candidates(np.arange(5, dtype=np.int32), np.array([1.0, 2, 1, 1, 1]))
    assert lopsided.ids(best_first(found, lopsided.snapshot)) == ["s2", "s1", "s3", "s4", "s5"]


def scene() -> SceneConfig:
    uses = {"song2vec": ChannelUse(options={"support": 0.0}), "popularity": ChannelUse()}
    free = {"linear": UnitUse(options={"l2": 0.01})}  # three lists say little, but here all that is true
    return SceneConfig(channels=uses, budget_ms=60_000, rankers=free)


def test_the_ranker_learns_to_put_first_what_was_loved_afterwards(lopsided: World) -> None:
    cascade = Cascade(lopsided.release, scene())
    # everybody loved s5 afterwards: the one song without listeners
    truth = [(user, np.array(lopsided.songs("s5"))) for user in range(3)]
    lists = RankerLists.of(cascade, truth, 0)
    cascade.ranker = fit_ranker(cascade, lists, rng=np.random.default_rng(0))
    for user in ("ana", "ben", "cy"):
        assert lopsided.ids(cascade.slate(cascade.query(user, 0), 1).songs) == ["s5"]


def test_without_a_song_that_was_loved_afterwards_there_is_nothing_to_learn(lopsided: World) -> None:
    cascade = Cascade(lopsided.release, scene())
    heard = [(0, np.array(lopsided.songs("s1")))]
    for truth in ([], heard):
        lists = RankerLists.of(cascade, truth, 0)
        assert fit_ranker(cascade, lists, rng=np.random.default_rng(0)) is None


@pytest.mark.parametrize(
    ("share", "strangers", "expected", "left"),
    [
        (0, 0, [(2, [2])], ["ana", "ben"]),  # Cy came after the cut
        (1, 0, [(0, [4]), (2, [2])], ["ben"]),  # Ben loves nothing after it, and teaches nothing
        (1, 1, [(-1, [4]), (-1, [2])], ["ben"]),
    ],
)
def test_cold_start_listeners_came_at_the_cut_or_are_treated_as_if_they_had(
    make_world: Callable[..., World],
    monkeypatch: pytest.MonkeyPatch,
    share: float,
    strangers: float,
    expected: list[tuple[int, list[int]]],
    left: list[str],
) -> None:
    monkeypatch.setattr(training, "COLD_START", share)
    monkeypatch.setattr(training, "STRANGERS", strangers)
    rows = [("ana", "full_play", "s1", at) for at in range(4)] + [("ben", "full_play", "s2", at) for at in range(4)]
    log = events([*rows, ("ana", "full_play", "s5", 8), ("cy", "full_play", "s3", 9)])
    release = make_world(log=log).release
    split = cut(release.snapshot, rank_share=0.2, measure_share=0.0, seed=0)
    truth = list(loved(release.snapshot.histories, split.subset == RANKER_TRAIN))
    seen, new = cold_start(release, split, truth, np.random.default_rng(0))
    assert [(user, songs.tolist()) for user, songs in new] == expected
    assert [name for name in ("ana", "ben", "cy") if len(Listener.of(seen.snapshot, name))] == left


def test_channels_that_remember_histories_do_not_teach_how_cold_start_listeners_are_answered() -> None:
    uses = {name: ChannelUse() for name in ("listener_kernel", "popularity")}
    assert list(without_memory(SceneConfig(channels=uses)).channels) == ["popularity"]
    del uses["popularity"]
    assert without_memory(SceneConfig(channels=uses)) is None


def test_somebody_unknown_may_teach(lopsided: World) -> None:
    cascade = Cascade(lopsided.release, scene())
    assert fit_fusion(cascade, [(-1, np.array(lopsided.songs("s1")))], 0).quotas["popularity"] > 0


def test_weights_are_learned_for_the_quotas_of_the_scene(lopsided: World) -> None:
    uses = {"song2vec": ChannelUse(quota=3), "popularity": ChannelUse(quota=1)}
    cascade = Cascade(lopsided.release, SceneConfig(channels=uses, quotas="fixed", budget_ms=60_000))
    assert fit_fusion(cascade, [(1, np.array(lopsided.songs("s1")))], 0).quotas == {"song2vec": 3, "popularity": 1}


def test_measuring_counts_only_songs_that_may_come_back(lopsided: World) -> None:
    cascade = Cascade(lopsided.release, scene())

    def ask(listener: Listener, at: int) -> object:
        return cascade.ask(listener, at)

    # Ana has heard s1 and s2, so only s3 is left to find; Ben's s3 and s4 are both heard
    truth = [(0, np.array(lopsided.songs("s1", "s3"))), (1, np.array(lopsided.songs("s3", "s4")))]
    order = np.array(lopsided.songs("s4", "s3"))
    boards = measure(lopsided.snapshot, truth, 0, {"it": lambda _: order}, ask)
    assert boards["it"].rows == [{**boards["it"].rows[0], "mrr": 0.5, "recall@10": 1.0}]
