"""A listener is made anew after something that changes the answer, and only then."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from segue_test_worlds import NOW, World

from graph.log.events import Event
from recall.listeners.kept import KeptListeners
from recall.listeners.listener import Listener

NONE: dict[str, int] = {}
ACTIONS = ("play", "like", "skip", "block", "unblock", "search", "follow", "unfollow")


def done(song: str | None, offset: int, action: str = "like", at: int | None = NOW) -> Event:
    return Event(f"e{offset}", "ana", action, song, at=at, offset=offset)


class Log:
    """Events of one listener, and how many were read."""

    def __init__(self, *events: Event) -> None:
        self.events, self.read = list(events), 0

    def __call__(self, user_id: str, after: int) -> Sequence[Event]:
        assert user_id
        found = [event for event in self.events if event.offset > after]
        self.read += len(found)
        return found


def test_somebody_who_did_nothing_new_is_the_same(lopsided: World) -> None:
    kept = KeptListeners(lopsided.snapshot, Log(done("s5", 11)))
    first = kept.of("ana", NONE)
    assert kept.of("ana", NONE) is first
    assert lopsided.ids(first.heard) == ["s1", "s2", "s5"]


def test_a_new_event_and_an_edit_make_a_new_one(lopsided: World) -> None:
    log = Log(done("s5", 11))
    kept = KeptListeners(lopsided.snapshot, log)
    first = kept.of("ana", NONE)
    log.events.append(done("new", 12))
    later = kept.of("ana", NONE)
    assert later is not first
    edited = kept.of("ana", {"new": 5})
    assert edited is not later
    assert [song for song, _, _ in edited.new_events] == [5]


def test_a_new_event_does_not_read_the_earlier_ones_again(lopsided: World) -> None:
    log = Log(*(done("s5", offset) for offset in range(1, 1001)))
    kept = KeptListeners(lopsided.snapshot, log)
    kept.of("ana", NONE)
    log.events.append(done("s3", 1001))
    assert lopsided.ids(kept.of("ana", NONE).heard) == ["s1", "s2", "s3", "s5"]
    assert log.read == 1001


def test_events_one_by_one_make_the_same_listener_as_all_at_once(lopsided: World) -> None:
    rng = np.random.default_rng(3)
    for _ in range(30):
        events = []
        for offset in range(1, 20):
            event = done(rng.choice(["s1", "s3", "s5", "new", "??", None]), offset, str(rng.choice(ACTIONS)))
            at = None if rng.random() < 0.3 else NOW + int(rng.integers(-5, 5))
            where = (1.0, 2.0) if rng.random() < 0.3 else (None, None)
            events.append(replace(event, at=at, latitude=where[0], longitude=where[1]))
        log, places = Log(), {"new": 5}
        kept = KeptListeners(lopsided.snapshot, log)
        for event in events:
            log.events.append(event)
            listener = kept.of("ana", places)
        whole = Listener.of(lopsided.snapshot, "ana", events, places)
        for name in ("song", "action", "at", "count", "new_events", "since", "newest"):
            mine, all_ = (np.asarray(getattr(one, name), dtype=object).tolist() for one in (listener, whole))
            assert mine == all_, name


def test_those_who_asked_longest_ago_are_forgotten(lopsided: World) -> None:
    kept = KeptListeners(lopsided.snapshot, most=2)
    ana, ben = kept.of("ana", NONE), kept.of("ben", NONE)
    assert kept.of("ana", NONE) is ana
    kept.of("cy", NONE)
    assert kept.of("ana", NONE) is ana
    assert kept.of("ben", NONE) is not ben


def test_what_follows_for_one_moment_is_not_taken_for_another(lopsided: World) -> None:
    ana = KeptListeners(lopsided.snapshot).of("ana", NONE)
    for now in (NOW, NOW + 10**10, NOW):
        fresh = Listener.of(lopsided.snapshot, "ana")
        for mine, other in zip(ana.preferences(now), fresh.preferences(now), strict=True):
            assert mine.tolist() == other.tolist()
        for mine, other in zip(ana.top_songs(now, 1), fresh.top_songs(now, 1), strict=True):
            assert mine.tolist() == other.tolist()
