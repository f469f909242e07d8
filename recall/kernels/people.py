"""People around a listener, and what they love."""

from __future__ import annotations

import numpy as np

from graph.compiled import compiled
from graph.snapshot.arrays import Array
from recall.kernels.best import best_of
from recall.kernels.sums import bits_for, bits_of, looked_up, slot_of, sums_of, table_of

Part = tuple[Array, Array, Array, Array]
"""User, song, timed and lasting (N,) as in `LovesPart`."""


@compiled
def first_of(user: Array, person: int) -> int:
    """Where a person's entries begin in `user` (N,), which is in ascending order."""
    low, high = 0, len(user)
    while low < high:
        middle = (low + high) >> 1
        if user[middle] < person:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _next_song(part: Part, at: int, end: int, size: int) -> int:
    """The song of an entry, `size` where there is none before `end`."""
    return min(part[1][at], size) if at < end else size


@compiled
def _love(part: Part, at: int, since: float) -> float:
    return float(part[2][at] * since + part[3][at])


@compiled
def loves_of(
    people: Array,
    weight: Array,
    trust: Array,
    release: Part,
    large: Part,
    middle: Part,
    small: Part,
    since: float,
    mine: Array,
    likes: Array,
    size: int,
) -> tuple[Array, Array, Array]:
    """What the loves of P `people` (P,) are worth: who (n,), a place in `people`, loves songs (n,), and the worth (n,),
    weight (P,) x (trust (P,) + cosine) x love / the person's highest love.

    A love is a sum above 0 over the four parts of timed x `since` + lasting; the cosine is that of all of a person's
    loves to the positive `likes` (S,) of somebody for the songs `mine` (S,). Songs from `size` on are left out.
    """
    first, last = np.empty((4, len(people)), dtype=np.int64), np.empty((4, len(people)), dtype=np.int64)
    for p in range(len(people)):
        first[0, p], last[0, p] = first_of(release[0], people[p]), first_of(release[0], people[p] + 1)
        first[1, p], last[1, p] = first_of(large[0], people[p]), first_of(large[0], people[p] + 1)
        first[2, p], last[2, p] = first_of(middle[0], people[p]), first_of(middle[0], people[p] + 1)
        first[3, p], last[3, p] = first_of(small[0], people[p]), first_of(small[0], people[p] + 1)
    entries = (last - first).sum()
    squares = 0.0
    for i in range(len(likes)):
        squares += max(likes[i], 0.0) ** 2
    liked, like = table_of(mine, np.maximum(likes, 0.0))
    bits = bits_of(liked)
    who, songs, worth, n = np.empty(entries, dtype=np.int64), np.empty(entries, dtype=np.int64), np.empty(entries), 0
    for p in range(len(people)):
        a, b, c, d = first[0, p], first[1, p], first[2, p], first[3, p]
        start, highest, norm, common = n, 0.0, 0.0, 0.0
        while True:
            # the parts of a person are in the order of songs
            in_a, in_b = _next_song(release, a, last[0, p], size), _next_song(large, b, last[1, p], size)
            in_c, in_d = _next_song(middle, c, last[2, p], size), _next_song(small, d, last[3, p], size)
            song, love = min(in_a, in_b, in_c, in_d), 0.0
            if song == size:
                break
            if in_a == song:
                love += _love(release, a, since)
                a += 1
            if in_b == song:
                love += _love(large, b, since)
                b += 1
            if in_c == song:
                love += _love(middle, c, since)
                c += 1
            if in_d == song:
                love += _love(small, d, since)
                d += 1
            if not love > 0:
                continue
            who[n], songs[n], worth[n] = p, song, love
            n += 1
            highest = max(highest, love)
            norm += love**2
            common += love * looked_up(song, liked, like, bits)
        scale = weight[p] * (trust[p] + common / max(np.sqrt(norm * squares), 1e-12)) / max(highest, 1e-12)
        for i in range(start, n):
            worth[i] *= scale
    return who[:n], songs[:n], worth[:n]


@compiled
def around_of(people: Array, mass: Array, followees: Array, but: int, most: int) -> tuple[Array, Array, Array]:
    """Whom the `followees` (F,) of somebody are close to, `most` at most: persons (n,) who are neither among them nor
    `but`, the sums (n,) of their mass, the highest first, and via (n,), the followee from whom most of it comes.

    people, mass (U, K) as in `Circles`; equal sums come by position, of equal followees the first one is told.
    """
    bits = bits_for(len(followees) * (people.shape[1] + 1))
    last = (1 << bits) - 1
    slots, sums = np.full(last + 1, -1, dtype=np.int64), np.zeros(last + 1)
    most_of, via = np.full(last + 1, -1.0), np.full(last + 1, -1, dtype=np.int64)
    found, count = np.empty(len(followees) * people.shape[1], dtype=np.int64), 0
    for f in range(len(followees)):
        slot = slot_of(followees[f], bits)
        while slots[slot] >= 0 and slots[slot] != followees[f]:
            slot = (slot + 1) & last
        slots[slot], via[slot] = followees[f], -2  # no answer
    for f in range(len(followees)):
        for i in range(people.shape[1]):
            person = people[followees[f], i]
            if person < 0 or person == but:
                continue
            slot = slot_of(person, bits)
            while slots[slot] >= 0 and slots[slot] != person:
                slot = (slot + 1) & last
            if slots[slot] < 0:
                slots[slot] = person
                found[count] = person
                count += 1
            if via[slot] == -2:
                continue
            share = np.float64(mass[followees[f], i])
            sums[slot] += share
            if share > most_of[slot]:
                most_of[slot], via[slot] = share, followees[f]
    found = np.sort(found[:count])
    at = np.empty(count, dtype=np.int64)
    total = np.empty(count)
    for i in range(count):
        slot = slot_of(found[i], bits)
        while slots[slot] != found[i]:
            slot = (slot + 1) & last
        at[i], total[i] = slot, sums[slot]
    rows = best_of(found, total, np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int64), -np.inf, most)
    return found[rows], total[rows], via[at[rows]]


@compiled
def peers_of(indptr: Array, indices: Array, songs: Array, weights: Array, crowd: int, but: int, most: int) -> Array:
    """The `most` listeners (n,) who share the most and the rarest of the `songs` (S,), weights (S,), those first.

    A song of L listeners adds its weight / log(2 + L) to each; of more than `crowd` only so many are looked at, spread
    evenly. indptr, indices: the listeners of every song. Equal ones come by position; `but` is left out.
    """
    count = 0
    for i in range(len(songs)):
        count += min(indptr[songs[i] + 1] - indptr[songs[i]], crowd)
    keys, values, n = np.empty(count, dtype=np.int64), np.empty(count), 0
    for i in range(len(songs)):
        first, size = indptr[songs[i]], indptr[songs[i] + 1] - indptr[songs[i]]
        share = weights[i] / np.log(2.0 + size)
        looked = min(size, crowd)
        for j in range(looked):
            person = indices[first + j * size // looked]
            if person != but:
                keys[n], values[n] = person, share
                n += 1
    people, shared = sums_of(keys[:n], values[:n])
    return people[best_of(people, shared, np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int64), 0.0, most)]
