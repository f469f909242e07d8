"""What a ranker and a re-ranker are, and how they are found by their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from graph.units import Family

if TYPE_CHECKING:
    import numpy as np

    from graph.release import Release
    from graph.snapshot.arrays import Array


class Ranker(Protocol):
    """Orders the songs of a pool by what is known of each. One file of `ranking/fine/` holds one, with its frozen
    config.

    Shapes: N songs in G lists, F features; P songs of one pool.
    """

    names: tuple[str, ...]
    """The features (F,) that it was fitted on, in their order; it scores no others."""

    @classmethod
    def fit(
        cls,
        names: Sequence[str],
        features: Array,
        labels: Array,
        groups: Array,
        config: Any,
        *,
        rng: np.random.Generator,
    ) -> Self:
        """Learn from lists of songs which of them were loved afterwards.

        Shapes: names (F,); features (N, F) float64; labels (N,) 1.0 for a song that was loved, else 0.0; groups
        (G + 1,) where the lists begin and end, none of them empty or without a 1.
        Whatever is random draws from `rng`, so that the same seed gives the same bytes.
        Raises: FitError if there is no list, or what was learned is not finite.
        """
        ...

    def score(self, features: Array) -> Array:
        """(P, F) -> (P,), finite; higher is better. Only songs of one pool are compared."""
        ...

    def save(self, path: Path) -> None:
        """Write everything that `load` reads by `graph.snapshot.arrays.write_arrays`."""
        ...

    @classmethod
    def load(cls, release: Release, name: str) -> Self:
        """The ranker that was saved as `name` in the release; it scores as it did before.

        Raises: CorruptRelease if there is none.
        """
        ...


class Reranker(Protocol):
    """Picks the slate from the scored pool. One file of `ranking/rerank/` holds one, with its frozen config."""

    def __init__(self, config: Any) -> None: ...

    def order(self, relevance: Array, likeness: Array, artist: Array, n: int) -> Array:
        """Rows of the picked songs in the order they are shown, each once.

        Shapes: P songs; relevance (P,) the ranker's score, higher is better; likeness (P, D) unit vectors or zeros,
        whose inner products are likenesses; artist (P,) a number for each song's artist, -1 for none -> (k,) int64
        with k <= min(n, P).
        """
        ...


RANKERS: Final = Family("ranker", "ranking.fine", ("fit", "score", "save", "load"))
RERANKERS: Final = Family("re-ranker", "ranking.rerank", ("order",))
