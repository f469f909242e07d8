from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from embeddings.skipgram.edges import Edges
from embeddings.skipgram.node2vec import Node2Vec, Node2VecConfig
from embeddings.skipgram.skipgram import SkipGramConfig
from embeddings.skipgram.walks import WalkConfig
from embeddings.vectors.node_vectors import NodeVectors

CONFIG = Node2VecConfig(
    WalkConfig(p=0.5, q=2, walks=20, length=20), SkipGramConfig(embedding_dim=8, window=3, epochs=5, sample=0)
)


def fit(edges: Edges, config: Node2VecConfig = CONFIG, seed: int = 0, workers: int = 1) -> NodeVectors:
    return Node2Vec.fit_edges(edges, config, rng=np.random.default_rng(seed), workers=workers)


def test_friends_are_near(friends: Edges, apart: Callable[[NodeVectors], float]) -> None:
    found = fit(friends)
    assert apart(found) > 0.3
    assert found.ids == friends.ids
    assert (found.edges, found.walks, found.tokens) == (67, 20 * 19, 20 * 19 * 20)
    assert found.vectors.shape == (19, 8)


def test_one_seed_gives_the_same_vectors_and_another_one_others(friends: Edges) -> None:
    np.testing.assert_array_equal(fit(friends).vectors, fit(friends).vectors)
    assert not np.array_equal(fit(friends).vectors, fit(friends, seed=1).vectors)


def test_two_workers_find_the_same_groups(friends: Edges, apart: Callable[[NodeVectors], float]) -> None:
    assert apart(fit(friends, workers=2)) > 0.3


@pytest.mark.parametrize(
    "change",
    [
        {"walks": replace(CONFIG.walks, p=4)},
        {"walks": replace(CONFIG.walks, walks=21)},
        {"skipgram": replace(CONFIG.skipgram, window=2)},
        {"skipgram": replace(CONFIG.skipgram, negative=2)},
        {"skipgram": replace(CONFIG.skipgram, epochs=4)},
        {"skipgram": replace(CONFIG.skipgram, learning_rate=0.05)},
        {"skipgram": replace(CONFIG.skipgram, ns_exponent=0.5)},
        {"skipgram": replace(CONFIG.skipgram, sample=1e-3)},
        {"gamma": {"genre": 0.5}},
    ],
)
def test_every_setting_counts(friends: Edges, change: dict[str, object]) -> None:
    assert not np.array_equal(fit(friends).vectors, fit(friends, replace(CONFIG, **change)).vectors)


def test_gamma_0_cuts_a_relation_off(friends: Edges) -> None:
    found = fit(friends, replace(CONFIG, gamma={"genre": 0, "mood": 0}))
    counts = dict(zip(found.ids, found.counts.tolist(), strict=True))
    assert counts["new"] == counts["rock"] == counts["calm"] == 20
