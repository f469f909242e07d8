"""Songs that are suddenly sought, and songs that are merely shown more: what `WorldConfig.bursts` adds to a world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graph.durations import DAY_MS
from graph.world.model import Behaviour, WorldConfig

Array = npt.NDArray[Any]

FACTOR: Final = (4.0, 16.0)
HALF_LIFE_DAYS: Final = (2.0, 8.0)
ONSET: Final = (1 / 3, 5 / 6)  # of the world's days
MIDDLING: Final = (0.6, 0.9)  # quantiles of heat among the songs that are no longer fresh


@dataclass(frozen=True)
class Bursts:
    """B rises and then B songs that are shown more, every array (2B,), filled in as their days come.

    `song` is -1 until the onset's morning, `usual` how many playbacks of the song a session held by then; `onset` is
    epoch milliseconds, `factor` by how much the rate, or the showing, is multiplied at the onset.
    """

    shown: Array
    song: Array
    onset: Array
    factor: Array
    half_life_days: Array
    usual: Array

    @classmethod
    def planned(cls, config: WorldConfig) -> Bursts:
        """When and how much, before it is known which songs."""
        n = 2 * config.bursts
        rng = np.random.default_rng([config.seed, 6])
        factor, half_life = (low * (high / low) ** rng.random(n) for low, high in (FACTOR, HALF_LIFE_DAYS))
        share = ONSET[0] + (ONSET[1] - ONSET[0]) * rng.random(n)
        onset = config.start + (share * config.days * DAY_MS).astype(np.int64)
        return cls(np.arange(n) >= config.bursts, np.full(n, -1), onset, factor, half_life, np.zeros(n))

    def __len__(self) -> int:
        return len(self.song)

    def arrays(self) -> dict[str, Array]:
        """Every field by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def choose(self, b: Behaviour, uploaded: Array, heat: Array, now: int, rng: np.random.Generator) -> None:
        """In place: songs of middling heat for whatever begins on the day that begins at `now`."""
        due = np.flatnonzero((self.song < 0) & (self.onset < now + DAY_MS))
        if not len(due):
            return
        settled = uploaded <= now - b.fresh_days * DAY_MS
        low, high = np.quantile(heat[settled], MIDDLING)
        free = settled & (heat >= low) & (heat <= high)
        free[self.song[self.song >= 0]] = False
        chosen = rng.permutation(np.flatnonzero(free))[: len(due)]
        self.song[due[: len(chosen)]] = chosen
        self.usual[due[: len(chosen)]] = b.session_mean * heat[chosen] / max(float(heat.sum()), 1e-9)

    def surplus(self, i: int, at: Array) -> Array:
        """(n,) by how much burst i is above its usual rate at each time, in usual rates; 0 before the onset."""
        age = (at - self.onset[i]) / (DAY_MS * self.half_life_days[i])
        return np.where(age >= 0, (self.factor[i] - 1) * np.exp2(-np.maximum(age, 0)), 0.0)

    def going(self, *, shown: bool) -> list[int]:
        """The rises, or the songs shown more, that have begun."""
        return np.flatnonzero((self.shown == shown) & (self.song >= 0)).tolist()

    def copies(self, b: Behaviour, weight: Array, now: int) -> Array:
        """(songs,) how many times each song lies among those that the policy explores: 1, more for songs shown more.

        weight (songs,) is what the policy shows songs by otherwise.
        """
        copies = np.ones(len(weight))
        for i in self.going(shown=True):
            popular = (b.show_popular + b.show_genre) * weight[self.song[i]] / max(float(weight.sum()), 1e-9)
            once = b.show_explore / len(weight)
            copies[self.song[i]] += np.round(float(self.surplus(i, np.array(now))) * (1 + popular / once))
        return copies

    def frame(self, song_ids: pl.Series) -> pl.DataFrame:
        """The truth: a row for each that has begun."""
        begun = self.song >= 0
        return pl.DataFrame(
            {
                "song_id": song_ids.gather(self.song[begun]),
                "kind": np.where(self.shown[begun], "shown", "rise").tolist(),
                "onset": self.onset[begun],
                "factor": self.factor[begun],
                "half_life_days": self.half_life_days[begun],
            }
        )


def taken_up(rng: np.random.Generator, chances: list[tuple[int, Array]], sessions: int) -> tuple[Array, Array]:
    """Which session seeks which song, as CSR over sessions: from (song, chance in each session (sessions,))."""
    session, song = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for one, chance in chances:
        session.append(np.flatnonzero(rng.random(sessions) < chance))
        song.append(np.full(len(session[-1]), one))
    who = np.concatenate(session)
    pointer = np.concatenate([[0], np.cumsum(np.bincount(who, minlength=sessions))]).astype(np.int64)
    return pointer, np.concatenate(song)[np.argsort(who, kind="stable")]
