from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from segue_test_worlds import ANSWER, NOW, World, built, planted_snapshot

from graph.log.events import Event
from recall.base import Query
from recall.channels.listener_kernel import ListenerKernel, ListenerKernelConfig
from recall.discovery import channel_type
from recall.linear.matrices import interaction_matrix, popularity
from recall.listeners.listener import Listener

Scores = Callable[..., dict[int, float]]


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


ALONE = {**dict.fromkeys(ListenerKernelConfig().gamma, 0.0), "LISTENED": 1.0}
PLAIN = {"gamma": ALONE, "by_strength": 0.0, "tilt": 0.0, "smooth": 0.0, "sharp": 0.0}


@pytest.mark.parametrize("listener", ["you", None])
def test_items_adds_what_the_regression_on_songs_says(
    listener: str | None, planted: World, tmp_path: Path, scores: Scores
) -> None:
    before = scores(tmp_path / "0", "listener_kernel", listener, items=0.0, hubs=0.0)
    after_ = scores(tmp_path / "2", "listener_kernel", listener, items=2.0, hubs=0.0)
    ease = scores(tmp_path / "ease", "ease", listener, gamma={"HAS_TAG": 0.0}, by_strength=0.0, tilt=0.0)
    both = set(before) & set(ease)
    assert both
    assert {s: after_[s] for s in both} == pytest.approx({s: before[s] + 2 * ease[s] for s in both}, abs=1e-5)


@pytest.fixture
def scores(planted: World) -> Scores:
    """What a channel with these options answers to a listener, or to a session of the song a-1."""

    def asked(folder: Path, name: str, user: str | None, **options: object) -> dict[int, float]:
        mine = {**(PLAIN if name == "listener_kernel" else {}), **options}
        release = built(folder, planted_snapshot(), planted.vectors, [name], {name: mine})
        session = Listener.of_session(planted.snapshot, np.array(planted.songs("a-1")), NOW)
        listener = planted.listener(user) if user else session
        query = Query(listener, NOW, listener.heard.astype(np.int32))
        found = channel_type(name).build(release, mine).recall(query, 30)
        return dict(zip(found.songs.tolist(), found.scores.tolist(), strict=True))

    return asked


@pytest.mark.parametrize(("value", "first"), [(1e-6, ["s5"]), (0.0, [])])
def test_songs_are_told_by_tags_where_a_path_ends_in_them(
    lopsided: World, tmp_path: Path, value: float, first: list[str]
) -> None:
    # ana's only song is s1, which nobody else has heard; s5 has a tag of it
    options = {"listener_kernel": {**PLAIN, "gamma": {**ALONE, "LISTENED/HAS_TAG": value}, "items": 1.0}}
    release = built(tmp_path, lopsided.snapshot, lopsided.vectors, ["listener_kernel"], options)
    answer = World(release, lopsided.vectors).answer(ListenerKernel(release), "ana", heard=True)
    assert list(answer)[:1] == first


def test_of_more_songs_the_most_heard_are_proposed(planted: World, tmp_path: Path) -> None:
    options = {"listener_kernel": {"songs": 3}}
    release = built(tmp_path, planted_snapshot(), planted.vectors, ["listener_kernel"], options)
    lists, _ = release.arrays("recall/listener_kernel/lists")
    near, _ = release.arrays("recall/listener_kernel/neighbours")
    likes = popularity(interaction_matrix(release.snapshot))
    for found in (lists["songs"], near["songs"]):
        proposed = np.unique(found[found >= 0])
        assert 0 < len(proposed) <= 3
        assert likes[proposed].min() >= np.sort(likes)[-3]


def test_sharp_moves_the_lists_and_not_what_one_song_adds(planted: World, tmp_path: Path, scores: Scores) -> None:
    plain, sharp = ({"sharp": value, "items": 0.0} for value in (0.0, 4.0))
    for listener, same in ((None, True), ("you", False)):
        one, two = (
            scores(tmp_path / f"{listener}{o['sharp']}", "listener_kernel", listener, **o) for o in (plain, sharp)
        )
        assert one
        assert (two == pytest.approx(one)) is same


@pytest.mark.parametrize("listener", ["you", None])
def test_scores_are_over_the_number_of_listeners_to_the_tilt(
    listener: str | None, planted: World, tmp_path: Path, scores: Scores
) -> None:
    plain = scores(tmp_path / "plain", "listener_kernel", listener, hubs=0.0)
    tilted = scores(tmp_path / "tilted", "listener_kernel", listener, tilt=0.5, hubs=0.0)
    listeners = popularity(interaction_matrix(planted.snapshot))
    assert plain
    assert tilted == pytest.approx({song: score / listeners[song] ** 0.5 for song, score in plain.items()})
