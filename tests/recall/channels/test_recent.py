from collections.abc import Sequence

import numpy as np
import pytest
from segue_test_worlds import NOW, World

from graph.log.events import Event, JournalEntry
from recall.base import Candidates, Query
from recall.channels.recent import Recent, RecentConfig
from recall.listeners.listener import UNHEARD, Listener
from recall.live.counters import Counters
from recall.live.edits import Edits, NewSongs
from recall.live.live import Overlay

COS30, COS60 = 3**0.5 / 2, 0.5


def ask(world: World, latest: Sequence[Event], **config: int) -> Candidates:
    edits = Edits(world.snapshot, 0).after([JournalEntry(1, "relations", "Song", "new", {"artists": ["brio"]})])
    overlay = Overlay(Counters(world.snapshot), edits, NewSongs(edits, world.vectors))
    listener = Listener.of(world.snapshot, "ben", latest, edits.places)
    return Recent(world.release, RecentConfig(**config)).recall(Query(listener, NOW, UNHEARD, overlay=overlay), 10)


def by_song(world: World, found: Candidates) -> dict[str, float]:
    return dict(zip(world.ids(found.songs), found.scores.tolist(), strict=True))


def play(song: str, action: str = "full_play") -> Event:
    return Event("e", "ben", action, song_id=song, at=NOW)


def test_each_of_the_latest_loves_is_asked_for_itself(lopsided: World) -> None:
    # Ben: s4 (60 degrees) last, s3 (30) before; s1 stands at 0, s2 at 90, s5 at 180
    found = ask(lopsided, [])
    assert by_song(lopsided, found) == pytest.approx(
        {"s3": COS30, "s2": COS30, "s4": 0.8 * COS30, "s1": 0.8 * COS30}, abs=1e-5
    )
    assert found.interest is not None
    assert found.interest.tolist() == [0, 0, 1, 1]
    assert found.importance == pytest.approx([1, 0.8])


def test_one_new_love_moves_the_next_answer(lopsided: World) -> None:
    found = ask(lopsided, [play("s2")], loves=1)
    assert by_song(lopsided, found) == pytest.approx({"s4": COS30, "s3": COS60}, abs=1e-5)
    skipped = ask(lopsided, [play("s2", "skip")], loves=1)
    assert by_song(lopsided, skipped) == pytest.approx({"s3": COS30, "s2": COS30, "s1": COS60}, abs=1e-5)


def test_a_song_that_came_after_the_release_is_a_love_too(lopsided: World) -> None:
    found = ask(lopsided, [play("new")], loves=1)  # by brio, at 90 degrees
    assert by_song(lopsided, found) == pytest.approx({"s2": 1, "s4": COS30, "s3": COS60}, abs=1e-5)


def test_who_liked_nothing_gets_nothing(lopsided: World) -> None:
    channel = Recent(lopsided.release)
    assert len(channel.recall(lopsided.query(None), 10)) == 0
    assert channel.serves(lopsided.listener("ben"))
    assert not channel.serves(lopsided.listener(None))


def test_songs_of_several_loves_come_once_by_the_best(planted: World) -> None:
    found = Recent(planted.release).recall(planted.query("you"), 50)
    assert len(np.unique(found.songs)) == len(found)
    assert (np.diff(found.scores) <= 0).all()
