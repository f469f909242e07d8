"""Recall for each interest, worked by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from segue_test_worlds import NOW, SCORING, World

from recall.base import Candidates, Query
from recall.blend.fusion import Fusion
from recall.blend.merge import UNFITTED, merge
from recall.by_interest import for_each, most, sums_by_interest
from recall.discovery import channel_type
from recall.item_lists.neighbours import Neighbours
from recall.linear.matrices import answer
from recall.listeners.interests import Interests, Leaders


def test_a_song_belongs_to_the_interest_that_adds_most_to_it() -> None:
    songs = np.array([5, 3, 5, 3, 9, 7])
    adds = np.array([0.2, 0.5, 0.3, 0.1, -1.0, 0.4])
    found, scores, interest = sums_by_interest(songs, adds, np.array([0, 0, 1, 1, 0, 2]), 2)
    assert found.tolist() == [3, 5, 7]  # what is below 0 is no candidate
    assert scores == pytest.approx([0.6, 0.5, 0.4])
    assert interest.tolist() == [0, 1, 2]  # what no interest adds to belongs to none


def test_no_interest_is_named_where_none_adds_anything() -> None:
    assert most(np.array([[0.1, 0.2], [-0.1, -0.2], [0.0, 0.0]])).tolist() == [1, 2, 2]


def two_interests(world: World, *, together: bool = False) -> Query:
    """Somebody who loves s1 above all, and s4, which begin an interest each unless they lie together."""
    unit = np.zeros((world.snapshot.songs, 2), dtype=np.float32)
    for name, place in (("s1", (1, 0)), ("s4", (1, 0) if together else (0, 1)), ("s2", (1, 0)), ("s3", (0, 1))):
        unit[world.song(name)] = place
    leaders = Leaders(np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int32), unit)
    mine = world.query("nobody").listener
    songs = np.array([world.song("s1"), world.song("s4"), world.song("s1")])
    action = np.full(3, world.listener("ana").action[0])
    listener = dataclasses.replace(
        mine, song=songs, action=action, at=np.full(3, NOW), count=np.ones(3, dtype=np.int64)
    )
    return dataclasses.replace(world.query("nobody"), listener=listener, leaders=leaders, at=NOW)


def test_an_interest_with_fewer_than_its_part_has_its_best_songs_besides(lopsided: World) -> None:
    query = two_interests(lopsided)
    assert query.interests.importance == pytest.approx([2 / 3, 1 / 3])
    songs, scores = np.arange(30), np.linspace(0.9, 0.1, 30)
    interest = np.array([0] * 24 + [1, 2, 1, 1, 0, 2])
    found = for_each(songs, scores, interest, query, 20)
    # the first twenty are the best; a tenth as many come besides, of the interest that has none among them
    assert found.songs.tolist() == [*range(20), 24, 26]
    assert found.scores == pytest.approx(scores[found.songs])
    assert found.interest is not None
    assert found.interest.tolist() == [0] * 20 + [1, 1]
    assert (found.besides, found.main.songs.tolist(), found.of(slice(21)).besides) == (2, list(range(20)), 1)


def test_nothing_comes_besides_where_every_interest_has_its_part_or_has_no_more(lopsided: World) -> None:
    query, scores = two_interests(lopsided), np.linspace(0.9, 0.1, 30)
    assert for_each(np.arange(30), scores, np.array([0, 0, 1] * 10), query, 21).besides == 0
    assert for_each(np.arange(30), scores, np.array([1] + [0] * 29), query, 20).besides == 0


def test_no_interest_has_a_part_of_what_belongs_to_none(lopsided: World) -> None:
    query = two_interests(lopsided)
    query.__dict__["interests"] = Interests(query.interests.centres, np.array([0.5, 0.05]), query.interests.songs)
    interest = np.array([0] * 11 + [2] * 7 + [1, 1] + [1, 0] * 5)
    assert for_each(np.arange(30), np.linspace(0.9, 0.1, 30), interest, query, 20).besides == 0


def test_equal_scores_come_in_the_order_of_arrival(lopsided: World) -> None:
    arrival = np.array([5, 1, 4, 2, 3])
    found = for_each(np.arange(5), np.ones(5), np.zeros(5, dtype=np.int64), two_interests(lopsided), 3, arrival)
    assert found.songs.tolist() == [1, 3, 4]


def test_of_many_songs_only_those_near_the_top_are_sorted_and_none_is_missed(lopsided: World) -> None:
    rng, query = np.random.default_rng(0), two_interests(lopsided)
    for _ in range(20):
        scores, interest = rng.random(300), np.minimum(rng.integers(0, 12, 300), 2)
        interest = np.where(interest == 2, 0, 1 + (interest == 1))
        found = for_each(np.arange(300), scores, interest, query, 30)
        order = np.argsort(-scores)
        lacking = 10 - np.count_nonzero(interest[order[:30]] == 1)
        assert found.main.songs.tolist() == order[:30].tolist()
        mine = order[30:][interest[order[30:]] == 1]
        others = found.songs[30:][found.interest[30:] == 0]
        assert found.songs[30:][found.interest[30:] == 1].tolist() == mine[: min(3 - len(others), lacking)].tolist()


def test_what_comes_besides_is_in_the_pool_and_changes_no_fused_score() -> None:
    songs, scores = np.array([3, 1, 2, 7]), np.array([0.9, 0.5, 0.4, 0.1])
    plain = Candidates(songs[:3], scores[:3])
    besides = Candidates(songs, scores, np.array([0, 0, 0, 1]), np.array([0.6, 0.4]), 1)
    other = Candidates(np.array([7, 5]), np.array([2.0, 1.0]))
    for fusion in (UNFITTED, Fusion({}, {}, weights={"a": 0.7, "b": 0.2})):
        before = merge({"a": plain}, {"a": 3}, {}, fusion)
        after = merge({"a": besides}, {"a": 3}, {}, fusion)
        assert after.songs.tolist() == [*before.songs.tolist(), 7]
        assert after.fused.tolist() == [*before.fused.tolist(), 0.0]
        assert after.besides.tolist() == [False, False, False, True]
        both = merge({"a": besides, "b": other}, {"a": 3, "b": 2}, {}, fusion)
        assert not both.besides.any()  # another channel proposes it for the whole history
        assert both.ranks[both.songs.tolist().index(7)].tolist() == [-1, 0]


def near(world: World) -> Neighbours:
    """s1 is beside s2 and s5, s4 beside s3, but less so."""
    songs = np.full((world.snapshot.songs, 2), -1, dtype=np.int32)
    weights = np.zeros((world.snapshot.songs, 2), dtype=np.float32)
    songs[world.song("s1")] = world.song("s2"), world.song("s5")
    weights[world.song("s1")] = 0.9, 0.8
    songs[world.song("s4"), 0], weights[world.song("s4"), 0] = world.song("s3"), 0.1
    return Neighbours(songs, weights)


@pytest.mark.parametrize("way", ["recall", "answer"])
def test_the_neighbours_of_a_small_interest_come_besides_those_of_a_large_one(lopsided: World, way: str) -> None:
    beside, names = near(lopsided), lopsided.snapshot.ids["Song"]

    def asked(query: Query) -> list[str]:
        songs, weights = query.listener.top_songs(query.at, 10)
        found = beside.recall(query, songs, weights, 2) if way == "recall" else answer(beside, query, songs, weights, 2)
        return [names[song] for song in found.songs.tolist()]

    assert asked(two_interests(lopsided)) == ["s2", "s5", "s3"]
    assert asked(two_interests(lopsided, together=True)) == ["s2", "s5"]
    assert asked(dataclasses.replace(two_interests(lopsided), leaders=None)) == ["s2", "s5"]


@pytest.mark.parametrize(("model", "first"), [("song2vec", 2), (SCORING, 1)])
def test_a_model_names_the_interest_of_each_song(lopsided: World, model: str, first: int) -> None:
    # s1 was played twice, which counts where the query is the mean of what is loved, by how much
    channel, query = channel_type(model).build(lopsided.release), two_interests(lopsided)
    plain = channel.recall(dataclasses.replace(query, leaders=None), 10)
    found = channel.recall(query, 10)
    assert found.interest is not None
    assert dict(zip(found.songs.tolist(), found.scores, strict=True)) == pytest.approx(
        dict(zip(plain.songs.tolist(), plain.scores, strict=True)), abs=1e-5
    )
    # what is nearest to s1 belongs to its interest, what is nearest to s4 to the other
    interest = dict(zip(found.songs.tolist(), found.interest.tolist(), strict=True))
    unit = lopsided.vectors.unit
    for song, mine in interest.items():
        ahead = first * float(unit[song] @ unit[lopsided.song("s1")]) - float(unit[song] @ unit[lopsided.song("s4")])
        if mine < 2 and abs(ahead) > 1e-3:
            assert mine == (0 if ahead > 0 else 1)
