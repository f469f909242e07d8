import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from segue_test_worlds import DAY, NOW, World, built, edges, events

from embeddings.vectors.model_vectors import ModelVectors
from graph.log.events import JournalEntry
from graph.snapshot.snapshot import Snapshot
from recall.base import Query
from recall.causes import ATTRIBUTE, Cause
from recall.channels.attributes import Attributes, AttributesConfig
from recall.discovery import channel_type
from recall.item_lists.neighbours import Neighbours
from recall.live.counters import Counters
from recall.live.edits import Edits, NewSongs
from recall.live.live import Overlay

PLAIN: Final = {"correction": 0.0, "freshness": 0.0, "widen": 0.0, "popular_days": math.inf}


BOTH: Final = {"PERFORMED_BY": 3.0, "HAS_GENRE": 1.0}


def test_weighs_affinities_and_bends_them_by_popularity(lopsided: World) -> None:
    # Ana: s1 +2.0 (4 halved once), s2 -0.6; Alba (2.0 - 0.6) / 2.6; folk (2.0 - 0.3) / 2.6
    score = 3 * 1.4 / 2.6 + 1 * 1.7 / 2.6
    channel = Attributes(
        lopsided.release, AttributesConfig(BOTH, popularity=0.5, half_life_days=dict.fromkeys(BOTH, 21.0), **PLAIN)
    )
    answer = lopsided.answer(channel, "ana")
    assert answer["s5"] == pytest.approx(score, abs=1e-5)  # nobody has heard it: 1 ^ 0.5
    assert answer["s1"] == pytest.approx(score * 2**0.5, abs=1e-5)  # one listener
    assert "s3" not in answer  # rock, which Ana skips


def test_a_tag_counts_by_its_share_of_the_song(lopsided: World) -> None:
    channel = Attributes(lopsided.release, AttributesConfig({"HAS_TAG": 1.0}, popularity=0.0, **PLAIN))
    # all that Ana's tagged songs say goes to `calm`, a quarter of s5
    assert lopsided.answer(channel, "ana") == {"s1": 1.0, "s5": 0.25}


def test_an_unknown_relation_has_no_say(lopsided: World) -> None:
    channel = Attributes(lopsided.release, AttributesConfig({"RELATED:nothing": 1.0}))
    assert lopsided.answer(channel, "ana") == {}


def test_widening_lends_a_preference_to_what_is_like_it(make_world: Callable[..., World]) -> None:
    world = make_world(edge_tables=edges({("PERFORMED_BY", "Song", "Artist"): [("s1", "alba"), ("s3", "brio")]}))
    near = Neighbours(np.array([[1], [0]]), np.array([[0.5], [0.5]]))
    usual = AttributesConfig({"PERFORMED_BY": 1.0}, popularity=0.0, **PLAIN)
    channel = Attributes(world.release, dataclasses.replace(usual, widen=0.4))
    channel._dimensions = [dataclasses.replace(d, near=near) for d in channel._dimensions]
    assert set(world.answer(Attributes(world.release, usual), "ana")) == {"s1"}
    answer = world.answer(channel, "ana")
    assert answer["s3"] == pytest.approx(0.4 * 0.5 * answer["s1"], abs=1e-5)
    assert list(answer) == ["s1", "s3"]
    causes = channel.because(world.query("ana"), np.array(world.songs("s1", "s3", "s4")))
    assert causes == [Cause(ATTRIBUTE, "Artist", 0), Cause(ATTRIBUTE, "Artist", 1, by=0), None]


def test_the_attribute_that_adds_most_is_the_cause(lopsided: World) -> None:
    query, song = lopsided.query("ana"), np.array(lopsided.songs("s5"))  # by Alba (1.4), of folk (1.7)
    for weights, label in (({"PERFORMED_BY": 1.0, "HAS_GENRE": 1.0}, "Genre"), (BOTH, "Artist")):
        channel = Attributes(lopsided.release, AttributesConfig(weights, **PLAIN))
        assert channel.because(query, song) == [Cause(ATTRIBUTE, label, 0)]


def test_the_gcn_widens_to_the_artist_whom_the_same_people_like(tmp_path: Path) -> None:
    songs = {"alba": ["s1", "s2"], "brio": ["s3", "s4"], "cara": ["s5", "s6"]}
    performed = [(song, artist) for artist, theirs in songs.items() for song in theirs]
    crowds = {"u": songs["alba"] + songs["brio"], "v": songs["cara"]}
    log = [(f"{c}{i}", "like", song, NOW) for c, theirs in crowds.items() for i in range(4) for song in theirs]
    snapshot = Snapshot.of_frames(
        {}, edges({("PERFORMED_BY", "Song", "Artist"): performed}), events([*log, ("ana", "like", "s1", NOW)])
    )
    options = {"weights": {"PERFORMED_BY": 1.0}, "similar": 1, "widen_by": "relation_gamma_gcn"}
    vectors = ModelVectors.of_songs(snapshot, np.zeros((6, 2), dtype=np.float32))
    release = built(tmp_path, snapshot, vectors, ["attributes"], {"attributes": options})
    world = World(release, vectors)
    answer = world.answer(channel_type("attributes").build(release, options), "ana")
    assert set(answer) == {"s1", "s2", "s3", "s4"}  # and not the songs of cara
    with pytest.raises(ValueError, match="widen_by must be song2vec or relation_gamma_gcn"):
        AttributesConfig(widen_by="lightgcn")


def test_a_dislike_is_not_turned_by_nearness(make_world: Callable[..., World]) -> None:
    rows = [("ana", "collect", "s1", NOW), ("ana", "block", "s3", NOW)]
    world = make_world(log=events(rows))
    channel = Attributes(world.release, AttributesConfig({"PERFORMED_BY": 1.0}, widen=1.0))
    near = Neighbours(np.array([[1], [0]]), np.array([[0.9], [0.9]]))
    channel._dimensions = [dataclasses.replace(d, near=near) for d in channel._dimensions]
    assert not {"s3", "s4"} & set(world.answer(channel, "ana"))


def test_songs_to_the_same_accompaniment_are_one_attribute(lopsided: World) -> None:
    # s4 covers s1: who loves one hears the other
    channel = Attributes(lopsided.release, AttributesConfig({"COVER_OF": 1.0}, popularity=0.0, **PLAIN))
    assert lopsided.answer(channel, "ana") == {"s1": 1.0, "s4": 1.0}


def test_newer_songs_come_first_where_all_else_is_equal(lopsided: World) -> None:
    config = AttributesConfig(
        {"HAS_GENRE": 1.0}, popularity=0.0, correction=0.0, widen=0.0, freshness=1.0, fresh_days=10.0
    )
    answer = lopsided.answer(Attributes(lopsided.release, config), "ana")
    assert answer["s5"] / answer["s1"] == pytest.approx((1 + 1) / (1 + 2**-10), rel=1e-3)  # out now, and 100 days ago


def test_a_song_that_came_after_the_release_is_found_by_its_artist(lopsided: World) -> None:
    edits = Edits(lopsided.snapshot, 0).after([JournalEntry(1, "relations", "Song", "new", {"artists": ["alba"]})])
    overlay = Overlay(Counters(lopsided.snapshot), edits, NewSongs(edits, lopsided.vectors))
    days = {"PERFORMED_BY": 21.0}
    config = AttributesConfig({"PERFORMED_BY": 1.0}, popularity=0.0, half_life_days=days, **PLAIN)
    channel = Attributes(lopsided.release, config)
    asked = Query(lopsided.listener("ana"), NOW, lopsided.query("ana", heard=True).exclude, overlay=overlay)
    found = channel.recall(asked, 10)
    assert [overlay.song_id(int(song)) for song in found.songs] == ["s5", "new"]
    assert found.scores[0] == pytest.approx(found.scores[1])


def test_without_any_time_popularity_is_how_many_listened(make_world: Callable[..., World]) -> None:
    log = events([(f"u{i}", "play", song, None) for song, crowd in (("s1", 3), ("s2", 1)) for i in range(crowd)])
    world = make_world(log=log)
    found = Attributes(world.release, AttributesConfig(popularity=1.0, freshness=0.0))._quality
    assert found.tolist() == [4.0, 2.0, 1.0, 1.0, 1.0]


def test_popularity_decays(lopsided: World) -> None:
    halved = AttributesConfig(BOTH, popularity=1.0, **{**PLAIN, "popular_days": 7.0})
    answer, still = (
        lopsided.answer(Attributes(lopsided.release, one), "ben")
        for one in (halved, dataclasses.replace(halved, popularity=0.0))
    )
    # s4: played in full and liked a week ago, in full two weeks ago; s3: its plays have no time
    assert answer["s4"] / still["s4"] == pytest.approx(1 + 3 / 2 + 1 / 4)
    assert answer["s3"] == pytest.approx(still["s3"])


def test_a_short_half_life_tells_the_latest_of_an_old_history(make_world: Callable[..., World]) -> None:
    old = NOW - 100 * DAY
    rows = [
        ("ana", "full_play", "s1", old),
        ("ana", "full_play", "s3", old + DAY // 5),
        ("ben", "full_play", "s2", NOW),
    ]
    world = make_world(log=events(rows))
    config = AttributesConfig({"PERFORMED_BY": 1.0}, popularity=0.0, half_life_days={"PERFORMED_BY": 0.05}, **PLAIN)
    answer = world.answer(Attributes(world.release, config), "ana")
    assert answer["s4"] / answer["s5"] == pytest.approx(2.0**4, rel=1e-5)  # Brio 4 half-lives later


def test_without_decay_all_that_was_ever_said_counts_alike(make_world: Callable[..., World]) -> None:
    rows = [("ana", "full_play", "s1", NOW - 1000 * DAY), ("ana", "full_play", "s3", NOW)]
    world = make_world(log=events(rows))
    config = AttributesConfig({"PERFORMED_BY": 1.0}, popularity=0.0, half_life_days={"PERFORMED_BY": math.inf}, **PLAIN)
    answer = world.answer(Attributes(world.release, config), "ana")
    assert answer["s4"] == answer["s5"] == 0.5


def test_a_half_life_must_be_above_0() -> None:
    with pytest.raises(ValueError, match=r"half_life_days of HAS_TAG must be above 0 \(got 0\)"):
        AttributesConfig(half_life_days={"HAS_TAG": 0})
