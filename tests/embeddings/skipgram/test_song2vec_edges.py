"""Song2Vec with gamma on an edge list."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from embeddings.skipgram.edges import Edges
from embeddings.skipgram.song2vec import Song2Vec, Song2VecConfig
from embeddings.skipgram.walks import WalkConfig
from embeddings.vectors.node_vectors import NodeVectors
from graph.errors import InvalidInput

WALKS = WalkConfig(walks=10, length=10)


def fit(edges: Edges, gamma: Mapping[str, float], base: str | None = None, walks: WalkConfig = WALKS) -> NodeVectors:
    config = Song2VecConfig(embedding_dim=8, window=3, epochs=3, learning_rate=0.05, gamma=gamma)
    return Song2Vec.fit_edges(edges, config, walks, base=base, rng=np.random.default_rng(1))


def vector(found: NodeVectors, name: str) -> np.ndarray:
    return found.vectors[found.ids.index(name)]


def test_songs_and_entities_have_vectors(friends: Edges, apart: Callable[[NodeVectors], float]) -> None:
    found = fit(friends, {})
    assert apart(found) > 0.3
    assert found.ids == friends.ids
    assert (found.edges, found.walks, found.tokens) == (67, 150, 1500)


def test_gamma_0_leaves_the_entities_out_and_is_song2vec(friends: Edges) -> None:
    without = fit(friends, {"genre": 0, "mood": 0})
    bare = friends.relation == -1
    only = Edges(friends.ids, friends.source[bare], friends.target[bare], friends.weight[bare], friends.relation[bare])
    plain = fit(only, {})
    assert without.ids == plain.ids
    assert len(plain.ids) == 15
    np.testing.assert_array_equal(without.vectors, plain.vectors)


def test_a_song_that_no_walk_meets_is_composed_with_gamma(friends: Edges) -> None:
    found = fit(friends, {"genre": 2.5})
    np.testing.assert_allclose(vector(found, "new"), 2.5 * vector(found, "rock"), rtol=1e-5)


def test_gamma_draws_songs_of_a_genre_together(friends: Edges, apart: Callable[[NodeVectors], float]) -> None:
    assert apart(fit(friends, {"genre": 3})) > apart(fit(friends, {"genre": 0}))


def test_a_relation_may_be_the_base(friends: Edges) -> None:
    found = fit(friends, {"mood": 0}, base="genre")
    assert set(found.ids) == set(friends.ids) - {"calm"}
    with pytest.raises(InvalidInput, match="gamma of genre: the base relation is walked on"):
        fit(friends, {"genre": 1}, base="genre")


def test_walks_that_are_not_kept_in_memory_train_the_same_way(friends: Edges, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fit(friends, {})
    monkeypatch.setattr("embeddings.skipgram.corpus.WalkCorpus.__init__.__kwdefaults__", {"kept_tokens": 0})
    np.testing.assert_array_equal(fit(friends, {}).vectors, kept.vectors)


def test_a_gamma_that_does_not_fit_is_told(friends: Edges) -> None:
    with pytest.raises(InvalidInput, match="unknown relation 'x'"):
        fit(friends, {"x": 1})
    with pytest.raises(ValueError, match="gamma of genre must be 0 or more"):
        fit(friends, {"genre": -1})
