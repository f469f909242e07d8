"""What time takes from an event: half of its weight in every half-life.

`decay` weighs events at a moment that is known. `Decay` weighs them at a fixed landmark, so that sums of them may be
kept and added to, and are scaled once to the moment at which they are read.
Source: Cormode et al. 2009, Forward decay: a practical time decay model for streaming systems.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from graph.durations import DAY_MS
from graph.snapshot.arrays import Array
from graph.snapshot.histories import UNKNOWN_TIME
from graph.snapshot.snapshot import Snapshot

HALF_LIFE_MS: Final = 21 * DAY_MS
"""Of what a listener's events say about liking a song."""
_FARTHEST: Final = 1000.0  # half-lives; 2^1000 is a number still, and nothing that was decayed so far is read


def decay(at: Array, now: int, half_life_ms: float) -> Array:
    """Weight of each time (E,) at `now`: halved every half-life; 1 where the time is unknown or yet to come."""
    age = np.where(at == UNKNOWN_TIME, 0, np.maximum(now - at, 0))
    return np.asarray(np.exp2(-age / half_life_ms))


class Decay:
    """Halves every half-life, reckoned from a landmark; both in milliseconds."""

    def __init__(self, half_life_ms: float, landmark: int) -> None:
        if half_life_ms <= 0:
            raise ValueError(f"half_life_ms must be above 0 (got {half_life_ms})")
        self.half_life_ms, self.landmark = half_life_ms, landmark

    @classmethod
    def of(cls, snapshot: Snapshot, half_life_ms: float) -> Decay:
        """From the snapshot's newest event on."""
        return cls(half_life_ms, max(snapshot.as_of, 0))

    def weights(self, at: Array) -> Array:
        """(E,) what something at each of these times was worth at the landmark; 0 where the time is unknown."""
        halvings = np.clip((at - self.landmark) / self.half_life_ms, -_FARTHEST, _FARTHEST)
        return np.where(at == UNKNOWN_TIME, 0.0, np.exp2(halvings))

    def since(self, now: int) -> float:
        """What a sum at the landmark is to be multiplied with at `now`."""
        return float(np.exp2(min(max((self.landmark - now) / self.half_life_ms, -_FARTHEST), _FARTHEST)))
