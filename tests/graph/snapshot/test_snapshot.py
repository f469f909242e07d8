import filecmp
import mmap
from pathlib import Path

import h3
import numpy as np
import polars as pl
import pytest
from segue_test_worlds import (
    DAY,
    LOPSIDED_EDGES,
    LOPSIDED_EVENTS,
    LOPSIDED_NODES,
    NOW,
    World,
    edges,
    events,
    lopsided_snapshot,
    nodes,
)

from graph import schema
from graph.errors import CorruptRelease
from graph.snapshot import arrays
from graph.snapshot.histories import CODE, UNKNOWN_TIME
from graph.snapshot.snapshot import UNKNOWN_INTEGER, VERSION, Snapshot


def shuffled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sample(fraction=1.0, shuffle=True, seed=4)


def test_nodes_are_numbered_in_the_byte_order_of_their_ids() -> None:
    ids = ["ș", "10", "01", "1", "a", "Z", "\U0001f3b5"]
    snapshot = lopsided_snapshot(node_tables={"Tag": nodes(ids)}, edge_tables={})
    # those that stand only in edges are nodes too
    assert snapshot.ids["Tag"].to_list() == ["01", "1", "10", "Z", "a", "calm", "loud", "ș", "\U0001f3b5"]


def test_bare_nodes_are_counted(lopsided: World) -> None:
    assert lopsided.snapshot.meta["bare"] == {"Tag": 2, "Album": 1, "Place": 1, "Entity": 1}
    snapshot = lopsided_snapshot(log=events([("new", "play", "s9", NOW)]))
    assert (snapshot.users, snapshot.songs) == (4, 6)
    assert snapshot.meta["bare"]["User"] == snapshot.meta["bare"]["Song"] == 1


def test_properties_stand_with_their_node(lopsided: World) -> None:
    snapshot = lopsided.snapshot
    assert snapshot.texts("Song", "title").to_list() == ["One", "Two", "Three", "Four", ""]
    assert snapshot.column("User", "birth_year").tolist() == [1990, UNKNOWN_INTEGER, 2001]
    assert snapshot.column("Song", "quality") == pytest.approx([0.5, np.nan, 1.0, 0.25, 0.75], nan_ok=True)
    assert (snapshot.column("Song", "tier") == UNKNOWN_INTEGER).all()


def test_a_node_is_called_by_its_name_else_its_title_else_its_id(lopsided: World) -> None:
    snapshot = lopsided.snapshot
    assert [snapshot.name("User", i) for i in range(3)] == ["Ana", "Ben", "cy"]
    assert [snapshot.name("Song", i) for i in (0, 4)] == ["One", "s5"]
    assert [snapshot.name("Genre", 1), snapshot.name("Language", 0)] == ["rock", "en"]


def test_relations_lead_both_ways(lopsided: World) -> None:
    genres = lopsided.snapshot.relation("HAS_GENRE")
    assert (genres.source, genres.sources, genres.targets) == ("Song", 5, 2)
    assert [genres.of(i).tolist() for i in range(5)] == [[0], [0, 1], [1], [1], [0]]
    assert genres.into(1).tolist() == [1, 2, 3]
    assert lopsided.snapshot.relation("HAS_GENRE", "Artist").sources == 2
    with pytest.raises(KeyError, match="no relation HAS_GENER from any label"):
        lopsided.snapshot.relation("HAS_GENER")


def test_language_and_each_kind_of_triple_are_relations_of_songs(lopsided: World) -> None:
    names = {r.name for r in lopsided.snapshot.song_relations()}
    assert names == {"PERFORMED_BY", "HAS_GENRE", "HAS_TAG", "ON_ALBUM", "LANGUAGE", "RELATED:film.music"}
    language = lopsided.snapshot.relation("LANGUAGE")
    assert [language.of(i).tolist() for i in range(5)] == [[0], [0], [1], [], []]
    assert lopsided.snapshot.languages.to_list() == ["en", "ro"]


def test_what_the_events_make_is_a_relation(lopsided: World) -> None:
    snapshot = lopsided.snapshot
    assert snapshot.counts()["relationships"]["LISTENED:User:Song"] == 6
    assert snapshot.relation("COLLECTED").of(0).tolist() == [0]
    assert snapshot.relation("LIKED").of(1).tolist() == [3]
    assert snapshot.relation("BLOCKED").of(2).tolist() == [2]


@pytest.mark.parametrize(("wall_clock", "as_of"), [(None, NOW), (NOW + DAY, NOW), (NOW - DAY, NOW - DAY)])
def test_as_of_is_the_newest_event_or_the_wall_clock(wall_clock: int | None, as_of: int) -> None:
    snapshot = Snapshot.of_frames(LOPSIDED_NODES, LOPSIDED_EDGES, LOPSIDED_EVENTS, wall_clock=wall_clock)
    assert snapshot.as_of == as_of
    assert snapshot.view(np.ones(9, dtype=bool)).as_of == as_of


def test_a_log_without_times_has_no_as_of() -> None:
    assert lopsided_snapshot(log=events([("ana", "play", "s1", None)])).as_of == UNKNOWN_TIME


def test_nothing_at_all_is_a_snapshot_too(tmp_path: Path) -> None:
    Snapshot.of_frames({}, {}, events([])).write(tmp_path)
    snapshot = Snapshot.open(tmp_path)
    assert (snapshot.songs, snapshot.users, len(snapshot.histories), snapshot.as_of) == (0, 0, 0, UNKNOWN_TIME)


# ---- bytes and digests


def test_the_same_content_gives_the_same_bytes_in_whatever_order_rows_come(tmp_path: Path) -> None:
    lopsided_snapshot().write(tmp_path / "a")
    other = Snapshot.of_frames(
        {label: shuffled(frame) for label, frame in reversed(LOPSIDED_NODES.items())},
        {rel: shuffled(frame) for rel, frame in reversed(LOPSIDED_EDGES.items())},
        shuffled(LOPSIDED_EVENTS),
    )
    other.write(tmp_path / "b")
    files = ["snapshot.bin", "snapshot.json"]
    assert filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", files, shallow=False)[0] == files
    assert other.digest() == lopsided_snapshot().digest()


def test_the_digest_is_of_the_graph_not_of_what_is_derived(lopsided: World) -> None:
    fewer = lopsided_snapshot(log=LOPSIDED_EVENTS.head(2))
    assert fewer.digest() == lopsided.snapshot.digest() == lopsided.snapshot.view(np.zeros(9, dtype=bool)).digest()


@pytest.mark.parametrize(
    "changed",
    [
        {"node_tables": {"Genre": nodes(["folk", "rock", "jazz"])}},
        {"node_tables": {"Artist": nodes(["alba", "brio"], name=["Alba", "Brío"])}},
        {"edge_tables": edges({("ON_ALBUM", "Song", "Album"): [("s1", "first")]})},
        {"edge_tables": edges({("SIMILAR_TO", "Artist", "Artist"): [("alba", "brio", 0.6)]})},
    ],
)
def test_a_change_of_the_graph_changes_the_digest(lopsided: World, changed: dict[str, object]) -> None:
    assert lopsided_snapshot(**changed).digest() != lopsided.snapshot.digest()


# ---- views


def test_a_view_sees_only_some_events_and_what_follows_from_them(lopsided: World) -> None:
    whole = lopsided.snapshot
    view = whole.view((whole.histories.at < NOW) & (whole.histories.action != CODE["like"]))
    assert lopsided.ids(view.histories.song) == ["s1", "s1", "s3", "s4", "s4"]
    assert [view.relation("LISTENED").of(u).tolist() for u in range(3)] == [[0], [2, 3], [3]]
    assert view.relation("COLLECTED").of(0).tolist() == [0]
    assert not len(view.relation("LIKED"))
    assert not len(view.relation("BLOCKED"))
    assert view.as_of == NOW - 7 * DAY


def test_a_view_keeps_the_graph_and_leaves_the_whole_as_it_is(lopsided: World) -> None:
    view = lopsided.snapshot.view(np.zeros(9, dtype=bool))
    assert view.ids is not None
    assert view.relation("FOLLOWS").of(0).tolist() == [1, 2]
    assert len(lopsided.snapshot.relation("LISTENED")) == 6
    assert {r.key for r in view.relations()} == {r.key for r in lopsided.snapshot.relations()}


def test_a_view_hides_what_came_about_later_and_keeps_what_has_no_time() -> None:
    tables = {
        ("CONTAINS", "Playlist", "Song"): [("mix", "s1", 0, NOW - DAY), ("mix", "s2", 1, NOW), ("mix", "s3", 2, None)],
        ("FOLLOWS", "User", "User"): [("ana", "ben", NOW - DAY), ("ana", "cy", NOW + DAY)],
    }
    snapshot = lopsided_snapshot(edge_tables=edges(tables))
    view = snapshot.view(np.ones(len(snapshot.histories), dtype=bool), NOW)
    assert [view.ids["Song"][i] for i in view.relation("CONTAINS", "Playlist").of(0)] == ["s1", "s3"]
    assert view.relation("FOLLOWS").of(0).tolist() == [1]
    assert len(snapshot.relation("FOLLOWS")) == 2


def test_a_view_cannot_be_written(lopsided: World, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="would lose the events it hides"):
        lopsided.snapshot.view(np.ones(9, dtype=bool)).write(tmp_path)


# ---- opening


def test_it_opens_as_it_was_written(tmp_path: Path) -> None:
    written = lopsided_snapshot()
    written.write(tmp_path)
    opened = Snapshot.open(tmp_path)
    assert opened.counts() == written.counts()
    assert opened.digest() == written.digest()
    for name in ("indptr", "song", "action", "at", "count", "offset"):
        assert getattr(opened.histories, name).tolist() == getattr(written.histories, name).tolist()


def test_opening_maps_one_file_and_computes_no_relation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lopsided_snapshot().write(tmp_path)
    maps = []
    original = mmap.mmap
    monkeypatch.setattr(arrays.mmap, "mmap", lambda *a, **k: maps.append(a) or original(*a, **k))
    monkeypatch.setattr(np, "argsort", lambda *_, **__: pytest.fail("opening sorts"))
    monkeypatch.setattr(np, "repeat", lambda *_, **__: pytest.fail("opening walks over the edges"))
    monkeypatch.setattr(pl, "DataFrame", lambda *_, **__: pytest.fail("opening makes tables"))
    opened = Snapshot.open(tmp_path)
    assert len(maps) == 1
    assert opened.relation("LISTENED").into(3).tolist() == [1, 2]
    # what it holds lies in the file's pages, not in this process
    assert not opened.histories.song.flags.owndata
    assert not opened.histories.song.flags.writeable


def test_a_damaged_snapshot_is_a_corrupt_release(tmp_path: Path) -> None:
    with pytest.raises(CorruptRelease):
        Snapshot.open(tmp_path)
    lopsided_snapshot().write(tmp_path)
    text = (tmp_path / "snapshot.json").read_text()
    for damaged, message in [
        (text.replace(f'"version": {VERSION}', '"version": 99'), rf"version 99 \(expected {VERSION}\)"),
        (text.replace('"labels"', '"lables"'), "lacks 'labels'"),
        (text.replace('"histories/song"', '"histories/sung"'), "lacks 'histories/song'"),
        (text[:-5], "cannot be read"),
    ]:
        (tmp_path / "snapshot.json").write_text(damaged)
        with pytest.raises(CorruptRelease, match=message):
            Snapshot.open(tmp_path)


# ---- other libraries


def test_networkx_has_the_same_nodes_and_edges(lopsided: World) -> None:
    snapshot = lopsided.snapshot
    graph = snapshot.to_networkx()
    counts = snapshot.counts()
    assert graph.number_of_nodes() == sum(counts["labels"].values())
    assert graph.number_of_edges() == sum(counts["relationships"].values())
    assert graph.edges[("Song", "s5"), ("Tag", "loud"), "HAS_TAG"]["weight"] == 3.0
    assert graph.edges[("User", "ben"), ("Song", "s3"), "LISTENED"]["plays"] == 10
    for relation in snapshot.relations():
        for s, t in zip(relation.edge_sources.tolist(), relation.indices.tolist(), strict=True):
            ends = (
                (relation.source, snapshot.ids[relation.source][s]),
                (relation.target, snapshot.ids[relation.target][t]),
            )
            assert graph.has_edge(*ends, key=relation.name)


def test_networkx_of_some_types_only(lopsided: World) -> None:
    graph = lopsided.snapshot.to_networkx("FOLLOWS")
    assert sorted((a[1], b[1]) for a, b in graph.edges()) == [("ana", "ben"), ("ana", "cy"), ("cy", "ana")]


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
def test_hetero_data_has_the_same_nodes_and_edges(lopsided: World) -> None:
    snapshot = lopsided.snapshot
    data = snapshot.to_hetero_data()
    assert {label: data[label].num_nodes for label in data.node_types} == snapshot.counts()["labels"]
    assert len(data.edge_types) == len(list(snapshot.relations()))
    for relation in snapshot.relations():
        store = data[relation.source, relation.name, relation.target]
        assert store.edge_index.tolist() == [relation.edge_sources.tolist(), relation.indices.tolist()]
        for name, values in relation.properties.items():
            assert store[name].numpy() == pytest.approx(values, nan_ok=True)
    assert lopsided.snapshot.to_hetero_data("FOLLOWS").edge_types == [("User", "FOLLOWS", "User")]


def test_every_relationship_that_is_not_derived_has_a_relation_even_when_empty() -> None:
    names = {r.key for r in Snapshot.of_frames({}, {}, events([])).relations()}
    assert names >= {r.key for r in schema.RELATIONSHIPS if r.type not in {"RELATED", "SIMILAR_TO"}}


def test_an_event_stands_in_the_cell_of_its_point() -> None:
    log = events([("ana", "play", "s1", NOW, 1, None, None, 48.2082, 16.3738), ("ana", "play", "s2", NOW + 1)])
    cells = lopsided_snapshot(log=log).histories.cell.tolist()
    assert cells == [h3.str_to_int(h3.latlng_to_cell(48.2082, 16.3738, 9)), 0]


def shown(rows: list[tuple[str | None, str, int | None, str | None]]) -> pl.DataFrame:
    fields = ["user_id", "song_id", "at", "channel"]
    frame = pl.DataFrame(rows, schema=fields, orient="row").with_row_index("offset", offset=1)
    return frame.with_columns(request_id=pl.lit("r"), position=pl.col("offset") % 3, score=pl.lit(None, pl.Float64))


def test_exposures_stand_in_the_order_of_the_log(tmp_path: Path) -> None:
    rows = [("ben", "s2", NOW, "social"), (None, "s1", None, None), ("ana", "??", NOW, "hot"), ("??", "s2", NOW, "hot")]
    lopsided_snapshot(exposures=shown(rows)).write(tmp_path)
    found = Snapshot.open(tmp_path).exposures
    assert (found.user.tolist(), found.song.tolist()) == ([1, -1, -1], [1, 0, 1])
    assert (found.at.tolist(), found.offset.tolist()) == ([NOW, UNKNOWN_TIME, NOW], [1, 2, 4])
    assert ([found.channels[c] if c >= 0 else None for c in found.channel], found.last_offset) == (
        ["social", None, "hot"],
        4,
    )
    assert found.place.tolist() == [1, 2, 1]
    assert np.isnan(found.score).all()


def test_a_view_sees_what_was_shown_before_its_end() -> None:
    rows = [("ana", "s1", at, None) for at in (NOW - 1, NOW, None)]
    snapshot = lopsided_snapshot(exposures=shown(rows))
    everything = np.ones(len(snapshot.histories), dtype=bool)
    assert snapshot.view(everything, NOW).exposures.offset.tolist() == [1]
    assert len(snapshot.view(everything).exposures) == 0
