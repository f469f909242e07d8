"""Reasons for sessions, and for what listeners did and whom they followed since the release."""

from collections.abc import Callable

import numpy as np
import pytest
from segue_test_worlds import NOW, World, edges

from graph.paths import Paths
from graph.reasons.asker import Asker, Follows


def test_a_session_has_paths_from_its_songs(lopsided: World) -> None:
    asker = Asker(session=(lopsided.song("s1"),))
    reasons = Paths(lopsided.release).why(asker, lopsided.song("s4"), 20)
    assert [r.text for r in reasons] == ["another version of One from this session", "similar to One from this session"]
    assert [[step.get("id") for step in r.path[::2]] for r in reasons] == [["s1", "s4"], ["s1", "s4"]]
    shared = Paths(lopsided.release).why(asker, lopsided.song("s5"), 20)[0]
    assert shared.text == "by Alba, like One from this session"
    assert shared.parameters == {"id0": "s1", "id1": "alba", "id2": "s5"}


def test_follows_made_since_the_release_are_reasons(lopsided: World) -> None:
    asker = Asker(1, "ben", Follows({0: NOW}, {0: NOW}))
    paths = Paths(lopsided.release)
    person = paths.why(asker, lopsided.song("s1"), 20)
    assert "you follow Ana, who collected it" in [r.text for r in person]
    artist = paths.why(asker, lopsided.song("s5"))[0]
    assert artist.text == "by Alba, whom you follow"
    assert artist.path[1] == {"relationship": "FOLLOWS_ARTIST", "direction": "out", "properties": {"since": NOW}}


def test_who_came_after_the_release_follows_by_id(lopsided: World) -> None:
    reason = Paths(lopsided.release).why(Asker(-1, "dan", Follows({}, {0: NOW})), lopsided.song("s5"))[0]
    assert (reason.text, reason.parameters["id0"]) == ("by Alba, whom you follow", "dan")


def test_a_follow_that_was_undone_is_no_reason(lopsided: World) -> None:
    reasons = Paths(lopsided.release).why(Asker(0, "ana", Follows()), lopsided.song("s4"), 20)
    assert not [r.text for r in reasons if "follow" in r.text]


def test_what_was_undone_or_blocked_since_is_no_reason(lopsided: World) -> None:
    paths, song = Paths(lopsided.release), lopsided.song("s2")
    undone = paths.why(Asker(0, "ana", undone=frozenset({("COLLECTED", lopsided.song("s1"))})), song, 20)
    assert {r.text.rpartition(" ")[2] for r in undone if "One" in r.text} == {"played"}
    blocked = paths.why(Asker(0, "ana", blocked=frozenset({lopsided.song("s1")})), song, 20)
    assert not [r.text for r in blocked if "One" in r.text]


def test_what_was_liked_since_is_a_reason_that_begins_with_the_song(lopsided: World) -> None:
    asker = Asker(-1, "dan", since={lopsided.song("s1"): "liked"})
    reason = Paths(lopsided.release).why(asker, lopsided.song("s5"))[0]
    assert reason.text == "by Alba, like One which you liked"
    assert [step["id"] for step in reason.path[::2]] == ["s1", "alba", "s5"]


def test_a_work_of_a_followee_has_a_path(planted: World) -> None:
    you = planted.snapshot.ids["User"].index("you")
    reasons = Paths(planted.release).why(Asker(you), planted.song("a-answer"), 20)
    (work,) = [r for r in reasons if r.path[-2]["relationship"] == "UPLOADED"]
    assert work.text == "a work of ann1, whom you follow"


def test_a_reason_that_leads_comes_first_whatever_its_strength(lopsided: World) -> None:
    paths, song = Paths(lopsided.release), lopsided.song("s4")
    usual = paths.why(Asker(0), song, 20)
    led = paths.why(Asker(0), song, 20, lead=lambda reason: int(reason.kind == "neighbour"))
    assert [led[0].kind, usual[0].kind] == ["neighbour", "path"]
    assert {r.text for r in led} == {r.text for r in usual}
    assert paths.why(Asker(0), song, 20, lead=lambda reason: 0) == usual


def test_where_nothing_else_leads_a_third_song_does(make_world: Callable[..., World]) -> None:
    """s1 at 0 and s4 at 60 degrees are not among each other's nearest; s3 stands between them."""
    world = make_world(edge_tables=edges({(t, "Song", "Song"): [] for t in ("COVER_OF",)}))
    paths = Paths(world.release)
    near = {"songs": np.array([[2], [0], [0], [2], [-1]]), "weights": np.full((5, 1), 0.5)}
    paths._nearest = {"song2vec": near}
    (reason,) = paths.why(Asker(session=(0,)), world.song("s4"), 20)
    assert (reason.kind, reason.text) == ("neighbour", "similar to Three, like One from this session")
    assert [step["id"] for step in reason.path[::2]] == ["s1", "s3", "s4"]
    assert reason.score == pytest.approx(0.7 * 0.5 * 0.5)
    for ends in (("s4", "s3"), ("s1", "s3")):
        other = paths.why(Asker(session=(0,)), world.song("s4"), 20, ("SIMILAR_TO", *ends))
        # the other way between One and Three is left
        assert [r.path[1]["direction"] for r in other] == ([] if ends[0] == "s4" else ["in"])
