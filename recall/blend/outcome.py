"""What the channels found for a listener, and what the listener liked afterwards: what fusion learns from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graph.snapshot.arrays import Array
from recall.base import Candidates


@dataclass(frozen=True)
class Outcome:
    """One listener's candidates of every channel, and the songs (R,) that the listener liked afterwards."""

    found: Mapping[str, Candidates]
    loved: Array

    def within(self, quotas: Mapping[str, int]) -> Outcome:
        """The outcome with each channel's candidates cut to its quota; channels without a quota are left out."""
        cut = {name: found.of(slice(quotas[name])) for name, found in self.found.items() if name in quotas}
        return Outcome(cut, self.loved)


def candidate_table(
    outcome: Outcome, names: Sequence[str], value: Callable[[str, Candidates], Array]
) -> tuple[Array, Array]:
    """The unique songs found (P,), and the `value` of each in each channel (P, channels), 0 where it was not found."""
    lists = [outcome.found[name].songs for name in names if name in outcome.found]
    songs = np.unique(np.concatenate(lists)) if lists else np.empty(0, dtype=np.int32)
    table = np.zeros((len(songs), len(names)))
    for c, name in enumerate(names):
        if (found := outcome.found.get(name)) is not None and len(found):
            table[np.searchsorted(songs, found.songs), c] = value(name, found)
    return songs, table
