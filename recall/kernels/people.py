"""What many people love by now, each beside what one listener loves."""

from __future__ import annotations

import numpy as np

from graph.compiled import compiled
from graph.snapshot.arrays import Array
from recall.kernels.sums import bits_for, slot_of


@compiled
def _added(
    first: int,
    last: int,
    song: Array,
    action: Array,
    at: Array,
    count: Array,
    by_action: Array,
    now: int,
    half_life: float,
    slots: Array,
    stamp: Array,
    sums: Array,
    met: Array,
    known: int,
    mark: int,
    bits: int,
    size: int,
) -> int:
    """Add the events from `first` to `last` to the sums of their songs; how many songs are `met` then. A slot of the
    hash table is taken where its stamp is `mark`."""
    for event in range(first, last):
        key = song[event]
        if key >= size:
            continue
        worth = by_action[action[event]]
        if count[event] > 1:
            worth *= 1.0 + np.log(count[event])
        if 0 <= at[event] < now:
            worth *= np.exp2(-(now - at[event]) / half_life)
        slot = slot_of(key, bits)
        while stamp[slot] == mark and slots[slot] != key:
            slot = (slot + 1) & (len(slots) - 1)
        if stamp[slot] != mark:
            stamp[slot], slots[slot], sums[slot] = mark, key, 0.0
            met[known] = slot
            known += 1
        sums[slot] += worth
    return known


@compiled
def loves_of(
    first: Array,
    last: Array,
    song: Array,
    action: Array,
    at: Array,
    count: Array,
    late_first: Array,
    late_last: Array,
    late_song: Array,
    late_action: Array,
    late_at: Array,
    late_count: Array,
    by_action: Array,
    now: int,
    half_life: float,
    mine: Array,
    likes: Array,
    size: int,
) -> tuple[Array, Array, Array, Array, Array]:
    """What each of P people loves: who (n,) of them loves songs (n,) how much (n,), the decayed sum of their events
    where it is above 0; and of each the highest (P,) and the cosine (P,) to the positive `likes` (S,) of somebody for
    the songs `mine` (S,).

    Shapes: events of person p are those from first[p] to last[p] in song, action, at and count (E,), as in `Histories`,
    and from late_first[p] to late_last[p] in the others; by_action (A,) is what each action says; half_life in
    milliseconds. Songs from `size` on are left out.
    """
    people, events, longest = len(first), 0, len(mine)
    for p in range(people):
        its = last[p] - first[p] + late_last[p] - late_first[p]
        events += its
        longest = max(longest, its)
    bits = bits_for(longest)
    slots, stamp, sums = (
        np.empty(1 << bits, dtype=np.int64),
        np.full(1 << bits, -1, dtype=np.int32),
        np.empty(1 << bits),
    )
    met = np.empty(longest, dtype=np.int64)
    liked, like = np.full(1 << bits, -1, dtype=np.int64), np.zeros(1 << bits)
    length = 0.0
    for i in range(len(mine)):
        if likes[i] > 0:
            slot = slot_of(mine[i], bits)
            while liked[slot] >= 0:
                slot = (slot + 1) & (len(liked) - 1)
            liked[slot], like[slot] = mine[i], likes[i]
            length += likes[i] ** 2
    who, songs, love = np.empty(events, dtype=np.int64), np.empty(events, dtype=np.int64), np.empty(events)
    highest, cosine, n = np.zeros(people), np.zeros(people), 0
    for p in range(people):
        known = _added(
            first[p], last[p], song, action, at, count, by_action, now, half_life,
            slots, stamp, sums, met, 0, p, bits, size,
        )  # fmt: skip
        known = _added(
            late_first[p], late_last[p], late_song, late_action, late_at, late_count, by_action, now, half_life,
            slots, stamp, sums, met, known, p, bits, size,
        )  # fmt: skip
        norm, common = 0.0, 0.0
        for i in range(known):
            worth, key = sums[met[i]], slots[met[i]]
            if not worth > 0:
                continue
            who[n], songs[n], love[n] = p, key, worth
            n += 1
            highest[p] = max(highest[p], worth)
            norm += worth**2
            slot = slot_of(key, bits)
            while liked[slot] >= 0 and liked[slot] != key:
                slot = (slot + 1) & (len(liked) - 1)
            common += worth * like[slot] if liked[slot] == key else 0.0
        cosine[p] = common / max(np.sqrt(norm * length), 1e-12)
    return who[:n], songs[:n], love[:n], highest, cosine
