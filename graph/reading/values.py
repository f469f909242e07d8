"""Columns of texts as typed values: numbers, times and durations in whatever unit, decided once for a whole column.

Each function gives the values, and per row why its raw value could not be read (null where it could, or where there is
none). Nothing is dropped here without such a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from graph.durations import DAY_MS
from graph.errors import InvalidInput
from graph.schema import MAX_ID_BYTES, MAX_TEXT_BYTES, id_of

ABSENT: Final = ("", "null", "none", "nan", "na", "n/a", "#n/a", "nil", "-", "\\n", "nat")
"""What files write, in small letters, where there is no value (`\\N` is MySQL's)."""
EVENTS_BEGIN_MS: Final = 631_152_000_000  # 1990-01-01: nobody logged what was played before
_BEGIN_MS: Final = -2_208_988_800_000  # 1900-01-01: no column of dates lies before it as a whole
_AHEAD_MS: Final = 730 * DAY_MS  # what is announced
_UNITS: Final = (("seconds", 1e3), ("milliseconds", 1.0), ("microseconds", 1e-3), ("nanoseconds", 1e-6))
_EXACT: Final = 2.0**53  # integers below it survive in a column of floats
_SHOWN: Final = 40
_CONTROL: Final = r"[\x00-\x1f\x7f-\x{9f}]"
_UNFIT: Final = r"[\x00-\x1f\x7f-\x{9f}/]"
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK: Final = r"(?:[T ,]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*(Z|UTC|[+-]\d{2}:?\d{2})?)?"
_ISO: Final = rf"^(-?\d{{4}})(?:[-/.](\d{{1,2}})(?:[-/.](\d{{1,2}}){_CLOCK})?)?$"
_WORDY: Final = rf"^(\d{{1,2}})[ -]([A-Za-z]{{3}})[a-z]*[ -](\d{{4}}){_CLOCK}$"
_SLASHED: Final = rf"^(\d{{1,2}})[/.](\d{{1,2}})[/.](\d{{4}}){_CLOCK}$"
_LENGTH: Final = r"^(?:(\d+):)?(\d{1,4}):(\d{2}(?:\.\d+)?)$"


@dataclass(frozen=True)
class Values:
    """`values`, and `problems` (String, null: none): why a raw value could not be read.

    note: what was found out about the column; changed (String, null: it was not): how a value differs from the raw one.
    """

    values: pl.Series
    problems: pl.Series
    note: str | None = None
    changed: pl.Series | None = None


def present(column: pl.Series) -> pl.Series:
    """The texts of a column without blanks around them; null for what says that there is none."""
    text = column.cast(pl.String, strict=False).str.strip_chars()
    return text.set(text.str.to_lowercase().is_in(list(ABSENT)), None)


def texts(name: str, column: pl.Series, *, tokens: bool) -> Values:
    """Texts of at most 2,000 bytes without control characters, which become blanks.

    tokens: whether words such as N/A say that there is none; of free text (a song may be called None) only `\\N` does.
    """
    nothing = column.str.strip_chars()
    gone = nothing.str.to_lowercase().is_in(list(ABSENT)) if tokens else nothing.is_in(["", "\\N"])
    values = column.set(gone.fill_null(value=False), None)
    control = values.str.contains(_CONTROL).fill_null(value=False)
    long = (values.str.len_bytes() > MAX_TEXT_BYTES).fill_null(value=False)
    if not (control | long).any():
        return Values(values, _none(len(column)))
    values = values.str.replace_all(_CONTROL, " ").str.strip_chars().zip_with(control, values)
    if long.any():
        cut = [value and value.encode()[:MAX_TEXT_BYTES].decode("utf-8", "ignore") for value in values]
        values = pl.Series(cut, dtype=pl.String)
    said = (
        pl.when("long")
        .then(pl.lit(f"{name}: expected at most {MAX_TEXT_BYTES} bytes: the rest is left out"))
        .when("control")
        .then(pl.lit(f"{name}: control characters become blanks"))
    )
    changed = pl.DataFrame({"control": control, "long": long}).select(said=said)["said"]
    return Values(values.set((values == "").fill_null(value=False), None), _none(len(column)), changed=changed)


def ids(name: str, column: pl.Series) -> Values:
    """Ids byte for byte; of a text that is none the one that `schema.id_of_name` makes of it."""
    values = column.set((column.str.strip_chars() == "").fill_null(value=False), None)
    unfit = values.to_frame("id").select(unfit_ids(pl.col("id")))["id"].fill_null(value=False)
    if not unfit.any():
        return Values(values, _none(len(column)))
    names = values.filter(unfit).unique(maintain_order=True)
    made = {text: id_of(text) for text in names}
    shown = "".join(c if c.isprintable() else "?" for c in names[0][:_SHOWN])
    note = f"{name}: {len(made)} ids hold what no id may: made of the name, '{shown}' is {made[names[0]][:_SHOWN]}"
    return Values(values.replace(made), _none(len(column)), note)


def unfit_ids(column: pl.Expr) -> pl.Expr:
    """Whether a text is none that an id may be."""
    return column.str.contains(_UNFIT) | (column.str.len_bytes() > MAX_ID_BYTES) | (column == "")


def floats(name: str, column: pl.Series, low: float | None = None, high: float | None = None) -> Values:
    """Finite numbers from `low` to `high` (None: no bound)."""
    return _bounded(name, column, _number(column), low, high, "a number")


def integers(name: str, column: pl.Series, low: float | None = None, high: float | None = None) -> Values:
    """Whole numbers from `low` to `high`; "3.0" is one. In a column of whole years ("1980-05-01") that of a date is."""
    number = _number(column)
    whole = number.set(number != number.round(0), None)
    values = whole.set(whole.abs() >= _EXACT, None).cast(pl.Int64, strict=False)
    if not column.dtype.is_float():
        source = present(column) if column.dtype == pl.String else column
        values = source.cast(pl.Int64, strict=False).zip_with(source.cast(pl.Int64, strict=False).is_not_null(), values)
    return _bounded(name, column, values, low, high, "an integer of 64 bits")


def flags(name: str, column: pl.Series) -> Values:
    """0 and 1, written as that or as "true" and "false" in any case."""
    number = column.cast(pl.Int64) if column.dtype == pl.Boolean else _number(column)
    if column.dtype == pl.String:
        words = present(column).str.to_lowercase()
        said = words.replace_strict({"true": 1.0, "false": 0.0}, default=None, return_dtype=pl.Float64)
        number = number.zip_with(number.is_not_null(), said)
    values = number.set((number != 0) & (number != 1), None).cast(pl.Int64)
    return _bounded(name, column, values, 0, 1, "true or false")


def durations(name: str, column: pl.Series, high: float, *, played: bool = False) -> Values:
    """Milliseconds up to `high`, from numbers of any unit or texts such as "3:35".

    Half of all songs are longer than ten seconds, so a column with a smaller median is in seconds. `played`: of how
    long songs were played that is not so, since many are skipped; there one in twenty is heard for over four seconds.
    """
    if isinstance(column.dtype, pl.Duration):
        return _bounded(name, column, column.dt.total_milliseconds(), 0, high, "a duration")
    number, note = _number(column), None
    if column.dtype == pl.String:
        number = number.zip_with(number.is_not_null(), _lengths(column) * 1000)
        numeric = number.filter(~column.str.contains(_LENGTH).fill_null(value=False))
    else:
        numeric = number
    usual = numeric.filter(numeric > 0).quantile(0.95 if played else 0.5)
    factor = 1.0
    if isinstance(usual, float) and usual < (4_000 if played else 10_000):
        factor, note = 1e3, "seconds"
    elif isinstance(usual, float) and usual >= 3e7:
        factor, note = 1e-3, "microseconds"
    if note is not None:
        timed = _timed_texts(column)
        number = (number * factor).zip_with(~timed, number)
    values = number.round(0).set(number.abs() >= _EXACT, None).cast(pl.Int64, strict=False)
    return _bounded(name, column, values, 0, high, "a duration", None if note is None else f"{name}: read as {note}")


def times(
    name: str,
    column: pl.Series,
    *,
    now: int,
    events: bool,
    file: str = "",
    low: float | None = None,
    high: float | None = None,
) -> Values:
    """Epoch milliseconds, from times of any unit: ISO 8601, dates, years, numbers since 1970.

    events: whether they are times of events (from 1990 to a day ahead), or others, such as releases (from 1900 on, if
    the column is looked at as a whole). What lies ahead by more than that is kept: whoever asks decides on it.
    Raises: InvalidInput if no unit makes the column plausible.
    """
    plausible = (EVENTS_BEGIN_MS, now + DAY_MS) if events else (_BEGIN_MS, now + _AHEAD_MS)
    if isinstance(column.dtype, pl.Datetime | pl.Date):
        values = column.dt.epoch("ms")
        return _bounded(name, column, values, EVENTS_BEGIN_MS if events else low, high, "a time")
    number, said = _number(column), []
    values = _none(len(column), pl.Int64)
    if column.dtype == pl.String:
        text = present(column)
        values = _written(name, text, file)
        years = text.str.contains(r"^\d{4}$").fill_null(value=False) & number.is_between(1000, 2200)
        compact = text.str.contains(r"^(1[89]|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$").fill_null(value=False)
    else:
        years = number.is_between(1000, 2200).fill_null(value=False) & (number == number.round(0)).fill_null(
            value=False
        )
        compact = _none(len(column)).is_not_null()
    plain = number.is_not_null()
    if years.any():
        said.append("years")
        values = values.zip_with(~years, _of_parts(number.cast(pl.Int64, strict=False)))
    if compact.any() and compact.sum() * 2 > (plain & ~years).sum():
        said.append("dates (YYYYMMDD)")
        day = number.cast(pl.Int64, strict=False).set(~compact, None)
        values = values.zip_with(~compact, _of_parts(day // 10_000, day // 100 % 100, day % 100))
        plain &= ~compact
    plain &= ~years
    given = number.filter(plain)
    if given.len():
        unit, factor = _unit(given, *plausible)
        if unit is None:
            raise InvalidInput(
                f"{file}: {name}: no unit makes these times plausible, {_example(given)} (expected epoch milliseconds, "
                f"seconds or microseconds, or ISO 8601, {'from 1990' if events else 'from 1900'} to now)"
            )
        if unit != "milliseconds":
            said.append(unit)
        whole = column.cast(pl.Int64, strict=False) if column.dtype != pl.String else present(column).cast(
            pl.Int64, strict=False
        )  # fmt: skip
        scaled = (number * factor).round(0)
        scaled = scaled.set(scaled.abs() >= _EXACT, None).cast(pl.Int64, strict=False)
        if factor == 1.0:
            scaled = whole.zip_with(whole.is_not_null(), scaled)
        values = scaled.zip_with(plain, values)
    note = f"{name}: read as {' and '.join(said)}" if said else None
    return _bounded(name, column, values, EVENTS_BEGIN_MS if events else low, high, "a time", note)


# ---- inside


def _none(size: int, dtype: type[pl.DataType] = pl.String) -> pl.Series:
    return pl.Series([None], dtype=dtype).new_from_index(0, size) if size else pl.Series([], dtype=dtype)


def _number(column: pl.Series) -> pl.Series:
    """(N,) Float64 the numbers of a column; null where there is none."""
    if column.dtype == pl.String:
        text = present(column)
        number = text.cast(pl.Float64, strict=False)
        if number.null_count() > text.null_count():  # a decimal comma
            comma = text.str.replace(r"^(-?\d+),(\d+)$", "${1}.${2}").cast(pl.Float64, strict=False)
            number = number.zip_with(number.is_not_null(), comma)
    else:
        number = column.cast(pl.Float64, strict=False)
    return number.set(~number.is_finite(), None)


def _bounded(
    name: str,
    column: pl.Series,
    values: pl.Series,
    low: float | None,
    high: float | None,
    expected: str,
    note: str | None = None,
) -> Values:
    """The values within bounds, and why the others are none."""
    given = present(column).is_not_null() if column.dtype == pl.String else column.is_not_null()
    if column.dtype.is_float():
        given &= ~column.is_nan()
    plain = column.dt.total_milliseconds() if isinstance(column.dtype, pl.Duration) else column
    shown = plain.cast(pl.String, strict=False).str.slice(0, _SHOWN)
    frame = pl.DataFrame({"given": given, "value": values, "shown": shown})
    outside = pl.lit(value=False)
    if low is not None:
        outside |= pl.col("value") < low
    if high is not None:
        outside |= pl.col("value") > high
    problem = (
        pl.when(pl.col("given") & pl.col("value").is_null())
        .then(pl.format(f"{name}: expected {expected}, got '{{}}'", pl.col("shown")))
        .when(outside)
        .then(pl.format(f"{name}: expected {_range(low, high, expected)}, got '{{}}'", pl.col("shown")))
    )
    frame = frame.with_columns(problem=problem, value=pl.when(~outside.fill_null(value=False)).then(pl.col("value")))
    return Values(frame["value"], frame["problem"], note)


def _range(low: float | None, high: float | None, expected: str) -> str:
    if expected == "a time":
        return "a time since " + ("1990" if low == EVENTS_BEGIN_MS else "1970" if low == 0 else "the year 1000")
    if high is None:
        return f"at least {low}"
    return f"at most {high}" if low is None else f"{low} to {high}"


def _unit(given: pl.Series, low: int, high: int) -> tuple[str | None, float]:
    """The unit that makes most of the numbers plausible times; of several the coarsest, for a finer one would put all
    of them within weeks of 1970. None if there are not at least half."""
    best, most = (None, 0.0), given.len() / 2 - 0.5
    for unit, factor in _UNITS:
        plausible = float((given * factor).is_between(low, high).sum())
        if plausible > most:
            best, most = (unit, factor), plausible  # type: ignore[assignment]
    return best


def _example(given: pl.Series) -> str:
    low, high = (given.quantile(q) or 0.0 for q in (0.0, 1.0))
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"


def _of_parts(*parts: pl.Series) -> pl.Series:
    """Epoch milliseconds of year, month, day, hour, minute, second; null where there is no such day."""
    names = ("year", "month", "day", "hour", "minute", "second")
    frame = pl.DataFrame(dict(zip(names, parts, strict=False)))
    for name in names[len(parts) :]:
        frame = frame.with_columns(pl.lit(1 if name in ("month", "day") else 0, dtype=pl.Int64).alias(name))
    text = frame.select(
        pl.format(
            "{}-{}-{} {}:{}:{}",
            *(pl.col(name).cast(pl.String).str.zfill(4 if name == "year" else 2) for name in names),
        ).alias("text")
    )["text"]
    return text.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False).dt.epoch("ms")


def _written(name: str, text: pl.Series, file: str) -> pl.Series:
    """Epoch milliseconds of the texts that are dates or times; null for the others."""
    values = _none(len(text), pl.Int64)
    for pattern, order in ((_ISO, "ymd"), (_WORDY, "dby"), (_SLASHED, "d/m")):
        if not text.str.contains(pattern).any():
            continue
        parts = text.str.extract_groups(pattern).struct.unnest()
        groups = [parts[column] for column in parts.columns]
        if order == "ymd":
            year, month, day = (part.cast(pl.Int64, strict=False) for part in groups[:3])
            # a number of four digits is a year by itself: `times` tells whether it is one
            year = year.set(month.is_null(), None)
        elif order == "dby":
            day, year = (groups[i].cast(pl.Int64, strict=False) for i in (0, 2))
            names = {month: i for i, month in enumerate(_MONTHS, 1)}
            month = groups[1].str.to_lowercase().replace_strict(names, default=None, return_dtype=pl.Int64)
        else:
            first, second, year = (part.cast(pl.Int64, strict=False) for part in groups[:3])
            day_first, month_first = bool((first > 12).any()), bool((second > 12).any())
            if day_first == month_first:
                both = "nothing tells which" if not day_first else "some tell one, some the other"
                raise InvalidInput(
                    f"{file}: {name}: is it the day or the month that comes first ({both}; expected YYYY-MM-DD)"
                )
            day, month = (first, second) if day_first else (second, first)
        clock = _clock(groups[3:])
        found = _of_parts(year, month.fill_null(1), day.fill_null(1)) + clock
        values = values.zip_with(values.is_not_null(), found)
    return values


def _clock(groups: Sequence[pl.Series]) -> pl.Series:
    """Milliseconds after midnight UTC of hour, minute, second, fraction, offset; null where there is no such time."""
    hour, minute, second = (part.cast(pl.Int64, strict=False).fill_null(0) for part in groups[:3])
    fraction = groups[3].str.pad_end(9, "0").str.slice(0, 3).cast(pl.Int64, strict=False).fill_null(0)
    zone = groups[4].str.replace(":", "", literal=True)
    minutes = zone.str.slice(1, 2).cast(pl.Int64, strict=False) * 60 + zone.str.slice(3, 2).cast(pl.Int64, strict=False)
    east = minutes.zip_with(~zone.str.starts_with("-").fill_null(value=False), -minutes).fill_null(0)
    value = ((hour * 60 + minute - east) * 60 + second) * 1000 + fraction
    return value.set((hour > 23) | (minute > 59) | (second > 60), None)


def _lengths(column: pl.Series) -> pl.Series:
    """Seconds of texts such as "3:35" or "1:02:03"; null for the others."""
    parts = column.str.strip_chars().str.extract_groups(_LENGTH).struct.unnest()
    hours, minutes, seconds = (parts[name].cast(pl.Float64, strict=False) for name in parts.columns)
    return hours.fill_null(0) * 3600 + minutes * 60 + seconds


def _timed_texts(column: pl.Series) -> pl.Series:
    if column.dtype != pl.String:
        return _none(len(column)).is_not_null()
    return column.str.strip_chars().str.contains(_LENGTH).fill_null(value=False)
