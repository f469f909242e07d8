"""Listeners: interests, homes, characters, and whom they follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from graph.durations import DAY_MS
from graph.world.catalogue import LANGUAGES, MOODS, Catalogue, noise, unit
from graph.world.model import END, MAX_INTERESTS, Behaviour, WorldConfig

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class People:
    """U listeners with K interests at most; interest vectors (U, K, D); follows as CSR over listeners.

    The interest arrays are drifted in place, a day at a time.
    """

    interest_vec: F32
    interest_weight: F64  # (U, K), 0 where there is none
    interest_artist: I64
    interest_mood: I64
    interests: I64  # (U,) how many
    place: I64
    language: I64
    curiosity: F64
    chronotype: F64
    activity: F64
    joined: I64
    declared: I64  # (U, 3) genres chosen at the start, -1 for none
    follow_ptr: I64
    follow_idx: I64
    follow_since: I64

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Every field by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def interest_vectors(catalogue: Catalogue, artist: I64, mood: I64, rng: np.random.Generator) -> F32:
    """N(0.9 artist + 0.3 genre + 0.6 mood + 0.2 n) for arrays of artists and moods of one shape."""
    genre = catalogue.artist_genre[artist]
    base = 0.9 * catalogue.artist_vec[artist] + 0.3 * catalogue.genre_vec[genre] + 0.6 * catalogue.mood_vec[mood]
    return unit(base + 0.2 * noise(rng, *artist.shape))


def draw_interest_artists(catalogue: Catalogue, place: I64, rng: np.random.Generator) -> I64:
    """An artist for each listener's interest: known ones more often, two in five from the listener's own place."""
    fame = catalogue.artist_fame**0.6
    artist = rng.choice(len(fame), len(place), p=fame / fame.sum())
    homes = [np.flatnonzero(catalogue.artist_place == p) for p in range(len(catalogue.place_lat))]
    for i in np.flatnonzero(rng.random(len(place)) < 0.4):
        home = homes[place[i]]
        if len(home):
            artist[i] = home[rng.integers(len(home))]
    return artist


def _interests(config: WorldConfig, catalogue: Catalogue, place: I64, rng: np.random.Generator) -> dict[str, Any]:
    n = rng.choice(np.arange(1, MAX_INTERESTS + 1), config.users, p=[0.2, 0.3, 0.25, 0.15, 0.1])
    shape = (config.users, MAX_INTERESTS)
    artist = draw_interest_artists(catalogue, np.repeat(place, MAX_INTERESTS), rng).reshape(shape)
    mood = rng.integers(0, len(MOODS), shape)
    weight = rng.gamma(2.0, 1.0, shape) * (np.arange(MAX_INTERESTS) < n[:, None])
    return {
        "interests": n,
        "interest_artist": artist,
        "interest_mood": mood,
        "interest_weight": weight / weight.sum(1, keepdims=True),
        "interest_vec": interest_vectors(catalogue, artist, mood, rng),
    }


def follow_pairs(
    b: Behaviour, taste: F32, place: I64, degree: I64, fame: F64, rng: np.random.Generator
) -> list[npt.NDArray[Any]]:
    """Whom each listener follows: `degree` others without replacement (Gumbel top-k over the log probabilities)."""
    out = []
    for u in range(len(taste)):
        if degree[u] == 0:
            out.append(np.empty(0, np.int64))
            continue
        logits = b.homophily * (taste @ taste[u]) + b.neighbourhood * (place == place[u]) + np.log(fame)
        logits = logits + rng.gumbel(size=len(taste))
        logits[u] = -np.inf
        out.append(np.argpartition(-logits, degree[u] - 1)[: degree[u]])
    return out


def _follows(config: WorldConfig, taste: F32, place: I64, joined: I64, rng: np.random.Generator) -> dict[str, Any]:
    n = config.users
    degree = np.minimum(np.exp(rng.normal(1.6, 0.8, n)).astype(np.int64), max(0, min(n - 1, 60)))
    degree[rng.random(n) < 0.12] = 0
    chosen = follow_pairs(config.behaviour, taste, place, degree, np.exp(rng.normal(0.0, 0.7, n)), rng)
    source = np.repeat(np.arange(n), degree)
    target = np.concatenate(chosen).astype(np.int64)
    back = rng.random(len(source)) < config.behaviour.reciprocity
    keys = np.unique(np.concatenate([source * n + target, (target * n + source)[back]]))
    source, target = keys // n, keys % n
    earliest = np.maximum(np.maximum(joined[source], joined[target]), config.start - 400 * DAY_MS)
    # most follows are older than the world, or come within days of joining; some come while it runs
    span = np.where(rng.random(len(keys)) < 0.85, np.maximum(config.start - earliest, 5 * DAY_MS), END - earliest)
    since = np.minimum(earliest + (rng.random(len(keys)) * span).astype(np.int64), END - 1)
    pointer = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=n))])
    return {"follow_ptr": pointer, "follow_idx": target, "follow_since": since}


def _declared(catalogue: Catalogue, interests: dict[str, Any], rng: np.random.Generator) -> I64:
    """The genres a listener named at the start: those of up to 3 interests, some forgotten."""
    genre = catalogue.artist_genre[interests["interest_artist"]]
    known = (np.arange(MAX_INTERESTS) < interests["interests"][:, None]) & (rng.random(genre.shape) < 0.8)
    return np.where(known, genre, -1)[:, :3]


def make_people(config: WorldConfig, catalogue: Catalogue, rng: np.random.Generator) -> People:
    """Everybody who lives in the world, also those who join later."""
    n = config.users
    size = 1.0 / np.arange(1, config.places + 1) ** 0.7
    place = rng.choice(config.places, n, p=size / size.sum())
    interests = _interests(config, catalogue, place, rng)
    new = rng.random(n) < config.new_users
    new[catalogue.artist_creator[catalogue.artist_creator >= 0]] = False
    past = config.start - (rng.random(n) * 900 * DAY_MS).astype(np.int64) - DAY_MS
    joined = np.where(new, config.start + (rng.random(n) * 0.95 * (END - config.start)).astype(np.int64), past)
    taste = unit(np.einsum("uk,ukd->ud", interests["interest_weight"], interests["interest_vec"]))
    other = rng.integers(0, len(LANGUAGES), n)
    return People(
        **interests,
        place=place,
        language=np.where(rng.random(n) < 0.85, catalogue.place_language[place], other),
        curiosity=rng.beta(1.5, 25.0, n),
        chronotype=rng.normal(0.0, 1.5, n),
        activity=np.exp(rng.normal(-0.4, 0.9, n)),
        joined=joined,
        declared=_declared(catalogue, interests, rng),
        **_follows(config, taste, place, joined, rng),
    )


def drift(config: WorldConfig, catalogue: Catalogue, people: People, rng: np.random.Generator) -> None:
    """One day of drift, in place: every interest moves a little, a few are replaced."""
    b = config.behaviour
    people.interest_vec[:] = unit(people.interest_vec + b.drift * noise(rng, *people.interest_artist.shape))
    for u in np.flatnonzero(rng.random(len(people.interests)) < b.renewal):
        k = rng.integers(people.interests[u])
        friends = people.follow_idx[people.follow_ptr[u] : people.follow_ptr[u + 1]]
        if len(friends) and rng.random() < b.contagion:
            v = friends[rng.integers(len(friends))]
            j = rng.integers(people.interests[v])
            people.interest_artist[u, k] = people.interest_artist[v, j]
            people.interest_mood[u, k] = people.interest_mood[v, j]
        else:
            people.interest_artist[u, k] = draw_interest_artists(catalogue, people.place[u : u + 1], rng)[0]
            people.interest_mood[u, k] = rng.integers(len(MOODS))
        artist, mood = people.interest_artist[u, k : k + 1], people.interest_mood[u, k : k + 1]
        people.interest_vec[u, k] = interest_vectors(catalogue, artist, mood, rng)[0]
