"""`cypher`: a graph that somebody else made, read by one Cypher query for each table of `tables`.

The path is a TOML file: names of tables with the queries whose columns are that table's, in `[tables]` or at the top,
and in `[from]` where the graph is and who asks:

    [tables]
    users = "MATCH (p:Person) RETURN p.uuid AS id, p.nick AS name"
    events = '''MATCH (p:Person)-[r:PLAYED]->(t:Track) WHERE r.at.epochMillis > $since
                RETURN p.uuid AS user_id, 'play' AS action, t.isrc AS song_id, r.at AS at, r.count AS count'''
    [from]
    url = "bolt://…"
    user = "neo4j"
    password_env = "MUSIC_PASSWORD"

`--from` goes before `url`. Nothing is written there: each query passes the guard of queries from outside, the engine's
own plan, and runs with rights to read. `$since` is the time of the newest event that the state has from this source, in
epoch milliseconds, or 0. A rejected row's file is the table, its line the number of the row.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import neo4j.time
import polars as pl

from graph.batch import Batch, one_line
from graph.catalogue import Progress
from graph.errors import InvalidInput, QueryRefused
from graph.importers.base import existing_file, read_text
from graph.importers.tables import TABLES, add_table, columns_of
from graph.store import guard
from graph.store.config import GraphConfig
from graph.store.store import EMBEDDED, GraphStore

_FROM: Final = ("url", "user", "password_env", "database")
_SINCE: Final = ("word", "$since")
_EXACT: Final = 2.0**53
_SECONDS: Final = 86_400
_EXPECTED: Final = "a TOML of Cypher queries, one for each table"


@dataclass(frozen=True)
class _Mapping:
    """What the TOML says: the query of each table, and where the graph is."""

    queries: dict[str, str]
    given: dict[str, str]
    text: str


class Cypher:
    """The graph at `from_`, as the TOML file at `path` reads it."""

    format: Final = "cypher"

    def __init__(self, path: Path, *, from_: str | None = None) -> None:
        self._path, self._from = path, from_
        self.since = 0
        """Time of the newest event that the state has from this source, epoch milliseconds; 0 for none."""
        self._read: list[object] = []
        self._newest = 0

    @staticmethod
    def recognises(path: Path) -> bool:
        return path.suffix == ".toml"

    @property
    def source_name(self) -> str:
        """The file and the graph."""
        return f"{self._path.resolve().as_posix()} from {self._url(_parsed(self._path))}"

    def files(self) -> list[Path]:
        _parsed(self._path)
        return [self._path]

    def fingerprint(self) -> str:
        """A digest of the file, of the graph's address, and of what `read` found.

        Of a query that asks for what is new it is how far that reaches, so that finding nothing new changes nothing.
        """
        mapping = _parsed(self._path)
        said = [mapping.text, self._url(mapping), max(self._newest, self.since), *self._read]
        return hashlib.blake2b(repr(said).encode(), digest_size=16).hexdigest()

    def read(self, progress: Progress) -> Batch:
        mapping = _parsed(self._path)
        batch = Batch(self.format)
        self._read = []
        with GraphStore.open(self._config(mapping)) as store:
            for name, query in mapping.queries.items():  # a mistake in the last one costs no time
                self._asked(name, lambda query=query: store.check_reading(query, {"since": self.since}))
            for done, (name, query) in enumerate(mapping.queries.items()):
                progress(f"reading {name}", done, len(mapping.queries))
                frame = self._asked(name, lambda name=name, query=query: self._table(store, batch, name, query))
                batch.read += frame.height
                incremental = _SINCE in guard.tokens(query)
                if not incremental or (self.since and frame.height):
                    self._read.append((name, frame.columns, frame.height, _sum_of_rows(frame)))
                self._added(batch, name, frame)
            progress("reading", len(mapping.queries), len(mapping.queries))
        newest = batch.events["at"].max()
        self._newest = newest if isinstance(newest, int) else 0
        return batch

    # ---- inside

    def _url(self, mapping: _Mapping) -> str:
        url = self._from or mapping.given.get("url", "")
        if not url:
            raise InvalidInput(f"{self._path}: expected --from bolt://… or embedded:DIR, or url in [from], got neither")
        if url.startswith(EMBEDDED):
            folder = Path(url.removeprefix(EMBEDDED))
            folder = folder.resolve() if self._from else (self._path.parent / folder).resolve()
            return f"{EMBEDDED}{folder.as_posix()}"
        if "@" in url.partition("//")[2].partition("/")[0]:
            raise InvalidInput("--from: expected an address without a login (user and password_env stand in [from])")
        return url

    def _config(self, mapping: _Mapping) -> GraphConfig:
        url = self._url(mapping)
        if url.startswith(EMBEDDED) and not Path(url.removeprefix(EMBEDDED), "arcadedb").is_dir():
            raise InvalidInput(f"{url.removeprefix(EMBEDDED)}: expected the folder of an embedded graph, found none")
        name = mapping.given.get("password_env")
        if name is not None and name not in os.environ:
            raise InvalidInput(f"{self._path}: password_env: there is no variable {name} in the environment")
        return GraphConfig(
            url=url,
            user=mapping.given.get("user", "neo4j"),
            password=os.environ[name] if name is not None else "",
            database=mapping.given.get("database"),
        )

    def _added(self, batch: Batch, name: str, frame: pl.DataFrame) -> None:
        if frame.columns == ["line"]:  # the embedded engine names no columns where there is no row
            if name == "audio_segments":
                return
            texts = pl.DataFrame(schema=dict.fromkeys(columns_of(name), pl.String))
            frame = texts.with_columns(line=pl.lit(None, pl.Int64))
        try:
            add_table(batch, name, frame, Path(name))
        except InvalidInput as error:
            raise InvalidInput(f"{self._path}: {error}") from None

    def _asked(self, table: str, ask: Any) -> Any:
        try:
            return ask()
        except (InvalidInput, QueryRefused) as error:
            raise type(error)(f"{self._path}: {table}: {error}") from None

    def _table(self, store: GraphStore, batch: Batch, name: str, query: str) -> pl.DataFrame:
        """What the query returns, as texts, and `line`."""
        frames, line = [], 1
        for columns, rows in store.stream_rows(query, {"since": self.since}):
            parts = {
                column: pl.Series(column, list(_texts(batch, name, column, (row[at] for row in rows), line)), pl.String)
                for at, column in enumerate(columns)
            }
            numbers = pl.Series("line", range(line, line + len(rows)), dtype=pl.Int64)
            frames.append(pl.DataFrame({**parts, "line": numbers}))
            line += len(rows)
        return pl.concat(frames)


def _parsed(path: Path) -> _Mapping:
    """What the file says.

    Raises: InvalidInput if it is no TOML, has another key, or no table.
    """
    text = read_text(existing_file(path, _EXPECTED))
    try:
        whole: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{path}: expected TOML ({one_line(str(error))})") from None
    given, tables = whole.pop("from", {}), whole.pop("tables", {})
    for section, found in (("from", given), ("tables", tables)):
        if not isinstance(found, dict):
            raise InvalidInput(f"{path}: {section}: expected a section [{section}], got {type(found).__name__}")
    _check_names(path, "[from]", given, _FROM)
    _check_names(path, "[tables]", {**whole, **tables}, TABLES)
    if both := sorted(whole.keys() & tables.keys()):
        raise InvalidInput(f"{path}: {both[0]}: expected one query, got one in [tables] and one at the top")
    if not whole and not tables:
        raise InvalidInput(f"{path}: expected the query of one table or more ({', '.join(TABLES)}), got none")
    queries = {**whole, **tables}
    return _Mapping({name: queries[name] for name in TABLES if name in queries}, given, text)


def _check_names(path: Path, section: str, found: Mapping[str, object], known: Sequence[str]) -> None:
    for name, value in found.items():
        if name == "password":
            raise InvalidInput(f"{path}: a password stands in no file: name its variable of the environment in "
                               "password_env")  # fmt: skip
        if name not in known:
            raise InvalidInput(f"{path}: {section} knows no {one_line(name)!r} (expected one of {', '.join(known)})")
        if not isinstance(value, str) or not value.strip():
            raise InvalidInput(f"{path}: {name}: expected text, got {one_line(repr(value))}")


def _texts(batch: Batch, table: str, column: str, values: Iterator[Any], first: int) -> Iterator[str | None]:
    """The values as a file would have them; a value that no file could have is left out and reported."""
    for line, value in enumerate(values, first):
        if value is None or isinstance(value, str):
            yield value
        elif (text := _text(value)) is not None:
            yield text
        else:
            kind = _kind(value)
            batch.lose(table, [(line, column, one_line(str(value)), f"{column}: expected a single value, got {kind}")])
            yield None


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)
    if isinstance(value, neo4j.time.Duration):
        return _length(value)
    if isinstance(value, (neo4j.time.DateTime, neo4j.time.Date, neo4j.time.Time)):
        return str(value.iso_format())
    return None


def _length(value: neo4j.time.Duration) -> str:
    """Hours, minutes and seconds; ISO 8601 for one of months, whose length nobody knows."""
    if value.months:
        return str(value.iso_format())
    seconds = value.days * _SECONDS + value.seconds
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{value.nanoseconds // 1_000_000:03d}"


def _kind(value: object) -> Literal["a list", "a map", "a node, a relationship, a path, bytes or a point"]:
    if hasattr(value, "srid") or hasattr(value, "element_id") or not isinstance(value, (list, dict)):
        return "a node, a relationship, a path, bytes or a point"
    return "a list" if isinstance(value, list) else "a map"


def _sum_of_rows(frame: pl.DataFrame) -> int:
    """The same number for the same rows in whatever order."""
    return int(frame.drop("line").hash_rows(seed=1).sum()) if frame.height else 0
