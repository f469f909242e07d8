from collections.abc import Sequence

import numpy as np
from segue_test_worlds import ANSWER, NOW, World

from graph.events import Event
from recall.base import Query
from recall.channels.listener_kernel import ListenerKernel
from recall.listener import Listener


def after(world: World, user: str | None, songs: Sequence[str]) -> dict[str, float]:
    """What is answered to a listener who has played `songs` since the refresh; what was heard is left out."""
    events = [Event(event_id=f"new-{s}", user_id=user or "new", action="full_play", song_id=s, at=NOW) for s in songs]
    listener = Listener.of(world.snapshot, user or "new", events)
    found = ListenerKernel(world.release).recall(Query(listener, NOW, listener.heard.astype(np.int32)), 30)
    return dict(zip(world.ids(found.songs), found.scores.tolist(), strict=True))


def test_somebody_known_is_answered_from_the_stored_list(planted: World) -> None:
    lists, _ = planted.release.arrays("recall/listener_kernel/lists")
    user = planted.snapshot.ids["User"].index("you")
    stored = dict(zip(planted.ids(lists["songs"][user][:1]), lists["scores"][user][:1].tolist(), strict=True))
    assert list(stored) == [ANSWER]
    assert after(planted, "you", [])[ANSWER] == stored[ANSWER]


def test_songs_that_were_heard_are_not_in_the_list(planted: World) -> None:
    lists, _ = planted.release.arrays("recall/listener_kernel/lists")
    for user in range(planted.snapshot.users):
        heard = planted.listener(planted.snapshot.ids["User"][user]).heard
        assert not np.isin(lists["songs"][user], heard).any()


def test_a_new_song_adds_what_it_says(planted: World) -> None:
    before, now = after(planted, "you", []), after(planted, "you", ["b-3"])
    assert now["b-4"] > before.get("b-4", 0.0)
    assert now[ANSWER] == before[ANSWER]  # nobody has heard both


def test_a_song_played_again_changes_nothing(planted: World) -> None:
    assert after(planted, "you", ["a-3"]) == after(planted, "you", [])


def test_somebody_unknown_is_the_sum_of_the_songs(planted: World) -> None:
    assert set(list(after(planted, None, ["a-1", "a-2"]))[:7]) == {ANSWER, *(f"a-{i}" for i in (0, 3, 4, 5, 6, 7))}
    assert after(planted, None, []) == {}
