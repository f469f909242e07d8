import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import polars as pl
import pytest
from segue_test_worlds import DAY, LOPSIDED_EVENTS, NOW, World, edges, events

from graph.log.events import EventLog
from recall.base import Query
from recall.causes import ALIKE, ARTIST, CIRCLE, FOLLOWEE, Cause
from recall.channels.social import Social, SocialConfig, Works, with_newer
from recall.live.live import Live

USUAL = SocialConfig(trust=0.2, circle=0.3, alike=0.5, works=0.5, catalogue=0.2)
FOLLOWEES = replace(USUAL, circle=0.0, alike=0.0, works=0.0)
BEN_S3 = 0.4 * (1 + math.log(10)) / (3 * 2 ** (-7 / 21))  # beside s4, which Ben loves most
CY_S4 = 2 ** (-14 / 21)  # beside s2
TASTE = CY_S4 / math.hypot(1, BEN_S3) / math.hypot(1, CY_S4)  # of Ben and Cy, who have s4 in common


class Followed:
    """A world whose log goes on."""

    def __init__(self, world: World, log: EventLog) -> None:
        release = replace(world.release, manifest={"events": {"log_id": log.log_id, "offset": 0}})
        self.world, self.log, self.live = world, log, Live(release, log)

    def query(self, user: str, at: int = NOW) -> Query:
        self.live.check()
        return replace(self.world.query(user, at=at), overlay=self.live.overlay)

    def answer(self, channel: Social, user: str, at: int = NOW) -> dict[str, float]:
        found = channel.recall(self.query(user, at), 10)
        ids = [self.live.overlay.song_id(song) for song in found.songs.tolist()]
        return dict(zip(ids, found.scores.tolist(), strict=True))


@pytest.fixture
def followed(lopsided: World, tmp_path: Path) -> Iterator[Followed]:
    with EventLog(f"sqlite:///{tmp_path}/events.db") as log:
        yield Followed(lopsided, log)


def test_followees_of_another_taste_count_by_trust(lopsided: World) -> None:
    # Ben's tastes: s4 3 x 2^(-7/21), s3 0.4 (1 + ln 10), relative to the larger; Cy's: s2 1, s4 2^(-14/21)
    expected = {"s4": 0.2 * (1 + CY_S4), "s2": 0.2, "s3": 0.2 * BEN_S3}
    assert lopsided.answer(Social(lopsided.release, FOLLOWEES), "ana") == pytest.approx(expected, abs=1e-5)


def test_a_followee_of_the_same_taste_counts_more(make_world: Callable[..., World]) -> None:
    more = pl.concat([LOPSIDED_EVENTS.drop("offset"), events([("cy", "full_play", "s1", NOW)]).drop("offset")])
    world = make_world(log=more.with_row_index("offset", offset=1))
    # Cy: s1 1, s2 1, s4 2^(-14/21); Ana, whom Cy follows: s1 alone; cosine 1 / sqrt(1 + 1 + 0.63^2)
    cosine = 1 / (2 + CY_S4**2) ** 0.5
    channel = Social(world.release, replace(FOLLOWEES, trust=0.0))
    assert world.answer(channel, "cy") == pytest.approx({"s1": cosine}, abs=1e-5)


def test_the_people_around_followees_count_less(lopsided: World) -> None:
    # Cy follows Ana, who follows Ben (and Cy)
    channel = Social(lopsided.release, replace(FOLLOWEES, circle=0.3))
    ben = 0.3 * (0.2 + TASTE)
    assert lopsided.answer(channel, "cy") == pytest.approx({"s1": 0.2, "s4": ben, "s3": ben * BEN_S3}, abs=1e-5)


def test_the_circle_is_weighed_by_pagerank(planted: World) -> None:
    """Who weighs how much, by networkx: bob00 and bob01, whom ann0 leads to."""
    follows = planted.snapshot.relation("FOLLOWS")
    graph = nx.DiGraph(zip(follows.edge_sources.tolist(), follows.indices.tolist(), strict=True))
    mass = nx.pagerank(graph, 0.85, {planted.listener("you").user: 1}, tol=1e-12, max_iter=1000)
    channel = Social(planted.release, SocialConfig(circle=0.4, alike=0.0))
    query = planted.query("you")
    people, weight, kind, via = channel._people(query, follows.of(query.listener.user))
    near = {planted.snapshot.ids["User"][p]: w for p, w, k in zip(people, weight, kind, strict=True) if k == CIRCLE}
    bobs = [mass[planted.listener(bob).user] for bob in ("bob00", "bob01")]
    assert near == pytest.approx({"bob00": 0.4, "bob01": 0.4 * bobs[1] / bobs[0]}, rel=1e-3)
    assert set(via[kind == CIRCLE].tolist()) == {planted.listener("ann0").user}


def test_listeners_alike_count_by_the_cosine_of_tastes(lopsided: World) -> None:
    # Ben follows nobody; Cy has s4 too
    channel = Social(lopsided.release, USUAL)
    expected = {"s2": 0.5 * TASTE, "s4": 0.5 * TASTE * CY_S4}
    assert lopsided.answer(channel, "ben") == pytest.approx(expected, abs=1e-5)


def test_peers_share_the_most_and_the_rarest(make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> None:
    others = [(f"x{i}", "full_play", "s1", NOW) for i in range(30)]
    rows = [("ana", "full_play", song, NOW) for song in ("s1", "s2")]
    world = make_world(log=events([*rows, *others, ("ben", "full_play", "s2", NOW), ("cy", "full_play", "s1", NOW)]))
    channel, query = Social(world.release, SocialConfig(peers=2)), world.query("ana")
    users = world.snapshot.ids["User"]
    assert [users[i] for i in channel._peers(query).tolist()] == ["ben", "cy"]
    monkeypatch.setattr("recall.channels.social.CROWD", 8)  # of s1's 32 listeners every fourth: ana, x10, x14 ...
    crowd = [users[i] for i in Social(world.release, SocialConfig(peers=99))._peers(query).tolist()]
    assert (len(crowd), crowd[0]) == (8, "ben")


def test_new_works_of_followed_artists(lopsided: World) -> None:
    channel = Social(lopsided.release, replace(USUAL, trust=0.0, circle=0.0, alike=0.0, fresh_days=14.0))
    # of Brio, whom Cy follows: s4 of three days ago, and s3 of no known date, with one listener where two are most
    expected = {"s4": 0.5 * 2 ** (-3 / 14), "s3": 0.5 * 0.2 * math.log(2) / math.log(3)}
    assert lopsided.answer(channel, "cy") == pytest.approx(expected, abs=1e-6)


def test_the_newest_works_of_each_maker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recall.channels.social.WORKS", 2)
    works = Works.of(np.array([0, 3, 4]), np.array([7, 8, 9, 3]), np.array([30, 10, 20, 5]))
    songs, makers, released = works.newest(np.array([1, 0]))
    assert songs.tolist() == [3, 9, 7]
    assert (makers.tolist(), released.tolist()) == ([1, 0, 0], [5, 20, 30])
    since = np.array([12]), np.array([0]), np.array([25])
    assert sorted(with_newer((songs, makers, released), since)[0].tolist()) == [3, 7, 12]


def test_what_is_not_out_yet_is_no_new_work(lopsided: World) -> None:
    channel = Social(lopsided.release, replace(USUAL, trust=0.0, circle=0.0, alike=0.0))
    assert set(lopsided.answer(channel, "cy", at=NOW - 5 * DAY)) == {"s3"}


def test_works_of_followed_creators_by_when_they_were_uploaded(make_world: Callable[..., World]) -> None:
    rows = [("ben", "s5", NOW - 14 * DAY), ("ben", "s4", None), ("ana", "s1", NOW)]
    world = make_world(edge_tables=edges({("UPLOADED", "User", "Song"): rows}), log=LOPSIDED_EVENTS.clear())
    channel = Social(world.release, replace(USUAL, catalogue=0.0))
    expected = {"s5": 0.25, "s4": 0.5 * 2 ** (-3 / 14)}  # s4 came out three days ago
    assert world.answer(channel, "ana") == pytest.approx(expected, abs=1e-6)


def test_fame_takes_from_songs_with_many_listeners(lopsided: World) -> None:
    usual, damped = (lopsided.answer(Social(lopsided.release, replace(FOLLOWEES, fame=f)), "ana") for f in (0.0, 0.5))
    assert damped == pytest.approx(
        {song: score / (2**0.5 if song != "s3" else 1) for song, score in usual.items()}, abs=1e-6
    )


def test_who_follows_nobody_and_loves_nothing_gets_nothing(lopsided: World) -> None:
    assert lopsided.answer(Social(lopsided.release, FOLLOWEES), "ben") == {}
    assert lopsided.answer(Social(lopsided.release), "unknown") == {}


def test_serves_from_three_followees_on(lopsided: World, planted: World) -> None:
    assert not Social(lopsided.release).serves(lopsided.listener("ana"))
    assert Social(planted.release).serves(planted.listener("you"))


# ---- what caused a song


def test_causes_name_those_only_whom_the_listener_follows(lopsided: World) -> None:
    channel = Social(lopsided.release, USUAL)
    ana, brio = lopsided.listener("ana").user, lopsided.snapshot.ids["Artist"].index("brio")
    causes = channel.because(lopsided.query("cy"), np.array(lopsided.songs("s1", "s3", "s4", "s5")))
    assert causes == [
        Cause(FOLLOWEE, "User", ana),
        Cause(CIRCLE, "User", ana, people=1),
        Cause(ARTIST, "Artist", brio),
        None,
    ]
    assert [cause.text(lopsided.snapshot) for cause in causes if cause] == [
        "Ana, whom you follow, loves it",
        "loved by a listener around Ana, whom you follow",
        "by Brio, whom you follow",
    ]
    alike = channel.because(lopsided.query("ben"), np.array(lopsided.songs("s2")))
    assert alike == [Cause(ALIKE, people=1)]
    assert [cause.text(lopsided.snapshot) for cause in alike if cause] == ["loved by a listener with your taste"]


def test_everybody_who_is_named_is_followed(planted: World) -> None:
    channel = Social(planted.release)
    follows = planted.snapshot.relation("FOLLOWS")
    for user in planted.snapshot.ids["User"].to_list():
        query = planted.query(user)
        followees = follows.of(query.listener.user).tolist()
        for cause in channel.because(query, np.arange(planted.snapshot.songs)):
            if cause is not None and cause.label == "User":
                assert cause.position in followees


# ---- live


def liked(user: str, song: str, **more: Any) -> dict[str, Any]:
    return {"user_id": user, "action": "like", "song_id": song, "at": NOW, **more}


def test_what_a_followee_likes_counts_in_the_next_answer(followed: Followed) -> None:
    channel = Social(followed.world.release, FOLLOWEES)
    assert "s5" not in followed.answer(channel, "ana")
    followed.log.append([liked("ben", "s5")], now=NOW)
    # Ben loves s4 most as before: 3 x 2^(-7/21)
    assert followed.answer(channel, "ana")["s5"] == pytest.approx(0.2 * 2 / (3 * 2 ** (-7 / 21)))


def test_a_new_song_that_a_followee_likes_is_recalled(followed: Followed) -> None:
    followed.log.append_journal("upsert", "Song", "new", {"properties": {}})
    followed.log.append([liked("cy", "new")], now=NOW)
    assert "new" in followed.answer(Social(followed.world.release, FOLLOWEES), "ana")


def test_follows_are_those_of_now(followed: Followed) -> None:
    channel = Social(followed.world.release, FOLLOWEES)
    followed.log.append_journal("unfollow", "User", "ana", {"target": "ben"})
    assert set(followed.answer(channel, "ana")) == {"s2", "s4"}
    followed.log.append_journal("follow", "User", "ben", {"target": "ana", "since": NOW})
    assert set(followed.answer(channel, "ben")) == {"s1"}


def test_who_came_after_the_release_and_only_follows_is_served(followed: Followed) -> None:
    channel = Social(followed.world.release, replace(FOLLOWEES, circle=0.3))
    followed.log.append_journal("follow", "User", "dan", {"target": "ana", "since": NOW})
    # Ana's s1, and what those around her love: Ben and Cy, to whom she leads alike
    query = followed.query("dan")
    assert query.listener.user == -1
    answer = followed.answer(channel, "dan")
    assert answer["s1"] == pytest.approx(0.2)
    assert set(answer) == {"s1", "s2", "s3", "s4"}


def test_new_songs_of_artists_followed_since(followed: Followed) -> None:
    followed.log.append_journal("follow", "Artist", "dan", {"target": "alba", "since": NOW})
    followed.log.append_journal("upsert", "Song", "new", {"properties": {"released_at": NOW - 7 * DAY}})
    followed.log.append_journal("relations", "Song", "new", {"artists": ["alba"]})
    followed.log.append_journal("upsert", "Song", "other", {"properties": {"released_at": NOW}})
    answer = followed.answer(Social(followed.world.release, USUAL), "dan")
    assert answer["new"] == pytest.approx(0.5 * 2**-0.5)
    assert set(answer) == {"s1", "s2", "s5", "new"}
    causes = Social(followed.world.release, USUAL).because(followed.query("dan"), np.array([5]))
    assert causes == [Cause(ARTIST, "Artist", followed.world.snapshot.ids["Artist"].index("alba"))]


def test_only_the_followees_who_listened_last_are_asked(lopsided: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recall.channels.social.FOLLOWEES", 1)  # Cy played something now, Ben a week ago
    assert set(lopsided.answer(Social(lopsided.release, FOLLOWEES), "ana")) == {"s2", "s4"}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("restart", 1.0, r"restart must be between 0 and 1 \(got 1.0\)"),
        ("fresh_days", 0.0, r"fresh_days must be more than 0 \(got 0.0\)"),
        ("alike", -1.0, r"alike must be at least 0 \(got -1.0\)"),
    ],
)
def test_impossible_settings_are_refused(field: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SocialConfig(**{field: value})  # type: ignore[arg-type]
