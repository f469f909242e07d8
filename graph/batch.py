"""A batch: one source of data with every row checked, ready to be written.

An importer hands in raw tables as it reads them; the batch converts and checks whole columns at once, keeps the good
rows as typed frames and the bad ones with file, line and reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import polars as pl

from graph import schema
from graph.durations import DAY_MS
from graph.errors import InvalidInput
from graph.log.checks import (
    EVENT_COLUMNS,
    EXPOSURE_COLUMNS,
    event_problem,
    exposure_problem,
    first_problem,
    id_problem,
    now_ms,
    number_problem,
    property_problems,
    required_problem,
)
from graph.schema import Relationship

Repeats = Literal["reject", "drop"]

_TYPES: Final[dict[str, type[pl.DataType]]] = {"string": pl.String, "integer": pl.Int64, "float": pl.Float64}
_KINDS: Final = {kind: name for name, kind in _TYPES.items()}
_EXACT: Final = 2.0**53  # integers below it survive in a column of floats
_REJECTS: Final[dict[str, type[pl.DataType]]] = {
    "file": pl.String,
    "line": pl.Int64,
    "reason": pl.String,
    "row": pl.String,
}
_OLD_MS: Final = 30 * DAY_MS
_SHOWN: Final = 1_000  # characters of a bad row that its report keeps


def one_line(text: str, most: int = 200) -> str:
    """The text for a message: one line, printable, at most so many characters."""
    shown = "".join(c if c.isprintable() else "?" for c in " ".join(text[: 4 * most].split()))
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def listed(frame: pl.DataFrame) -> str:
    """The names of a table's columns, for a message."""
    return one_line(", ".join(name for name in frame.columns if name != "line"))


@dataclass
class Batch:
    """The good rows of one source as typed frames, the bad ones with file, line and reason.

    nodes: per label a frame `id` + properties; relationships: per relationship `source`, `target` + properties;
    events, exposures: the columns of `graph.log.checks`; audio_segments: `song_id`, `segment`, attributes (Float64).
    `read` counts the rows of the files, good and bad; the readers of `graph.importers.base` keep it.
    """

    format: str
    now: int = field(default_factory=now_ms)
    nodes: dict[str, pl.DataFrame] = field(default_factory=dict)
    relationships: dict[Relationship, pl.DataFrame] = field(default_factory=dict)
    events: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=EVENT_COLUMNS))
    exposures: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=EXPOSURE_COLUMNS))
    audio_segments: pl.DataFrame | None = None
    read: int = 0
    warnings: list[str] = field(default_factory=list)
    _rejects: list[pl.DataFrame] = field(default_factory=list)

    # ---- filling

    def add_nodes(self, label: str, frame: pl.DataFrame, *, file: str, repeats: Repeats = "drop") -> None:
        """Check the rows of a node table: columns `id`, properties of the label, `line` (the line in `file`).

        repeats: whether a row whose id an earlier row has is bad, or is left out (the first one stays either way).
        Raises: InvalidInput for a missing column, or one of an unusable type.
        """
        properties = [p for p in schema.label(label).properties if p.name in frame.columns]
        kinds = {"id": "string", **{p.name: p.kind for p in properties}}
        problems = [required_problem("id"), id_problem("id"), *property_problems(properties)]
        good = self._checked(_blank_as_null(frame, properties), kinds, problems, file)
        good = self._unique(good, ["id"], file, repeats).drop("line")
        if label in self.nodes:
            good = pl.concat([self.nodes[label], good], how="diagonal").unique("id", keep="first", maintain_order=True)
        self.nodes[label] = good

    def add_relationships(
        self, relationship: Relationship, frame: pl.DataFrame, *, file: str, repeats: Repeats = "drop"
    ) -> None:
        """Check the rows of a relation table: columns `source`, `target`, the relationship's properties, `line`.

        Raises: InvalidInput for a missing column, or one of an unusable type.
        """
        properties = [p for p in relationship.properties if p.name in frame.columns]
        kinds = {"source": "string", "target": "string", **{p.name: p.kind for p in properties}}
        names = {"source": relationship.source_column or "source", "target": relationship.target_column or "target"}
        problems = [
            *(check(end) for end in ("source", "target") for check in (required_problem, id_problem)),
            *(required_problem(name) for name in relationship.identity),
            *property_problems(properties),
        ]
        key = ["source", "target", *relationship.identity]
        good = self._checked(_blank_as_null(frame, properties), kinds, problems, file, names)
        good = self._unique(good, key, file, repeats, names).drop("line")
        if relationship in self.relationships:
            both = pl.concat([self.relationships[relationship], good], how="diagonal")
            good = both.unique(key, keep="first", maintain_order=True)
        self.relationships[relationship] = good

    def add_events(self, frame: pl.DataFrame, *, file: str) -> None:
        """Check the rows of an event table: columns of an event, `line`; those that are missing are null.

        Raises: InvalidInput for a column of an unusable type, or when `user_id` or `action` is missing.
        """
        frame = _completed(frame, EVENT_COLUMNS, ("user_id", "action"), file)
        kinds = {name: _KINDS[kind] for name, kind in EVENT_COLUMNS.items()}
        good = self._checked(frame, kinds, [event_problem(self.now)], file).drop("line")
        self.events = pl.concat([self.events, good.with_columns(pl.col("count").fill_null(1))])

    def add_exposures(self, frame: pl.DataFrame, *, file: str) -> None:
        """Check the rows of an exposure table, as `add_events` does."""
        frame = _completed(frame, EXPOSURE_COLUMNS, ("request_id", "song_id", "position"), file)
        kinds = {name: _KINDS[kind] for name, kind in EXPOSURE_COLUMNS.items()}
        good = self._checked(frame, kinds, [exposure_problem(self.now)], file).drop("line")
        self.exposures = pl.concat([self.exposures, good])

    def add_audio_segments(self, frame: pl.DataFrame, *, file: str) -> None:
        """Check the rows of `audio_segments`: `song_id`, `segment` (from 0), and one or more columns of numbers."""
        attributes = [name for name in frame.columns if name not in ("song_id", "segment", "line")]
        if not attributes:
            raise InvalidInput(f"{file}: expected audio attributes beside song_id and segment, got none")
        kinds = {"song_id": "string", "segment": "integer", **dict.fromkeys(attributes, "float")}
        problems = [
            *(required_problem(name) for name in kinds),
            id_problem("song_id"),
            number_problem("segment", 0, 10**6),
            *(number_problem(name, None, None) for name in attributes),
        ]
        good = self._unique(self._checked(frame, kinds, problems, file), ["song_id", "segment"], file, "reject")
        self.audio_segments = good.drop("line").sort("song_id", "segment")

    def reject(self, file: str, rows: Iterable[tuple[int | None, str, str]]) -> None:
        """Reject rows that are not even rows of a table, each (line, reason, text)."""
        data = [(file, line, reason, text[:_SHOWN]) for line, reason, text in rows]
        self._rejects.append(pl.DataFrame(data, schema=_REJECTS, orient="row"))

    def warn(self, text: str) -> None:
        """Keep a one-line remark for whoever imports."""
        self.warnings.append(text)

    # ---- reading

    @property
    def rejects(self) -> pl.DataFrame:
        """All bad rows: `file`, `line`, `reason`, `row`; a line that is bad for two reasons stands there once."""
        return self._distinct_rejects().sort("file", "line", nulls_last=True, maintain_order=True)

    def _distinct_rejects(self) -> pl.DataFrame:
        whole = pl.concat([pl.DataFrame(schema=_REJECTS), *self._rejects])
        return whole.filter(pl.col("line").is_null() | pl.struct("file", "line").is_first_distinct())

    @property
    def clock(self) -> Literal["wall", "data"]:
        """ "data" if there are events and none in the last 30 days (or none has a time), else "wall"."""
        newest = self.events["at"].max()
        old = newest is None or int(newest) < self.now - _OLD_MS  # type: ignore[arg-type]
        return "data" if self.events.height and old else "wall"

    @property
    def rows(self) -> int:
        """How many good rows there are."""
        frames = [*self.nodes.values(), *self.relationships.values(), self.events, self.exposures]
        return sum(frame.height for frame in frames) + (
            0 if self.audio_segments is None else self.audio_segments.height
        )

    def name_events(self, source: str) -> None:
        """Give an id to each event without one: a hash of `source`, its fields, and its ordinal among equal events.

        The same source gives the same ids again, and true repeats keep ids of their own.
        """
        if not self.events["event_id"].null_count():
            return
        fields = [pl.col(name).cast(pl.String).fill_null("\x1e") for name in EVENT_COLUMNS if name != "event_id"]
        # A unit separator stands in no field (control characters are refused), so different rows give different texts.
        text = self.events.select(pl.concat_str(fields, separator="\x1f").alias("text"))
        ordinal = text.select(pl.int_range(pl.len()).over("text"))
        key = text.select(pl.concat_str("text", ordinal.to_series().cast(pl.String), separator="\x1f")).to_series()
        salt = hashlib.blake2b(source.encode(), digest_size=16).digest()
        hashes = [hashlib.blake2b(row.encode(), digest_size=16, key=salt).hexdigest() for row in key]
        self.events = self.events.with_columns(event_id=pl.coalesce("event_id", pl.Series(hashes, dtype=pl.String)))

    def bare_nodes(self) -> dict[str, pl.DataFrame]:
        """Per label, the ids that relations name and no node table has (`id`)."""
        named: dict[str, list[pl.Series]] = {}
        for relationship, frame in self.relationships.items():
            named.setdefault(relationship.source, []).append(frame["source"].alias("id"))
            named.setdefault(relationship.target, []).append(frame["target"].alias("id"))
        found = {}
        for label, parts in named.items():
            ids = pl.concat(parts).unique().sort().to_frame()
            if label in self.nodes:
                ids = ids.join(self.nodes[label].select("id"), on="id", how="anti")
            if ids.height:
                found[label] = ids
        return found

    # ---- inside

    def _checked(
        self,
        frame: pl.DataFrame,
        kinds: Mapping[str, str],
        problems: Sequence[pl.Expr],
        file: str,
        names: Mapping[str, str] | None = None,
    ) -> pl.DataFrame:
        """The good rows, typed, and `line`; the others go to the rejects. `names`: what the file calls a column."""
        names = names or {}
        for name in kinds:
            if name not in frame.columns:
                raise InvalidInput(f"{file}: expected the column {names.get(name, name)}, got {listed(frame)}")
        if "line" not in frame.columns:
            frame = frame.with_columns(line=pl.lit(None, dtype=pl.Int64))
        conversions = {name: _conversion(name, frame.schema[name], kind, file) for name, kind in kinds.items()}
        typed = frame.select(*(value.alias(name) for name, (value, _) in conversions.items()), pl.col("line"))
        # `with_columns`, since a selection of literals alone would have one row.
        failure = frame.with_columns(first_problem(failure for _, failure in conversions.values()))["problem"]
        problem = typed.with_columns(first_problem([pl.lit(failure), *problems]))["problem"]
        bad = problem.is_not_null()
        if bad.any():
            self._keep(frame.filter(bad).select(*kinds, "line"), _renamed(problem.filter(bad), names), file)
            typed = typed.filter(~bad)
        return typed

    def _keep(self, rows: pl.DataFrame, reason: pl.Series, file: str) -> None:
        fields = [pl.col(name).cast(pl.String, strict=False).fill_null("") for name in rows.columns if name != "line"]
        text = pl.concat_str(fields, separator=",").str.strip_chars_end(",").str.slice(0, _SHOWN)
        self._rejects.append(
            rows.select(
                pl.lit(file).alias("file"),
                pl.col("line").cast(pl.Int64),
                reason.alias("reason"),
                text.alias("row"),
            )
        )

    def _unique(
        self,
        frame: pl.DataFrame,
        key: Sequence[str],
        file: str,
        repeats: Repeats,
        names: Mapping[str, str] | None = None,
    ) -> pl.DataFrame:
        first = frame.select(pl.struct(key).is_first_distinct()).to_series()
        if first.all():
            return frame
        if repeats == "reject":
            shown = ", ".join((names or {}).get(name, name) for name in key)
            again = frame.filter(~first)
            reason = pl.Series("reason", [f"{shown}: an earlier row has the same"] * again.height, dtype=pl.String)
            self._keep(again, reason, file)
        else:
            self.warn(f"{file}: {frame.height - int(first.sum())} repeated rows left out")
        return frame.filter(first)


def _completed(
    frame: pl.DataFrame, columns: Mapping[str, type[pl.DataType]], required: Sequence[str], file: str
) -> pl.DataFrame:
    for name in required:
        if name not in frame.columns:
            raise InvalidInput(f"{file}: expected the column {name}, got {listed(frame)}")
    missing = [name for name in columns if name not in frame.columns]
    return frame.with_columns(pl.lit(None, dtype=columns[name]).alias(name) for name in missing)


def _blank_as_null(frame: pl.DataFrame, properties: Iterable[schema.Property]) -> pl.DataFrame:
    """An empty text is no value for a property (a CSV file cannot tell the two apart)."""
    texts = [p.name for p in properties if p.kind == "string" and frame.schema[p.name] == pl.String]
    return frame.with_columns(pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in texts)


def _renamed(problem: pl.Series, names: Mapping[str, str]) -> pl.Series:
    for name, shown in names.items():
        problem = problem.str.replace(rf"^{name}:", f"{shown}:")
    return problem.alias("reason")


def _conversion(name: str, dtype: pl.DataType, kind: str, file: str) -> tuple[pl.Expr, pl.Expr]:
    """The column as values of `kind`, and per row why its raw value is none (or null).

    Raises: InvalidInput if the type can hold no value of `kind`.
    """
    raw = pl.col(name)
    target = _TYPES[kind]
    nothing = pl.lit(None, dtype=pl.String)
    if dtype in (target, pl.Null):
        return raw.cast(target), nothing
    if kind == "string":
        if dtype.is_integer() or isinstance(dtype, pl.Categorical | pl.Enum):
            return raw.cast(pl.String), nothing
        raise InvalidInput(f"{file}: column {name} holds {dtype}, expected text")
    if isinstance(dtype, pl.Datetime | pl.Date) and kind == "integer":
        return raw.dt.epoch("ms"), nothing
    if dtype == pl.String:
        raw = raw.str.strip_chars()
        raw = pl.when(raw != "").then(raw)
    elif not dtype.is_numeric():
        raise InvalidInput(f"{file}: column {name} holds {dtype}, expected {kind} values")
    as_float = raw.cast(pl.Float64, strict=False)
    if kind == "float":
        value = as_float
    else:
        exact = pl.when((as_float == as_float.round(0)) & (as_float.abs() < _EXACT)).then(as_float)
        value = exact.cast(pl.Int64, strict=False)
        if not dtype.is_float():
            value = pl.coalesce(raw.cast(pl.Int64, strict=False), value)
    article = "an integer of 64 bits" if kind == "integer" else "a number"
    shown = pl.col(name).cast(pl.String, strict=False).str.slice(0, 40)
    failure = pl.when(raw.is_not_null() & value.is_null()).then(
        pl.format(f"{name}: expected {article}, got '{{}}'", shown)
    )
    return value, failure
