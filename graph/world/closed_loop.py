"""The world with somebody else's recommender in it, a day at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from graph.errors import InvalidInput
from graph.world.behaviour import RADIO, fits
from graph.world.memory import make_minds
from graph.world.model import FORMAT, WorldConfig
from graph.world.simulate import Rows, Simulation, events_frame, exposures_frame
from graph.world.write import MARKER, TRUTH, ids_of, load_state

Slates = Sequence[Sequence[str]]
# (user ids, at, n) -> a list of song ids for each, or that and propensities of the same shape
Recommend = Callable[[list[str], int, int], "Slates | tuple[Slates, Sequence[Sequence[float]]]"]
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class DayResult:
    """One day: the tables' rows, and the truth about it.

    `satisfaction` is the mean over requests of what `model` states; `fit` has the columns request_id, user_id, song_id,
    position, fit; NaN and empty when nobody came.
    """

    day: int
    at: int
    events: pl.DataFrame
    exposures: pl.DataFrame
    fit: pl.DataFrame
    satisfaction: float


class World:
    """A generated world that goes on: `step` changes it, `load` again gives it back as it was written."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.ids = ids_of(simulation)
        self._song_index = {song: i for i, song in enumerate(self.ids.songs)}

    @classmethod
    def load(cls, path: Path) -> World:
        """The world in `path` as of its last day.

        Raises: InvalidInput if there is no whole world.
        """
        try:
            marker = json.loads((path / MARKER).read_text(encoding="utf-8"))
            if marker["format"] != FORMAT:
                raise InvalidInput(f"{path / MARKER}: expected format {FORMAT}, got {marker['format']!r}")
            config = WorldConfig.from_dict(marker["config"])
            simulation = load_state(config, path / TRUTH / "state.npz")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidInput(f"{path}: no whole world ({error})") from error
        return cls(simulation)

    @property
    def now(self) -> int:
        """When the coming day begins (epoch milliseconds)."""
        return self.simulation.now

    def step(self, recommend: Recommend | None = None, *, policy: str = "external") -> DayResult:
        """Simulate the next day with `recommend` in the place of the logged policy (None: with the logged policy).

        It is asked once an hour for the listeners whose sessions begin in it (one entry a session) with n = pages x
        slots; the songs are shown in that order, `slots` a request. Fewer are fine; unknown or repeated songs are not.
        No songs and no listeners but those of the catalogue appear.
        Raises: InvalidInput for an answer of another shape, an unknown or a repeated song.
        """
        s = self.simulation
        at, first = s.now, s.events
        rows = s.advance(None if recommend is None else self._offer(recommend))
        extra = {} if recommend is None else {"policy": policy}
        exposures = exposures_frame(rows, self.ids, **extra)
        return DayResult(
            day=s.day - 1,
            at=at,
            events=events_frame(rows, self.ids, s.catalogue, s.people, first=first, seed=s.config.seed),
            exposures=exposures,
            fit=exposures.select("request_id", "user_id", "song_id", "position").with_columns(
                fit=pl.Series(rows.shown["fit"])
            ),
            satisfaction=satisfaction(rows, s.config.behaviour.position_bias),
        )

    def true_fit(self, user_id: str, song_ids: Sequence[str]) -> Array:
        """fit(u, s, now) of songs, float64, as an oracle knows it.

        Raises: KeyError for an unknown id.
        """
        s = self.simulation
        u = int(user_id[1:])
        minds = make_minds(s.people)
        songs = [self._song_index[song] for song in song_ids]
        return np.array([fits(s.config.behaviour, minds, s.songs, u, 0, song)[0] for song in songs])

    def available(self, at: int) -> list[str]:
        """Ids of the songs that are there at a time."""
        return list(self.ids.songs.filter(pl.Series(self.simulation.catalogue.song_uploaded <= at)))

    def _offer(self, recommend: Recommend) -> Callable[[Array, int], tuple[Array, Array]]:
        b = self.simulation.config.behaviour
        n = b.pages * b.slots

        def offer(users: Array, at: int) -> tuple[Array, Array]:
            answer = recommend(list(self.ids.users.gather(users)), at, n)
            slates, chances = answer if isinstance(answer, tuple) else (answer, None)
            if len(slates) != len(users):
                raise InvalidInput(f"the recommender gave {len(slates)} lists (expected {len(users)})")
            songs, known = np.full((len(users), n), -1, np.int64), np.full((len(users), n), np.nan)
            for row, slate in enumerate(slates):
                chosen = self._indices(slate[:n])
                songs[row, : len(chosen)] = chosen
                if chances is not None:
                    known[row, : len(chosen)] = chances[row][: len(chosen)]
            return songs, known

        return offer

    def _indices(self, slate: Sequence[str]) -> list[int]:
        try:
            chosen = [self._song_index[song] for song in slate]
        except KeyError as error:
            raise InvalidInput(f"the recommender gave an unknown song {error.args[0]!r}") from None
        if len(set(chosen)) != len(chosen):
            raise InvalidInput("the recommender gave a song twice in one list")
        return chosen


def satisfaction(rows: Rows, position_bias: float) -> float:
    """Mean over requests of the fit of their slots, weighted by how likely each is looked at; NaN without requests."""
    x = rows.shown
    if len(x["fit"]) == 0:
        return float("nan")
    exponent = position_bias * np.where(x["scene"] == RADIO, 0.5, 1.0)
    weight = (1.0 + x["position"]) ** -exponent
    _, group = np.unique(x["request"], return_inverse=True)
    return float(np.mean(np.bincount(group, weight * x["fit"]) / np.bincount(group, weight)))
