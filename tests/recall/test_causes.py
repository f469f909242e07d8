import numpy as np
import pytest
from segue_test_worlds import World

from recall.causes import (
    ALIKE,
    ATTRIBUTE,
    BESIDE,
    CIRCLE,
    FOLLOWEE,
    NEARBY,
    SIMILAR,
    Cause,
    Explains,
    near_songs,
)
from recall.discovery import channel_type


def test_a_cause_names_the_followee_it_comes_through(lopsided: World) -> None:
    snapshot = lopsided.snapshot
    assert Cause(FOLLOWEE, "User", 1).text(snapshot) == "Ben, whom you follow, loves it"
    assert Cause(CIRCLE, "User", 1, people=2).text(snapshot) == "loved by 2 listeners around Ben, whom you follow"
    assert Cause(ALIKE, people=1).text(snapshot) == "loved by a listener with your taste"
    assert Cause(NEARBY).text(snapshot) == "loved near you more than elsewhere"


def test_what_only_a_path_shows_has_no_text(lopsided: World) -> None:
    assert [Cause(kind, "Song", 0).text(lopsided.snapshot) for kind in (SIMILAR, BESIDE, ATTRIBUTE)] == [None] * 3


def test_songs_that_are_near_to_none_have_no_cause() -> None:
    assert near_songs(BESIDE, np.array([4, -1])) == [Cause(BESIDE, "Song", 4), None]


@pytest.mark.parametrize("name", ["social", "lbs"])
def test_channels_of_people_and_places_say_what_caused_a_song(name: str, planted: World) -> None:
    channel = channel_type(name).build(planted.release)
    assert isinstance(channel, Explains)
    query = planted.query("you", heard=True)
    found = channel.recall(query, 5).songs
    causes = channel.because(query, found)
    assert len(causes) == len(found) > 0
    assert all(isinstance(cause, Cause) for cause in causes)


@pytest.mark.parametrize("name", ["song_to_song", "recent", "item_knn", "song2vec", "relation_gamma_gcn"])
def test_channels_of_neighbours_name_a_song_that_the_listener_loves(name: str, planted: World) -> None:
    channel = channel_type(name).build(planted.release)
    assert isinstance(channel, Explains)
    query = planted.query("you", heard=True)
    causes = channel.because(query, np.array([planted.song("a-answer")]))
    assert [(c.kind, c.label) for c in causes if c] == [(BESIDE if name == "item_knn" else SIMILAR, "Song")]
    assert all(c.position in query.listener.heard for c in causes if c)


def test_who_has_no_history_has_no_cause(planted: World) -> None:
    for name in ("song_to_song", "recent", "item_knn", "song2vec", "attributes"):
        channel = channel_type(name).build(planted.release)
        assert channel.because(planted.query("nobody"), np.array([0, 1])) == [None, None], name


def test_a_channel_without_causes_is_told_apart(planted: World) -> None:
    assert not isinstance(channel_type("popularity").build(planted.release), Explains)
