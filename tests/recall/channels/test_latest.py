"""Songs that answer to what was done a moment ago, worked by hand."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from segue_test_worlds import NOW, World

from graph.snapshot.histories import CODE
from recall.base import Query
from recall.channels.latest import HOUR_MS, Latest, LatestConfig
from recall.listeners.listener import Listener
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
