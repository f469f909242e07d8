"""GraphStore: the one client of the graph, over Bolt, for Neo4j and the embedded server alike.

It holds two logins. The writer does what this program decides; the reader, who cannot write by the engine's own word,
does every read, and whatever comes from outside after `graph.store.guard` has let it pass.
"""

from __future__ import annotations

import base64
import logging
import math
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, LiteralString, NoReturn, Self, TypeVar, overload

import neo4j
import neo4j.exceptions as bolt
import neo4j.graph
import polars as pl
from neo4j import GraphDatabase, ManagedTransaction, unit_of_work

from graph import schema
from graph.errors import InvalidInput, QueryRefused, QueryTimeout, QueryTooLarge, StoreUnavailable
from graph.store import guard, queries
from graph.store.bounded import is_bounded
from graph.store.config import GraphConfig
from graph.store.embedded import Embedded, opening
from graph.store.engine import DATABASE, READER, WRITER, guest

T = TypeVar("T")
_Ends = Callable[[set[str]], dict[str, tuple[str, str | None]]]

EMBEDDED: Final = "embedded:"
BATCH: Final = 5_000  # rows a transaction
_RETRY_S: Final = 15.0
_MOST_CHARACTERS: Final = 2**26  # of an answer to outside, or one query could fill the service's memory
_EXACT: Final = 2**53  # integers beyond it are no numbers to a reader of JSON
_PROBE_S: Final = 5.0
_LINE: Final = 300  # characters of an engine's message
_PLACE: Final = re.compile(r"\(line (\d+), column (\d+)")
_EXPLAIN: Final = "EXPLAIN "

# Neo4j notes on the log each query that names a type not used yet; an empty graph is no news.
logging.getLogger("neo4j.notifications").setLevel(logging.ERROR)
# The driver says on the log what it raises as well.
logging.getLogger("neo4j.io").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Table:
    """Rows of a query, as plain values that JSON can carry; `truncated` if there were more than the limit."""

    columns: list[str]
    rows: list[list[Any]]
    truncated: bool


@dataclass(frozen=True)
class Merged:
    """How many rows were met, and how many of them met what somebody else made, and changed nothing."""

    rows: int
    foreign: int


@dataclass(frozen=True)
class _Bounds:
    """How much of a result is taken: rows, until when, and about how many characters."""

    rows: int
    deadline: float = math.inf
    size: float = math.inf


class GraphStore:
    """A connection to the graph; close it, or use it as a context manager. Safe to share between threads."""

    engine: Literal["neo4j", "arcadedb"]
    version: str

    def __init__(self, config: GraphConfig) -> None:
        self._config = config
        self._embedded: Embedded | None = None
        self._drivers: dict[str, neo4j.Driver] = {}
        self._database = config.database

    @classmethod
    def open(cls, config: GraphConfig) -> GraphStore:
        """Connect; `embedded:DIR` starts the server of that folder, or joins it.

        Raises: StoreUnavailable if it does not answer, InvalidInput if the URL or heap size is invalid.
        """
        store = cls(config)
        try:
            if config.url.startswith(EMBEDDED):
                folder = config.url.removeprefix(EMBEDDED)
                if not folder:
                    raise InvalidInput("graph.url: expected embedded:DIR, got no folder")
                store._embedded = Embedded(
                    Path(folder), heap=config.heap, query_heap=config.query_heap, linger_s=config.linger_s
                )
                store._database = DATABASE
            elif not config.url.startswith(("bolt", "neo4j")):
                raise InvalidInput(f"graph.url: expected embedded:DIR, bolt:// or neo4j://, got {config.url!r}")
            store._greet()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Hang up; an embedded server leaves some time after its last user."""
        while self._drivers:
            self._drivers.popitem()[1].close()
        if self._embedded:
            self._embedded.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what this program asks -----------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it is, as the settings say."""
        return self._config.url

    @property
    def is_embedded(self) -> bool:
        """Whether it is a server of ours, which nobody else writes to but through Segue."""
        return self._embedded is not None

    def migrate(self) -> list[str]:
        """Make the constraints and indexes of the schema; they may be there already.

        Where somebody else's nodes or indexes forbid a constraint a plain index is made; a line for each such label.
        """
        told = []
        for label, statement in zip(schema.LABELS, schema.statements(), strict=True):
            try:
                self.write(statement)
            except InvalidInput as refused:
                told.append(f"nothing keeps the ids of {label.name} nodes unique: {_without_prefix(refused)}")
                with suppress(InvalidInput):
                    self.write(schema.index_statement(label.name))
        return told

    def write(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run a query that may be repeated safely: one transaction, retried when the engine asks for it.

        Raises: StoreUnavailable, InvalidInput for Cypher that the engine does not take.
        """
        with self._writing():
            return self._again(lambda: self._managed("writer", query, parameters))

    def read(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """All rows of a query, asked as the reader; retried like `write`.

        Raises: as `write`, and QueryRefused if it writes.
        """
        return self._again(lambda: self._managed("reader", query, parameters))

    def stream(
        self, query: str, parameters: Mapping[str, Any] | None = None, batch: int = 10_000
    ) -> Iterator[list[dict[str, Any]]]:
        """The rows of a query in lists of `batch`, asked as the reader without a time limit; holds two batches at most.

        Raises: as `read`, also midway.
        """
        for keys, rows in self.stream_rows(query, parameters, batch):
            if rows:
                yield [dict(zip(keys, row, strict=True)) for row in rows]

    def stream_rows(
        self, query: str, parameters: Mapping[str, Any] | None = None, batch: int = 10_000
    ) -> Iterator[tuple[list[str], list[list[Any]]]]:
        """`stream` as (columns, rows), once without a row if there is none."""
        if batch < 1:
            raise ValueError(f"batch must be at least 1 (got {batch})")
        with self._mapped(), self._session("reader", fetch_size=batch) as session, session.begin_transaction() as tx:
            result = tx.run(query, dict(parameters or {}))
            columns = list(result.keys())
            rows = [record.values() for record in islice(result, batch)]
            yield columns, rows
            while rows := [record.values() for record in islice(result, batch)]:
                yield columns, rows

    def check_reading(self, query: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Judge a query of a user that is to be streamed, by its text and by the engine's plan; nothing is run.

        Raises: QueryRefused unless it only reads, InvalidInput if it is no Cypher; StoreUnavailable.
        """
        text, values = guard.check(query), guard.check_parameters(parameters)
        seconds = self._config.query_timeout_s
        with self._mapped():
            self._again(lambda: self._plan(guest(seconds) if self._embedded else "reader", text, values, seconds))

    # -- what others ask ------------------------------------------------------------------------------------------

    def query(
        self,
        query: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        limit: int = 1000,
        timeout_s: float | None = None,
    ) -> Table:
        """A query from outside: planned and judged first, then run once with the reader's rights and within limits.

        Raises: QueryRefused, QueryTimeout, QueryTooLarge, StoreUnavailable; InvalidInput if it is no Cypher.
        """
        seconds = self._config.query_timeout_s if timeout_s is None else timeout_s
        guard.check_limits(limit, seconds)
        text, values = guard.check(query), guard.check_parameters(parameters)
        if self._embedded and not self._embedded.is_alive():
            self._rejoin(self._embedded)
        return self._outside(text, values, limit, seconds)

    def command(self, query: str, parameters: Mapping[str, Any] | None = None, *, limit: int = 1000) -> Table:
        """A query of the operator that may write; run once, never repeated.

        Raises: InvalidInput, StoreUnavailable.
        """
        guard.check_limits(limit, 1.0)
        if not query.strip():
            raise InvalidInput("query: expected Cypher, got an empty text")
        values = guard.check_parameters(parameters)
        with self._writing(), self._mapped(), self._session("writer") as session:
            return _table(session.run(_as_literal(query), values), _Bounds(limit), self._ends)

    # -- nodes and relationships ------------------------------------------------------------------------------------

    def upsert_nodes(self, label: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """`merge_nodes`; the number of rows."""
        return self.merge_nodes(label, rows).rows

    def merge_nodes(self, label: str, rows: Sequence[Mapping[str, Any]]) -> Merged:
        """Make or complete nodes, `{"id": …, property: value}` a row; what a row leaves out, or gives as None, stays.

        A node of somebody else stays as it is. Raises: InvalidInput for an unknown label or an invalid id.
        """
        schema.label(label)
        return self._in_batches(rows, ("id",), lambda names: queries.upsert_nodes(label, names))

    def upsert_relationships(self, rel: schema.Relationship, rows: Sequence[Mapping[str, Any]]) -> int:
        """`merge_relationships`; how many rows had both ends."""
        return self.merge_relationships(rel, rows).rows

    def merge_relationships(self, rel: schema.Relationship, rows: Sequence[Mapping[str, Any]]) -> Merged:
        """Make or complete relationships, `{"source": id, "target": id, property: value}` a row, one row a key.

        A row without both ends does nothing. One of somebody else stays as it is; a derived one is made beside it.
        Raises: InvalidInput for an invalid id.
        """
        required = ("source", "target", *rel.identity)
        return self._in_batches(rows, required, lambda names: queries.upsert_relationships(rel, names))

    def delete_node(self, label: str, id: str) -> int:  # noqa: A002 - the property's name
        """`delete_nodes` of one; 0 if there was none."""
        return self.delete_nodes(label, [id])

    def delete_nodes(self, label: str, ids: Sequence[str]) -> int:
        """Delete nodes that Segue made, and their relationships; how many of them there were.

        One on which relationships of somebody else hang stays for their sake, without what Segue gave it.
        """
        schema.label(label)
        rows = [{"id": id_} for id_ in ids]
        _, stripped, deleted = (self._each(rows, query) for query in queries.delete_nodes(label))
        return stripped + deleted

    def is_foreign(self, label: str, id: str) -> bool:  # noqa: A002 - the property's name
        """Whether somebody else made a node of this id."""
        return any(row["mark"] is not True for row in self.read(queries.marks_of_node(label), {"id": id}))

    def is_foreign_only(self, rel: schema.Relationship, source: str, target: str) -> bool:
        """Whether somebody else made the relationships of the type from `source` to `target`, all there are."""
        rows = self.read(queries.marks_of_relationship(rel), {"source": source, "target": target})
        return bool(rows) and all(row["mark"] is not True for row in rows)

    def delete_relationships(self, rel: schema.Relationship, rows: Sequence[Mapping[str, Any]]) -> int:
        """Delete relationships by their key, `{"source": id, "target": id}` and the identity; how many there were."""
        required = ("source", "target", *rel.identity)
        return self._in_batches(rows, required, lambda _: queries.delete_relationships(rel)).rows

    def delete_relationship(self, rel: schema.Relationship, source: str, target: str) -> int:
        """Delete every relationship of the type that Segue made from `source` to `target`; how many there were."""
        return int(self.write(queries.delete_relationship(rel), {"source": source, "target": target})[0]["n"])

    def replace_derived(
        self,
        rel: schema.Relationship,
        upserts: Sequence[Mapping[str, Any]],
        deletes: Sequence[Mapping[str, Any]] = (),
    ) -> tuple[int, int]:
        """Write a difference of derived relationships back: rows as `upsert_relationships`, deletes by their key.

        Returns (upserted, deleted). Raises: ValueError unless `rel` is derived.
        """
        if not rel.derived:
            raise ValueError(f"rel must be derived (got {rel.key})")
        deleted = self.delete_relationships(rel, deletes)
        return self.upsert_relationships(rel, upserts), deleted

    def set_properties(self, label: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Set properties of nodes that Segue made, `{"id": …, property: value}` a row; None removes.

        Returns how many of the nodes there are.
        """
        schema.label(label)
        return self._in_batches(rows, ("id",), lambda names: queries.set_properties(label, names), keep_none=True).rows

    def counts(self) -> dict[str, dict[str, int]]:
        """How many nodes each label has, and relationships each type."""
        types = dict.fromkeys(rel.type for rel in schema.RELATIONSHIPS)
        return {
            "labels": {lab.name: int(self.read(queries.count_nodes(lab.name))[0]["n"]) for lab in schema.LABELS},
            "relationships": {type_: int(self.read(queries.count_relationships(type_))[0]["n"]) for type_ in types},
        }

    def bulk_load(
        self, nodes: Mapping[str, pl.DataFrame], relationships: Mapping[schema.Relationship, pl.DataFrame]
    ) -> None:
        """Load whole tables the fastest safe way: columns `id` or `source` and `target`, and properties.

        An empty embedded store takes them in one go, on disk when this returns and empty again if it fails; any other
        store takes them as upserts, which may be repeated. Relationships' ends are among `nodes`, or there already.

        Raises: InvalidInput for unknown labels, ids given twice or left out, ends that are nowhere; StoreUnavailable.
        """
        for label, frame in nodes.items():
            schema.label(label)
            _check_frame(label, frame, ["id"])
        for rel, frame in relationships.items():
            _check_frame(rel.key, frame, ["source", "target", *rel.identity])
        self.migrate()
        if self._embedded:
            with self._embedded.alone():
                if self._is_empty():
                    self._load_embedded(self._embedded, nodes, relationships)
                    return
        for label, frame in nodes.items():
            self.upsert_nodes(label, _Rows(frame))
        for rel, frame in relationships.items():
            met = self.upsert_relationships(rel, _Rows(frame))
            if met != frame.height:
                raise InvalidInput(
                    f"{rel.key}: {frame.height - met} of {frame.height} rows name a node that is nowhere"
                )

    def _load_embedded(
        self,
        embedded: Embedded,
        nodes: Mapping[str, pl.DataFrame],
        relationships: Mapping[schema.Relationship, pl.DataFrame],
    ) -> None:
        for rel, frame in relationships.items():
            for end, label in (("source", rel.source), ("target", rel.target)):
                known = nodes[label]["id"] if label in nodes else pl.Series("id", [], dtype=pl.String)
                lost = frame.filter(~pl.col(end).is_in(known.implode()))
                if lost.height:
                    raise InvalidInput(
                        f"{rel.key}: {lost.height} rows name a {label} that is nowhere: {lost[end][0]!r}"
                    )
        folder = embedded.folder / "bulk"
        folder.mkdir(exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            place = Path(temporary)
            files = {label: f"{label}.arrow" for label in nodes}
            mark = pl.lit(value=True).alias(schema.MARK)
            for label, frame in nodes.items():
                frame.with_columns(mark).write_ipc(place / files[label])
            entries = []
            for number, (rel, frame) in enumerate(relationships.items()):
                frame.with_columns(mark).write_ipc(place / f"{number}.arrow")
                entries.append(
                    {"type": rel.type, "source": rel.source, "target": rel.target, "file": f"{number}.arrow"}
                )
            try:
                embedded.ask({"do": "bulk", "folder": temporary, "nodes": files, "relationships": entries})
            except StoreUnavailable as error:
                raise StoreUnavailable(f"{error}; nothing was loaded, the store is empty as before") from None

    def _is_empty(self) -> bool:
        return not self.read("MATCH (n) RETURN n.id AS id LIMIT 1")

    # -- inside -----------------------------------------------------------------------------------------------------

    def _greet(self) -> None:
        with self._mapped():
            agent = self._driver("writer").get_server_info().agent
            if self._config.reader_user:
                self._driver("reader").verify_connectivity()
        if self._embedded:
            self.engine, self.version = "arcadedb", self._embedded.server.version
        else:
            self.engine, self.version = "neo4j", agent.partition("/")[2] or agent

    def _driver(self, role: str) -> neo4j.Driver:
        """The pool of one login: `writer`, `reader`, or a guest of the embedded server by name."""
        if role not in self._drivers:
            url, login = self._login(role)
            try:
                driver = GraphDatabase.driver(
                    url,
                    auth=login,
                    connection_timeout=_PROBE_S,
                    connection_acquisition_timeout=30.0,
                    max_transaction_retry_time=_RETRY_S,
                    max_connection_pool_size=32,
                )
            except (ValueError, bolt.ConfigurationError) as error:
                raise InvalidInput(f"graph.url: {_line(error)}") from None
            if self._drivers.setdefault(role, driver) is not driver:
                driver.close()
        return self._drivers[role]

    def _login(self, role: str) -> tuple[str, tuple[str, str]]:
        config = self._config
        if self._embedded:
            server = self._embedded.server
            if role == "writer":
                return server.url, (WRITER, server.writer_password)
            return server.url, (READER if role == "reader" else role, server.reader_password)
        if role != "writer" and config.reader_user:
            return config.url, (config.reader_user, config.reader_password)
        return config.url, (config.user, config.password)

    def _session(self, role: str, fetch_size: int = 1000) -> neo4j.Session:
        return self._driver(role).session(
            database=self._database,
            default_access_mode=neo4j.WRITE_ACCESS if role == "writer" else neo4j.READ_ACCESS,
            fetch_size=fetch_size,
        )

    def _writing(self) -> AbstractContextManager[None]:
        return self._embedded.writing() if self._embedded else nullcontext()

    def _managed(self, role: str, query: str, parameters: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        values = dict(parameters or {})

        @unit_of_work()
        def work(tx: ManagedTransaction) -> list[dict[str, Any]]:
            result = tx.run(_as_literal(query), values)
            keys = result.keys()
            return [dict(zip(keys, record.values(), strict=True)) for record in result]

        with self._mapped(), self._session(role) as session:
            execute = session.execute_write if role == "writer" else session.execute_read
            return execute(work)

    def _again(self, work: Callable[[], T]) -> T:
        """Do it; when the embedded server has died meanwhile, start the next one and do it once more."""
        try:
            return work()
        except StoreUnavailable:
            if self._embedded is None:
                raise
            if not self._rejoin(self._embedded):
                raise
            return work()

    def _rejoin(self, embedded: Embedded) -> bool:
        """Join the server of the folder once more; whether it is another than before."""
        before = embedded.server
        if embedded.join() == before:
            return False
        self._forget_drivers()
        return True

    def _forget_drivers(self) -> None:
        while self._drivers:
            self._drivers.popitem()[1].close()

    def _outside(self, text: str, values: dict[str, Any], limit: int, seconds: float) -> Table:
        bounds = _Bounds(limit, time.monotonic() + seconds, _MOST_CHARACTERS)
        with self._mapped():
            # planning runs nothing, so it may be done once more
            self._again(lambda: self._plan(guest(seconds) if self._embedded else "reader", text, values, seconds))
            if self._embedded is None:
                with (
                    self._session("reader", _fetch(limit)) as session,
                    session.begin_transaction(timeout=seconds) as tx,
                ):
                    return _table(tx.run(_as_literal(text), values), bounds, self._ends)
            run = self._beside_others if is_bounded(text, values) else self._isolated
            return run(self._embedded, text, values, bounds)

    def _beside_others(self, embedded: Embedded, text: str, values: dict[str, Any], bounds: _Bounds) -> Table:
        """Run a bounded query in the embedded server itself."""
        seconds = _left(bounds)
        start = opening(seconds)
        with self._session(guest(seconds), _fetch(bounds.rows)) as session, session.begin_transaction() as tx:
            return _first_rows(
                tx, start + text, values, bounds, self._ends, lambda: embedded.ask({"do": "end", "opening": start})
            )

    def _isolated(self, embedded: Embedded, text: str, values: dict[str, Any], bounds: _Bounds) -> Table:
        """Run a query whose values may grow in a process of its own."""
        with (
            embedded.isolated(_left(bounds)) as loan,
            GraphDatabase.driver(f"bolt://127.0.0.1:{loan.port}", auth=(READER, loan.password)) as driver,
            driver.session(database=DATABASE, fetch_size=_fetch(bounds.rows)) as session,
            session.begin_transaction() as tx,
        ):
            return _first_rows(tx, text, values, bounds, self._ends, loan.end)

    def _plan(self, role: str, text: str, values: dict[str, Any], seconds: float) -> None:
        """Have the engine say what the query would do, without doing it."""
        if self._embedded:
            # ArcadeDB plans, but calls every EXPLAIN a write; its analysis of the text is the one that tells.
            said = self._embedded.ask({"do": "analyse", "query": text})
            if "syntax" in said:
                raise InvalidInput(f"query: {said['syntax']}")
            kind, plan = ("r" if said["reads"] else "w"), None
        else:
            with self._session(role) as session, session.begin_transaction(timeout=seconds) as tx:
                summary = tx.run(_as_literal(f"{_EXPLAIN}{text}"), values).consume()
            kind, plan = summary.query_type or "", summary.plan
        if kind != "r":
            raise QueryRefused(f"query refused: it may write (the engine's query type is {kind!r})")
        for operator in _operators(plan):
            if "LoadCSV" in operator:
                raise QueryRefused("query refused: LOAD CSV reads files")

    def _ends(self, elements: set[str]) -> dict[str, tuple[str, str | None]]:
        rows = self._managed("reader", queries.ENDS, {"elements": sorted(elements)})
        return {row["element"]: (next(iter(row["labels"]), ""), row["id"]) for row in rows}

    def _each(self, rows: Sequence[Mapping[str, Any]], query: str) -> int:
        """One query for all rows, batch by batch; the sum of its `n`."""
        return self._in_batches(rows, ("id",), lambda _: query).rows

    def _in_batches(
        self,
        rows: Sequence[Mapping[str, Any]],
        required: tuple[str, ...],
        build: Callable[[list[str]], str],
        *,
        keep_none: bool = False,
    ) -> Merged:
        """Write rows batch by batch; the sums of what the query counts.

        A None means "as it is" to the query unless `keep_none`, and then rows that name other properties go apart.
        """
        done = foreign = 0
        for start in range(0, len(rows), BATCH):
            groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
            part = [dict(row) for row in rows[start : start + BATCH]]
            every = () if keep_none else tuple(sorted({k for row in part for k, v in row.items() if v is not None}))
            for row in part:
                _check_row(row, required)
                names = tuple(sorted(row)) if keep_none else every
                groups.setdefault(tuple(n for n in names if n not in required), []).append(row)
            for names, group in groups.items():
                if names or not keep_none:
                    counted = self.write(build(list(names)), {"rows": group})[0]
                    done, foreign = done + int(counted["n"]), foreign + int(counted.get("foreign", 0))
        return Merged(done, foreign)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """Turn the driver's errors into ours, one line each."""
        try:
            yield
        except (bolt.Neo4jError, bolt.DriverError, OSError, ValueError, TypeError, OverflowError) as error:
            _raise(error, self._config.url)


def _raise(error: Exception, url: str) -> NoReturn:
    if isinstance(error, bolt.Neo4jError):
        code, text = error.code or "", _line(error)
        if "TransactionTimedOut" in code or "Terminated" in code or "terminated by the time limit" in text:
            raise QueryTimeout("the query ran past its time limit") from None
        if code.endswith(("AccessMode", "Security.Forbidden")):
            raise QueryRefused(f"query refused: {text}") from None
        if "heap budget exceeded" in text or "Limit of allowed elements" in text:
            raise QueryTooLarge(f"query: {text}") from None
        if ".Security." in code:
            raise StoreUnavailable(f"{url}: the graph store does not know this login ({text})") from None
        if ".Schema." in code:  # Neo4j calls data that a constraint forbids an error of its own
            raise InvalidInput(f"query: {text}") from None
        # what ArcadeDB says of a commit that its disk had no room for
        refused = code.endswith("Transaction.TransactionNotFound")
        if isinstance(error, bolt.TransientError) or ".DatabaseError." in code or refused:
            raise StoreUnavailable(f"{url}: {text}") from None
        raise InvalidInput(f"query: {text}") from None
    if isinstance(error, (bolt.DriverError, OSError)):
        raise StoreUnavailable(f"{url}: the graph store does not answer ({_line(error)})") from None
    raise InvalidInput(f"query: {_line(error)}") from None


def _line(error: Exception) -> str:
    text = " ".join((error.message if isinstance(error, bolt.Neo4jError) and error.message else str(error)).split())
    place = _PLACE.search(text)
    if place is None:
        return text[:_LINE]
    # Neo4j lists all that it would have taken before it says where, and shows the line
    line, column = int(place[1]), int(place[2])
    if line == 1 and _EXPLAIN in text[place.end() :]:
        column = max(1, column - len(_EXPLAIN))
    return f"{text[: min(place.start(), _LINE - 40)].rstrip()} (line {line}, column {column})"


def _without_prefix(error: InvalidInput) -> str:
    return str(error).removeprefix("query: ")


def _left(bounds: _Bounds) -> float:
    """Seconds until the deadline; a little more than none."""
    return max(bounds.deadline - time.monotonic(), 0.001)


def _fetch(limit: int) -> int:
    """Rows asked for at a time: one more than the limit says whether there are more."""
    return min(limit + 1, 1000)


def _as_literal(query: str) -> LiteralString:
    """The driver wants literal queries; ours are built in `graph.store.queries`, those from outside pass the guard."""
    return query  # type: ignore[return-value, unused-ignore]


class _Rows(Sequence[Mapping[str, Any]]):
    """A frame as rows, made a batch at a time."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __len__(self) -> int:
        return self._frame.height

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        if isinstance(index, int):
            return self._frame.row(index, named=True)
        start, end, _ = index.indices(len(self))
        return self._frame.slice(start, end - start).to_dicts()


def _check_row(row: Mapping[str, Any], required: Sequence[str]) -> None:
    for name in required:
        value = row.get(name)
        problem = schema.problem_of_id(value) if name in ("id", "source", "target") else None
        if problem or value is None:
            raise InvalidInput(f"{name} {value!r}: {problem or 'expected a value, got none'}")


def _check_frame(where: str, frame: pl.DataFrame, key: Sequence[str]) -> None:
    if missing := [name for name in key if name not in frame.columns]:
        raise InvalidInput(f"{where}: no column {missing[0]!r} (columns: {', '.join(frame.columns)})")
    for name in key:
        if frame[name].dtype != pl.String:
            raise InvalidInput(f"{where}: column {name!r}: expected text, got {frame[name].dtype}")
        if frame[name].null_count():
            raise InvalidInput(f"{where}: column {name!r}: {frame[name].null_count()} rows have none")
    for name in ("id", "source", "target"):
        if name in key:
            for value in frame[name].unique():
                if problem := schema.problem_of_id(value):
                    raise InvalidInput(f"{where}: {name} {value!r}: {problem}")
    if repeated := frame.height - frame.select(pl.struct(key).n_unique()).item() if frame.height else 0:
        raise InvalidInput(f"{where}: {repeated} rows repeat the same {', '.join(key)}")


def _operators(plan: Mapping[str, Any] | None) -> Iterator[str]:
    if plan is not None:
        yield str(plan.get("operatorType", ""))
        for child in plan.get("children", ()):
            yield from _operators(child)


def _first_rows(
    tx: neo4j.Transaction, text: str, values: dict[str, Any], bounds: _Bounds, ends: _Ends, end: Callable[[], object]
) -> Table:
    """The table of a query of the embedded server, which reads a result to its end unless it is told to `end`."""
    whole = False
    try:
        table = _table(tx.run(_as_literal(text), values), bounds, ends)
        whole = not table.truncated
    finally:
        if not whole:
            end()
            with suppress(bolt.Neo4jError, bolt.DriverError):
                tx.rollback()
    return table


def _table(result: neo4j.Result, bounds: _Bounds, ends: _Ends) -> Table:
    columns = list(result.keys())
    records: list[list[Any]] = []
    size = 0
    for record in result:
        if time.monotonic() > bounds.deadline:
            raise QueryTimeout("the query ran past its time limit")
        if len(records) == bounds.rows:
            return Table(columns, _plain_rows(records, ends), truncated=True)
        records.append(list(record.values()))
        size += _size(records[-1])
        if size > bounds.size:
            raise QueryTooLarge(f"the query's answer is larger than {bounds.size:,} characters: return fewer or less")
    return Table(columns, _plain_rows(records, ends), truncated=False)


def _size(value: Any) -> int:
    """About how many characters a value is as JSON."""
    if isinstance(value, (str, bytes, bytearray)):
        return len(value)
    if isinstance(value, neo4j.graph.Path):
        return _size(value.nodes) + _size(value.relationships)
    if isinstance(value, (Mapping, neo4j.graph.Entity)):
        return 8 + sum(len(name) + _size(item) for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return 8 + sum(_size(item) for item in value)
    return 8


def _plain_rows(records: list[list[Any]], ends: _Ends) -> list[list[Any]]:
    bare: set[str] = set()
    for value in _walk(records):
        if isinstance(value, neo4j.graph.Relationship):
            bare.update(n.element_id for n in value.nodes if n is not None and not n.labels)
    known = ends(bare) if bare else {}
    return [[_plain(value, known) for value in record] for record in records]


def _walk(value: Any) -> Iterator[Any]:
    if isinstance(value, neo4j.graph.Path):
        yield from value.relationships
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _walk(item)
    elif isinstance(value, dict):
        yield from _walk(list(value.values()))
    else:
        yield value


def _plain(value: Any, known: Mapping[str, tuple[str, str | None]]) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if -_EXACT <= value <= _EXACT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, neo4j.graph.Node):
        properties = {name: _plain(item, known) for name, item in value.items() if name != "id"}
        return {"label": next(iter(value.labels), ""), "id": value.get("id"), "properties": properties}
    if isinstance(value, neo4j.graph.Relationship):
        return {
            "relationship": value.type,
            "from": _end(value.nodes[0], known),
            "to": _end(value.nodes[1], known),
            "properties": {name: _plain(item, known) for name, item in value.items()},
        }
    if isinstance(value, neo4j.graph.Path):
        steps: list[Any] = [value.nodes[0]]
        for relationship, node in zip(value.relationships, value.nodes[1:], strict=True):
            steps += [relationship, node]
        return [_plain(step, known) for step in steps]
    if isinstance(value, Mapping):
        return {str(name): _plain(item, known) for name, item in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "srid"):
        return [_plain(item, known) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    return value.iso_format() if hasattr(value, "iso_format") else str(value)


def _end(node: neo4j.graph.Node | None, known: Mapping[str, tuple[str, str | None]]) -> dict[str, Any] | None:
    if node is None:
        return None
    label, id_ = known.get(node.element_id, (next(iter(node.labels), ""), node.get("id")))
    return {"label": label, "id": id_}
