from collections.abc import Callable

import numpy as np
import pytest
from segue_test_worlds import LOPSIDED_EDGES, LOPSIDED_EVENTS, LOPSIDED_NODES, NOW, World, events, nodes

from api.jobs.project import project
from graph.paths import Paths
from graph.reasons.asker import Asker
from graph.reasons.reason import Node, Reason
from graph.store.store import GraphStore

OF_2 = 1 / (1 + np.log(3) / 4)  # how telling what two songs share is
OF_3 = 1 / (1 + np.log(4) / 4)


def why(world: World, user: str | None, song: str, most: int = 20) -> list[Reason]:
    position = world.snapshot.ids["User"].index(user) if user else -1
    return Paths(world.release).why(Asker(position), world.song(song), most)


def said(reasons: list[Reason]) -> dict[str, float]:
    return {reason.text: round(reason.score, 6) for reason in reasons}


def test_songs_that_share_something_with_what_you_collected(lopsided: World) -> None:
    expected = {
        "by Alba, like One which you collected": 0.8 * OF_3,
        "folk, like One which you collected": 0.4 * OF_3,
    }
    reasons = why(lopsided, "ana", "s5")
    assert said(reasons) == pytest.approx(expected, abs=1e-6)
    assert list(said(reasons)) == list(expected)  # the strongest first


def test_an_album_is_something_to_share(lopsided: World) -> None:
    reasons = said(why(lopsided, "ana", "s2"))
    assert reasons["from the album first, like One which you collected"] == pytest.approx(0.6 * OF_2, abs=1e-6)


def test_people_you_follow_covers_and_neighbours(lopsided: World) -> None:
    assert said(why(lopsided, "ana", "s4")) == pytest.approx(
        {
            "you follow Ben, who liked it": 0.9,
            "another version of One, which you collected": 0.8,
            "similar to One, which you collected": 0.7 * 0.5,
            "you follow Ben, who played it once": 0.9 / 3,
        },
        abs=1e-6,
    )


def test_who_plays_it_often_loops_it(lopsided: World) -> None:
    assert said(why(lopsided, "ana", "s3"))["you follow Ben, who loops it (10 times)"] == pytest.approx(0.75)


def test_an_artist_you_follow(lopsided: World) -> None:
    best = why(lopsided, "cy", "s4")[0]
    assert (best.text, best.score) == ("by Brio, whom you follow", 1.0)


def test_a_cover_leads_both_ways(lopsided: World) -> None:
    there = next(r for r in why(lopsided, "ana", "s4") if "version" in r.text)
    back = next(r for r in why(lopsided, "ben", "s1") if "version" in r.text)
    assert [step["direction"] for step in there.path[1::2]] == ["out", "in"]
    assert [step["direction"] for step in back.path[1::2]] == ["out", "out"]
    assert back.score == pytest.approx(0.9 * 0.8)


def test_a_path_names_its_nodes_relationships_and_parameters(lopsided: World) -> None:
    reason = why(lopsided, "ana", "s5")[0]
    assert reason.kind == "path"
    assert reason.path == [
        {"label": "User", "id": "ana", "name": "Ana"},
        {"relationship": "COLLECTED", "direction": "out", "properties": {"at": NOW - 21 * 86_400_000}},
        {"label": "Song", "id": "s1", "name": "One"},
        {"relationship": "PERFORMED_BY", "direction": "out", "properties": {}},
        {"label": "Artist", "id": "alba", "name": "Alba"},
        {"relationship": "PERFORMED_BY", "direction": "in", "properties": {}},
        {"label": "Song", "id": "s5", "name": "s5"},
    ]
    assert reason.parameters == {"id0": "ana", "id1": "s1", "id2": "alba", "id3": "s5"}
    assert reason.as_json()["score"] == round(reason.score, 6)


def test_at_most_two_of_a_kind_and_as_many_as_asked_for(lopsided: World) -> None:
    reasons = why(lopsided, "ana", "s4")
    assert sum("you follow" in r.text for r in reasons) == 2  # Ben twice; cy played it too
    assert [r.text for r in why(lopsided, "ana", "s4", most=1)] == ["you follow Ben, who liked it"]


@pytest.mark.parametrize(
    ("song", "without", "lost"),
    [
        ("s4", ("FOLLOWS", "ana", "ben"), {"you follow Ben, who liked it", "you follow Ben, who played it once"}),
        ("s4", ("LIKED", "ben", "s4"), {"you follow Ben, who liked it"}),
        ("s4", ("COVER_OF", "s4", "s1"), {"another version of One, which you collected"}),
        ("s4", ("LIKED", "s4", "ben"), set()),
        ("s4", ("NO_SUCH", "ana", "s4"), set()),
        ("s5", ("PERFORMED_BY", "s5", "alba"), {"by Alba, like One which you collected"}),
    ],
)
def test_one_relationship_may_be_left_out(
    lopsided: World, song: str, without: tuple[str, str, str], lost: set[str]
) -> None:
    position, user = lopsided.song(song), lopsided.snapshot.ids["User"].index("ana")
    less = Paths(lopsided.release).why(Asker(user), position, 20, without)
    others = {text: score for text, score in said(why(lopsided, "ana", song)).items() if text not in lost}
    assert others.items() <= said(less).items()
    assert not lost & said(less).keys()
    for reason in less:
        assert without not in reason.edges()


def test_neighbours_are_left_out_by_their_direction(make_world: Callable[..., World]) -> None:
    world = make_world()
    both = [why(world, "ana", "s4"), Paths(world.release).why(Asker(0), 3, 20, ("SIMILAR_TO", "s1", "s4"))]
    found = [[r for r in reasons if r.text == "similar to One, which you collected"] for reasons in both]
    assert [reason.path[-2]["direction"] for (reason,) in found] == ["out", "in"]


def test_what_is_left_out_makes_room_for_the_next_reason(lopsided: World) -> None:
    user, song = lopsided.snapshot.ids["User"].index("ana"), lopsided.song("s4")
    (reason,) = Paths(lopsided.release).why(Asker(user), song, 1, ("LIKED", "ben", "s4"))
    assert reason.text == "another version of One, which you collected"
    # of the people she follows two are named: without Ben there is room for cy
    others = said(Paths(lopsided.release).why(Asker(user), song, 20, ("FOLLOWS", "ana", "ben")))
    assert [text for text in others if "follow" in text] == ["you follow cy, who played it once"]
    # One is known by another relationship too: she has played it once
    weaker = said(Paths(lopsided.release).why(Asker(user), song, 20, ("COLLECTED", "ana", "s1")))
    assert weaker["another version of One, which you played"] == pytest.approx(0.8 / 3, abs=1e-6)


@pytest.mark.parametrize(
    ("song", "text", "score"),
    [("s4", "played 2 times by 2 listeners", 2 / 3), ("s1", "played once", 1 / 3), ("s3", "played 10 times", 1 / 3)],
)
def test_somebody_unknown_hears_how_popular_it_is(lopsided: World, song: str, text: str, score: float) -> None:
    (reason,) = Paths(lopsided.release).popular(lopsided.song(song))
    assert (reason.kind, reason.text, reason.score) == ("popular", text, pytest.approx(score))
    assert reason.path == [{"label": "Song", "id": song, "name": lopsided.snapshot.name("Song", lopsided.song(song))}]


def test_there_is_no_reason_for_what_nobody_has_played(lopsided: World) -> None:
    assert Paths(lopsided.release).popular(lopsided.song("s5")) == []
    assert why(lopsided, None, "s5") == []


def test_a_song_you_blocked_or_skip_is_no_reason(make_world: Callable[..., World]) -> None:
    rows = [("ana", "collect", "s1", 1), ("ana", "block", "s1", 2), ("ana", "skip", "s2", 3), ("ben", "play", "s5", 4)]
    reasons = why(make_world(log=events(rows)), "ana", "s5")
    assert [r.text for r in reasons] == ["you follow Ben, who played it once"]


def every_reason(world: World) -> list[tuple[str | None, str, Reason]]:
    """Of every listener and of a session, for every song."""
    users = [*world.snapshot.ids["User"].to_list(), None]
    songs = world.snapshot.ids["Song"].to_list()
    session = Asker(session=tuple(world.songs("s1", "s4")))
    paths = Paths(world.release)
    found = [(u, s, r) for u in users for s in songs for r in why(world, u, s)]
    found += [(None, s, r) for s in songs for r in paths.why(session, world.song(s), 20)]
    return found + [(None, s, r) for s in songs for r in paths.popular(world.song(s))]


def test_strengths_stand_between_0_and_1_and_paths_have_at_most_three_hops(lopsided: World) -> None:
    for user, song, reason in every_reason(lopsided):
        assert 0 < reason.score <= 1
        assert len(reason.path) // 2 <= 3
        assert reason.path[-1]["id"] == song
        assert reason.path[0]["label"] == "Song" if user is None else reason.path[0]["id"] == user


def test_no_people_are_named_but_those_the_listener_follows(lopsided: World) -> None:
    follows = {"ana": {"ben", "cy"}, "ben": set(), "cy": {"ana"}, None: set()}
    names = {"ana": "Ana", "ben": "Ben", "cy": "cy"}
    for user, _, reason in every_reason(lopsided):
        people = {node["id"] for node in reason.path[::2] if node["label"] == "User"}
        assert people <= follows[user] | {user}
        assert not any(name in reason.text for id_, name in names.items() if id_ not in follows[user])


def test_the_cypher_of_every_reason_returns_exactly_its_path(store: GraphStore, lopsided: World) -> None:
    bare = {"Tag": nodes(["calm", "loud"]), "Album": nodes(["first"]), "Place": nodes(["here"])}
    store.bulk_load({**LOPSIDED_NODES, **bare, "Entity": nodes(["film"])}, LOPSIDED_EDGES)
    project(store, lopsided.release, None, lambda *_: None)
    reasons = [reason for *_, reason in every_reason(lopsided)]
    assert {r.kind for r in reasons} == {"path", "neighbour", "popular"}
    for reason in reasons:
        table = store.query(reason.cypher, reason.parameters)
        assert table.columns == ["nodes", "relationships"]
        ((found, relationships),) = table.rows
        assert found == [{"id": node["id"], "label": node["label"]} for node in reason.path[::2]]
        assert [(r["type"], r["direction"]) for r in relationships] == [
            (step["relationship"], step["direction"]) for step in reason.path[1::2]
        ]
        for step, relationship in zip(reason.path[1::2], relationships, strict=True):
            assert relationship["properties"] == pytest.approx(step["properties"])
    assert len(LOPSIDED_EVENTS) == 10


def test_a_song_that_came_after_the_release_has_paths_over_what_it_is_known_by(lopsided: World) -> None:
    paths, entities = Paths(lopsided.release), {"PERFORMED_BY": np.array([0, 1]), "HAS_GENRE": np.array([0])}
    new = Node("Song", "new", "New")
    reasons = paths.of(Asker(0)).why_new(new, entities)  # ana collected s1, by alba, of folk
    assert [r.text for r in reasons] == [
        "by Alba, like One which you collected",
        "folk, like One which you collected",
    ]
    assert [step.get("id") or (step["relationship"], step["direction"]) for step in reasons[0].path] == [
        "ana",
        ("COLLECTED", "out"),
        "s1",
        ("PERFORMED_BY", "out"),
        "alba",
        ("PERFORMED_BY", "in"),
        "new",
    ]
    assert reasons[0].parameters == {"id0": "ana", "id1": "s1", "id2": "alba", "id3": "new"}
    followed = paths.of(Asker(2)).why_new(new, entities)[0]  # cy follows brio
    assert (followed.text, followed.parameters) == (
        "by Brio, whom you follow",
        {"id0": "cy", "id1": "brio", "id2": "new"},
    )
    assert paths.of(Asker()).why_new(new, entities) == []
    left_out = paths.of(Asker(0), ("PERFORMED_BY", "new", "alba")).why_new(new, entities)
    assert [r.text for r in left_out] == ["folk, like One which you collected"]
