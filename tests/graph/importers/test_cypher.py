"""A graph of another schema, read into ours by a mapping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from graph.errors import InvalidInput, UserError
from graph.importers.base import run_import
from graph.log.events import EventLog
from graph.snapshot.export import export
from graph.store.config import GraphConfig
from graph.store.store import GraphStore

MAPPING = """
[tables]
users = "MATCH (p:Person) RETURN p.uuid AS id, p.nick AS name, p.born AS birth_year, p.since AS joined_at"
songs = "MATCH (t:Track) RETURN t.isrc AS id, t.label AS title, t.length AS duration_ms, t.out AS released_at"
artists = "MATCH (b:Band) RETURN b.no AS id, b.called AS name"
song_artist = "MATCH (b:Band)-[:RECORDED]->(t:Track) RETURN t.isrc AS song_id, b.no AS artist_id"
follows = "MATCH (p:Person)-[k:KNOWS]->(q:Person) RETURN p.uuid AS user_id, q.uuid AS followed_id, k.at AS since"
events = '''MATCH (p:Person)-[r:PLAYED]->(t:Track) WHERE r.at > datetime({epochMillis: $since})
RETURN p.uuid AS user_id, 'play' AS action, t.isrc AS song_id, r.at AS at, r.count AS count'''
"""
TABLES = {
    "users": "id,name,birth_year,joined_at\n1,Ann,1980,2020-05-01\n2,Bob,,\n",
    "songs": "id,title,duration_ms,released_at\nx1,One,215000,2001-01-01\nx2,Two,180000,1999\n",
    "artists": "id,name\n7,Duo\n",
    "song_artist": "song_id,artist_id\nx1,7\nx2,7\n",
    "follows": "user_id,followed_id,since\n1,2,2021-03-04T05:06:07.5+02:00\n",
    "events": "user_id,action,song_id,at,count\n1,play,x1,2024-01-01T10:00:00+01:00,3\n2,play,x2,2024-01-02,1\n",
}
THEIRS = """
CREATE (a:Person {uuid: 1, nick: 'Ann', born: 1980.0, since: date('2020-05-01')}), (b:Person {uuid: 2, nick: 'Bob'}),
 (x:Track {isrc: 'x1', label: 'One', length: duration('PT3M35S'), out: date('2001-01-01')}),
 (y:Track {isrc: 'x2', label: 'Two', length: duration('PT3M'), out: date('1999-01-01')}),
 (d:Band {no: 7, called: 'Duo'}), (d)-[:RECORDED]->(x), (d)-[:RECORDED]->(y),
 (a)-[:KNOWS {at: datetime('2021-03-04T05:06:07.5+02:00')}]->(b),
 (a)-[:PLAYED {at: datetime('2024-01-01T10:00:00+01:00'), count: 3}]->(x),
 (b)-[:PLAYED {at: datetime('2024-01-02T00:00:00Z'), count: 1}]->(y)
"""


@pytest.fixture(params=["embedded", pytest.param("neo4j", marks=pytest.mark.neo4j)])
def config(request: pytest.FixtureRequest) -> GraphConfig:
    """Where their graph is."""
    request.getfixturevalue(f"{request.param}_store").write(THEIRS)
    found = request.getfixturevalue(f"{request.param}_config")
    assert isinstance(found, GraphConfig)
    return found


@pytest.fixture
def mapping(tmp_path: Path, config: GraphConfig, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THEIR_PASSWORD", config.password)
    return written(
        tmp_path / "theirs.toml", f'{MAPPING}[from]\nurl = "{config.url}"\npassword_env = "THEIR_PASSWORD"\n'
    )


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A graph of ours beside theirs."""
    url = f"embedded:{tmp_path_factory.mktemp('own')}"
    with GraphStore.open(GraphConfig(url=url, heap="256m", query_heap="128m", linger_s=0)) as store:
        yield store


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def digest(store: GraphStore, log: EventLog, format_: str, path: Path, state: Path) -> str:
    store.write("MATCH (n) DETACH DELETE n")
    report = run_import(format_, path, store, log, state, strict=True)
    assert report["rejected"] == 0
    return export(store, log, upto=log.last_offset(), wall_clock=2 * 10**12).digest()


def test_any_schema_gives_the_snapshot_of_the_same_tables(mapping: Path, own: GraphStore, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    for name, text in TABLES.items():
        written(tmp_path / "tables" / f"{name}.csv", text)
    found = []
    for format_, path in (("cypher", mapping), ("tables", tmp_path / "tables")):
        with EventLog(f"sqlite:///{tmp_path}/{format_}.db") as log:
            found.append(digest(own, log, format_, path, tmp_path))
    assert found[0] == found[1]


def test_since_brings_what_is_new(config: GraphConfig, mapping: Path, own: GraphStore, sqlite_log: EventLog) -> None:
    own.write("MATCH (n) DETACH DELETE n")
    state = mapping.parent
    assert run_import("cypher", mapping, own, sqlite_log, state)["read"] == 10
    again = run_import("cypher", mapping, own, sqlite_log, state)
    assert (again["read"], again["written"]) == (8, 0)
    with GraphStore.open(config) as theirs:
        theirs.write(
            "MATCH (a:Person {uuid: 1}) WITH a MATCH (y:Track {isrc: 'x2'}) "
            "CREATE (a)-[:PLAYED {at: datetime('2024-01-03T00:00:00Z'), count: 2}]->(y)"
        )
        assert run_import("cypher", mapping, own, sqlite_log, state)["read"] == 9
        theirs.write("MATCH (t:Track {isrc: 'x2'}) SET t.label = 'Deux'")
    assert sqlite_log.frame()["count"].to_list() == [3, 1, 2]
    run_import("cypher", mapping, own, sqlite_log, state)
    assert own.read("MATCH (s:Song {id: 'x2'}) RETURN s.title AS title") == [{"title": "Deux"}]
    assert sqlite_log.last_offset() == 3


def test_values_of_a_wrong_type_are_lost_or_cost_their_row(mapping: Path, tmp_path: Path) -> None:
    query = "UNWIND [['a', 'A', 1], ['b', ['x'], 'late'], [['c'], 'C', 2]] AS row "
    path = written(
        tmp_path / "odd.toml",
        f'songs = "{query} RETURN row[0] AS id, row[1] AS title, row[2] AS tier, 1 AS mood"\n'
        + "[from]"
        + mapping.read_text().partition("[from]")[2],
    )
    report = run_import("cypher", path, None, None, tmp_path, dry_run=True)
    assert (report["read"], report["rejected"]) == (3, 1)
    assert "songs: columns that the format does not have are left out: mood" in report["warnings"]
    rejects = pl.read_csv(report["rejects_file"]).select("file", "line", "reason").rows()
    assert rejects == [
        ("songs", 2, "title: expected a single value, got a list"),
        ("songs", 2, "tier: expected an integer of 64 bits, got 'late'"),
        ("songs", 3, "id: required"),
    ]


SONGS = "MATCH (t:Track) RETURN t.isrc AS id"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("songs = 'MATCH (t:Track) SET t.x = 1 RETURN t.isrc AS id'", "songs: query refused: it may write"),
        ("songs = 'MATCH (t:Track) RETURN t.isrc AS id, AS x'", r"songs: query: .*(line|position|[Cc]olumn)"),
        ("songs = 'MATCH (t:Track) RETURN t.isrc AS isrc'", "songs: expected the column id, got isrc"),
        ("events = 'MATCH (t:Track) RETURN t.isrc AS song_id'", "events: expected the columns user_id, action"),
    ],
)
def test_a_query_that_cannot_be_run_is_told_with_its_table(text: str, expected: str, mapping: Path) -> None:
    path = written(mapping.with_name("odd.toml"), text + "\n[from]" + mapping.read_text().partition("[from]")[2])
    with pytest.raises(UserError, match=rf"odd\.toml: {expected}") as error:
        run_import("cypher", path, None, None, path.parent, dry_run=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("songs = 'x'\nusers = =", r"odd.toml: expected TOML \(.*line 2"),
        ("tunes = 'RETURN 1 AS id'", r"\[tables\] knows no 'tunes' \(expected one of users, songs"),
        ("songs = 5", "songs: expected text, got 5"),
        ("[from]\nurl = 'bolt://x'", "expected the query of one table or more"),
        (f"songs = '{SONGS}'\n[from]\ncolour = 'x'", r"\[from\] knows no 'colour' \(expected one of url, user"),
        (f"songs = '{SONGS}'\n[from]\npassword = 'x'", "name its variable of the environment in password_env"),
        (f"songs = '{SONGS}'\n[from]\npassword_env = 'NOT_THERE'", "no variable NOT_THERE in the environment"),
        (f"songs = '{SONGS}'\n[tables]\nsongs = '{SONGS}'", "songs: expected one query"),
    ],
)
def test_a_mapping_that_is_wrong_is_told_where(text: str, expected: str, tmp_path: Path) -> None:
    path = written(tmp_path / "odd.toml", text)
    with pytest.raises(InvalidInput, match=expected):
        run_import("cypher", path, None, None, tmp_path, dry_run=True, options={"from": "bolt://127.0.0.1:1"})


def test_where_the_graph_is_has_to_be_said(tmp_path: Path) -> None:
    path = written(tmp_path / "m.toml", f"songs = '{SONGS}'")
    for url, expected in (
        (None, "expected --from bolt://"),
        ("embedded:nowhere", "nowhere: expected the folder of an embedded graph, found none"),
        ("bolt://me:secret@host", "expected an address without a login"),
        ("http://x", "graph.url: expected embedded:DIR, bolt:// or neo4j://"),
    ):
        with pytest.raises(InvalidInput, match=expected):
            run_import("cypher", path, None, None, tmp_path, dry_run=True, options={} if url is None else {"from": url})
    assert not (tmp_path / "nowhere").exists()
