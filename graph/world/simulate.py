"""Days of the world: who listens when and on which interest, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graph.durations import DAY_MS, HOUR_MS
from graph.world.behaviour import ACTIONS, FOLLOW, SCENES, fits_in, run_sessions
from graph.world.bursts import Bursts, taken_up
from graph.world.catalogue import MOOD_PEAKS, Catalogue, make_catalogue
from graph.world.memory import Log, Memory, Songs, make_log, make_memory, make_minds, make_songs, with_room
from graph.world.model import MAX_INTERESTS, WorldConfig
from graph.world.people import People, drift, make_people
from graph.world.policy import CHANNELS, NAME, make_today

Array = npt.NDArray[Any]
Offer = Callable[
    [Array, int], tuple[Array, Array]
]  # (users, at) -> (songs, propensities), each (len(users), pages x slots)

PEAKS: Final = ((0.25, 8.0, 1.5), (0.25, 13.0, 2.0), (0.5, 20.5, 2.2))  # (share, hour, spread)
EVENTS_PER_SESSION: Final = 11.0  # a first guess; the days correct it


@dataclass(frozen=True)
class Sessions:
    """A day's sessions in the order of their starts; columns of equal length."""

    user: Array
    interest: Array
    start: Array


@dataclass(frozen=True)
class Rows:
    """What a day wrote, trimmed: events by time, exposures by request."""

    events: dict[str, Array]
    shown: dict[str, Array]


@dataclass
class Simulation:
    """The world as it stands after `day` days; `advance` changes it."""

    config: WorldConfig
    catalogue: Catalogue
    people: People
    songs: Songs
    memory: Memory
    bursts: Bursts
    rng: np.random.Generator
    day: int = 0
    events: int = 0
    sessions: int = 0
    requests: int = 0

    @classmethod
    def begin(cls, config: WorldConfig) -> Simulation:
        """Everything is made, nothing has happened."""
        rng = np.random.default_rng(config.seed)
        catalogue = make_catalogue(config, rng)
        people = make_people(config, catalogue, rng)
        memory = make_memory(config.songs, config.users)
        return cls(config, catalogue, people, make_songs(catalogue), memory, Bursts.planned(config), rng)

    @property
    def now(self) -> int:
        """When the coming day begins (epoch milliseconds)."""
        return self.config.start + self.day * DAY_MS

    def advance(self, offer: Offer | None = None) -> Rows:
        """Simulate one day; `offer` gives the slates (None: the logged policy)."""
        b = self.config.behaviour
        of_day = np.random.default_rng([self.config.seed, 7, self.day])
        heat, prior = self.memory.heat, self.catalogue.song_prior
        self.bursts.choose(b, self.songs.uploaded, heat, self.now, of_day)
        copies = self.bursts.copies(b, prior + heat, self.now)
        today = make_today(self.songs, prior, heat, b.fresh_days, self.now, copies)
        sessions = self._draw_sessions()
        pointer, sought = taken_up(of_day, self._burst_chances(sessions), len(sessions.user))
        width = b.pages * b.slots
        log = make_log(len(sessions.user) * b.session_cap * 5 + 1, len(sessions.user) * width + 1)
        self.memory = with_room(self.memory, len(sessions.user) * b.session_cap)
        for low, high, offered, chances in self._offers(sessions, offer):
            run_sessions(
                self.rng, b, self.songs, make_minds(self.people), self.memory, today, log, sessions.user[low:high],
                sessions.interest[low:high], sessions.start[low:high], offered, chances,
                pointer[low : high + 1], sought,
            )  # fmt: skip
        rows = trimmed(log, self.requests)
        self.events += len(rows.events["user"])
        self.sessions += len(sessions.user)
        self.requests += int(log.n[2])
        self.memory.heat[:] *= 0.5 ** (1.0 / b.half_life_days)
        drift(self.config, self.catalogue, self.people, self.rng)
        self.day += 1
        return rows

    def _rate(self) -> float:
        """Sessions a day of a listener whose activity is 1."""
        c = self.config
        if c.events is None:
            return c.sessions_per_day
        # the target is shared out over the listener-days to come, at the events a session that the world has shown
        each = self.events / self.sessions if self.sessions > 20 else EVENTS_PER_SESSION
        day = min(self.day, c.days - 1)
        starts = c.start + np.arange(day, c.days) * DAY_MS
        weight = np.sum(self.people.activity[:, None] * (self.people.joined[:, None] <= starts + DAY_MS // 2))
        goal = c.events - self.events if self.day < c.days else c.events / c.days
        return max(0.0, goal) / each / max(float(weight), 1e-9)

    def _draw_sessions(self) -> Sessions:
        p, rng = self.people, self.rng
        count = rng.poisson(self._rate() * p.activity)
        user = np.repeat(np.arange(len(count)), count)
        share, hour, spread = (np.array(column) for column in zip(*PEAKS, strict=True))
        peak = rng.choice(len(share), len(user), p=share)
        at_hour = np.mod(rng.normal(hour[peak] + p.chronotype[user], spread[peak]), 24.0)
        start = self.now + (at_hour * HOUR_MS).astype(np.int64)
        there = p.joined[user] <= start
        user, start, at_hour = user[there], start[there], at_hour[there]
        off = 2.0 * np.pi * (at_hour[:, None] - MOOD_PEAKS[p.interest_mood[user]]) / 24.0
        weight = p.interest_weight[user] * np.exp(self.config.behaviour.mood_hours * np.cos(off))
        cumulative = np.cumsum(weight, axis=1)
        r = rng.random(len(user)) * cumulative[:, -1] if len(user) else np.empty(0)
        interest = np.minimum((cumulative <= r[:, None]).sum(1), p.interests[user] - 1)
        order = np.lexsort((user, start))
        return Sessions(user[order], interest[order], start[order])

    def _burst_chances(self, sessions: Sessions) -> list[tuple[int, Array]]:
        """(song, chance that each session seeks it) of every song that is sought more than usual."""
        found, b = [], self.config.behaviour
        for i in self.bursts.going(shown=False) if len(sessions.user) else ():
            song, more = int(self.bursts.song[i]), self.bursts.surplus(i, sessions.start)
            fit = fits_in(b, make_minds(self.people), self.songs, sessions.user, sessions.interest, song)
            keen = np.exp(np.minimum(b.search_focus * (fit - np.quantile(fit, 0.75)), 0.0))
            found.append((song, self.bursts.usual[i] * more * keen / keen.mean()))
        return found

    def _offers(self, sessions: Sessions, offer: Offer | None) -> Iterator[tuple[int, int, Array, Array]]:
        """(first session, last, slates, propensities): all at once, or hour by hour when somebody else recommends."""
        n = len(sessions.user)
        if offer is None:
            yield 0, n, np.empty((n, 0), np.int64), np.empty((n, 0))
            return
        hours = (sessions.start - self.now) // HOUR_MS
        for hour in np.unique(hours):
            low, high = (int(x) for x in np.searchsorted(hours, [hour, hour + 1]))
            songs, chances = offer(sessions.user[low:high], int(self.now + hour * HOUR_MS))
            yield low, high, songs, chances


def trimmed(log: Log, first_request: int) -> Rows:
    """The rows written, copied out; requests numbered on from `first_request`, events by time."""
    n, shown = int(log.n[0]), int(log.n[1])
    names = Log._fields[1:]
    events = {name: getattr(log, name)[:n] for name in names if not name.startswith("shown_")}
    order = np.argsort(events["at"], kind="stable")
    events = {name: column[order] for name, column in events.items()}
    events["request"] = np.where(events["request"] >= 0, events["request"] + first_request, -1)
    exposures = {name[6:]: getattr(log, name)[:shown].copy() for name in names if name.startswith("shown_")}
    exposures["request"] += first_request
    return Rows(events, exposures)


def joined_rows(days: list[Rows]) -> Rows:
    """The rows of several days as one, events by time (a session may run past midnight)."""
    events = {name: np.concatenate([d.events[name] for d in days]) for name in days[0].events}
    order = np.argsort(events["at"], kind="stable")
    shown = {name: np.concatenate([d.shown[name] for d in days]) for name in days[0].shown}
    return Rows({name: column[order] for name, column in events.items()}, shown)


@dataclass(frozen=True)
class Ids:
    """Ids by dense index."""

    users: pl.Series
    songs: pl.Series
    artists: pl.Series
    artist_names: pl.Series

    @classmethod
    def of(cls, users: int, songs: int, artist_names: list[str]) -> Ids:
        def ids(letter: str, n: int) -> pl.Series:
            return pl.Series([f"{letter}{i:06d}" for i in range(n)], dtype=pl.String)

        return cls(
            ids("u", users), ids("s", songs), ids("a", len(artist_names)), pl.Series(artist_names, dtype=pl.String)
        )


def coded(ids: pl.Series, codes: Array) -> pl.Series:
    """The id of every code; null where the code is negative."""
    return ids.gather(pl.Series(np.where(codes < 0, 0, codes))).zip_with(pl.Series(codes >= 0), nulls(len(codes)))


def nulls(n: int) -> pl.Series:
    """n texts that are null."""
    return pl.Series([None], dtype=pl.String).new_from_index(0, n)


def numbered(letter: str, numbers: Array) -> pl.Series:
    """Ids such as `e00000012`; null where the number is negative."""
    return (
        pl.DataFrame({"n": numbers})
        .select(
            pl.when(pl.col("n") >= 0).then(pl.lit(letter) + pl.col("n").cast(pl.String).str.zfill(8)).otherwise(None)
        )
        .to_series()
    )


def _or_null(values: Array) -> pl.Series:
    series = pl.Series(values)
    return series.set(series < 0, None)


def events_frame(rows: Rows, ids: Ids, catalogue: Catalogue, people: People, *, first: int, seed: int) -> pl.DataFrame:
    """The `events` table; ids are numbered on from `first`, one playback in four carries coordinates."""
    e = rows.events
    n = len(e["user"])
    rng = np.random.default_rng([seed, first, 1])
    located = (rng.random(n) < 0.25) & (e["played"] >= 0)
    place = people.place[e["user"]]
    spots = [c[place] + rng.normal(0.0, 0.03, n) for c in (catalogue.place_lat, catalogue.place_lon)]
    latitude, longitude = (pl.Series(np.where(located, spot, np.nan)).fill_nan(None) for spot in spots)
    follows = e["action"] == FOLLOW
    return pl.DataFrame(
        {
            "event_id": numbered("e", np.arange(first, first + n)),
            "user_id": coded(ids.users, e["user"]),
            "action": coded(pl.Series(ACTIONS), e["action"].astype(np.int64)),
            "song_id": coded(ids.songs, e["song"]),
            "target_label": coded(pl.Series(["Artist"]), np.where(follows, 0, -1)),
            "target_id": coded(ids.artists, np.where(follows, e["artist"], -1)),
            "query": coded(ids.artist_names, np.where(follows, -1, e["artist"])),
            "at": e["at"],
            "played_ms": _or_null(e["played"]),
            "scene": coded(pl.Series(SCENES), e["scene"].astype(np.int64)),
            "request_id": numbered("r", e["request"]),
            "position": _or_null(e["position"]),
            "latitude": latitude,
            "longitude": longitude,
        }
    )


def exposures_frame(rows: Rows, ids: Ids, policy: str = NAME) -> pl.DataFrame:
    """The `exposures` table; a propensity that a recommender did not tell is null."""
    x = rows.shown
    return pl.DataFrame(
        {
            "request_id": numbered("r", x["request"]),
            "user_id": coded(ids.users, x["user"]),
            "song_id": coded(ids.songs, x["song"]),
            "position": x["position"],
            "at": x["at"],
            "scene": coded(pl.Series(SCENES), x["scene"].astype(np.int64)),
            "channel": coded(pl.Series(CHANNELS), x["channel"].astype(np.int64)),
            "score": x["score"],
            "propensity": pl.Series(x["propensity"]).fill_nan(None),
            "policy": pl.Series([policy]).new_from_index(0, len(x["user"])),
        }
    )


def interests_frame(simulation: Simulation, ids: Ids) -> pl.DataFrame:
    """Truth: every listener's interests as of now, one row each with its vector."""
    p = simulation.people
    u, k = np.nonzero(np.arange(MAX_INTERESTS) < p.interests[:, None])
    artist = p.interest_artist[u, k]
    return pl.DataFrame(
        {
            "day": np.full(len(u), simulation.day),
            "user_id": coded(ids.users, u),
            "interest": k,
            "artist_id": coded(ids.artists, artist),
            "genre_id": numbered_genres(simulation.catalogue.artist_genre[artist]),
            "mood_id": numbered_moods(p.interest_mood[u, k]),
            "weight": p.interest_weight[u, k],
            "vector": p.interest_vec[u, k],
        }
    )


def numbered_genres(codes: Array) -> pl.Series:
    """Ids of genres."""
    return coded(pl.Series([f"g{i:02d}" for i in range(100)]), codes)


def numbered_moods(codes: Array) -> pl.Series:
    """Ids of the tags that are moods."""
    return coded(pl.Series([f"mood{i:02d}" for i in range(100)]), codes)
