import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from segue_test_worlds import DAY, NOW, World

from graph.errors import StoreUnavailable
from graph.log.events import EventLog
from graph.release import Release
from recall.decay import Decay
from recall.live.counters import SongSums, plays
from recall.live.live import Live, LiveState


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    with EventLog(f"sqlite:///{tmp_path}/events.db") as opened:
        opened.append([event(0), event(1)], now=NOW)
        yield opened


def event(number: int, user: str = "ana") -> dict[str, Any]:
    return {"event_id": str(number), "user_id": user, "action": "like", "song_id": "s1", "at": NOW}


def release(world: World, log_id: str, offset: int) -> Release:
    return dataclasses.replace(world.release, manifest={"events": {"log_id": log_id, "offset": offset}})


def test_follows_what_came_after_the_release(lopsided: World, log: EventLog) -> None:
    live = Live(release(lopsided, log.log_id, 1), log)
    log.append([event(2), event(3, "ben")], now=NOW)
    assert live.status.state == "attached"
    assert [e.event_id for e in live.latest("ana")] == ["1", "2"]
    assert [e.event_id for e in live.latest("ana", 2)] == ["2"]
    assert not live.latest("unknown")


@pytest.mark.parametrize(
    ("log_id", "offset", "reason"),
    [("another", 1, "another event log"), (None, 3, "ahead of the event log")],
)
def test_detached_it_serves_from_the_release_alone(
    lopsided: World, log: EventLog, log_id: str | None, offset: int, reason: str
) -> None:
    live = Live(release(lopsided, log_id or log.log_id, offset), log)
    assert live.status.state == "detached"
    assert reason in str(live.status.reason)
    assert live.latest("ana") == ()


def test_without_a_log_it_is_detached(lopsided: World) -> None:
    assert Live(lopsided.release, None).status.state == "detached"


def test_a_log_that_stops_answering_takes_nothing_down(
    lopsided: World, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise StoreUnavailable("the event log does not answer")

    live = Live(release(lopsided, log.log_id, 0), log)
    monkeypatch.setattr(log, "of_user", down)
    assert live.latest("ana") == ()
    assert live.status == LiveState("detached", "the event log does not answer")


def test_joins_a_log_that_answers_again(lopsided: World, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: object) -> None:
        raise StoreUnavailable("event log sqlite:////secret/events.db does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(log, "last_offset", down)
        live = Live(release(lopsided, log.log_id, 1), log)
        assert live.status == LiveState("detached", "the event log does not answer")
        assert live.check() == live.status
    assert live.check() == LiveState("attached", lag=1, behind=0)
    assert [e.event_id for e in live.latest("ana")] == ["1"]
    with monkeypatch.context() as patch:
        patch.setattr(log, "of_user", down)
        assert live.latest("ana") == ()
        assert live.status.state == "detached"
    assert live.latest("ana") == ()  # nobody waits for it before it has been looked at
    live.check()
    assert live.latest("ana")


def full_play(user: str, song: str, at: int = NOW) -> dict[str, Any]:
    return {"user_id": user, "action": "full_play", "song_id": song, "at": at}


class Seen:
    """A tally that keeps what it is given."""

    def __init__(self) -> None:
        self.batches, self.songs = 0, list[int]()

    def add(self, events: Any) -> None:
        self.batches += 1
        self.songs += events.song.tolist()


def song_plays(live: Live) -> list[float]:
    overlay = live.overlay
    snapshot = overlay.edits.snapshot
    tally = overlay.counters.events("t", lambda: SongSums(snapshot.songs, Decay.of(snapshot, DAY), plays))
    return tally.at(NOW, overlay.size).round(9).tolist()


def test_events_and_new_songs_are_folded_in(lopsided: World, log: EventLog) -> None:
    live = Live(release(lopsided, log.log_id, log.last_offset()), log)
    before = song_plays(live)
    log.append_journal("upsert", "Song", "new", {"properties": {"title": "New"}})
    log.append_journal("relations", "Song", "new", {"artists": ["brio"]})
    log.append([full_play("ana", "s1"), full_play("??", "new"), full_play("ana", "nowhere")], now=NOW)
    assert live.check() == LiveState("attached", lag=3, behind=0)
    assert np.subtract(song_plays(live)[:5], before) == pytest.approx([1, 0, 0, 0, 0])
    assert (song_plays(live)[5], live.overlay.song_id(5), live.overlay.song_id(0)) == (1, "new", "s1")
    assert live.overlay.songs.unit[0] == pytest.approx([0, 1])
    live.check()
    assert song_plays(live)[5] == 1  # nothing is folded twice


def test_a_release_that_knows_the_edits_does_not_fold_them_again(lopsided: World, log: EventLog) -> None:
    log.append_journal("upsert", "Song", "old", {"properties": {}})
    manifest = {"events": {"log_id": log.log_id, "offset": 0}, "graph": {"version": log.last_journal_offset()}}
    live = Live(dataclasses.replace(lopsided.release, manifest=manifest), log)
    assert len(live.overlay.songs) == 0


def test_songs_that_were_taken_out_are_withheld_and_counts_are_known_to_be_outdated(
    lopsided: World, log: EventLog
) -> None:
    live = Live(release(lopsided, log.log_id, log.last_offset()), log)
    log.append([full_play("ana", "s1"), full_play("ben", "s2")], now=NOW)
    log.append_journal("upsert", "Song", "new", {"properties": {"title": "New"}})
    assert (live.check(), live.outdated) == (LiveState("attached", lag=2, behind=0), False)
    counted = song_plays(live)[1]
    log.append_journal("removed", "Song", None, {"ids": ["s2", "new", "nowhere"]})
    log.take_out(user_id="ben")
    assert (live.check(), live.outdated) == (LiveState("attached", lag=2, behind=0), True)
    assert live.overlay.edits.withheld.tolist() == [1, 5]
    again = Live(release(lopsided, log.log_id, 2), log)
    assert not again.outdated
    assert (song_plays(live)[1], song_plays(again)[1]) == (counted, counted - 1)


def test_two_workers_agree(lopsided: World, log: EventLog) -> None:
    first = Live(release(lopsided, log.log_id, 0), log)
    for i in range(30):
        log.append([full_play("ana", f"s{i % 5 + 1}", NOW - i * DAY)], now=NOW)
        log.append_journal("upsert", "Song", f"n{i % 7}", {"properties": {}})
        if i % 4 == 0:
            first.check()
    first.check()
    second = Live(release(lopsided, log.log_id, 0), log)
    assert song_plays(first) == song_plays(second)
    assert first.overlay.songs.ids == second.overlay.songs.ids


def test_a_long_log_is_folded_in_portions(lopsided: World, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recall.live.live.FOLD_ROWS", 7)
    log.append([full_play("ben", "s2") for _ in range(50)], now=NOW)
    shown = [{"request_id": "r", "user_id": "ana", "song_id": "s1", "position": i, "at": NOW} for i in range(20)]
    log.append_exposures(shown)
    live = Live(release(lopsided, log.log_id, 0), log)
    assert song_plays(live)[1] == pytest.approx(song_plays(Live(lopsided.release, None))[1] + 50)
    seen = live.overlay.counters.exposures("x", Seen)
    assert (seen.batches, seen.songs) == (4, [0] * 20)  # those of the release, and 20 in sevens


def test_what_is_counted_late_is_read_from_the_log_again(lopsided: World, log: EventLog) -> None:
    live = Live(release(lopsided, log.log_id, 0), log)
    counters, before = live.overlay.counters, song_plays(Live(lopsided.release, None))
    for _ in range(3):
        log.append([full_play("ben", "s2")], now=NOW)
        log.append_exposures([{"request_id": "r", "user_id": "ana", "song_id": "s3", "position": 0, "at": NOW}])
        live.check()
    assert not any(counters._since.values())  # nothing of it is held in memory
    assert song_plays(live)[1] == pytest.approx(before[1] + 3)
    assert counters.exposures("x", Seen).songs == [2] * 3
    log.append([full_play("ben", "s2")], now=NOW)
    log.append_exposures([{"request_id": "r", "user_id": "ana", "song_id": "s3", "position": 0, "at": NOW}])
    live.check()
    assert song_plays(live)[1] == pytest.approx(before[1] + 4)
    assert counters.exposures("x", Seen).songs == [2] * 4


def test_many_events_and_exposures_are_read_as_a_few_are(
    lopsided: World, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, after = Live(release(lopsided, log.log_id, log.last_offset()), log), log.last_offset()
    log.append_journal("upsert", "Song", "new", {"properties": {"title": "x"}})
    place = {"latitude": 44.43, "longitude": 26.1}
    rows = [full_play("ana", "s1") | place, full_play("?", "s4") | {"count": 3}, full_play("ben", "new")]
    others = [{"user_id": "ana", "action": "search", "query": "x", "song_id": None}, full_play("cy", "??")]
    log.append([*rows, *others, {"user_id": "ana", "action": "like", "song_id": "s2", "at": None}], now=NOW)
    searched = {"event_id": ["x"], "user_id": ["ana"], "action": ["search"], "song_id": ["s1"], "at": [NOW]}
    log.append_frame(pl.DataFrame(searched))  # an importer's search may name a song
    shown = [{"request_id": "r", "song_id": song, "position": 0, "at": at} for song, at in (("s2", NOW), ("?", 1))]
    log.append_exposures([*shown, shown[0] | {"at": None}])
    live.check()
    few, few_shown = live._events(log, after, log.last_offset()), live._exposed(log, 0, 3)
    monkeypatch.setattr("recall.live.live.FEW_ROWS", 0)
    many, many_shown = live._events(log, after, log.last_offset()), live._exposed(log, 0, 3)
    assert few[0].song.tolist() == [0, 3, 5, 1]
    assert few[1] == many[1]
    for one, other in ((few[0], many[0]), (few_shown, many_shown)):
        for mine, theirs in zip(vars(one).values(), vars(other).values(), strict=True):
            assert mine.tolist() == theirs.tolist()
            assert mine.dtype == theirs.dtype


def test_an_event_is_folded_with_its_time_its_count_and_its_place(lopsided: World, log: EventLog) -> None:
    before = log.last_offset()
    live = Live(release(lopsided, log.log_id, before), log)
    whole = full_play("ana", "s1", NOW - 5) | {"count": 3, "latitude": 44.43, "longitude": 26.1}
    log.append([whole, full_play("?", "s4")], now=NOW)
    log.append([{"user_id": "ana", "action": "search", "query": "alba"}], now=NOW)
    live.check()
    batch, users = live._events(log, before, log.last_offset())
    ana = lopsided.snapshot.ids["User"].index("ana")
    assert [column.tolist() for column in (batch.user, batch.song, batch.count)] == [[ana, -1], [0, 3], [3, 1]]
    assert batch.at.tolist() == [NOW - 5, NOW]
    assert batch.cell[0] != 0
    assert batch.cell[1] == 0
    assert users == ["ana", "?"]


def test_what_was_folded_stays_when_the_log_goes(
    lopsided: World, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise StoreUnavailable("gone")

    live = Live(release(lopsided, log.log_id, 0), log)
    log.append([full_play("ben", "s2")], now=NOW)
    live.check()
    known = song_plays(live)
    monkeypatch.setattr(log, "journal", down)
    assert live.check().state == "detached"
    assert song_plays(live) == known


def test_events_of_somebody_new_are_kept_through_edits(lopsided: World, log: EventLog) -> None:
    live = Live(release(lopsided, log.log_id, 1), log)
    log.append([event(2, "new"), event(3, "ben")], now=NOW)
    log.append_journal("upsert", "User", "new", {"properties": {"name": "New"}})
    live.check()
    assert live.overlay.edits.name("User", "new") == "New"
    assert [column.tolist() for column in live.overlay.new_users.of("new")][:1] == [[0]]
    assert not len(live.overlay.new_users.of("ben")[0])
