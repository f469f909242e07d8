from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from embeddings.skipgram.edges import Edges
from embeddings.skipgram.eges import EGES, AttributeAggregation, EGESConfig, skipgram_loss
from embeddings.skipgram.skipgram import SkipGramConfig
from embeddings.skipgram.walks import WalkConfig
from embeddings.vectors.node_vectors import NodeVectors
from graph.errors import InvalidInput

CONFIG = EGESConfig(
    WalkConfig(walks=20, length=20), SkipGramConfig(embedding_dim=8, window=3, epochs=3, learning_rate=0.02)
)


def fit(edges: Edges, config: EGESConfig = CONFIG, seed: int = 0) -> NodeVectors:
    return EGES.fit_edges(edges, config, rng=np.random.default_rng(seed))


def vector(found: NodeVectors, name: str) -> np.ndarray:
    return found.vectors[found.ids.index(name)]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_friends_are_near_and_every_node_has_a_vector(friends: Edges, apart: Callable[[NodeVectors], float]) -> None:
    found = fit(friends)
    assert apart(found) > 0.3
    assert found.ids == friends.ids
    assert found.edges == 67


def test_a_node_that_no_walk_meets_is_what_describes_it(friends: Edges) -> None:
    found = fit(friends)
    np.testing.assert_allclose(vector(found, "new"), vector(found, "rock"), rtol=1e-5)
    assert cosine(vector(found, "new"), vector(found, "r3")) > cosine(vector(found, "new"), vector(found, "j3"))


def test_a_relation_left_out_describes_nothing(friends: Edges) -> None:
    found = fit(friends, replace(CONFIG, without=("genre",)))
    assert "new" not in found.ids
    assert "calm" in found.ids
    with pytest.raises(InvalidInput, match="unknown relation 'x'"):
        fit(friends, replace(CONFIG, without=("x",)))


def test_one_seed_gives_the_same_vectors(friends: Edges) -> None:
    np.testing.assert_array_equal(fit(friends).vectors, fit(friends).vectors)
    assert not np.array_equal(fit(friends).vectors, fit(friends, seed=1).vectors)


def test_the_attention_weighs_what_a_node_has(friends: Edges) -> None:
    side = friends.side(None)
    model = AttributeAggregation(side, len(friends.ids), np.ones(19, dtype=bool), 2, torch.Generator().manual_seed(0))
    r0, r1, rock, calm = (friends.ids.index(name) for name in ("r0", "r1", "rock", "calm"))
    of_rock, of_calm = (
        model.firsts[kind] + model.named[kind].tolist().index(node) for kind, node in enumerate((rock, calm))
    )
    with torch.no_grad():
        model.own.weight[[r0, r1]] = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        model.described.weight[of_rock] = torch.tensor([0.0, 4.0])
        model.described.weight[of_calm] = torch.tensor([3.0, 3.0])
        model.attention.weight[r1, 0] = math.log(3)
    found = model(torch.tensor([r0, r1])).detach().numpy()
    # r0 has all three alike; r1 has its own with 3/4 and the genre with 1/4
    np.testing.assert_allclose(found, [[4 / 3, 7 / 3], [0.75, 1.0]], rtol=1e-6)


def test_skipgram_loss_of_scores_2_minus_1_and_3() -> None:
    centre, context = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 5.0]])
    negatives = torch.tensor([[-1.0, 9.0], [3.0, 9.0]])
    loss = skipgram_loss(centre, context, negatives, 5)
    bad = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(3))) / 2
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)) + 5 * bad)
    twice = skipgram_loss(centre.repeat(2, 1), context.repeat(2, 1), negatives, 5)
    assert twice.item() == pytest.approx(loss.item())
