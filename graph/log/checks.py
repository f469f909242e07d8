"""Checks of rows before they are written: one at a time for requests, whole columns at once for imports.

Both give the same verdict; a problem is a short text that names the field, None (null) means that the row is good.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import polars as pl

from graph import schema
from graph.durations import DAY_MS
from graph.schema import MAX_TEXT_BYTES, problem_of_id

MAX_COUNT: Final = 10**9

EVENT_COLUMNS: Final[dict[str, type[pl.DataType]]] = {
    "event_id": pl.String,
    "user_id": pl.String,
    "action": pl.String,
    "song_id": pl.String,
    "target_label": pl.String,
    "target_id": pl.String,
    "query": pl.String,
    "count": pl.Int64,
    "rating": pl.Float64,
    "at": pl.Int64,
    "played_ms": pl.Int64,
    "scene": pl.String,
    "request_id": pl.String,
    "position": pl.Int64,
    "latitude": pl.Float64,
    "longitude": pl.Float64,
    "is_organic": pl.Int64,
    "private": pl.Int64,
}
OTHER_CONTENT: Final = "other content than an earlier event"
FLAGS: Final = ("is_organic", "private")
"""Fields of an event that are 0 or 1; younger than the others: `Batch.name_events` leaves out null ones."""
EXPOSURE_COLUMNS: Final[dict[str, type[pl.DataType]]] = {
    "request_id": pl.String,
    "user_id": pl.String,
    "song_id": pl.String,
    "position": pl.Int64,
    "at": pl.Int64,
    "scene": pl.String,
    "channel": pl.String,
    "score": pl.Float64,
    "propensity": pl.Float64,
    "policy": pl.String,
}

_FOLLOW_ACTIONS: Final = ("follow", "unfollow")
_TARGET_LABELS: Final = tuple(entry.name for entry in schema.LABELS)
_EVENT_IDS: Final = ("event_id", "user_id", "song_id", "target_id", "request_id", "scene")
_EVENT_INTEGERS: Final = {
    "count": (1, MAX_COUNT),
    "played_ms": (0, 10**12),
    "position": (0, 10**9),
    **dict.fromkeys(FLAGS, (0, 1)),
}
_EVENT_FLOATS: Final = {"rating": (-1e9, 1e9), "latitude": (-90.0, 90.0), "longitude": (-180.0, 180.0)}


BOUNDS: Final[Mapping[str, tuple[float | None, float | None]]] = {
    **_EVENT_INTEGERS,
    **_EVENT_FLOATS,
    "score": (None, None),
    "propensity": (0, 1),
}
"""What numbers of events and exposures may be, inclusive (None: no bound)."""


def now_ms() -> int:
    """The clock, epoch milliseconds."""
    return time.time_ns() // 1_000_000


# ---- one row


def problem_of_text(value: object) -> str | None:
    """Why `value` is no text of the contract (1 to 2,000 UTF-8 bytes, no control character), or None."""
    if not isinstance(value, str):
        return f"expected text, got {type(value).__name__}"
    if not value:
        return "expected a text, got an empty one"
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        return "expected text in UTF-8, got a lone surrogate"
    if size > MAX_TEXT_BYTES:
        return f"expected at most {MAX_TEXT_BYTES} bytes, got {size}"
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value):
        return "expected text without control characters"
    return None


def problem_of_integer(value: object, low: float | None, high: float | None) -> str | None:
    """Why `value` is no integer from `low` to `high` (None: no bound), or None."""
    if isinstance(value, bool) or not isinstance(value, int):
        return f"expected an integer, got {type(value).__name__}"
    return _outside(value, low, high)


def problem_of_float(value: object, low: float | None, high: float | None) -> str | None:
    """Why `value` is no finite number from `low` to `high` (None: no bound), or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"expected a number, got {type(value).__name__}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"expected a finite number, got {value}"
    if abs(value) > 1e300:
        return "expected a number of at most 1e300"
    return _outside(value, low, high)


def _outside(value: float, low: float | None, high: float | None) -> str | None:
    limit_low = -(2**63) if low is None and isinstance(value, int) else low
    limit_high = 2**63 - 1 if high is None and isinstance(value, int) else high
    if (limit_low is not None and value < limit_low) or (limit_high is not None and value > limit_high):
        return f"expected {_bounds(low, high)}"
    return None


def _bounds(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "a number of 64 bits"
    if high is None:
        return f"at least {low}"
    return f"at most {high}" if low is None else f"{low} to {high}"


def problem_of_property(entry: schema.Property, value: object) -> str | None:
    """Why `value` cannot stand in that property, or None; a value that is absent (None) always can."""
    if value is None:
        return None
    if entry.kind == "string":
        problem = problem_of_text(value)
    elif entry.kind == "integer":
        problem = problem_of_integer(value, entry.low, entry.high)
    else:
        problem = problem_of_float(value, entry.low, entry.high)
    return None if problem is None else f"{entry.name}: {problem}"


def problem_of_event(given: Mapping[str, Any], now: int) -> str | None:
    """Why `given` is no event, naming the field, or None. `now`: epoch milliseconds."""
    if not isinstance(given, Mapping):
        return f"expected an event (an object), got {type(given).__name__}"
    for name in given:
        if name not in EVENT_COLUMNS:
            return f"unknown field {str(name)[:80]!r} (expected {', '.join(EVENT_COLUMNS)})"
    return _problem_of_fields(given, now) or _problem_of_combination(given)


def _problem_of_fields(given: Mapping[str, Any], now: int) -> str | None:
    for name in ("user_id", "action"):
        if given.get(name) is None:
            return f"{name}: required"
    checks: list[tuple[str, str | None]] = [
        (name, problem_of_id(given[name])) for name in _EVENT_IDS if given.get(name) is not None
    ]
    if given["action"] not in schema.ACTIONS:
        checks.append(("action", f"expected one of {', '.join(schema.ACTIONS)}"))
    if given.get("query") is not None:
        checks.append(("query", problem_of_text(given["query"])))
    for name, (low, high) in _EVENT_INTEGERS.items():
        if given.get(name) is not None:
            checks.append((name, problem_of_integer(given[name], low, high)))
    if given.get("at") is not None:
        problem = problem_of_integer(given["at"], 0, None)
        if problem is None and given["at"] > now + DAY_MS:
            problem = "more than a day ahead (expected epoch milliseconds)"
        checks.append(("at", problem))
    for name, (low_, high_) in _EVENT_FLOATS.items():
        if given.get(name) is not None:
            checks.append((name, problem_of_float(given[name], low_, high_)))
    return next((f"{name}: {problem}" for name, problem in checks if problem is not None), None)


def _named(labels: Sequence[str]) -> str:
    return f"{', '.join(labels[:-1])} or {labels[-1]}"


def _problem_of_combination(given: Mapping[str, Any]) -> str | None:
    action = given["action"]
    song, label, target = given.get("song_id"), given.get("target_label"), given.get("target_id")
    is_follow = action in _FOLLOW_ACTIONS
    on_entity = action in schema.BLOCK_ACTIONS and label is not None
    findings = (
        (on_entity and song is not None, f"song_id, target_label: expected one of them for {action}, got both"),
        (
            on_entity and label not in schema.BLOCKED_LABELS,
            f"target_label: expected {_named(schema.BLOCKED_LABELS)} for {action} (a song is its song_id)",
        ),
        (action in schema.SONG_ACTIONS and song is None and not on_entity, f"song_id: required for {action}"),
        (action not in schema.SONG_ACTIONS and song is not None, "song_id: only actions on songs have one"),
        (action == "search" and given.get("query") is None, "query: required for search"),
        (is_follow and (label is None or target is None), f"target_label, target_id: required for {action}"),
        ((label is None) != (target is None), "target_label, target_id: expected both or none"),
        (is_follow and label not in ("User", "Artist"), f"target_label: expected User or Artist for {action}"),
        (
            label is not None and label not in _TARGET_LABELS,
            f"target_label: expected one of {', '.join(_TARGET_LABELS)}",
        ),
        (
            (given.get("latitude") is None) != (given.get("longitude") is None),
            "latitude, longitude: expected both or none",
        ),
    )
    return next((text for found, text in findings if found), None)


# ---- whole columns


def id_problem(name: str) -> pl.Expr:
    """Per row of the String column `name`: why it is no id, or null; a null value is no problem here."""
    column = pl.col(name)
    return (
        pl.when(column.is_null())
        .then(None)
        .when(column == "")
        .then(pl.lit(f"{name}: expected an id, got an empty text"))
        .when(column.str.len_bytes() > schema.MAX_ID_BYTES)
        .then(pl.lit(f"{name}: expected an id of at most {schema.MAX_ID_BYTES} bytes"))
        .when(column.str.contains("/", literal=True))
        .then(pl.lit(f"{name}: expected an id without '/'"))
        .when(column.str.contains(r"[\x00-\x1f\x7f-\x{9f}]"))
        .then(pl.lit(f"{name}: expected an id without control characters"))
        .otherwise(None)
    )


def text_problem(name: str) -> pl.Expr:
    """Per row of the String column `name`: why it is no text of the contract, or null."""
    column = pl.col(name)
    return (
        pl.when(column.is_null())
        .then(None)
        .when(column == "")
        .then(pl.lit(f"{name}: expected a text, got an empty one"))
        .when(column.str.len_bytes() > MAX_TEXT_BYTES)
        .then(pl.lit(f"{name}: expected at most {MAX_TEXT_BYTES} bytes"))
        .when(column.str.contains(r"[\x00-\x1f\x7f-\x{9f}]"))
        .then(pl.lit(f"{name}: expected text without control characters"))
        .otherwise(None)
    )


def required_problem(name: str, of: str = "") -> pl.Expr:
    """Per row: that the column `name` has no value, or null."""
    return pl.when(pl.col(name).is_null()).then(pl.lit(f"{name}: required{of}"))


def number_problem(name: str, low: float | None, high: float | None) -> pl.Expr:
    """Per row of the numeric column `name`: that it is not finite or out of bounds, or null."""
    column = pl.col(name)
    # A NaN is larger than every number in polars, so it falls under the bounds only by chance: ask for it first.
    finite = column.cast(pl.Float64).is_finite()
    expr = pl.when(column.is_null()).then(None).when(~finite).then(pl.lit(f"{name}: expected a finite number"))
    message = pl.lit(f"{name}: expected {_bounds(low, high)}")
    if low is not None:
        expr = expr.when(column < low).then(message)
    if high is not None:
        expr = expr.when(column > high).then(message)
    return expr.otherwise(None)


def first_problem(problems: Iterable[pl.Expr]) -> pl.Expr:
    """The first of several problems of a row, named `problem`."""
    return pl.coalesce(*problems, pl.lit(None, dtype=pl.String)).alias("problem")


def event_problem(now: int) -> pl.Expr:
    """Per row of a frame with all of `EVENT_COLUMNS`: why it is no event, or null, as `problem`."""
    action, song = pl.col("action"), pl.col("song_id")
    label, target = pl.col("target_label"), pl.col("target_id")
    on_song, is_follow = action.is_in(list(schema.SONG_ACTIONS)), action.is_in(list(_FOLLOW_ACTIONS))

    on_entity = action.is_in(list(schema.BLOCK_ACTIONS)) & label.is_not_null()

    def when(condition: pl.Expr, text: str) -> pl.Expr:
        return pl.when(condition).then(pl.lit(text))

    return first_problem(
        [
            required_problem("user_id"),
            required_problem("action"),
            *(id_problem(name) for name in _EVENT_IDS),
            when(~action.is_in(list(schema.ACTIONS)), f"action: expected one of {', '.join(schema.ACTIONS)}"),
            text_problem("query"),
            *(number_problem(name, low, high) for name, (low, high) in _EVENT_INTEGERS.items()),
            number_problem("at", 0, None),
            when(pl.col("at") > now + DAY_MS, "at: more than a day ahead (expected epoch milliseconds)"),
            *(number_problem(name, low, high) for name, (low, high) in _EVENT_FLOATS.items()),
            pl.when(on_entity & song.is_not_null()).then(
                pl.format("song_id, target_label: expected one of them for {}, got both", action)
            ),
            pl.when(on_entity & ~label.is_in(list(schema.BLOCKED_LABELS))).then(
                pl.format(
                    f"target_label: expected {_named(schema.BLOCKED_LABELS)} for {{}} (a song is its song_id)", action
                )
            ),
            pl.when(on_song & song.is_null() & ~on_entity).then(pl.format("song_id: required for {}", action)),
            when(~on_song & song.is_not_null(), "song_id: only actions on songs have one"),
            when((action == "search") & pl.col("query").is_null(), "query: required for search"),
            pl.when(is_follow & (label.is_null() | target.is_null())).then(
                pl.format("target_label, target_id: required for {}", action)
            ),
            when(label.is_null() != target.is_null(), "target_label, target_id: expected both or none"),
            pl.when(is_follow & ~label.is_in(["User", "Artist"])).then(
                pl.format("target_label: expected User or Artist for {}", action)
            ),
            when(~label.is_in(list(_TARGET_LABELS)), f"target_label: expected one of {', '.join(_TARGET_LABELS)}"),
            when(
                pl.col("latitude").is_null() != pl.col("longitude").is_null(),
                "latitude, longitude: expected both or none",
            ),
        ]
    )


def exposure_problem(now: int) -> pl.Expr:
    """Per row of a frame with all of `EXPOSURE_COLUMNS`: why it is no exposure, or null, as `problem`."""
    return first_problem(
        [
            *(required_problem(name) for name in ("request_id", "song_id", "position")),
            *(id_problem(name) for name in ("request_id", "user_id", "song_id", "scene", "channel", "policy")),
            number_problem("position", 0, 10**9),
            number_problem("at", 0, now + DAY_MS),
            number_problem("score", None, None),
            number_problem("propensity", 0, 1),
        ]
    )
