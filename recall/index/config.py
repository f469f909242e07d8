"""How an index searches, and which kind of it serves so many vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from graph.configure import check_positive

KINDS: Final = ("auto", "exact", "hnsw", "ivfpq")
_FEWEST: Final = 2048
"""Below so many vectors nothing is gained by not looking at all of them, whatever the settings say."""


@dataclass(frozen=True)
class IndexConfig:
    """How to search.

    Raises: ValueError for a number out of range.
    """

    kind: str = "auto"
    """One of `KINDS`; "auto" chooses among the others by the number of songs."""
    recall: float = 0.97
    """Recall at 100 songs that the approximate kinds must reach, between 0 and 1."""
    exact_up_to: int = 30_000
    """Songs up to which "auto" is exact, 1 or more; about a millisecond for each 30,000 songs of 64 numbers."""
    graph_up_to: int = 5_000_000
    """Songs up to which "auto" is a graph, 1 or more; beyond, it is product-quantised cells."""
    links: int = 16
    """Links of a node of the graph (HNSW's M), 2 or more."""
    ef_construction: int = 100
    """Breadth of the search while the graph is built, 1 or more."""
    cells: float = 2.0
    """Cells, in units of the square root of the number of songs, above 0."""
    refine: int = 4
    """Songs that codes propose for each song asked for, 1 or more."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)} (got {self.kind!r})")
        if not 0 < self.recall < 1:
            raise ValueError(f"recall must be between 0 and 1 (got {self.recall})")
        check_positive(self, "exact_up_to", "graph_up_to", "ef_construction", "cells", "refine")
        if self.links < 2:
            raise ValueError(f"links must be at least 2 (got {self.links})")

    def chosen(self, filled: int) -> IndexConfig:
        """With the kind that serves so many vectors."""
        kind = self.kind
        if kind == "auto":
            kind = "exact" if filled <= self.exact_up_to else "hnsw" if filled <= self.graph_up_to else "ivfpq"
        return replace(self, kind="exact" if filled < _FEWEST else kind)
