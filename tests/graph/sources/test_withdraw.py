"""Sources that are imported, replaced and taken back, in any order and interrupted anywhere, against plain sets."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph import schema
from graph.batch import Batch
from graph.catalogue import Catalogue, import_batch
from graph.errors import InvalidInput
from graph.log.checks import EVENT_COLUMNS
from graph.log.events import EventLog
from graph.sources import audio, said
from graph.sources.registry import find, sources, unfinished_forgets, unfinished_imports
from graph.sources.withdraw import forget, removed_songs
from graph.store.store import Merged

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # there are hundreds of logs
BEGIN = 1_700_000_000_000
PERFORMED_BY = schema.relationship("PERFORMED_BY", "Song", "Artist")


class Graph:
    """A graph store of sets."""

    def __init__(self) -> None:
        self.nodes: set[tuple[str, str]] = set()
        self.edges: set[tuple[str, str, str]] = set()

    def counts(self) -> dict[str, dict[str, int]]:
        return {"labels": {e.name: sum(n == e.name for n, _ in self.nodes) for e in schema.LABELS}}

    def bulk_load(self, nodes: Mapping[str, pl.DataFrame], edges: Mapping[schema.Relationship, pl.DataFrame]) -> None:
        for label, frame in nodes.items():
            self.upsert_nodes(label, frame.to_dicts())
        for rel, frame in edges.items():
            self.upsert_relationships(rel, frame.to_dicts())

    url, is_embedded = "", True

    def migrate(self) -> list[str]:
        return []

    def merge_nodes(self, label: str, rows: Sequence[Mapping[str, Any]]) -> Merged:
        self.upsert_nodes(label, rows)
        return Merged(len(rows), 0)

    def merge_relationships(self, rel: schema.Relationship, rows: Sequence[Mapping[str, Any]]) -> Merged:
        self.upsert_relationships(rel, rows)
        return Merged(len(rows), 0)

    def is_foreign(self, *_: str) -> bool:
        return False

    def upsert_nodes(self, label: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.nodes |= {(label, row["id"]) for row in rows}

    def upsert_relationships(self, rel: schema.Relationship, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            assert {(rel.source, row["source"]), (rel.target, row["target"])} <= self.nodes
        self.edges |= {(rel.key, row["source"], row["target"]) for row in rows}

    def delete_nodes(self, label: str, ids: Sequence[str]) -> None:
        gone = {(label, id_) for id_ in ids}
        self.nodes -= gone
        self.edges = {edge for edge in self.edges if not gone & set(self.ends(edge))}

    def delete_relationships(self, rel: schema.Relationship, rows: Sequence[Mapping[str, Any]]) -> None:
        self.edges -= {(rel.key, row["source"], row["target"]) for row in rows}

    @staticmethod
    def ends(edge: tuple[str, str, str]) -> list[tuple[str, str]]:
        _, source, target = edge[0].split(":")
        return [(source, edge[1]), (target, edge[2])]


@dataclass(frozen=True)
class Version:
    """What a source says: artists of songs, and events with an id of their own, or with a time."""

    performed: frozenset[tuple[int, int]] = frozenset()
    named: frozenset[int] = frozenset()
    timed: frozenset[int] = frozenset()

    def batch(self) -> Batch:
        songs = pl.DataFrame({"id": sorted({f"s{song}" for song, _ in self.performed} | {"s0"})})
        ends = [(f"s{song}", f"a{artist}") for song, artist in sorted(self.performed)]
        edges = pl.DataFrame(ends, schema={"source": pl.String, "target": pl.String}, orient="row")
        rows = [(f"e{n}", n) for n in sorted(self.named)] + [(None, n + 10) for n in sorted(self.timed)]
        events = pl.DataFrame(rows, schema={"event_id": pl.String, "at": pl.Int64}, orient="row").with_columns(
            user_id=pl.lit("u"), action=pl.lit("play"), song_id=pl.lit("s0"), at=pl.col("at") + BEGIN, count=pl.lit(1)
        )
        events = pl.concat([pl.DataFrame(schema=EVENT_COLUMNS), events], how="diagonal_relaxed")
        return Batch("tables", nodes={"Song": songs}, relationships={PERFORMED_BY: edges}, events=events)

    @property
    def edges(self) -> set[tuple[str, str, str]]:
        return {(PERFORMED_BY.key, f"s{song}", f"a{artist}") for song, artist in self.performed}

    @property
    def nodes(self) -> set[tuple[str, str]]:
        return {("Song", "s0")} | {end for edge in self.edges for end in Graph.ends(edge)}

    def __or__(self, other: Version) -> Version:
        return Version(self.performed | other.performed, self.named | other.named, self.timed | other.timed)


@dataclass
class House:
    """A state folder, and beside it what it should hold."""

    folder: Path
    log: EventLog
    graph: Any = field(default_factory=Graph)
    claims: dict[str, Version] = field(default_factory=dict)
    edited: set[tuple[str, str]] = field(default_factory=set)
    posted: set[int] = field(default_factory=set)

    def bring(self, name: str, version: Version, *, replaces: bool = False) -> None:
        import_batch(
            self.graph, self.log, version.batch(), name=name, fingerprint=f"{name}:{hash(version)}",
            state_dir=self.folder, merge=True, replaces=replaces,
        )  # fmt: skip
        self.claims[name] = version if replaces else self.claims.get(name, Version()) | version

    def forget(self, name: str) -> None:
        if any(key.endswith(f":{name}") for key in sources(self.log)):
            forget(self.graph, self.log, find(self.log, name), self.folder)
        self.claims.pop(name, None)

    def edit(self, song: int) -> None:
        with Catalogue(self.graph, self.log) as catalogue:
            catalogue.upsert_node("Song", f"s{song}", {})
        self.edited.add(("Song", f"s{song}"))

    def post(self, number: int) -> None:
        event = {"event_id": f"e{number}", "user_id": "u", "action": "play", "song_id": "s0"}
        assert not self.log.append([{**event, "at": number + BEGIN}]).rejected
        self.posted.add(number)

    def check(self) -> None:
        claims = self.claims.values()
        assert self.graph.nodes == self.edited.union(*(version.nodes for version in claims))
        assert self.graph.edges == set().union(*(version.edges for version in claims))
        rows = self.log.frame().select("event_id", "at").rows()
        named = self.posted.union(*(version.named for version in claims))
        timed = [number + 10 for version in claims for number in version.timed]
        assert sorted(at - BEGIN for _, at in rows) == sorted([*named, *timed])
        assert {id_ for id_, _ in rows} >= {f"e{number}" for number in named}
        assert sorted(sources(self.log)) == sorted(f"tables:{name}" for name in self.claims)
        assert not unfinished_imports(self.log) + unfinished_forgets(self.log)


@contextmanager
def opened() -> Iterator[House]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, EventLog(f"sqlite:///{folder}/events.db") as log:
        yield House(Path(folder), log)


few = st.frozensets(st.integers(0, 3), max_size=3)
versions = st.builds(Version, st.frozensets(st.tuples(st.integers(0, 3), st.integers(0, 1)), max_size=3), few, few)
names = st.sampled_from(["one", "two"])
steps = st.one_of(
    st.tuples(st.just("bring"), names, versions),
    st.tuples(st.just("replace"), names, versions),
    st.tuples(st.just("forget"), names),
    st.tuples(st.sampled_from(["edit", "post"]), st.integers(0, 3)),
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, min_size=1, max_size=6))
def test_two_sources_in_any_order_leave_what_they_last_said(taken: list[Any]) -> None:
    with opened() as house:
        for kind, *rest in taken:
            if kind == "replace":
                house.bring(*rest, replaces=True)
            else:
                getattr(house, kind)(*rest)
            house.check()


FIRST = Version(frozenset({(0, 0), (1, 0), (2, 1)}), frozenset({0, 1}), frozenset({0, 1}))
OTHER = Version(frozenset({(1, 0), (3, 0)}), frozenset({1, 2}), frozenset({0}))
CORRECTED = Version(frozenset({(1, 1)}), frozenset({3}), frozenset({1, 2}))
STEPS = [
    (EventLog, ["set_meta", "drop_meta", "append_source", "take_out", "take_out_events", "append_journal", "give"]),
    (Graph, ["upsert_nodes", "upsert_relationships", "delete_nodes", "delete_relationships"]),
    (said, ["write", "remove"]),
]


@pytest.mark.parametrize(
    "again", [lambda house: house.bring("one", CORRECTED, replaces=True), lambda house: house.forget("one")]
)
def test_what_a_kill_interrupts_is_completed_by_the_same_command(again: Callable[[House], None]) -> None:
    fatal = 0
    while True:
        fatal += 1
        with opened() as house, pytest.MonkeyPatch.context() as patch:
            house.bring("one", FIRST)
            house.bring("two", OTHER)
            calls = killing(patch, fatal)
            try:
                again(house)
            except KeyboardInterrupt:
                patch.undo()
                again(house)
            house.check()
            if next(calls) <= fatal:
                break
    assert fatal > 8


def killing(patch: pytest.MonkeyPatch, fatal: int) -> Iterator[int]:
    """Kill before the call of that number of all that change something; the calls are counted from 1."""
    calls = iter(range(1, 1000))

    def killed(real: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            if next(calls) == fatal:
                raise KeyboardInterrupt
            return real(*args, **options)

        return call

    for owner, methods in STEPS:
        for name in methods:
            patch.setattr(owner, name, killed(getattr(owner, name)))
    return calls


@pytest.fixture
def house() -> Iterator[House]:
    with opened() as made:
        yield made


def test_what_an_edit_has_undone_is_not_said_by_it(house: House) -> None:
    lines: list[tuple[str, str, str, dict[str, Any]]] = [
        ("relations", "Song", "s1", {"artists": ["a9", "a1"], "tags": {"t": 0.5}}),
        ("relations", "Song", "s1", {"artists": ["a1"]}),
        ("upsert", "Song", "s2", {"properties": {}}),
        ("relations", "Song", "s3", {"cover_of": ["s2"]}),
        ("delete", "Song", "s2", {}),
        ("follow", "User", "u1", {"target": "u2", "since": 1}),
        ("follow", "Artist", "u1", {"target": "a2", "since": 1}),
        ("unfollow", "User", "u1", {"target": "u2"}),
    ]
    for line in lines:
        house.log.append_journal(*line)
    nodes = ["Song s1", "Song s3", "Artist a9", "Artist a1", "Tag t", "User u1", "User u2", "Artist a2"]
    edges = ["PERFORMED_BY:Song:Artist s1 a1", "HAS_TAG:Song:Tag s1 t", "FOLLOWS_ARTIST:User:Artist u1 a2"]
    found = said.by_edits(house.log).rows()
    assert sorted(" ".join(filter(None, key)) for key in found) == sorted([*nodes, *edges])


def test_a_song_that_came_back_is_in_the_graph_though_only_events_name_it(house: House) -> None:
    house.bring("one", FIRST)
    house.forget("one")
    made = Version(named=frozenset({7})).batch()
    made.nodes.clear()
    import_batch(house.graph, house.log, made, name="two", fingerprint="two", state_dir=house.folder)
    assert house.graph.nodes == {("Song", "s0")}
    assert removed_songs(house.log) == {"s0", "s1", "s2"}


def test_exposures_and_audio_segments_go_with_their_source(house: House) -> None:
    def version(*songs: str) -> Batch:
        made = FIRST.batch()
        shown = pl.DataFrame({"request_id": "r", "song_id": songs, "position": 0})
        made.add_exposures(shown, file="exposures.csv")
        made.add_audio_segments(pl.DataFrame({"song_id": songs, "segment": 0, "tempo": 1.0}), file="audio.csv")
        return made

    def bring(fingerprint: str, *songs: str) -> None:
        import_batch(
            house.graph, house.log, version(*songs), name="one", fingerprint=fingerprint, state_dir=house.folder,
            replaces=True,
        )  # fmt: skip

    bring("a", "s0", "s1")
    bring("b", "s2", "s1")
    bring("c", "s2", "s1", "s0")  # grown at its end: what is there stays
    assert house.log.exposures().select("offset", "song_id").rows() == [(3, "s2"), (4, "s1"), (5, "s0")]
    found = audio.audio_segments(house.folder)
    assert found is not None
    assert found["song_id"].to_list() == ["s0", "s1", "s2"]
    assert house.log.append_exposures([{"request_id": "r", "song_id": "s0", "position": 0}]) == 6
    house.forget("one")
    assert house.log.exposures()["offset"].to_list() == [6]
    assert audio.audio_segments(house.folder).is_empty()  # type: ignore[union-attr]


def test_a_source_of_before_is_known_once_it_is_imported_again(house: House) -> None:
    house.bring("one", FIRST)
    value = f'{{"fingerprint": "one:{hash(FIRST)}", "state": "done", "counts": {{"Song": 3}}}}'
    house.log.set_meta("source:tables:one", value)  # as it was written then
    said.remove(house.folder, 1)
    house.log.give(house.log.frame()["event_id"].to_list(), None)
    with pytest.raises(InvalidInput, match="import it once more as it is"):
        house.forget("one")
    house.bring("two", OTHER)
    with pytest.raises(InvalidInput, match="tables:one was imported by an earlier version"):
        house.forget("two")
    house.bring("one", FIRST)
    house.check()
    house.forget("one")
    house.check()


def test_a_source_is_found_by_its_number_name_or_path(house: House) -> None:
    house.bring("one", FIRST)
    house.bring("two", OTHER)
    assert [find(house.log, text).number for text in ("1", "two", "tables:two")] == [1, 2, 2]
    with pytest.raises(InvalidInput, match=r"unknown source 'three' \(expected one of 1 \(tables:one\), 2"):
        find(house.log, "three")
    house.forget("two")
    house.bring("three", OTHER)
    assert find(house.log, "three").number == 3  # a number is given once
