"""What a filtered search may find: conditions on a song's columns, and the rows of an index that meet them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import UNKNOWN_INTEGER, Snapshot

NOT_ADMITTED: Final = 0
"""The tier of songs that must not be played to anybody yet."""


@dataclass(frozen=True)
class Columns:
    """What filters know of N songs.

    Shapes: tier (N,), released_at (N,) epoch milliseconds, both `UNKNOWN_INTEGER` where unknown; language (N,) places
    in `languages`, -1 where unknown.
    """

    tier: Array
    language: Array
    released_at: Array
    languages: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.tier)

    @classmethod
    def of(cls, snapshot: Snapshot) -> Columns:
        """Those of a snapshot's songs."""
        relation = snapshot.relation("LANGUAGE", "Song")
        language = np.full(snapshot.songs, -1, dtype=np.int32)
        language[relation.edge_sources] = relation.indices
        tier, released_at = snapshot.column("Song", "tier"), snapshot.column("Song", "released_at")
        return cls(tier, language, released_at, tuple(snapshot.languages.to_list()))

    @classmethod
    def of_songs(
        cls, tier: Sequence[int | None], language: Sequence[str | None], released_at: Sequence[int | None]
    ) -> Columns:
        """Those of single songs; None, and "" as a language, is unknown."""
        names = tuple(sorted({name for name in language if name}))
        place = {name: i for i, name in enumerate(names)}
        whole = [[UNKNOWN_INTEGER if v is None else v for v in values] for values in (tier, released_at)]
        codes = np.array([place.get(name or "", -1) for name in language], dtype=np.int32)
        return cls(np.array(whole[0], dtype=np.int64), codes, np.array(whole[1], dtype=np.int64), names)

    def take(self, songs: Array) -> Columns:
        """Those of some songs, in that order; a position past the end is a song of which nothing is known."""
        if not len(self):
            nothing = [None] * len(songs)
            return Columns.of_songs(nothing, nothing, nothing)
        place, known = np.minimum(songs, len(self) - 1), songs < len(self)
        return Columns(
            np.where(known, self.tier[place], UNKNOWN_INTEGER),
            np.where(known, self.language[place], -1).astype(np.int32),
            np.where(known, self.released_at[place], UNKNOWN_INTEGER),
            self.languages,
        )

    def joined(self, other: Columns) -> Columns:
        """These songs and then the other's."""
        names = tuple(dict.fromkeys((*self.languages, *other.languages)))
        code = np.array([*(names.index(name) for name in other.languages), -1], dtype=np.int32)
        return Columns(
            np.concatenate([self.tier, other.tier]),
            np.concatenate([self.language, code[other.language]]),
            np.concatenate([self.released_at, other.released_at]),
            names,
        )


@dataclass(frozen=True)
class Filter:
    """Conditions that a song has to meet all of; None asks for nothing.

    `tiers` and `languages` name the ones that are welcome; `admitted` tells songs that may be played (True) from those
    of tier 0 that may not (False), a song without a tier being admitted; `released_from` (inclusive) and
    `released_until` (exclusive) are epoch milliseconds. A condition on what is unknown of a song is not met.

    Raises: ValueError if the release dates are the wrong way round.
    """

    tiers: frozenset[int] | None = None
    languages: frozenset[str] | None = None
    admitted: bool | None = None
    released_from: int | None = None
    released_until: int | None = None

    def __post_init__(self) -> None:
        if None not in (self.released_from, self.released_until) and self.released_from >= self.released_until:  # type: ignore[operator]
            got = f"{self.released_from} and {self.released_until}"
            raise ValueError(f"released_from must be before released_until (got {got})")

    def mask(self, columns: Columns) -> Array:
        """(N,) True where a song meets all conditions."""
        met = np.ones(len(columns), dtype=bool)
        if self.tiers is not None:
            met &= np.isin(columns.tier, list(self.tiers - {UNKNOWN_INTEGER}))
        if self.languages is not None:
            wanted = [i for i, name in enumerate(columns.languages) if name in self.languages]
            met &= np.isin(columns.language, wanted)
        if self.admitted is not None:
            met &= (columns.tier != NOT_ADMITTED) == self.admitted
        if self.released_from is not None or self.released_until is not None:
            met &= columns.released_at != UNKNOWN_INTEGER
        if self.released_from is not None:
            met &= columns.released_at >= self.released_from
        if self.released_until is not None:
            met &= columns.released_at < self.released_until
        return met


@dataclass(frozen=True)
class Members:
    """The rows of an index of `size` rows that a filter lets through.

    Shapes: rows (M,) int32, ascending; starts (C + 1,) where each of the index's C cells begins among them.
    """

    rows: Array
    starts: Array
    size: int

    @classmethod
    def of(cls, welcome: Array, offsets: Array) -> Members:
        """Where `welcome` (rows,) is true; `offsets` (C + 1,) are the first rows of the cells."""
        rows = np.flatnonzero(welcome).astype(np.int32)
        return cls(rows, np.searchsorted(rows, offsets), len(welcome))

    @property
    def share(self) -> float:
        """Members among all rows."""
        return len(self.rows) / max(self.size, 1)

    @cached_property
    def welcome(self) -> Array:
        """(size,) True for a member."""
        welcome = np.zeros(self.size, dtype=bool)
        welcome[self.rows] = True
        return welcome

    @cached_property
    def bits(self) -> Array:
        """The same, one bit a row, the lowest first: (size / 8,) uint8."""
        return np.packbits(self.welcome, bitorder="little")


def without(bits: Array, rows: Array) -> Array:
    """`bits` with those of `rows` cleared, as a copy: an eighth of a byte a row, however many there are."""
    cleared = bits.copy()
    np.bitwise_and.at(cleared, rows >> 3, ~np.left_shift(1, rows & 7).astype(np.uint8))
    return cleared


def holds(bits: Array, rows: Array) -> Array:
    """Whether the bit of each of `rows` is set."""
    held: Array = (bits[rows >> 3] >> (rows & 7).astype(np.uint8)) & 1 > 0
    return held
