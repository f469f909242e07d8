"""Profiles of the listeners in the Last.fm data sets: `user, gender, age, country, signup`, with or without header."""

from __future__ import annotations

from typing import Final

import polars as pl

from graph.batch import Batch
from graph.importers.histories.columns import Columns, rows
from graph.importers.histories.members import Member
from graph.reading.values import integers

_PROFILE: Final = ("user", "gender", "age", "country", "signup")
_AGES: Final = (5, 110)


def add_profiles(member: Member, batch: Batch) -> None:
    """Listeners with `gender`, `joined_at` and `birth_year`: the year of joining less the age.

    The graph has no country of a listener; how many there are is told.
    """
    first = member.head().partition("\n")[0].lower()
    names = None if first.lstrip("#").split("\t")[0].strip() in ("id", "user", "userid", "user_id") else _PROFILE
    countries = 0
    for frame in rows(member, batch, separator="\t", quoted=False, header=names):
        found = [name for name in frame.columns if name != "line"]
        people = frame.rename(dict(zip(found, _PROFILE, strict=False)))
        people = people.with_columns(pl.lit(None, pl.String).alias(n) for n in _PROFILE if n not in people.columns)
        # "Aug 13, 2006" has the month first: as the readers of times have it, the day comes first
        day_first = people["signup"].str.replace(r"^\s*([A-Za-z]{3})[a-z]* (\d{1,2}),? (\d{4})", "$2 $1 $3")
        read = Columns(batch, member.name, people["line"])
        joined = read.written("signup", day_first)
        age = read.kept("age", people["age"], integers("age", people["age"], *_AGES))
        users = people.select("line", "gender", id="user", joined_at=joined, birth_year=joined.dt.year() - age)
        batch.add_nodes("User", users, file=member.name)
        countries += people.height - people["country"].null_count()
    if countries:
        batch.warn(
            f"{member.name}: the countries of {countries} listeners have no place in the graph, and are left out"
        )
