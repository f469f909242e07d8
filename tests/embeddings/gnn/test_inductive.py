"""What every inductive network must do."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from segue_test_worlds import edges, events, lopsided_snapshot

from embeddings.gnn.graphsage import GraphSAGE, GraphSAGEConfig
from embeddings.gnn.inductive import InductiveModel
from embeddings.gnn.pinsage import PinSage, PinSageConfig
from embeddings.training.fit import FitConfig
from graph.errors import InvalidInput

ONE: dict[str, Any] = {"embedding_dim": 8, "training": FitConfig(epochs=1)}
MODELS = {GraphSAGE: GraphSAGEConfig(**ONE), PinSage: PinSageConfig(**ONE)}


def world(liked: str, tagged: str) -> Any:
    """One of some worlds of the same sizes: ana and ben like the songs `liked` beside s4 and s5, one song is calm."""
    pairs = [*zip(("ana", "ben"), liked.split(), strict=True), *product(("ana", "ben", "cy"), ("s4", "s5"))]
    return lopsided_snapshot(
        log=events((user, "full_play", song, None) for user, song in pairs),
        edge_tables=edges({("HAS_TAG", "Song", "Tag"): [(tagged, "calm"), ("s3", "loud")]}),
    )


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("other", [("s2 s1", "s1"), ("s1 s2", "s2")], ids=["listens", "tags"])
def test_a_checkpoint_of_other_data_of_the_same_sizes_is_refused(
    model: type[InductiveModel], other: tuple[str, str], tmp_path: Path
) -> None:
    def fitted(liked: str, tagged: str) -> np.ndarray:
        how: dict[str, Any] = {"rng": np.random.default_rng(1), "checkpoint": tmp_path / "it.pt", "threads": 1}
        return model.fit(world(liked, tagged), MODELS[model], **how).songs

    first = fitted("s1 s2", "s1")
    assert np.array_equal(fitted("s1 s2", "s1"), first)
    with pytest.raises(InvalidInput, match="a checkpoint of another training"):
        fitted(*other)
