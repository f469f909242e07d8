from dataclasses import replace

from segue_test_worlds import NOW, World

from graph.log.events import Event, JournalEntry
from ranking.asker import asker_of
from recall.base import Query
from recall.listeners.listener import UNHEARD, Listener
from recall.live.edits import Edits
from recall.live.live import Overlay


def asked(world: World, user: str, *latest: tuple[str, str]) -> Query:
    events = [
        Event(event_id=str(i), user_id=user, action=action, song_id=song, at=NOW)
        for i, (action, song) in enumerate(latest)
    ]
    return Query(Listener.of(world.snapshot, user, events), NOW, UNHEARD)


def test_a_session_asks_with_its_songs_once_each(lopsided: World) -> None:
    session = Listener.of_session(lopsided.snapshot, lopsided.snapshot.ids["Song"].indices(["s3", "s1", "s3"]), NOW)
    asker = asker_of(Query(session, NOW, UNHEARD))
    assert (asker.user, asker.user_id, asker.session) == (-1, None, (2, 0))


def test_what_was_liked_of_late_is_named_by_the_last_time(lopsided: World) -> None:
    query = asked(lopsided, "dan", ("play", "s1"), ("like", "s1"), ("download", "s3"), ("skip", "s2"))
    assert dict(asker_of(query).since) == {0: "liked", 2: "downloaded"}


def test_what_was_played_and_then_skipped_is_not_liked(lopsided: World) -> None:
    query = asked(lopsided, "dan", ("play", "s1"), ("skip", "s1"), ("play", "s3"))
    assert dict(asker_of(query).since) == {2: "played"}


def test_what_was_undone_or_blocked_since_is_known(lopsided: World) -> None:
    asker = asker_of(asked(lopsided, "ana", ("uncollect", "s1"), ("block", "s4")))
    assert asker.undone == {("COLLECTED", 0)}
    assert asker.blocked == {3}
    again = asker_of(asked(lopsided, "ana", ("uncollect", "s1"), ("collect", "s1")))
    assert again.undone == frozenset()


def test_follows_are_those_of_now(lopsided: World) -> None:
    edits = Edits(lopsided.snapshot, 0).after(
        [
            JournalEntry(1, "follow", "User", "ben", {"target": "ana", "since": NOW}),
            JournalEntry(2, "follow", "Artist", "ben", {"target": "alba", "since": NOW}),
            JournalEntry(3, "follow", "Artist", "ben", {"target": "nobody", "since": NOW}),
            JournalEntry(4, "unfollow", "User", "ana", {"target": "ben"}),
        ]
    )
    overlay = replace(Overlay.of(lopsided.snapshot), edits=edits)
    ben, ana = (asker_of(replace(asked(lopsided, user), overlay=overlay)).follows for user in ("ben", "ana"))
    assert ben is not None
    assert ana is not None
    assert (ben.people, ben.artists) == ({0: NOW}, {0: NOW})
    assert list(ana.people) == [2]
