"""Two groups of friends that one friendship joins, described by two genres: what every node embedding must find."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from embeddings.skipgram.edges import Edges
from embeddings.vectors.node_vectors import NodeVectors

ROCKERS, JAZZERS = [f"r{i}" for i in range(8)], [f"j{i}" for i in range(7)]


@pytest.fixture
def friends() -> Edges:
    """Friendships have no relation, `genre` and `mood` describe; `new` is only described (rock)."""
    rows = [(a, b, 1.0, None) for group in (ROCKERS, JAZZERS) for a, b in combinations(group, 2)]
    rows += [("r0", "j0", 1.0, None), ("new", "rock", 1.0, "genre"), ("r0", "calm", 1.0, "mood")]
    rows += [(a, "rock", 1.0, "genre") for a in ROCKERS] + [(a, "jazz", 2.0, "genre") for a in JAZZERS]
    schema = {"source": pl.String, "target": pl.String, "weight": pl.Float64, "relation": pl.String}
    return Edges.of_frame(pl.DataFrame(rows, schema=schema, orient="row"))


@pytest.fixture
def apart() -> Callable[[NodeVectors], float]:
    """Mean cosine within the groups less the one between them."""

    def measure(found: NodeVectors) -> float:
        unit = found.vectors / np.linalg.norm(found.vectors, axis=1, keepdims=True)
        at = {name: i for i, name in enumerate(found.ids)}
        rock, jazz = (unit[[at[name] for name in group]] for group in (ROCKERS, JAZZERS))
        return float(((rock @ rock.T).mean() + (jazz @ jazz.T).mean()) / 2 - (rock @ jazz.T).mean())

    return measure
