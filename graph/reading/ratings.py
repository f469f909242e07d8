"""Ratings as what they say: likes, dislikes, and plays of those in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import polars as pl

_HIGHEST: Final = (1.0, 5.0, 10.0, 100.0)
_LIKE_FROM: Final = 0.75
"""Of the scale from its lowest to its highest rating."""


@dataclass(frozen=True)
class Scale:
    """From the lowest to the highest rating that could be given."""

    low: float
    high: float

    @classmethod
    def of(cls, ratings: pl.Series) -> Self | None:
        """The scale of a column of ratings (Float64), None where there is none or where they fit no usual one.

        The highest is the smallest of 1, 5, 10 and 100 that none exceeds. The lowest is as far below 0 where one is
        below 0; else 0 of a scale to 1 or 100, and of stars 1 if all are at least that, a half if all are, else 0.
        Ones alone have no scale: they say that something happened.
        """
        known = ratings.drop_nulls()
        if known.is_empty():
            return None
        least, most = float(known.min()), float(known.max())  # type: ignore[arg-type]
        high = next((one for one in _HIGHEST if most <= one and least >= -one), None)
        if high is None or least == most == 1.0:
            return None
        if least < 0:
            return cls(-high, high)
        if high in {1.0, 100.0}:
            return cls(0.0, high)
        return cls(1.0 if least >= 1 else 0.5 if least >= 0.5 else 0.0, high)

    @property
    def middle(self) -> float:
        """A rating below it is a dislike."""
        return (self.low + self.high) / 2

    @property
    def liked(self) -> float:
        """A rating from it on is a like."""
        return self.low + _LIKE_FROM * (self.high - self.low)


def signed(events: pl.DataFrame) -> tuple[pl.DataFrame, str | None]:
    """Events with columns `action` and `rating`: a `play` with a rating below the middle of the column's scale is a
    `dislike`, with one in the highest quarter a `like`; and what was found out about the column."""
    rated = (pl.col("action") == "play") & pl.col("rating").is_not_null()
    ratings = events.filter(rated)["rating"]
    scale = Scale.of(ratings)
    if scale is None:
        if ratings.is_empty() or ratings.n_unique() == 1:
            return events, None
        least, most = float(ratings.min()), float(ratings.max())  # type: ignore[arg-type]
        return events, f"ratings from {least:g} to {most:g} fit no scale: all are kept as plays"
    judged = (
        pl.when(rated & (pl.col("rating") < scale.middle))
        .then(pl.lit("dislike"))
        .when(rated & (pl.col("rating") >= scale.liked))
        .then(pl.lit("like"))
        .otherwise(pl.col("action"))
    )
    events = events.with_columns(action=judged)
    told = (
        f"ratings are taken to be {scale.low:g} to {scale.high:g}: {int((ratings < scale.middle).sum())} below "
        f"{scale.middle:g} are dislikes, {int((ratings >= scale.liked).sum())} from {scale.liked:g} on likes"
    )
    return events, told
