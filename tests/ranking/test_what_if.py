from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from segue_test_worlds import NOW, World

from graph.log.events import Event, JournalEntry
from graph.snapshot.histories import CODE
from ranking.cascade import Cascade
from ranking.scene import ChannelUse, SceneConfig
from ranking.what_if import AS_IT_IS, forget, unfollow, what_if
from recall.base import Candidates, Query
from recall.listeners.listener import Listener
from recall.live.edits import Edits
from recall.live.live import Overlay

S1, S2, S3, S4, S5 = range(5)


class Favours:
    """A channel that proposes two songs out of what the query knows: s3 to who likes s1, s4 to who follows Ben."""

    audience = "tests"

    def recall(self, query: Query, k: int) -> Candidates:
        listener = query.listener
        likes = S1 in listener.top_songs(query.at, 10)[0]
        follows = 1 in query.live.edits.follows(listener.user_id, listener.user, "User")
        songs = np.array([S3 if likes else S5, S4 if follows else S2], dtype=np.int32)
        return Candidates(songs, np.array([1.0, 0.5]))


@pytest.fixture
def ask(lopsided: World) -> Callable[..., Any]:
    scene = SceneConfig(n=2, heard="always", channels={"popularity": ChannelUse()}, budget_ms=60_000)
    cascade = Cascade(lopsided.release, scene)
    cascade.channels = {"popularity": Favours()}

    def answer(song: int, without: tuple[str, str, str] | None) -> dict[str, Any]:
        return what_if(cascade, cascade.query("ana", NOW), song, without).as_json()

    return answer


def expected(**fields: Any) -> dict[str, Any]:
    return {"still": False, "recommended": False, "rank": None, "replaced_by": None, "note": None} | fields


def test_without_what_was_played_and_collected_a_song_loses_its_place(ask: Callable[..., Any]) -> None:
    assert ask(S3, None) == expected(still=True, recommended=True, rank=1)
    # she has collected s1 and played it once: one is enough
    assert ask(S3, ("LISTENED", "ana", "s1")) == expected(still=True, recommended=True, rank=1)
    assert ask(S4, ("LISTENED", "ana", "s1")) == expected(still=True, recommended=True, rank=2)


def test_without_a_follow_another_song_takes_the_place(ask: Callable[..., Any]) -> None:
    assert ask(S4, ("FOLLOWS", "ana", "ben")) == expected(replaced_by="s2")
    assert ask(S3, ("FOLLOWS", "ana", "ben")) == expected(still=True, recommended=True, rank=1)
    assert ask(S4, ("FOLLOWS", "ana", "cy")) == expected(still=True, recommended=True, rank=2)


def test_a_song_that_was_not_recommended_is_replaced_by_none(ask: Callable[..., Any]) -> None:
    assert ask(S5, ("LISTENED", "ana", "s2")) == expected()


@pytest.mark.parametrize(
    "without", [("PERFORMED_BY", "s3", "brio"), ("LISTENED", "ben", "s3"), ("FOLLOWS", "cy", "ana")]
)
def test_other_relationships_change_nothing_and_a_note_says_so(
    ask: Callable[..., Any], without: tuple[str, str, str]
) -> None:
    assert ask(S3, without) == expected(still=True, recommended=True, rank=1, note=AS_IT_IS)


def test_forgetting_takes_these_actions_on_this_song_alone(lopsided: World) -> None:
    latest = [Event(event_id="1", user_id="ana", action="play", song_id="new", at=NOW)]
    listener = Listener.of(lopsided.snapshot, "ana", latest, {"new": 5})
    without = forget(listener, S1, ("full_play",))
    left = list(zip(without.song.tolist(), without.action.tolist(), strict=True))
    assert left == [(S1, CODE["collect"]), (S2, CODE["skip"])]
    assert S1 in without.preferences(NOW)[0]
    assert without.new_events == listener.new_events
    assert forget(listener, 5, ("play",)).new_events == []
    assert forget(listener, 5, ("like",)).new_events == listener.new_events


def test_unfollowing_undoes_what_was_followed_since(lopsided: World) -> None:
    edits = Edits(lopsided.snapshot, 0)
    edits = edits.after([JournalEntry(1, "follow", "User", "ben", {"target": "ana", "since": NOW})])
    assert edits.follows("ben", 1, "User").tolist() == [0]
    assert unfollow(edits, ("ben", "User"), "ana").follows("ben", 1, "User").tolist() == []
    assert edits.follows("ben", 1, "User").tolist() == [0]
    assert Overlay.of(lopsided.snapshot).edits.follows("ana", 0, "User").tolist() == [1, 2]
