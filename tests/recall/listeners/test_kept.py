"""A listener is made anew after something that changes the answer, and only then."""

from segue_test_worlds import NOW, World

from graph.log.events import Event
from recall.listeners.kept import KeptListeners
from recall.listeners.listener import Listener

NONE: dict[str, int] = {}


def done(song: str, offset: int) -> Event:
    return Event(f"e{offset}", "ana", "like", song, at=NOW, offset=offset)


def test_somebody_who_did_nothing_new_is_the_same(lopsided: World) -> None:
    kept = KeptListeners(lopsided.snapshot)
    first = kept.of("ana", [done("s5", 11)], NONE)
    assert kept.of("ana", [done("s5", 11)], NONE) is first
    assert lopsided.ids(first.heard) == ["s1", "s2", "s5"]


def test_a_new_event_and_an_edit_make_a_new_one(lopsided: World) -> None:
    kept = KeptListeners(lopsided.snapshot)
    first = kept.of("ana", [done("s5", 11)], NONE)
    later = kept.of("ana", [done("s5", 11), done("new", 12)], NONE)
    assert later is not first
    edited = kept.of("ana", [done("s5", 11), done("new", 12)], {"new": 5})
    assert edited is not later
    assert [song for song, _, _ in edited.new_events] == [5]
    assert kept.of("ana", [], NONE) is not edited  # what was erased is not remembered


def test_events_that_no_log_has_numbered_are_never_kept(lopsided: World) -> None:
    kept = KeptListeners(lopsided.snapshot)
    assert lopsided.ids(kept.of("ana", [done("s5", 0)], NONE).heard) == ["s1", "s2", "s5"]
    assert lopsided.ids(kept.of("ana", [done("s3", 0)], NONE).heard) == ["s1", "s2", "s3"]


def test_those_who_asked_longest_ago_are_forgotten(lopsided: World) -> None:
    kept = KeptListeners(lopsided.snapshot, most=2)
    ana, ben = kept.of("ana", [], NONE), kept.of("ben", [], NONE)
    assert kept.of("ana", [], NONE) is ana
    kept.of("cy", [], NONE)
    assert kept.of("ana", [], NONE) is ana
    assert kept.of("ben", [], NONE) is not ben


def test_what_follows_for_one_moment_is_not_taken_for_another(lopsided: World) -> None:
    ana = KeptListeners(lopsided.snapshot).of("ana", [], NONE)
    for now in (NOW, NOW + 10**10, NOW):
        fresh = Listener.of(lopsided.snapshot, "ana")
        for mine, other in zip(ana.preferences(now), fresh.preferences(now), strict=True):
            assert mine.tolist() == other.tolist()
        for mine, other in zip(ana.top_songs(now, 1), fresh.top_songs(now, 1), strict=True):
            assert mine.tolist() == other.tolist()
