"""A batch: one source of data with every row checked, ready to be written.

An importer hands in raw tables as it reads them; the batch converts and checks whole columns at once, keeps the good
rows as typed frames and the bad ones with file, line and reason.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import polars as pl
from polars import selectors

from graph import schema
from graph.durations import DAY_MS
from graph.errors import InvalidInput
from graph.log.checks import (
    BOUNDS,
    EVENT_COLUMNS,
    EXPOSURE_COLUMNS,
    FLAGS,
    OTHER_CONTENT,
    event_problem,
    exposure_problem,
    now_ms,
)
from graph.log.tombstones import Tombstones
from graph.reading.ratings import signed
from graph.reading.values import Values, durations, flags, floats, ids, integers, texts, times
from graph.schema import Relationship

Repeats = Literal["reject", "drop"]

_TYPES: Final[dict[str, type[pl.DataType]]] = {"string": pl.String, "integer": pl.Int64, "float": pl.Float64}
_KINDS: Final = {kind: name for name, kind in _TYPES.items()}
_REJECTS: Final[dict[str, type[pl.DataType]]] = {
    "file": pl.String,
    "line": pl.Int64,
    "reason": pl.String,
    "row": pl.String,
}
_LOST: Final[dict[str, type[pl.DataType]]] = {
    "file": pl.String,
    "line": pl.Int64,
    "field": pl.String,
    "value": pl.String,
    "reason": pl.String,
}
_OLD_MS: Final = 30 * DAY_MS
_SHOWN: Final = 1_000  # characters of a bad row that its report keeps
_MADE: Final = {"target": pl.String, "made": pl.String}
_NAMES: Final = ("title", "name", "query")  # free text: a song may be called None
_EVENT_IDS: Final = ("event_id", "user_id", "song_id", "target_id", "request_id")
_EXPOSURE_IDS: Final = ("request_id", "user_id", "song_id")


@dataclass(frozen=True)
class _Field:
    """What a column is to hold. `required`: a row without it is none; `shown`: what the file calls it."""

    name: str
    kind: Literal["id", "text", "name", "integer", "float", "time", "duration", "flag"]
    required: bool = False
    low: float | None = None
    high: float | None = None
    shown: str = ""

    @classmethod
    def of(cls, entry: schema.Property, *, required: bool = False) -> _Field:
        kind = entry.unit or ("name" if entry.name in _NAMES else "text" if entry.kind == "string" else entry.kind)
        return cls(entry.name, kind, required, entry.low, entry.high)


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
    _lost: list[pl.DataFrame] = field(default_factory=list)
    _named_events: list[pl.DataFrame] = field(default_factory=list)

    # ---- filling

    def add_nodes(self, label: str, frame: pl.DataFrame, *, file: str, repeats: Repeats = "drop") -> None:
        """Check the rows of a node table: columns `id`, properties of the label, `line` (the line in `file`).

        repeats: whether a row whose id an earlier row has is bad, or is left out (the first one stays either way).
        Raises: InvalidInput for a missing column, or one of an unusable type.
        """
        properties = [p for p in schema.label(label).properties if p.name in frame.columns]
        fields = [_Field("id", "id", required=True), *map(_Field.of, properties)]
        good = self._checked(frame, fields, file)
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
        names = {"source": relationship.source_column or "source", "target": relationship.target_column or "target"}
        fields = [
            *(_Field(end, "id", required=True, shown=shown) for end, shown in names.items()),
            *(_Field.of(p, required=p.name in relationship.identity) for p in properties),
        ]
        key = ["source", "target", *relationship.identity]
        good = self._checked(frame, fields, file)
        good = self._unique(good, key, file, repeats, names).drop("line")
        if relationship in self.relationships:
            both = pl.concat([self.relationships[relationship], good], how="diagonal")
            good = both.unique(key, keep="first", maintain_order=True)
        self.relationships[relationship] = good

    def add_named(self, relationship: Relationship, frame: pl.DataFrame, *, file: str) -> None:
        """Relations whose `target` is a name: as `add_relationships`, and a node for each name, whose id is made of it.

        Names are free text; `schema.id_of_name` says how an id is made.
        """
        names = frame["target"].drop_nulls().unique().sort()
        names = names.filter(names.str.strip_chars() != "")
        made = pl.DataFrame({"target": names, "made": [schema.id_of_name(name) for name in names]}, schema=_MADE)
        found = frame.join(made, on="target", how="left", maintain_order="left")
        self.add_relationships(relationship, found.drop("target").rename({"made": "target"}), file=file)
        shown = schema.label(relationship.target).properties[0].name
        self.add_nodes(
            relationship.target, made.select("made", "target").rename({"made": "id", "target": shown}), file=file
        )

    def add_events(self, frame: pl.DataFrame, *, file: str) -> None:
        """Check the rows of an event table: columns of an event, `line`; those that are missing are null.

        A row that repeats an `event_id` with other content is bad.
        Raises: InvalidInput for a column of an unusable type, or when `user_id` or `action` is missing.
        """
        frame = _completed(frame, EVENT_COLUMNS, ("user_id", "action"), file)
        good = self._checked(frame, _log_fields(EVENT_COLUMNS, _EVENT_IDS, ("user_id", "action")), file)
        good = self._whole_pairs(good, file)
        good = self._without_problems(good, event_problem(self.now), file).with_columns(pl.col("count").fill_null(1))
        good = self._first_of_an_id(good, file)
        good, told = signed(good.drop("line"))
        if told is not None:
            self.warn(f"{file}: {told}")
        self.events = pl.concat([self.events, good])

    def add_exposures(self, frame: pl.DataFrame, *, file: str) -> None:
        """Check the rows of an exposure table, as `add_events` does."""
        required = ("request_id", "song_id", "position")
        frame = _completed(frame, EXPOSURE_COLUMNS, required, file)
        good = self._checked(frame, _log_fields(EXPOSURE_COLUMNS, _EXPOSURE_IDS, required), file)
        good = self._without_problems(good, exposure_problem(self.now), file).drop("line")
        self.exposures = pl.concat([self.exposures, good])

    def add_audio_segments(self, frame: pl.DataFrame, *, file: str) -> None:
        """Check the rows of `audio_segments`: `song_id`, `segment` (from 0), and one or more columns of numbers."""
        attributes = [name for name in frame.columns if name not in ("song_id", "segment", "line")]
        if not attributes:
            raise InvalidInput(f"{file}: expected audio attributes beside song_id and segment, got none")
        fields = [
            _Field("song_id", "id", required=True),
            _Field("segment", "integer", required=True, low=0, high=10**6),
            *(_Field(name, "float", required=True) for name in attributes),
        ]
        good = self._unique(self._checked(frame, fields, file), ["song_id", "segment"], file, "reject")
        self.audio_segments = good.drop("line").sort("song_id", "segment")

    def reject(self, file: str, rows: Iterable[tuple[int | None, str, str]]) -> None:
        """Reject rows that are not even rows of a table, each (line, reason, text)."""
        data = [(file, line, reason, text[:_SHOWN]) for line, reason, text in rows]
        self._rejects.append(pl.DataFrame(data, schema=_REJECTS, orient="row"))

    def lose(self, file: str, values: Iterable[tuple[int | None, str, str | None, str]]) -> None:
        """Report values that are left out of rows which are kept, each (line, field, value, reason)."""
        data = [(file, line, name, value and value[:_SHOWN], reason) for line, name, value, reason in values]
        self._lost.append(pl.DataFrame(data, schema=_LOST, orient="row"))

    def warn(self, text: str) -> None:
        """Keep a one-line remark for whoever imports."""
        self.warnings.append(text)

    def leave_out(self, gone: Tombstones) -> None:
        """Leave out what names nodes that were deleted on purpose, and say how many rows that is."""
        before = self.rows
        self.nodes = {label: gone.nodes(label, frame) for label, frame in self.nodes.items()}
        self.relationships = {rel: gone.edges(rel, frame) for rel, frame in self.relationships.items()}
        self.events, self.exposures = gone.events(self.events), gone.exposures(self.exposures)
        if self.audio_segments is not None:
            self.audio_segments = gone.exposures(self.audio_segments)
        if before > self.rows:
            self.warn(f"{before - self.rows} rows name what was deleted on purpose: left out (PUT makes it again)")

    # ---- reading

    @property
    def rejects(self) -> pl.DataFrame:
        """All bad rows: `file`, `line`, `reason`, `row`; a line that is bad for two reasons stands there once."""
        return self._distinct_rejects().sort("file", "line", nulls_last=True, maintain_order=True)

    def _distinct_rejects(self) -> pl.DataFrame:
        whole = pl.concat([pl.DataFrame(schema=_REJECTS), *self._rejects])
        return whole.filter(pl.col("line").is_null() | pl.struct("file", "line").is_first_distinct())

    @property
    def lost(self) -> pl.DataFrame:
        """Values that were left out of rows which are kept: `file`, `line`, `field`, `value`, `reason`."""
        whole = pl.concat([pl.DataFrame(schema=_LOST), *self._lost])
        whole = whole.join(self._distinct_rejects().drop_nulls("line"), on=["file", "line"], how="anti")
        return whole.unique(maintain_order=True).sort("file", "line", nulls_last=True, maintain_order=True)

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
        named = [name for name in EVENT_COLUMNS if name != "event_id" and name not in FLAGS]
        fields = [pl.col(name).cast(pl.String).fill_null("\x1e") for name in named]
        # A unit separator stands in no field (control characters are refused), so different rows give different texts.
        text = self.events.select(
            pl.concat_str(
                pl.concat_str(fields, separator="\x1f"),
                *(pl.concat_str(pl.lit(f"\x1f{name}="), pl.col(name)).fill_null("") for name in FLAGS),
            ).alias("text")
        )
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

    def unjoined(self) -> list[str]:
        """What is told of ids that name no node of a table which the source has, with an example and, where an id
        differs in nothing that one sees, what it may have meant."""
        told = []
        for label, nodes in self.nodes.items():
            known = nodes.select("id", plain=_plain(pl.col("id"))).unique("plain", keep="first", maintain_order=True)
            for what, ids_ in self._named(label):
                lost = ids_.filter(~ids_.is_in(nodes["id"].implode()))
                if lost.len():
                    where = schema.label(label).table or label
                    told.append(f"{lost.len()} of {ids_.len()} {what} name none of {where}{_meant(lost, known)}")
        return told

    def _named(self, label: str) -> Iterator[tuple[str, pl.Series]]:
        """The ids of a label that events and relations name."""
        if label in ("User", "Song"):
            yield "events", self.events[f"{label.lower()}_id"].drop_nulls()
        for relationship, frame in self.relationships.items():
            for end, end_label in (("source", relationship.source), ("target", relationship.target)):
                if end_label == label:
                    yield relationship.table or relationship.key, frame[end]

    # ---- inside

    def _checked(self, frame: pl.DataFrame, fields: Sequence[_Field], file: str) -> pl.DataFrame:
        """The rows that have what is required, typed, and `line`; the others go to the rejects.

        Of the rows that are kept, values that cannot be read are left out and reported.
        """
        for one in fields:
            if one.name not in frame.columns:
                raise InvalidInput(f"{file}: expected the column {one.shown or one.name}, got {listed(frame)}")
        if "line" not in frame.columns:
            frame = frame.with_columns(line=pl.lit(None, dtype=pl.Int64))
        columns, problem = {}, pl.repeat(None, frame.height, dtype=pl.String, eager=True)
        optional: list[tuple[_Field, pl.Series]] = []
        for one in fields:
            read = self._read(one, frame[one.name], file)
            if read.note is not None:
                self.warn(f"{file}: {read.note}")
            columns[one.name] = read.values
            if one.required:
                absent = read.values.is_null() & read.problems.is_null()
                missing = pl.Series([f"{one.shown or one.name}: required"]).new_from_index(0, frame.height)
                found = read.problems.zip_with(~absent, missing) if absent.any() else read.problems
                problem = problem.zip_with(problem.is_not_null(), found)
            elif read.problems.null_count() < frame.height:
                optional.append((one, read.problems))
            if read.changed is not None:
                optional.append((one, read.changed))
        typed = pl.DataFrame({**columns, "line": frame["line"].cast(pl.Int64)})
        frame = frame.with_columns(selectors.duration().dt.total_milliseconds())  # for the reports: numbers print
        bad = problem.is_not_null()
        for one, reasons in optional:
            lost = reasons.is_not_null() & ~bad
            self._lose(one.shown or one.name, frame.filter(lost), reasons.filter(lost), one.name, file)
        if bad.any():
            self._keep(frame.filter(bad).select(*(one.name for one in fields), "line"), problem.filter(bad), file)
            typed = typed.filter(~bad)
        return typed

    def _read(self, one: _Field, column: pl.Series, file: str) -> Values:
        shown, dtype = one.shown or one.name, column.dtype
        if dtype == pl.Null:
            column = column.cast(pl.String)
        elif one.kind in ("id", "text", "name"):
            if dtype.is_integer() or isinstance(dtype, pl.Categorical | pl.Enum):
                column = column.cast(pl.String)
            elif dtype != pl.String:
                raise InvalidInput(f"{file}: column {shown} holds {dtype}, expected text")
        elif not (
            dtype.is_numeric()
            or dtype == pl.String
            or (one.kind in ("time", "duration") and dtype.is_temporal())
            or (one.kind == "flag" and dtype == pl.Boolean)
        ):
            raise InvalidInput(f"{file}: column {shown} holds {dtype}, expected {one.kind} values")
        if one.kind == "id":
            return ids(shown, column)
        if one.kind in ("text", "name"):
            return texts(shown, column, tokens=one.kind == "text")
        if one.kind == "time":
            return times(shown, column, now=self.now, events=one.name == "at", file=file, low=one.low, high=one.high)
        if one.kind == "duration":
            return durations(shown, column, one.high or 10**12, played=one.name == "played_ms")
        if one.kind == "flag":
            return flags(shown, column)
        return (integers if one.kind == "integer" else floats)(shown, column, one.low, one.high)

    def _lose(self, shown: str, frame: pl.DataFrame, reasons: pl.Series, name: str, file: str) -> None:
        if frame.height:
            value = frame[name].cast(pl.String, strict=False).str.slice(0, _SHOWN)
            told = {"file": pl.lit(file), "line": pl.col("line").cast(pl.Int64), "field": pl.lit(shown)}
            self._lost.append(frame.select(**told, value=value, reason=reasons))

    def _whole_pairs(self, frame: pl.DataFrame, file: str) -> pl.DataFrame:
        """Events without a latitude that has no longitude, or the other way round."""
        half = frame["latitude"].is_null() != frame["longitude"].is_null()
        if half.any():
            for name in ("latitude", "longitude"):
                lost = frame.filter(half & frame[name].is_not_null())
                reason = pl.Series([f"{name}: latitude and longitude go together"]).new_from_index(0, lost.height)
                self._lose(name, lost, reason, name, file)
            both = {name: pl.when(~pl.lit(half)).then(pl.col(name)) for name in ("latitude", "longitude")}
            frame = frame.with_columns(**both)
        return frame

    def _without_problems(self, frame: pl.DataFrame, problem: pl.Expr, file: str) -> pl.DataFrame:
        """The rows without a `problem`; the others go to the rejects."""
        found = frame.with_columns(problem)["problem"]
        bad = found.is_not_null()
        if bad.any():
            self._keep(frame.filter(bad), found.filter(bad), file)
            frame = frame.filter(~bad)
        return frame

    def _first_of_an_id(self, frame: pl.DataFrame, file: str) -> pl.DataFrame:
        """Events of a file without those that repeat an id with other content, which are rejected.

        Points are not compared here: they are coarsened before they are written.
        """
        numbered = frame.with_row_index("_row")
        named = numbered.filter(pl.col("event_id").is_not_null()).with_columns(file=pl.lit(file))
        if named.is_empty():
            return frame
        self._named_events.append(named.select("event_id", "file", "line"))
        compared = [name for name in EVENT_COLUMNS if name not in ("event_id", "latitude", "longitude")]
        before = self.events.filter(pl.col("event_id").is_in(named["event_id"].implode()))
        firsts = pl.concat([before, named.select(before.columns)]).unique("event_id", keep="first")
        other = named.join(firsts, on=["event_id", *compared], how="anti", nulls_equal=True)
        if other.height:
            frame = numbered.join(other.select("_row"), on="_row", how="anti", maintain_order="left").drop("_row")
            self._keep(other.drop("file", "_row"), _other_content(other), file)
        return frame

    def reject_events(self, event_ids: Sequence[str]) -> None:
        """Reject the events with these ids, which the log has with other content."""
        chosen = pl.col("event_id").is_in(list(event_ids))
        bad = self.events.filter(chosen)
        if bad.is_empty():
            return
        rows = bad.join(pl.concat(self._named_events).unique("event_id", keep="first"), on="event_id", how="left")
        for (file,), part in rows.group_by("file", maintain_order=True):
            self._keep(part.drop("file"), _other_content(part), str(file))
        self.events = self.events.filter(~chosen.fill_null(value=False))

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


def _other_content(rows: pl.DataFrame) -> pl.Series:
    return rows.select(pl.format("event_id {}: " + OTHER_CONTENT, "event_id").alias("reason")).to_series()


_UNSEEN: Final = r"[\x{200b}-\x{200f}\x{2060}\x{feff}\x{ad}]"


def _plain(column: pl.Expr) -> pl.Expr:
    """What one sees of an id: no blanks around it, nothing of no width, no `.0` of a spreadsheet, one Unicode form."""
    seen = column.str.replace_all(_UNSEEN, "").str.strip_chars().str.replace(r"^(-?\d+)\.0+$", "${1}")
    return seen.str.normalize("NFKC").str.to_lowercase()


def _meant(lost: pl.Series, known: pl.DataFrame) -> str:
    """An example of ids that are not known, and the known one that it may have meant."""
    unknown = lost.unique(maintain_order=True).alias("id").to_frame().with_columns(plain=_plain(pl.col("id")))
    found = unknown.join(known.rename({"id": "meant"}), on="plain", how="inner", maintain_order="left")
    if found.is_empty():
        return f", e.g. {_visible(unknown['id'][0])}"
    return f", e.g. {_visible(found['id'][0])} ({_visible(found['meant'][0])} exists)"


def _visible(text: str) -> str:
    """The text quoted; what one would not see of it is escaped."""
    return repr(text) if unicodedata.is_normalized("NFKC", text) else ascii(text)


def _log_fields(
    columns: Mapping[str, type[pl.DataType]], id_columns: Sequence[str], required: Sequence[str]
) -> list[_Field]:
    """The fields of a log's table; `action` and what else is checked with other fields is read as it stands."""
    kinds = {"at": "time", "played_ms": "duration", "query": "name"}
    kinds |= {**dict.fromkeys(id_columns, "id"), **dict.fromkeys(FLAGS, "flag")}
    found = []
    for name, dtype in columns.items():
        kind = kinds.get(name) or {"string": "text"}.get(_KINDS[dtype], _KINDS[dtype])
        low, high = BOUNDS.get(name, (None, None))
        found.append(_Field(name, kind, name in required, low, high))  # type: ignore[arg-type]
    return found
