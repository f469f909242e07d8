"""How many candidates the pool takes of each channel.

Every channel has a minimum quota, since the training listeners may lack those whom the channel is made for (listeners
without a history, say). Quotas are then raised greedily: each step goes to the channel whose next candidates find the
most relevant songs that no channel has found yet, until the pool is full. A channel that does not fit into the time
budget gets no quota.
Source: greedy cover after Nemhauser et al. 1978.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from graph.snapshot.arrays import Array
from recall.blend.outcome import Outcome

LEAST_QUOTA: Final = 50
_STEP: Final = 10


def learned_quotas(
    outcomes: Sequence[Outcome],
    pool: int,
    cost_ms: Mapping[str, float],
    budget_ms: float,
    *,
    least: int = LEAST_QUOTA,
) -> dict[str, int]:
    """Quotas by channel, each at least `least`, that find the most relevant songs within `pool` songs and `budget_ms`;
    empty if no relevant song is found."""
    names = list(cost_ms)
    wanted, weights = _ranks(outcomes, names, loved_only=True)
    everything, _ = _ranks(outcomes[:200], names, loved_only=False)
    listeners = max(1, len(outcomes[:200]))
    if not (wanted < _NEVER).any():
        return {}
    quotas, spent = np.zeros(len(names), dtype=np.int64), 0.0
    for c, name in enumerate(names) if least else ():
        if spent + cost_ms[name] <= budget_ms:
            quotas[c], spent = least, spent + cost_ms[name]
    covered: Array = np.asarray((wanted < quotas).any(axis=1))
    while True:
        gains = np.zeros(len(names))
        for c, name in enumerate(names):
            if quotas[c] > 0 or spent + cost_ms[name] <= budget_ms:
                gains[c] = weights[~covered & (wanted[:, c] < quotas[c] + _STEP)].sum()
        best = int(gains.argmax())
        if gains[best] <= 0:
            # nothing is found by one more step; a larger one may still find something
            open_ = [quotas[c] > 0 or spent + cost_ms[n] <= budget_ms for c, n in enumerate(names)]
            if (best := _farther(wanted, covered, quotas, weights, open_)) < 0:
                break
        spent += 0.0 if quotas[best] else cost_ms[names[best]]
        quotas[best] += _STEP
        covered |= wanted[:, best] < quotas[best]
        if (everything < quotas).any(axis=1).sum() / listeners >= pool:
            break
    return {name: int(q) for name, q in zip(names, quotas, strict=True) if q}


def _farther(wanted: Array, covered: Array, quotas: Array, weights: Array, open_: Sequence[bool]) -> int:
    """The channel with the most to find further down its list, -1 where no channel has anything."""
    left = [weights[~covered & (wanted[:, c] < _NEVER)].sum() if open_[c] else 0.0 for c in range(len(quotas))]
    best = int(np.argmax(left))
    return best if left[best] > 0 else -1


_NEVER: Final = np.iinfo(np.int32).max


def _ranks(outcomes: Sequence[Outcome], names: Sequence[str], *, loved_only: bool) -> tuple[Array, Array]:
    """(N, channels) the rank of each relevant (or, if not `loved_only`, found) song of each outcome in each channel,
    `_NEVER` where it was not found; (N,) 1 / the number of these songs of the outcome."""
    parts, weights = [], []
    for outcome in outcomes:
        found = [outcome.found[name].songs for name in names if name in outcome.found]
        songs = outcome.loved if loved_only else np.unique(np.concatenate(found or [np.empty(0, dtype=np.int32)]))
        ranks = np.full((len(songs), len(names)), _NEVER, dtype=np.int32)
        for c, name in enumerate(names):
            if name in outcome.found and len(songs):
                mine = outcome.found[name].songs
                order = np.argsort(songs, kind="stable")
                place = np.minimum(np.searchsorted(songs[order], mine), len(songs) - 1)
                known = songs[order][place] == mine
                ranks[order[place[known]], c] = np.flatnonzero(known)
        parts.append(ranks)
        weights.append(np.full(len(songs), 1 / max(len(songs), 1)))
    none = np.empty((0, len(names)), dtype=np.int32)
    return np.concatenate(parts or [none]), np.concatenate(weights or [np.empty(0)])
