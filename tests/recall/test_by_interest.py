"""Recall for each interest, worked by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from segue_test_worlds import NOW, SCORING, World

from recall.base import Query
from recall.by_interest import for_each, most, sums_by_interest
from recall.discovery import channel_type
from recall.item_lists.neighbours import Neighbours
from recall.linear.matrices import answer
from recall.listeners.interests import Leaders


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


def test_the_last_quarter_of_the_places_goes_to_interests_with_fewer_than_their_part(lopsided: World) -> None:
    query = two_interests(lopsided)
    assert query.interests.importance == pytest.approx([2 / 3, 1 / 3])
    songs, scores = np.arange(12), np.linspace(0.9, 0.1, 12)
    interest = np.array([0] * 9 + [1, 2, 1])
    found = for_each(songs, scores, interest, query, 8)
    # of eight places six are the best songs, and the other interest, which has none of them, takes the last two
    assert found.songs.tolist() == [0, 1, 2, 3, 4, 5, 9, 11]
    assert found.scores == pytest.approx(scores[found.songs])
    assert found.interest is not None
    assert found.interest.tolist() == [0, 0, 0, 0, 0, 0, 1, 1]


def test_places_that_an_interest_cannot_fill_go_to_the_best_songs(lopsided: World) -> None:
    interest = np.array([0] * 11 + [1])
    found = for_each(np.arange(12), np.linspace(0.9, 0.1, 12), interest, two_interests(lopsided), 8)
    assert found.songs.tolist() == [*range(7), 11]


def near(world: World) -> Neighbours:
    """s1 is beside s2 and s5, s4 beside s3, but less so."""
    songs = np.full((world.snapshot.songs, 2), -1, dtype=np.int32)
    weights = np.zeros((world.snapshot.songs, 2), dtype=np.float32)
    songs[world.song("s1")] = world.song("s2"), world.song("s5")
    weights[world.song("s1")] = 0.9, 0.8
    songs[world.song("s4"), 0], weights[world.song("s4"), 0] = world.song("s3"), 0.1
    return Neighbours(songs, weights)


@pytest.mark.parametrize("way", ["recall", "answer"])
def test_the_neighbours_of_a_small_interest_have_a_place_beside_those_of_a_large_one(
    lopsided: World, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recall.by_interest.SHARED", 0.5)  # one place of two
    beside, names = near(lopsided), lopsided.snapshot.ids["Song"]

    def asked(query: Query) -> list[str]:
        songs, weights = query.listener.top_songs(query.at, 10)
        found = beside.recall(query, songs, weights, 2) if way == "recall" else answer(beside, query, songs, weights, 2)
        return [names[song] for song in found.songs.tolist()]

    assert asked(two_interests(lopsided)) == ["s2", "s3"]
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
