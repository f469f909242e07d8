"""Columns of texts as numbers, times and durations."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.errors import InvalidInput
from graph.reading.values import EVENTS_BEGIN_MS, durations, flags, floats, ids, integers, texts, times
from graph.schema import MAX_ID_BYTES, id_of, id_of_name, problem_of_id

NOW = 1_790_000_000_000
AT = 1_700_000_000_000


def ms(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type,misc]


def events(*values: object) -> tuple[list[int | None], str | None]:
    read = times("at", pl.Series(list(values)), now=NOW, events=True, file="e.csv")
    return read.values.to_list(), read.note


def releases(*values: object) -> list[int | None]:
    return times("r", pl.Series(list(values)), now=NOW, events=False, low=-(10**14)).values.to_list()


@pytest.mark.parametrize(
    ("factor", "unit"), [(1000, "seconds"), (1, None), (1e-3, "microseconds"), (1e-6, "nanoseconds")]
)
@pytest.mark.parametrize("kind", [str, int, float])
def test_the_unit_of_a_column_of_times_is_found(factor: float, unit: str | None, kind: type) -> None:
    found, note = events(*(kind(round((AT + i * 60_000) / factor)) for i in range(3)), None)
    assert found == [AT, AT + 60_000, AT + 120_000, None]
    assert note == (None if unit is None else f"at: read as {unit}")


@pytest.mark.parametrize(
    "text",
    [
        "2001-02-03T04:05:06Z",
        "2001-02-03 04:05:06",
        "2001-02-03T05:05:06+01:00",
        "2001-02-03T00:05:06.000-0400",
        "3 Feb 2001 04:05:06",
        "03 February 2001, 04:05:06",
        "2001/2/3 04:05:06 UTC",
    ],
)
def test_written_times(text: str) -> None:
    assert events(text)[0] == [ms(2001, 2, 3, 4, 5, 6)]


def test_releases_may_be_of_long_ago_and_of_different_kinds() -> None:
    expected = [ms(1959, 8, 29), ms(1959, 1, 1), ms(1959, 8, 1), ms(2001, 1, 1)]
    assert releases("-326246400000", "1959", "1959-08", "978307200000") == [-326246400000, *expected[1:]]
    assert releases("1959", "1787", "2001") == [ms(1959, 1, 1), ms(1787, 1, 1), ms(2001, 1, 1)]
    assert releases("19590829", "20010101") == [expected[0], expected[3]]
    assert releases(1959, 2001) == [ms(1959, 1, 1), ms(2001, 1, 1)]


def test_day_and_month_are_told_apart_once_for_a_column() -> None:
    assert events("31/01/2006", "02/03/2006")[0] == [ms(2006, 1, 31), ms(2006, 3, 2)]
    assert events("01/31/2006", "02/03/2006")[0] == [ms(2006, 1, 31), ms(2006, 2, 3)]
    for column in (["01/02/2006"], ["31/01/2006", "01/31/2006"]):
        with pytest.raises(InvalidInput, match=r"e\.csv: at: is it the day or the month that comes first"):
            events(*column)


@pytest.mark.parametrize("column", [["5", "10"], ["99999999999999999999"], [0, 3600, 7200]])
def test_a_column_that_no_unit_makes_plausible_is_refused(column: list[object]) -> None:
    with pytest.raises(InvalidInput, match=r"e\.csv: at: no unit makes these times plausible, .* ISO 8601, from 1990"):
        events(*column)


def test_single_bad_times_are_told_and_no_other_is_lost() -> None:
    column = pl.Series([str(AT), "soon", "0", "2001-13-01", "N/A", "", None, str(AT + 1)])
    read = times("at", column, now=NOW, events=True)
    assert read.values.to_list() == [AT, None, None, None, None, None, None, AT + 1]
    assert read.problems.to_list() == [
        None,
        "at: expected a time, got 'soon'",
        "at: expected a time since 1990, got '0'",
        "at: expected a time, got '2001-13-01'",
        *[None] * 4,
    ]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(EVENTS_BEGIN_MS // 1000, NOW // 1000), min_size=1, max_size=20),
    st.sampled_from((1, 1000, 1_000_000, 1_000_000_000)),
)
def test_any_column_of_plausible_times_is_read_as_it_was_meant(seconds: list[int], factor: int) -> None:
    assert events(*(str(second * factor) for second in seconds))[0] == [second * 1000 for second in seconds]


@pytest.mark.parametrize(
    ("column", "found", "note"),
    [
        (["215.4", "180", "N/A"], [215_400, 180_000, None], "d: read as seconds"),
        (["3:35", "1:00:00", "215000"], [215_000, 3_600_000, 215_000], None),
        (["3:35", "180"], [215_000, 180_000], "d: read as seconds"),
        ([215_000, 180_000], [215_000, 180_000], None),
        ([215_000_000, 180_000_000], [215_000, 180_000], "d: read as microseconds"),
    ],
)
def test_durations_of_any_unit(column: list[object], found: list[int | None], note: str | None) -> None:
    read = durations("d", pl.Series(column), 1e10)
    assert (read.values.to_list(), read.note, read.problems.null_count()) == (found, note, len(column))


def test_many_skips_do_not_make_seconds_of_milliseconds() -> None:
    skips = pl.Series([1500, 2000, 900, 800, 3000, 215_000])
    assert durations("d", skips, 1e10, played=True).values.to_list() == skips.to_list()
    seconds = durations("d", pl.Series([3, 215, 180, 0]), 1e10, played=True)
    assert seconds.values.to_list() == [3000, 215_000, 180_000, 0]


def test_numbers() -> None:
    read = integers("n", pl.Series(["3", "3.0", "3.5", "x", "9223372036854775807", "NULL", "101"]), 0, 100)
    assert read.values.to_list() == [3, 3, None, None, None, None, None]
    assert [problem is not None for problem in read.problems] == [False, False, True, True, True, False, True]
    assert integers("n", pl.Series(["9223372036854775807"])).values.to_list() == [2**63 - 1]
    read = floats("n", pl.Series(["0,5", "1e400", "nan", "inf", "7"]), 0, 5)
    assert read.values.to_list() == [0.5, None, None, None, None]
    assert [problem is not None for problem in read.problems] == [False, True, False, True, True]


@pytest.mark.parametrize(
    "column", [["true", "False", " 1 ", "0.0", "maybe", "2", "", None], [True, False, True, False]]
)
def test_flags_are_written_as_words_or_numbers(column: list[object]) -> None:
    found = flags("private", pl.Series(column))
    assert found.values.to_list()[:4] == [1, 0, 1, 0]
    assert found.values.to_list()[4:] == [None] * len(column[4:])
    told = [f"private: expected true or false, got '{text}'" for text in column[4:6]]
    assert found.problems.drop_nulls().to_list() == told


def test_texts_lose_control_characters_and_what_is_too_long_and_it_is_told() -> None:
    read = texts("title", pl.Series(["a\tb", "x" * 1999 + "é", "None", "\\N", " ", "\x01", None]), tokens=False)
    assert read.values.to_list() == ["a b", "x" * 1999, "None", None, None, None, None]
    assert read.changed is not None
    assert [reason is not None for reason in read.changed] == [True, True, False, False, False, True, False]
    assert texts("language", pl.Series(["N/A", "en", "null"]), tokens=True).values.to_list() == [None, "en", None]


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("AC/DC", "AC%2FDC"),
        ("100%", "100%"),
        ("AC%2FDC", "AC%252FDC"),
        ("a\tb", "a%09b"),
        (" Ä ", " Ä "),
        ("\x85", "%C2%85"),
    ],
)
def test_an_id_is_made_of_a_name(name: str, made: str) -> None:
    assert id_of_name(name) == made


@settings(max_examples=1000)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60) | st.sampled_from(("%2F", "%", "%25", "/%2f")))
def test_the_rule_of_ids_can_be_turned_round(name: str) -> None:
    from urllib.parse import unquote

    made = id_of_name(name)
    assert problem_of_id(made) is None
    assert id_of(made) == made
    if len(name) <= MAX_ID_BYTES // 12:  # a character takes up to four bytes, each of which may become three
        assert unquote(made) == name


def test_long_names_that_differ_at_their_end_have_ids_of_their_own() -> None:
    made = {id_of_name("ß" * 300 + end) for end in ("a", "b", "/")}
    assert len(made) == 3
    assert all(problem_of_id(one) is None for one in made)


def test_ids_are_kept_byte_for_byte_and_made_where_they_are_none() -> None:
    column = pl.Series(["7.0", " 7", "AC/DC", "", "e\u0301", "\\N", None])
    read = ids("song_id", column)
    assert read.values.to_list() == ["7.0", " 7", "AC%2FDC", None, "e\u0301", "\\N", None]
    assert read.note == "song_id: 1 ids hold what no id may: made of the name, 'AC/DC' is AC%2FDC"
