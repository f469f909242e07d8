"""Vectors of listeners and songs whose dot product is the score of the pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from graph.snapshot.arrays import Array, read_arrays, write_arrays


@dataclass(frozen=True)
class GraphVectors:
    """What a model learned about U listeners and S songs: listeners (U, D) and songs (S, D), float32.

    `meta` (JSON) says how: the config, the epochs taken, the best evaluation.
    """

    listeners: Array
    songs: Array
    meta: Mapping[str, Any] = field(default_factory=dict)

    def scores(self, listeners: Array) -> Array:
        """(B, S) scores of every song for `listeners` (B,), higher is better."""
        scores: Array = self.listeners[listeners] @ self.songs.T
        return scores

    def save(self, path: Path) -> None:
        """Write to `path`.bin and `path`.json."""
        arrays = {"listeners": self.listeners.astype(np.float32), "songs": self.songs.astype(np.float32)}
        write_arrays(path, arrays, self.meta)

    @classmethod
    def load(cls, path: Path) -> GraphVectors:
        """What `save` wrote, memory-mapped.

        Raises: CorruptRelease if it is missing or damaged.
        """
        arrays, meta = read_arrays(path)
        return cls(arrays["listeners"], arrays["songs"], meta)
