"""What a listener will not hear, against a plain model of it."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from segue_test_worlds import LOPSIDED_EVENTS, NOW, edges, lopsided_snapshot

from graph.log.checks import EVENT_COLUMNS
from graph.log.events import Event, JournalEntry
from graph.snapshot.snapshot import Snapshot
from recall.blocked import refused_songs
from recall.listeners.listener import Listener
from recall.live.edits import Edits, NewSongs

TYPES = {**EVENT_COLUMNS, "offset": pl.Int64}
EDGES = {
    ("HAS_TAG", "Artist", "Tag"): [("brio", "calm", 1.0)],
    ("HAS_GENRE", "Artist", "Genre"): [("alba", "rock")],
}
TARGETS = [
    *(("Song", f"s{i}") for i in range(1, 6)),
    *(("Artist", name) for name in ("alba", "brio", "nobody")),
    *(("Tag", name) for name in ("calm", "loud")),
    *(("Genre", name) for name in ("folk", "rock")),
]
# by hand from the tables of the lopsided world, and the two edges above
HAVE = {
    ("Artist", "alba"): {"s1", "s2", "s5", "new"},
    ("Artist", "brio"): {"s3", "s4"},
    ("Tag", "calm"): {"s1", "s5", "s3", "s4"},
    ("Tag", "loud"): {"s5", "s4", "new"},
    ("Genre", "folk"): {"s1", "s2", "s5"},
    ("Genre", "rock"): {"s2", "s3", "s4", "s1", "s5", "new"},
}


def event(action: str, label: str, id_: str, offset: int) -> Event:
    target = {"song_id": id_} if label == "Song" else {"target_label": label, "target_id": id_}
    return Event(f"e{offset}", "ana", action, at=NOW + offset, offset=offset, **target)  # type: ignore[arg-type]


def world(log: list[Event]) -> Snapshot:
    happened = pl.DataFrame([asdict(one) for one in log], schema=TYPES)
    told = pl.concat([LOPSIDED_EVENTS, happened], how="diagonal_relaxed")
    return lopsided_snapshot(edge_tables=edges(EDGES), log=told)


def refused(listener: Listener) -> set[str]:
    made = ("relations", "Song", "new", {"artists": ["alba"], "tags": {"loud": 1.0}})
    edits = Edits(listener.snapshot, 0).after([JournalEntry(1, *made)])
    ids = [*listener.snapshot.ids["Song"].to_list(), "new"]
    return {ids[song] for song in refused_songs(listener, NewSongs(edits, None)).tolist()}


def expected(log: list[tuple[str, tuple[str, str]]]) -> set[str]:
    blocked, disliked = set[tuple[str, str]](), set[str]()
    for action, target in log:
        if action == "block":
            blocked.add(target)
        elif action == "unblock":
            blocked.discard(target)
        elif action == "dislike":
            disliked.add(target[1])
        else:
            disliked.discard(target[1])
    songs = [HAVE.get(target, {target[1]} if target[0] == "Song" else set()) for target in blocked]
    return disliked.union(*songs)


NOTHING = world([])
HAPPENED = st.one_of(
    st.tuples(st.sampled_from(["block", "unblock"]), st.sampled_from(TARGETS)),
    st.tuples(st.sampled_from(["dislike", "undislike", "like"]), st.sampled_from(TARGETS[:5])),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(HAPPENED, max_size=12), st.integers(0, 12))
def test_whatever_was_blocked_and_unblocked_before_the_release_and_since(
    log: list[tuple[str, tuple[str, str]]], cut: int
) -> None:
    happened = [event(action, *target, offset=100 + i) for i, (action, target) in enumerate(log)]
    listener = Listener.of(world(happened[:cut]), "ana", happened[cut:])
    assert refused(listener) == expected(log)
    again = Listener.of(NOTHING, "ana")
    for one in happened:  # one by one, as a service hears of them
        again = again.after([one])
    assert refused(again) == expected(log)


def test_a_private_block_blocks() -> None:
    told = [replace(event("block", *target, offset=100 + i), private=1) for i, target in enumerate(TARGETS[4:6])]
    assert refused(Listener.of(NOTHING, "ana", told)) == {"s1", "s2", "s5", "new"}
    assert refused(Listener.of(world(told), "ana")) == {"s1", "s2", "s5", "new"}


def test_a_block_without_a_time_counts_after_what_the_log_held_before() -> None:
    told = [("block", "alba", NOW), ("unblock", "alba", None), ("block", "brio", None)]
    snapshot = world(
        [
            Event(f"e{i}", "ana", action, target_label="Artist", target_id=id_, at=at, offset=100 + i)
            for i, (action, id_, at) in enumerate(told)
        ]
    )
    assert Listener.of(snapshot, "ana").blocked_entities == {"Artist": frozenset({"brio"})}
    assert snapshot.relation("BLOCKED", "User", "Artist").indices.tolist() == [snapshot.ids["Artist"].index("brio")]
    assert snapshot.relation("BLOCKED").target == "Song"
    view = snapshot.view(np.zeros(len(snapshot.histories), dtype=bool))
    assert view.relation("BLOCKED", "User", "Artist").indices.tolist() == [snapshot.ids["Artist"].index("brio")]
