"""Imports into a state, and single edits, on a real graph store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from graph import schema
from graph.batch import Batch
from graph.catalogue import Catalogue, import_batch
from graph.errors import Busy, InvalidInput, SourceMismatch
from graph.log.events import EventLog
from graph.snapshot.export import export
from graph.sources.audio import audio_segments
from graph.sources.registry import sources, unfinished_imports
from graph.store import queries
from graph.store.store import GraphStore

PERFORMED_BY = schema.relationship("PERFORMED_BY", "Song", "Artist")


def batch(*songs: str, events: int = 2) -> Batch:
    made = Batch("tables")
    made.add_nodes("Song", pl.DataFrame({"id": songs, "title": [s.upper() for s in songs]}), file="songs.csv")
    made.add_relationships(PERFORMED_BY, pl.DataFrame({"source": songs, "target": "a1"}), file="song_artist.csv")
    plays = pl.DataFrame({"user_id": ["u1"] * events, "action": "play", "song_id": songs[0], "at": 1000})
    made.add_events(plays, file="events.csv")
    return made


@pytest.fixture
def state(embedded_store: GraphStore, sqlite_log: EventLog, tmp_path: Path) -> Any:
    def write(made: Batch, name: str = "one", fingerprint: str = "f1", **options: Any) -> int:
        return import_batch(
            embedded_store, sqlite_log, made, name=name, fingerprint=fingerprint, state_dir=tmp_path, **options
        )

    return write


def ends(store: GraphStore, rel: schema.Relationship, source: str) -> dict[str, Any]:
    return {row["id"]: ours(row) for row in store.read(queries.neighbours(rel), {"id": source})}


def properties(store: GraphStore, label: str, id_: str) -> dict[str, Any] | None:
    rows = store.read(queries.node(label), {"id": id_})
    return ours(rows[0]) if rows else None


def ours(row: dict[str, Any]) -> dict[str, Any]:
    """The properties, which have the mark, without it."""
    assert row["properties"].pop("segue") is True
    return dict(row["properties"])


# ---- imports


def test_an_import_writes_graph_events_and_one_journal_line(
    state: Any, embedded_store: GraphStore, sqlite_log: EventLog
) -> None:
    assert state(batch("s1", "s2")) == 2 + 1 + 2 + 2  # songs, the bare artist, relations, events
    labels = embedded_store.counts()["labels"]
    assert (labels["Song"], labels["Artist"]) == (2, 1)
    assert sqlite_log.last_offset() == 2
    (line,) = sqlite_log.journal()
    assert (line.kind, line.payload["counts"]["Song"]) == ("import", 2)


def test_importing_the_same_source_again_adds_nothing(
    state: Any, embedded_store: GraphStore, sqlite_log: EventLog
) -> None:
    state(batch("s1", "s2"))
    before = embedded_store.counts()
    assert state(batch("s1", "s2")) == 0
    assert embedded_store.counts() == before
    assert (sqlite_log.last_offset(), sqlite_log.last_journal_offset()) == (2, 1)


def test_true_repeats_of_an_event_survive(state: Any, sqlite_log: EventLog) -> None:
    state(batch("s1", events=3))
    assert sqlite_log.frame()["event_id"].n_unique() == 3


def test_ids_of_events_are_those_of_the_first_version_and_hold_what_came_later() -> None:
    def named(**more: Any) -> list[str]:
        made = Batch("tables")
        fields = {"user_id": "u", "action": "play", "song_id": ["s", "s"], "at": 1700000000000}
        made.add_events(pl.DataFrame({**fields, **more}), file="events.csv")
        made.name_events("tables:/data")
        return made.events["event_id"].to_list()

    assert named() == ["13c0cbd9f05cc94621df9df5d4150391", "bec6f09b2500d89c357c01ad4b9c813a"]
    assert named(private=[None, "TRUE"])[0] == named()[0]
    assert len({*named(), *named(private="true"), *named(private=[0, 0]), *named(is_organic=["True", "1"])}) == 8


def test_a_source_that_grew_adds_only_what_is_new(state: Any, sqlite_log: EventLog) -> None:
    state(batch("s1", events=2))
    state(batch("s1", "s2", events=5), fingerprint="f2")
    assert sqlite_log.last_offset() == 5
    assert list(sources(sqlite_log)) == ["tables:one"]


def test_where_listeners_live_is_kept_as_the_centre_of_a_cell_only(
    state: Any, embedded_store: GraphStore, sqlite_log: EventLog
) -> None:
    made = batch("s1")
    points = {"latitude": [52.5200, 52.5201, None], "longitude": [13.4050, 13.4051, None]}
    made.add_nodes("User", pl.DataFrame({"id": ["u1", "u2", "u3"], **points}), file="users.csv")
    made.add_nodes("Place", pl.DataFrame({"id": ["p"], "latitude": 52.52, "longitude": 13.405}), file="places.csv")
    state(made)
    Catalogue(embedded_store, sqlite_log).upsert_node("User", "u4", {"latitude": 52.5200, "longitude": 13.4050})
    centre = sqlite_log.coarsen(52.52, 13.405)
    for user in ("u1", "u2", "u4"):
        found = properties(embedded_store, "User", user)
        assert (found["latitude"], found["longitude"]) == centre != (52.52, 13.405)
    assert "latitude" not in properties(embedded_store, "User", "u3")
    assert properties(embedded_store, "Place", "p")["latitude"] == 52.52  # of a place everybody may know it
    assert [line.payload["properties"]["latitude"] for line in sqlite_log.journal() if line.id == "u4"] == [centre[0]]


@pytest.mark.parametrize("one", ["latitude", "longitude"])
def test_half_a_point_of_a_listener_is_not_kept(state: Any, embedded_store: GraphStore, one: str) -> None:
    made = batch("s1")
    made.add_nodes("User", pl.DataFrame({"id": ["u1"], "name": ["Ann"], one: [13.123456]}), file="users.csv")
    state(made)
    assert properties(embedded_store, "User", "u1") == {"id": "u1", "name": "Ann"}


def test_another_source_needs_merge(state: Any, sqlite_log: EventLog) -> None:
    state(batch("s1"))
    with pytest.raises(SourceMismatch, match="holds tables:one already; importing tables:two into it needs --merge"):
        state(batch("s2"), name="two", fingerprint="f2")
    state(batch("s2"), name="two", fingerprint="f2", merge=True)
    assert sorted(sources(sqlite_log)) == ["tables:one", "tables:two"]


def test_a_source_that_moved_is_the_same_source(state: Any, sqlite_log: EventLog) -> None:
    state(batch("s1"))
    assert state(batch("s1"), name="moved") == 0
    assert list(sources(sqlite_log)) == ["tables:one"]


def test_an_interrupted_import_is_known_and_resumes(
    state: Any, sqlite_log: EventLog, embedded_store: GraphStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(EventLog, "append_source", killed)
        with pytest.raises(KeyboardInterrupt):
            state(batch("s1", "s2"))
    assert unfinished_imports(sqlite_log) == ["tables:one"]
    state(batch("s1", "s2"))
    assert unfinished_imports(sqlite_log) == []
    assert sqlite_log.last_offset() == 2
    assert embedded_store.counts()["labels"]["Song"] == 2


def test_an_emptied_graph_is_filled_again(state: Any, embedded_store: GraphStore, sqlite_log: EventLog) -> None:
    state(batch("s1"))
    embedded_store.delete_node("Song", "s1")
    state(batch("s1"))
    assert properties(embedded_store, "Song", "s1") == {"id": "s1", "title": "S1"}
    assert sqlite_log.last_offset() == 2


def test_two_imports_at_once_are_refused(state: Any, sqlite_log: EventLog) -> None:
    with sqlite_log.exclusive("import"), pytest.raises(Busy):
        state(batch("s1"))


def test_old_data_sets_the_clock_and_new_data_does_not(state: Any, sqlite_log: EventLog) -> None:
    state(batch("s1"))
    assert sqlite_log.get_meta("clock") == "data"
    fresh = Batch("tables")
    fresh.add_events(pl.DataFrame({"user_id": "u", "action": "play", "song_id": "s", "at": [fresh.now]}), file="e")
    assert fresh.clock == "wall"


def test_audio_segments_of_two_sources_stand_together(state: Any, tmp_path: Path) -> None:
    for name, song, tempo in (("one", "s1", 0.1), ("two", "s2", 0.2), ("three", "s1", 0.3)):
        made = batch(song)
        made.add_audio_segments(pl.DataFrame({"song_id": song, "segment": [0], "tempo": tempo}), file="audio")
        state(made, name=name, fingerprint=name, merge=True)
    found = audio_segments(tmp_path)
    assert found is not None
    assert found.rows() == [("s1", 0, 0.3), ("s2", 0, 0.2)]


# ---- single edits


def test_an_edit_is_in_the_journal_and_in_the_graph(embedded_store: GraphStore, sqlite_log: EventLog) -> None:
    catalogue = Catalogue(embedded_store, sqlite_log)
    assert catalogue.upsert_node("Song", "s1", {"title": "One"}) == 1
    catalogue.upsert_node("Song", "s1", {"duration_ms": 5, "title": None})
    assert properties(embedded_store, "Song", "s1") == {"id": "s1", "title": "One", "duration_ms": 5}
    assert [line.kind for line in sqlite_log.journal()] == ["upsert", "upsert"]
    catalogue.delete_node("Song", "s1")
    assert properties(embedded_store, "Song", "s1") is None


def test_a_follow_makes_its_ends_and_is_undone(embedded_store: GraphStore, sqlite_log: EventLog) -> None:
    catalogue = Catalogue(embedded_store, sqlite_log)
    catalogue.follow("u1", "u2", since=7)
    catalogue.follow("u1", "u2", since=9)
    catalogue.follow("u1", "a1", "Artist", since=8)
    follows = schema.relationship("FOLLOWS", "User", "User")
    assert ends(embedded_store, follows, "u1") == {"u2": {"since": 9}}
    assert ends(embedded_store, schema.relationship("FOLLOWS_ARTIST", "User", "Artist"), "u1") == {"a1": {"since": 8}}
    catalogue.unfollow("u1", "u2")
    assert ends(embedded_store, follows, "u1") == {}


def test_song_relations_become_exactly_what_is_given(embedded_store: GraphStore, sqlite_log: EventLog) -> None:
    catalogue = Catalogue(embedded_store, sqlite_log)
    catalogue.upsert_song("s1", {}, {"artists": ["a1", "a2"], "tags": {"calm": 2.0}})
    catalogue.upsert_song("s1", {}, {"artists": ["a2", "a3"], "tags": None})
    assert set(ends(embedded_store, PERFORMED_BY, "s1")) == {"a2", "a3"}
    assert ends(embedded_store, schema.relationship("HAS_TAG", "Song", "Tag"), "s1") == {"calm": {"weight": 2.0}}
    catalogue.upsert_song("s1", {}, {"tags": {}})
    assert ends(embedded_store, schema.relationship("HAS_TAG", "Song", "Tag"), "s1") == {}


def test_an_edit_that_a_crash_kept_from_the_graph_is_made_at_the_next_open(
    embedded_store: GraphStore, sqlite_log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = Catalogue(embedded_store, sqlite_log)
    with monkeypatch.context() as patched:
        patched.setattr(Catalogue, "_apply", lambda self, entry: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            catalogue.upsert_node("Song", "s1", {"title": "One"})
    assert properties(embedded_store, "Song", "s1") is None
    Catalogue(embedded_store, sqlite_log)
    assert properties(embedded_store, "Song", "s1") == {"id": "s1", "title": "One"}
    assert sqlite_log.last_journal_offset() == 1


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda c: c.upsert_node("Song", "a/b", {}), "without '/'"),
        (lambda c: c.upsert_node("Star", "s", {}), "unknown label 'Star'"),
        (lambda c: c.upsert_node("Song", "s", {"colour": 1}), "Song has no property 'colour'"),
        (lambda c: c.upsert_node("Song", "s", {"quality": 2}), "quality: expected 0 to 1"),
        (lambda c: c.upsert_node("Song", "s", {"title": 5}), "title: expected text, got int"),
        (lambda c: c.upsert_node("User", "u", {"latitude": 52.5}), "latitude, longitude: expected both or none"),
        (lambda c: c.follow("u", "u"), "cannot follow itself"),
        (lambda c: c.follow("u", "s", "Song"), "cannot follow a 'Song'"),
        (lambda c: c.follow("u", "v", since=-1), "since: expected 0 to"),
        (lambda c: c.upsert_song("s", {}, {"tags": {"t": float("nan")}}), "expected a finite number"),
        (lambda c: c.upsert_song("s", {}, {"cover_of": ["s"]}), "cannot be a cover of itself"),
    ],
)
def test_a_bad_edit_leaves_no_trace(embedded_store: GraphStore, sqlite_log: EventLog, edit: Any, expected: str) -> None:
    with pytest.raises(InvalidInput, match=expected):
        edit(Catalogue(embedded_store, sqlite_log))
    assert sqlite_log.last_journal_offset() == 0


# ---- what was deleted on purpose


def known(store: GraphStore, log: EventLog) -> dict[str, list[str]]:
    snapshot = export(store, log, upto=log.last_offset(), wall_clock=10**13)
    return {label: snapshot.ids[label].to_list() for label in ("Song", "User", "Artist")}


def test_what_was_deleted_comes_back_by_an_edit_alone(
    state: Any, embedded_store: GraphStore, sqlite_log: EventLog
) -> None:
    state(batch("s1", "s2"))
    with Catalogue(embedded_store, sqlite_log) as catalogue:
        catalogue.delete_node("Song", "s1")
        catalogue.delete_node("Artist", "a1")
        assert known(embedded_store, sqlite_log) == {
            "Song": ["s2"],
            "User": [],
            "Artist": [],
        }  # its events named u1 too
        again = batch("s1", "s2", "s3", events=3)
        state(again, fingerprint="f2")  # the source grew
        assert known(embedded_store, sqlite_log) == {"Song": ["s2", "s3"], "User": [], "Artist": []}
        assert any("deleted on purpose" in text for text in again.warnings)
        catalogue.upsert_song("s4", {}, {"artists": ["a1"]})  # an edit names the artist
        catalogue.upsert_node("Song", "s1", {"title": "Again"})
        assert known(embedded_store, sqlite_log) == {"Song": ["s1", "s2", "s3", "s4"], "User": ["u1"], "Artist": ["a1"]}
        catalogue.delete_node("Song", "s1")
        assert known(embedded_store, sqlite_log)["Song"] == ["s2", "s3", "s4"]


def test_the_source_of_something_deleted_is_known_still(
    state: Any, embedded_store: GraphStore, sqlite_log: EventLog
) -> None:
    state(batch("s1", "s2"))
    Catalogue(embedded_store, sqlite_log).delete_node("Song", "s2")
    assert state(batch("s1", "s2")) == 0


def test_a_listener_who_was_deleted_is_somebody_new(
    state: Any, embedded_store: GraphStore, sqlite_log: EventLog
) -> None:
    state(batch("s1", "s2"))
    with Catalogue(embedded_store, sqlite_log) as catalogue:
        catalogue.follow("u2", "u1")
        catalogue.delete_node("User", "u1")
        assert known(embedded_store, sqlite_log)["User"] == ["u2"]
        sqlite_log.append([{"user_id": "u1", "action": "like", "song_id": "s2", "at": 2000}])
        snapshot = export(embedded_store, sqlite_log, upto=sqlite_log.last_offset(), wall_clock=10**13)
        mine = snapshot.histories.of(snapshot.ids["User"].index("u1"))
        assert snapshot.histories.song[mine].tolist() == [snapshot.ids["Song"].index("s2")]
        assert not len(snapshot.relation("FOLLOWS"))
        catalogue.follow("u2", "u1")  # names somebody who is there again
        assert len(export(embedded_store, sqlite_log, upto=3, wall_clock=10**13).relation("FOLLOWS")) == 1
