"""node2vec, metapath2vec and EGES over the graph of a snapshot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from segue_test_worlds import ANSWER, events, nodes, planted_snapshot

from embeddings.models import model_type
from embeddings.skipgram.skipgram import SkipGramConfig
from embeddings.skipgram.walk_model import snapshot_edges
from embeddings.skipgram.walks import WalkConfig
from graph.errors import NothingToLearn
from graph.snapshot.snapshot import Snapshot

SMALL: dict[str, Any] = {
    "walks": WalkConfig(walks=4, length=20),
    "skipgram": SkipGramConfig(embedding_dim=16, epochs=4),
}


@pytest.mark.parametrize("name", ["node2vec", "metapath2vec", "eges"])
def test_the_planted_song_lies_among_those_of_its_scene(name: str) -> None:
    snapshot, kind = planted_snapshot(), model_type(name)
    vectors = kind.model.fit(snapshot, kind.config(**SMALL), rng=np.random.default_rng(1))
    ids = snapshot.ids["Song"].to_list()
    cosines = vectors.unit @ vectors.unit[ids.index(ANSWER)]
    mine = [i for i, id_ in enumerate(ids) if id_.startswith("a-") and id_ != ANSWER]
    others = [i for i, id_ in enumerate(ids) if id_.startswith("b-")]
    assert cosines[mine].mean() > cosines[others].mean() + 0.1
    assert vectors.entities["PERFORMED_BY"].shape == (2, 16)


def test_walks_follow_who_likes_what_and_all_else_is_named() -> None:
    edges = snapshot_edges(planted_snapshot())
    assert {"PERFORMED_BY", "HAS_TAG", "FOLLOWS"} <= set(edges.names)
    plain = edges.relation < 0
    ends = {edges.ids[i].partition(":")[0] for i in np.concatenate([edges.source[plain], edges.target[plain]])}
    assert ends == {"User", "Song"}


def test_without_anybody_who_likes_a_song_there_is_nothing_to_learn() -> None:
    nobody = Snapshot.of_frames({"Song": nodes(["s1"])}, {}, events([]))
    with pytest.raises(NothingToLearn):
        snapshot_edges(nobody)
