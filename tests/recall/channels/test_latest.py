"""Songs that answer to what was done a moment ago, worked by hand."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from segue_test_worlds import NOW, PLACES, World

from graph.durations import HOUR_MS
from graph.log.events import Event, JournalEntry
from graph.snapshot.histories import CODE
from recall.base import Query
from recall.causes import NEW_PLACE, Cause
from recall.channels.latest import Latest, LatestConfig
from recall.listeners.listener import UNHEARD, Listener
from recall.live.counters import Counters
from recall.live.edits import Edits, NewSongs
from recall.live.live import Overlay


def after_liking(world: World, song: str, at: int, action: str = "full_play") -> Query:
    """Ana, who has just liked one more song."""
    query = world.query("ana")
    mine = query.listener
    rows = world.song(song), CODE[action], at, 1
    columns = [np.append(getattr(mine, name), value) for name, value in zip(COLUMNS, rows, strict=True)]
    return dataclasses.replace(query, listener=Listener(mine.snapshot, mine.user, *columns, "ana"), at=at + 1)


COLUMNS = ("song", "action", "at", "count")


def test_the_nearest_of_what_was_liked_just_now_come_by_cosine_and_support(lopsided: World) -> None:
    query = after_liking(lopsided, "s4", NOW)
    found = Latest(lopsided.release, LatestConfig(support=0.0)).recall(query, 3)
    unit = lopsided.vectors.unit
    cosines = unit @ unit[lopsided.song("s4")]
    cosines[lopsided.song("s4")] = 0
    assert found.scores[0] == pytest.approx(cosines.max(), abs=1e-5)
    assert found.songs[0] == cosines.argmax()


def test_what_was_liked_long_ago_is_no_news(lopsided: World) -> None:
    query = after_liking(lopsided, "s4", NOW)
    later = dataclasses.replace(query, at=NOW + 4 * HOUR_MS)
    assert len(Latest(lopsided.release).recall(query, 3))
    assert not len(Latest(lopsided.release).recall(later, 3))


def test_a_skip_is_nothing_to_answer_to(lopsided: World) -> None:
    skipped = after_liking(lopsided, "s4", NOW + 9 * HOUR_MS, action="skip")
    assert not len(Latest(lopsided.release).recall(skipped, 3))


@pytest.mark.parametrize(("works", "count"), [(1, 1), (20, 3)])
def test_songs_of_an_artist_followed_just_now_are_proposed(lopsided: World, works: int, count: int) -> None:
    edits = replace(Edits(lopsided.snapshot, 0), followed={("ana", "Artist"): {"alba": NOW}})
    live = Overlay(Counters(lopsided.snapshot), edits, NewSongs(edits, lopsided.vectors))
    query = dataclasses.replace(lopsided.query("ana"), at=NOW + 1, overlay=live)
    found = lopsided.ids(Latest(lopsided.release, LatestConfig(works=works)).recall(query, 9).songs)
    artist = lopsided.snapshot.ids["Artist"].index("alba")
    songs = lopsided.ids(lopsided.snapshot.relation("PERFORMED_BY").into(artist))
    assert set(found) <= set(songs)
    assert len(found) == min(count, len(songs), works)


# ---- each kind of thing done


def journal(world: World, *lines: tuple[str, str, str, dict[str, Any]]) -> Overlay:
    edits = Edits(world.snapshot, 0).after(JournalEntry(i, *line) for i, line in enumerate(lines, start=1))
    return Overlay(Counters(world.snapshot), edits, NewSongs(edits, world.vectors))


def did(action: str, at: int = NOW, **fields: Any) -> Event:
    return Event(event_id=f"{action}{at}", user_id="ana", action=action, at=at, **fields)


def after(world: World, *done: Event, live: Overlay | None = None, user: str = "ana") -> Query:
    """What somebody asks who has done this since the release, a minute after the last of it."""
    live = live or journal(world)
    listener = Listener.of(world.snapshot, user, done, live.edits.places)
    at = max((event.at or 0 for event in done), default=NOW) + 60_000
    return Query(listener, at, UNHEARD, overlay=live)


def found(world: World, query: Query, **config: Any) -> dict[str, float]:
    answer = Latest(world.release, LatestConfig(**config)).recall(query, 9)
    return dict(zip(map(query.live.song_id, answer.songs.tolist()), answer.scores.round(6).tolist(), strict=True))


def texts(world: World, query: Query) -> list[str | None]:
    """What is said of each song, in order."""
    channel = Latest(world.release)
    causes = channel.because(query, channel.recall(query, 9).songs)
    return [cause and cause.text(world.snapshot) for cause in causes]


# listeners: s1 1 (ana), s2 2, s3 1, s4 2, s5 none; support n / (n + 5)
def test_a_search_finds_songs_of_an_artist_by_support(lopsided: World) -> None:
    query = after(lopsided, did("search", query="alba"))
    assert found(lopsided, query) == {"s2": 0.285714, "s1": 0.166667, "s5": 0.1}
    assert texts(lopsided, query) == ["you searched for alba"] * 3
    half = after(lopsided, did("search", query="Alba Trio"))
    assert found(lopsided, half) == {"s2": 0.142857, "s1": 0.083333, "s5": 0.05}


def test_a_search_of_a_tag_or_genre_is_worth_less(lopsided: World) -> None:
    assert found(lopsided, after(lopsided, did("search", query="calm"))) == {"s1": 0.133333, "s5": 0.08}
    assert found(lopsided, after(lopsided, did("search", query="folk"))) == {"s2": 0.228571, "s1": 0.133333, "s5": 0.08}


def test_a_search_of_a_title_finds_the_song_and_those_near_to_it(lopsided: World) -> None:
    query = after(lopsided, did("search", query="two"))
    answer = found(lopsided, query, support=0.0)
    # s2 at 90 degrees; s4 at 60, s3 at 30
    assert list(answer) == ["s2", "s4", "s3"]
    assert list(answer.values()) == pytest.approx([0.9, 0.4 * np.cos(np.pi / 6), 0.4 * 0.5], abs=1e-5)
    assert texts(lopsided, query)[:2] == ["you searched for two", "like Two, found when you searched"]


def test_of_searches_the_newest_counts_within_the_hours(lopsided: World) -> None:
    old = did("search", NOW - 60_000, query="alba")
    assert set(found(lopsided, after(lopsided, old, did("search", query="brio")))) == {"s3", "s4"}
    query = after(lopsided, old)
    assert found(lopsided, dataclasses.replace(query, at=NOW + 2 * HOUR_MS))
    assert not found(lopsided, dataclasses.replace(query, at=NOW + 3 * HOUR_MS))


@pytest.mark.parametrize("logged", [True, False])
def test_a_person_just_followed_brings_what_that_person_loves(lopsided: World, logged: bool) -> None:
    line = ("follow", "User", "ana", {"target": "cy", "since": NOW})
    done = [did("follow", target_label="User", target_id="cy")] * logged
    query = after(lopsided, *done, live=journal(lopsided, *[line] * (not logged)))
    # a full play of s2 just now, one of s4 14 days ago; s3 is blocked
    assert found(lopsided, query) == pytest.approx({"s2": 1.0, "s4": 2 ** (-14 / 21)}, abs=1e-4)
    assert texts(lopsided, query) == ["loved by cy, whom you just followed"] * 2
    undone = did("unfollow", NOW + 1, target_label="User", target_id="cy")
    assert not found(lopsided, after(lopsided, *done, undone, live=query.live))


def test_a_person_who_came_after_the_release_brings_what_that_person_loves(lopsided: World) -> None:
    lines = ("upsert", "User", "new", {"properties": {"name": "New"}}), ("follow", "User", "ana", FOLLOWED)
    query = after(lopsided, live=journal(lopsided, *lines))
    likes = {"song": [2, 3, 4], "action": [CODE["like"], CODE["full_play"], CODE["skip"]]}
    events = {"user": [-1] * 3, **likes, "at": [NOW] * 3, "count": [1] * 3}
    query.live.new_users.add(["new"] * 3, SimpleNamespace(**{k: np.array(v) for k, v in events.items()}))
    assert found(lopsided, query) == {"s3": 1.0, "s4": 0.5}
    assert texts(lopsided, query) == ["loved by New, whom you just followed"] * 2


FOLLOWED = {"target": "new", "since": NOW}


def test_an_artist_who_came_after_the_release_brings_the_new_songs(lopsided: World) -> None:
    lines = [
        ("upsert", "Artist", "new", {"properties": {"name": "Newt"}}),
        ("relations", "Song", "song", {"artists": ["new"]}),
    ]
    live = journal(lopsided, *lines, ("follow", "Artist", "ana", FOLLOWED))
    assert found(lopsided, after(lopsided, live=live)) == {"song": 0.5}
    assert texts(lopsided, after(lopsided, live=live)) == ["by Newt, whom you just followed"]
    searched = after(lopsided, did("search", query="NEWT"), live=journal(lopsided, *lines))
    assert found(lopsided, searched) == {"song": 0.5}


def test_an_unblocked_song_is_proposed(lopsided: World) -> None:
    blocked = did("block", NOW, song_id="s3")
    query = after(lopsided, blocked, did("unblock", NOW + 1, song_id="s3"))
    assert found(lopsided, query) == {"s3": 1.0}
    assert texts(lopsided, query) == ["you unblocked it"]
    assert not found(lopsided, after(lopsided, blocked))


def test_who_moved_hears_what_is_loved_there(planted: World) -> None:
    """`you` live where scene a does; scene b is some 10 km away."""
    channel = Latest(planted.release)
    for live, done in (
        (journal(planted, ("upsert", "User", "you", {"properties": THERE})), ()),
        (journal(planted), (did("search", query="no such words", **THERE),)),
    ):
        query = after(planted, *done, live=live, user="you")
        answer = channel.recall(query, 12)
        said = zip(planted.ids(answer.songs), channel.because(query, answer.songs), strict=True)
        assert any(song.startswith("b-") and cause == Cause(NEW_PLACE) for song, cause in said)
    at_home = after(planted, live=journal(planted, ("upsert", "User", "you", {"properties": HERE})), user="you")
    assert Cause(NEW_PLACE) not in channel.because(at_home, channel.recall(at_home, 12).songs)


HERE, THERE = ({"latitude": latitude, "longitude": longitude} for latitude, longitude in PLACES)


# ---- several at once, and what was turned down


def test_nothing_is_looked_for_unless_something_may_have_been_done(lopsided: World) -> None:
    channel, long_after = Latest(lopsided.release), NOW + 9 * HOUR_MS

    def anything(live: Overlay | None = None, *done: Event) -> bool:
        return channel.anything(replace(after(lopsided, *done, live=live), at=long_after))

    moved = ("upsert", "User", "ana", {"properties": {"latitude": 47.0, "longitude": 22.0}})
    assert not anything()
    assert anything(None, did("like", long_after, song_id="s4"))
    assert anything(None, did("search", long_after, query="x"))
    assert anything(journal(lopsided, moved))
    for label, target in (("User", "cy"), ("Artist", "alba")):
        assert anything(journal(lopsided, ("follow", label, "ana", {"target": target, "since": NOW})))
    assert not anything(journal(lopsided, ("follow", "User", "ben", {"target": "cy", "since": NOW})))


def test_songs_of_several_things_done_come_in_turn_the_newest_first(lopsided: World) -> None:
    liked, searched = did("full_play", NOW, song_id="s4"), did("search", NOW + 1, query="alba")
    query = after(lopsided, liked, searched)
    channel = Latest(lopsided.release)
    answer = channel.recall(query, 9)
    # alba: s2 .2857, s1 .1667, s5 .1; near s4 (60 degrees): s2 and s3 .866 by support, then s1
    assert lopsided.ids(answer.songs) == ["s2", "s1", "s3", "s5"]
    assert (np.diff(answer.scores) <= 0).all()
    assert channel.answers(query, np.arange(5)).tolist() == [0, 0, 1, -1, 0]
    newest = after(lopsided, dataclasses.replace(liked, at=NOW + 2), searched)
    assert channel.answers(newest, np.arange(5)).tolist() == [0, 0, 0, -1, 1]


@pytest.mark.parametrize("action", ["skip", "dislike", "block"])
def test_songs_near_to_what_was_turned_down_are_refused(lopsided: World, action: str) -> None:
    channel = Latest(lopsided.release, LatestConfig(neighbours=2))
    done = did(action, song_id="s2")
    near = [False, False, True, True, False]  # s4 at 60 degrees, s3 at 30
    assert channel.refused(after(lopsided, done), np.arange(5)).tolist() == near
    liked = did("like", NOW + 1, song_id="s2")
    assert not channel.refused(after(lopsided, done, liked), np.arange(5)).any()
    searched = did("search", NOW - 1, query="three")
    assert channel.refused(after(lopsided, done, searched), np.arange(5)).tolist() == [*near[:2], False, False, False]
    later = dataclasses.replace(after(lopsided, done), at=NOW + 4 * HOUR_MS)
    assert not channel.refused(later, np.arange(5)).any()


def test_what_was_liked_and_then_turned_down_is_nothing_to_answer_to(lopsided: World) -> None:
    liked, undone = did("like", song_id="s4"), did("unlike", NOW + 1, song_id="s4")
    assert found(lopsided, after(lopsided, liked))
    assert not found(lopsided, after(lopsided, liked, undone))
