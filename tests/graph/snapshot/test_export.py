from collections.abc import Iterator
from pathlib import Path

import pytest
from segue_test_worlds import DAY, LOPSIDED_EDGES, LOPSIDED_EVENTS, LOPSIDED_NODES, NOW, World, nodes

from graph.log.events import EventLog
from graph.schema import relationship
from graph.snapshot.export import export
from graph.store.store import GraphStore

BARE = {"Tag": nodes(["calm", "loud"]), "Album": nodes(["first"]), "Place": nodes(["here"]), "Entity": nodes(["film"])}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    with EventLog(f"sqlite:///{tmp_path}/events.db") as opened:
        rows = LOPSIDED_EVENTS.drop("offset").to_dicts()
        for number, row in enumerate(rows):
            query = {"query": "folk"} if row["action"] == "search" else {}
            opened.append(
                [{"event_id": str(number), **{k: v for k, v in row.items() if v is not None}, **query}], now=NOW
            )
        yield opened


def fill(store: GraphStore) -> None:
    store.bulk_load({**LOPSIDED_NODES, **BARE}, LOPSIDED_EDGES)


def test_a_graph_comes_back_as_the_snapshot_of_its_tables(store: GraphStore, log: EventLog, lopsided: World) -> None:
    fill(store)
    assert log.last_offset() == 10
    snapshot = export(store, log, upto=10, wall_clock=NOW)
    assert snapshot.digest() == lopsided.snapshot.digest()
    assert snapshot.counts() == lopsided.snapshot.counts()
    assert snapshot.histories.song.tolist() == lopsided.snapshot.histories.song.tolist()
    assert snapshot.meta["bare"] == {}


def test_events_count_up_to_the_offset_and_time_up_to_the_clock(embedded_store: GraphStore, log: EventLog) -> None:
    fill(embedded_store)
    assert len(export(embedded_store, log, upto=3, wall_clock=NOW).histories) == 3
    assert export(embedded_store, log, upto=10, wall_clock=NOW - DAY).as_of == NOW - DAY


def test_old_events_do_not_bring_back_a_song_that_was_taken_out(embedded_store: GraphStore, log: EventLog) -> None:
    fill(embedded_store)
    log.append_journal("removed", "Song", None, {"ids": ["s1", "s2"]})
    embedded_store.delete_nodes("Song", ["s1", "nowhere"])  # s2 was said again since
    snapshot = export(embedded_store, log, upto=10, wall_clock=NOW)
    assert snapshot.ids["Song"].to_list() == ["s2", "s3", "s4", "s5"]
    assert snapshot.meta["bare"] == {}


def test_it_holds_what_was_shown_before_the_newest_event(embedded_store: GraphStore, log: EventLog) -> None:
    fill(embedded_store)
    shown = {"request_id": "r", "user_id": "ana", "song_id": "s1", "position": 0}
    log.append_exposures([{**shown, "at": at} for at in (NOW - 1, NOW, NOW + DAY, None)])
    assert export(embedded_store, log, upto=10, wall_clock=NOW + DAY).exposures.at.tolist() == [NOW - 1]
    assert len(export(embedded_store, log, upto=0, wall_clock=NOW).exposures) == 0  # no event, nothing before it


def test_what_is_derived_in_the_graph_is_made_anew(embedded_store: GraphStore, log: EventLog) -> None:
    fill(embedded_store)
    embedded_store.upsert_relationships(relationship("LISTENED", "User", "Song"), [{"source": "ana", "target": "s5"}])
    embedded_store.write("MATCH (s:Song {id: 's5'}) SET s.plays = 99")
    snapshot = export(embedded_store, log, upto=10, wall_clock=NOW)
    assert 4 not in snapshot.relation("LISTENED").of(0)


def test_what_the_schema_forbids_is_left_out_and_counted(store: GraphStore, log: EventLog) -> None:
    store.write(
        "CREATE (a:Song {id: 's1', duration_ms: 'long', quality: 7.0, title: 5}), (b:Song {id: 's2', quality: 0.5}), "
        "(:Song {id: 7}), (:Song {title: 'none'}), (:Song {id: 'a/b'}), (:Song {id: ''}), (x:Song {id: 'd'}), "
        "(y:Genre {id: 'g'}), (a)-[:HAS_GENRE]->(y), (a)-[:HAS_GENRE]->(y), (x)-[:HAS_GENRE]->(y), "
        "(a)-[:RELATED {relation: 'r'}]->(b), (a)-[:RELATED]->(b), "
        "(:User {id: 'u', joined_at: date('2020-01-02'), birth_year: 1980.0})"
    )
    warnings: list[str] = []
    snapshot = export(store, log, upto=0, wall_clock=NOW, warnings=warnings)
    assert snapshot.ids["Song"].to_list() == ["d", "s1", "s2"]
    assert snapshot.texts("Song", "title").to_list() == ["", "", ""]
    assert snapshot.column("User", "birth_year").tolist() == [1980]
    assert (len(snapshot.relation("HAS_GENRE")), len(snapshot.relation("RELATED:r"))) == (2, 1)
    assert sorted(warnings) == [
        "4 Song nodes of the graph have no usable id: left out, with their relationships",
        "HAS_GENRE:Song:Genre: 1 relationships of the graph stand beside another one: left out",
        "RELATED:Song:Song: 1 relationships of the graph have no relation: left out",
        "Song: 1 values of duration_ms in the graph are not what the schema asks for: left out",
        "Song: 1 values of quality in the graph are not what the schema asks for: left out",
        "Song: 1 values of title in the graph are not what the schema asks for: left out",
        "User: 1 values of joined_at in the graph are not what the schema asks for: left out",
    ]


def test_progress_runs_through_labels_and_relationships(embedded_store: GraphStore, log: EventLog) -> None:
    ticks: list[tuple[int, int]] = []
    export(embedded_store, log, upto=0, wall_clock=NOW, progress=lambda what, done, total: ticks.append((done, total)))
    assert [done for done, _ in ticks] == list(range(1, ticks[-1][1] + 1))
