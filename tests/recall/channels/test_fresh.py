from itertools import pairwise

import numpy as np
import pytest
from segue_test_worlds import DAY, NOW, World

from graph.durations import HOUR_MS
from graph.log.events import JournalEntry
from recall.base import Query
from recall.channels.fresh import Fresh, FreshConfig
from recall.kept_answers import question
from recall.listeners.listener import UNHEARD, Listener
from recall.live.counters import Counters
from recall.live.edits import Edits, NewSongs
from recall.live.live import Overlay

NO_TASTE = FreshConfig(taste=0.0)


def test_newer_and_better_songs_come_first(lopsided: World) -> None:
    # s1 is 100 days old, s2 10 (its quality is unknown), s4 3 (0.25), s5 came out now (0.75); s3 nobody knows
    answer = lopsided.answer(Fresh(lopsided.release, NO_TASTE), None)
    assert answer == pytest.approx({"s5": 1.75, "s4": 1.25 * 2**-0.3, "s2": 1.5 / 2}, abs=1e-6)
    assert list(answer) == ["s5", "s4", "s2"]


def test_what_has_not_come_out_yet_stays_out(lopsided: World) -> None:
    assert list(lopsided.answer(Fresh(lopsided.release, NO_TASTE), None, at=NOW - 5 * DAY)) == ["s2"]


def test_which_songs_are_new_is_part_of_the_question(lopsided: World) -> None:
    channel = Fresh(lopsided.release, NO_TASTE)
    asked = [channel.version(lopsided.query(None, at=NOW + at)) for at in (-1, 0, 27 * DAY - 1, 27 * DAY)]
    # s5 comes out at NOW, s4 came out 3 days before and is new for 30
    assert [one == other for one, other in pairwise(asked)] == [False, False, False]
    assert channel.version(lopsided.query(None, at=NOW + 1)) == asked[1]
    of_an_hour = [question(channel, lopsided.query(None, at=NOW + at), 9) for at in (0, HOUR_MS - 1, HOUR_MS)]
    assert (of_an_hour[0] == of_an_hour[1], of_an_hour[1] == of_an_hour[2]) == (True, False)


def test_what_lies_near_the_listeners_loves_comes_first(lopsided: World) -> None:
    # Ana loves s1, at 0 degrees; s2 at 90, s4 at 60, s5 at 180
    answer = lopsided.answer(Fresh(lopsided.release, FreshConfig(taste=1.0)), "ana")
    assert answer == pytest.approx({"s4": (1.25 + 0.5) * 2**-0.3, "s2": 0.75, "s5": 0.75}, abs=1e-6)


@pytest.mark.parametrize("user", ["you", "bob02"])
@pytest.mark.parametrize("k", [1, 2, 4, 9])
@pytest.mark.parametrize("config", [FreshConfig(), FreshConfig(half_life_days=2.0), FreshConfig(taste=0.2)], ids=str)
def test_old_ones_that_cannot_win_are_not_looked_at(
    planted: World, monkeypatch: pytest.MonkeyPatch, user: str, k: int, config: FreshConfig
) -> None:
    channel = Fresh(planted.release, config)
    whole = channel.recall(planted.query(user, at=NOW + DAY), k)
    monkeypatch.setattr("recall.channels.fresh._NEWEST", k)
    few = channel.recall(planted.query(user, at=NOW + DAY), k)
    assert few.songs.tolist() == whole.songs.tolist()
    assert few.scores.tolist() == pytest.approx(whole.scores.tolist())


def test_no_more_than_so_many_are_looked_at(lopsided: World) -> None:
    assert list(lopsided.answer(Fresh(lopsided.release, FreshConfig(songs=2)), None)) == ["s5", "s4"]


def test_long_ago_is_looked_up_as_well(lopsided: World) -> None:
    answer = lopsided.answer(Fresh(lopsided.release, FreshConfig(taste=1.0)), "ana", at=NOW - 90 * DAY)
    assert list(answer) == ["s1"]


def test_a_song_of_the_journal_is_there_at_once(lopsided: World) -> None:
    lines = [
        ("upsert", "Song", "dated", {"properties": {"released_at": NOW - 10 * DAY, "quality": 1.0}}),
        ("upsert", "Song", "bare", {"properties": {}}),
        ("relations", "Song", "bare", {"artists": ["brio"]}),
        ("upsert", "Song", "later", {"properties": {"released_at": NOW + DAY}}),
    ]
    edits = Edits(lopsided.snapshot, 0).after(JournalEntry(i, *line) for i, line in enumerate(lines, 1))
    overlay = Overlay(Counters(lopsided.snapshot), edits, NewSongs(edits, lopsided.vectors))
    ana = Listener.of(lopsided.snapshot, "ana")
    found = Fresh(lopsided.release, FreshConfig(taste=1.0)).recall(Query(ana, NOW, UNHEARD, overlay=overlay), 10)
    scores = dict(zip((overlay.song_id(int(s)) for s in found.songs), found.scores, strict=True))
    # brio stands at 90 degrees, so `bare` at a right angle to what Ana loves; `dated` has no vector
    assert (scores["bare"], scores["dated"]) == (pytest.approx(1.5), pytest.approx(1.0))
    assert "later" not in scores
    assert np.isfinite(found.scores).all()
