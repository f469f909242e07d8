"""The channel of a model, worked by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from segue_test_worlds import DAY, NOW, SCORING, World

from graph.snapshot.histories import CODE
from recall.discovery import channel_type
from recall.listeners.listener import Listener


def test_songs_by_their_cosine_with_what_is_loved_times_support(lopsided: World) -> None:
    # Ana loves s1 alone, at 0 degrees; s3 at 30 and s4 at 60 degrees have 2 listeners and 1
    channel = channel_type("song2vec").build(lopsided.release, {"support": 5.0})
    counts = np.diff(lopsided.snapshot.relation("LISTENED").reverse_indptr)
    shares = {name: counts[lopsided.song(name)] / (counts[lopsided.song(name)] + 5) for name in ("s3", "s4")}
    expected = {"s3": 3**0.5 / 2 * shares["s3"], "s4": 0.5 * shares["s4"]}
    assert lopsided.answer(channel, "ana", heard=True, k=2) == pytest.approx(expected, abs=1e-5)


def test_only_the_most_loved_songs_make_the_vector(lopsided: World) -> None:
    # Ben's s4 at 60 degrees outweighs s3 at 30
    channel = channel_type("song2vec").build(lopsided.release, {"loves": 1, "support": 0.0})
    assert lopsided.answer(channel, "ben", heard=True, k=1) == pytest.approx({"s2": 3**0.5 / 2}, abs=1e-5)


def test_a_known_listener_is_scored_by_the_trained_vector(lopsided: World) -> None:
    channel = channel_type(SCORING).build(lopsided.release)
    vectors = lopsided.vectors.unit
    listener = lopsided.listener("ben")
    liked = np.sort(listener.top_songs(0, 100)[0])
    expected = vectors @ vectors[liked].mean(axis=0)
    for song, score in lopsided.answer(channel, "ben", heard=True).items():
        assert score == pytest.approx(expected[lopsided.song(song)], abs=1e-4)


def test_a_play_since_the_training_moves_the_listener(lopsided: World) -> None:
    channel = channel_type(SCORING).build(lopsided.release)
    query = lopsided.query("ana")
    before = channel.recall(query, 5)
    mine = query.listener
    song, action = np.append(mine.song, lopsided.song("s2")), np.append(mine.action, mine.action[0])
    more = Listener(mine.snapshot, mine.user, song, action, np.append(mine.at, query.at), np.append(mine.count, 1))
    after = channel.recall(dataclasses.replace(query, listener=more), 5)
    moved = dict(zip(after.songs.tolist(), after.scores, strict=True))
    was = dict(zip(before.songs.tolist(), before.scores, strict=True))
    assert moved.get(lopsided.song("s2"), 0.0) > was.get(lopsided.song("s2"), 0.0)


def test_an_old_liked_song_counts_as_it_did_in_training(lopsided: World) -> None:
    # the like fades and the skip does not: decayed they are a dislike, in training they were a like
    snapshot, song = lopsided.snapshot, lopsided.song("s1")
    at = np.array([NOW - 400 * DAY, NOW])
    action = np.array([CODE["collect"], CODE["skip"]])
    listener = Listener(snapshot, 0, np.array([song, song]), action, at, np.ones(2, dtype=np.int64))
    assert listener.preferences(NOW)[1][0] < 0
    assert listener.liked.tolist() == [song]


def test_what_was_learned_of_a_hidden_history_is_not_used(lopsided: World) -> None:
    channel = channel_type(SCORING).build(lopsided.release)
    query = lopsided.query("ben")
    bare = Listener(lopsided.snapshot, query.listener.user, *[np.empty(0, dtype=np.int64)] * 4, "ben")
    assert len(channel.recall(query, 5))
    assert not len(channel.recall(dataclasses.replace(query, listener=bare), 5))
