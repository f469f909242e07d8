"""The logged policy `popularity-explore`: which songs a slate shows, with the exact propensity of every slot."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graph.compiled import compiled
from graph.durations import DAY_MS
from graph.world.memory import Memory, Minds, Songs, Today
from graph.world.model import Behaviour

CHANNELS: Final = ("popular", "genre", "fresh", "explore", "external")
NAME: Final = "popularity-explore"


def make_today(
    songs: Songs,
    prior: npt.NDArray[Any],
    heat: npt.NDArray[Any],
    fresh_days: float,
    now: int,
    copies: npt.NDArray[Any] | None = None,
) -> Today:
    """Attraction w = prior + heat of what is available at `now` (epoch milliseconds); `copies` (songs,): how many times
    each lies among what is explored (None: once)."""
    there = songs.uploaded <= now
    weight = np.where(there, prior + heat, 0.0)
    is_fresh = there & (songs.uploaded > now - fresh_days * DAY_MS)
    copies = np.ones(len(weight)) if copies is None else copies
    return Today(
        weight,
        np.cumsum(weight[songs.genre_songs]),
        np.cumsum(weight[songs.place_songs]),
        np.flatnonzero(is_fresh),
        is_fresh,
        np.repeat(np.arange(len(weight)), np.where(there, copies, 0).astype(np.int64)),
        copies,
    )


@compiled
def pick(rng: Any, cum: Any, songs: Any, low: int, high: int) -> int:
    """One of songs[low:high] in proportion to the increments of `cum`; -1 if they have no weight."""
    if high <= low:
        return -1
    base = cum[low - 1] if low > 0 else 0.0
    total = cum[high - 1] - base
    if total <= 1e-9:
        return -1
    goal, last = base + rng.random() * total, high - 1
    while low < last:
        middle = (low + last) // 2
        if cum[middle] <= goal:
            low = middle + 1
        else:
            last = middle
    return int(songs[low])


@compiled
def genre_mass(t: Today, s: Songs, genre: int) -> float:
    """The summed attraction of a genre."""
    low, high = s.genre_ptr[genre], s.genre_ptr[genre + 1]
    if high <= low:
        return 0.0
    return float(t.cum[high - 1] - (t.cum[low - 1] if low > 0 else 0.0))


@compiled
def probability(b: Behaviour, t: Today, s: Songs, declared: Any, song: int) -> float:
    """pi(song | listener) of one draw; a part without any songs passes its share to `popular`."""
    known, share = 0, 0.0
    for g in declared:
        if g >= 0 and genre_mass(t, s, g) > 1e-9:
            known += 1
            if s.genre[song] == g:
                share += t.weight[song] / genre_mass(t, s, g)
    popular, p = b.show_popular, b.show_explore / len(t.available) * t.copies[song]
    if known:
        p += b.show_genre * share / known
    else:
        popular += b.show_genre
    if len(t.fresh):
        p += b.show_fresh / len(t.fresh) if t.is_fresh[song] else 0.0
    else:
        popular += b.show_fresh
    return float(p + popular * t.weight[song] / t.cum[-1])


@compiled
def draw(rng: Any, b: Behaviour, t: Today, s: Songs, declared: Any) -> tuple[int, int]:
    """One song of pi and the channel that it came by."""
    r = rng.random()
    if r < b.show_explore:
        return int(t.available[int(rng.random() * len(t.available))]), 3
    if r < b.show_explore + b.show_fresh and len(t.fresh):
        return int(t.fresh[int(rng.random() * len(t.fresh))]), 2
    if b.show_explore + b.show_fresh <= r < b.show_explore + b.show_fresh + b.show_genre:
        known = 0
        for g in declared:
            known += g >= 0 and genre_mass(t, s, g) > 1e-9
        if known:
            which = int(rng.random() * known)
            for g in declared:
                if g >= 0 and genre_mass(t, s, g) > 1e-9:
                    if which == 0:
                        return pick(rng, t.cum, s.genre_songs, s.genre_ptr[g], s.genre_ptr[g + 1]), 1
                    which -= 1
    return pick(rng, t.cum, s.genre_songs, 0, len(t.cum)), 0


@compiled
def slate(
    rng: Any, b: Behaviour, t: Today, s: Songs, p: Minds, m: Memory, u: int, songs: Any, channels: Any, chances: Any
) -> int:
    """Fill `songs`, `channels` and `chances` (propensities) from the top; returns how many slots were filled."""
    gone = 0.0  # probability of the songs that cannot come any more
    for i in range(m.blocked_n[u]):
        if t.weight[m.blocked[u, i]] > 0:
            gone += probability(b, t, s, p.declared[u], m.blocked[u, i])
    for slot in range(len(songs)):
        song, channel = -1, 0
        for _ in range(200):
            song, channel = draw(rng, b, t, s, p.declared[u])
            if song >= 0:
                for j in range(slot):
                    if songs[j] == song:
                        song = -1
                        break
            if song >= 0:
                for j in range(m.blocked_n[u]):
                    if m.blocked[u, j] == song:
                        song = -1
                        break
            if song >= 0:
                break
        if song < 0:
            return slot
        chance = probability(b, t, s, p.declared[u], song)
        songs[slot], channels[slot], chances[slot] = song, channel, min(1.0, chance / max(1e-12, 1.0 - gone))
        gone += chance
    return len(songs)
