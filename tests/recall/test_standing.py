"""The list that stands ready: what is popular at home and in one's language first, and never what may not come back."""

import numpy as np
import pytest
from segue_test_worlds import NOW, World

from recall.base import Query
from recall.listeners.listener import Listener
from recall.standing import StandingList


def listed(world: World, user: str | None, k: int, *excluded: str) -> list[str]:
    exclude = np.sort(world.snapshot.ids["Song"].indices(excluded)).astype(np.int32)
    query = Query(Listener.of(world.snapshot, user), NOW, exclude)
    found = StandingList.of(world.snapshot).recall(query, k)
    assert (np.diff(found.scores) < 0).all()
    return [world.snapshot.ids["Song"][song] for song in found.songs.tolist()]


def test_somebody_unknown_has_the_most_popular_songs(lopsided: World) -> None:
    assert listed(lopsided, None, 2) == listed(lopsided, "nobody", 5)[:2]
    assert sorted(listed(lopsided, None, 9)) == ["s1", "s2", "s3", "s4", "s5"]
    assert listed(lopsided, None, 1) == ["s4"]  # heard by two, liked by one


def test_what_is_loved_at_home_and_in_ones_language_comes_first_in_turn(lopsided: World) -> None:
    # ana and ben live at one place, where s1, s4 and s3 are loved; s1 and s2 are in English, s3 is in Romanian
    assert listed(lopsided, "ana", 5) == ["s1", "s4", "s2", "s3", "s5"]  # of late she loves English songs
    assert listed(lopsided, "ben", 5) == ["s1", "s3", "s4", "s2", "s5"]  # and he Romanian ones
    assert listed(lopsided, "cy", 5) == ["s1", "s2", "s4", "s3", "s5"]  # English, and no home is known


def test_the_list_goes_on_where_much_may_not_come_back(lopsided: World) -> None:
    assert listed(lopsided, "ana", 2, "s4", "s1", "s2") == [s for s in listed(lopsided, "ana", 5) if s in {"s3", "s5"}]
    assert listed(lopsided, "ana", 2, "s1", "s2", "s3", "s4", "s5") == []


@pytest.mark.parametrize("k", [0, 1, 5])
def test_there_are_as_many_as_are_asked_for(planted: World, k: int) -> None:
    for user in planted.snapshot.ids["User"].to_list()[:20]:
        assert len(listed(planted, user, k)) == k
