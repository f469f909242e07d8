import numpy as np
import pytest
from segue_test_worlds import events, nodes

from embeddings.vectors.model_vectors import ModelVectors
from graph.snapshot.snapshot import Snapshot
from ranking.evaluation import ByScore
from ranking.holdout import Holdout
from recall.base import Query
from recall.listeners.listener import Listener


@pytest.fixture
def snapshot() -> Snapshot:
    """3 listeners, 5 songs; c appeared before b, and nobody has heard d or e."""
    heard = [("u1", "a"), ("u1", "c"), ("u2", "b"), ("u3", "a")]
    return Snapshot.of_frames({"Song": nodes("abcde")}, {}, events((u, "full_play", s, None) for u, s in heard))


def discount(rank: int) -> float:
    return float(1 / np.log2(rank + 1))


# in one dimension: the order of the songs is that of their numbers
LISTENERS = np.array([[1.0], [1.0], [-1.0]], dtype=np.float32)
SONGS = np.array([[5.0], [4.0], [3.0], [2.0], [1.0]], dtype=np.float32)


def test_ndcg_worked_by_hand_with_training_masked(snapshot: Snapshot) -> None:
    # u1 (heard a, c) sees b, d, e: d is second. u3 (heard a) sees e, d, c, b: b and e, the fourth and the first
    truth = [(0, np.array([3])), (2, np.array([1, 4]))]
    first, third = discount(2), (1 + discount(4)) / (1 + discount(2))
    assert Holdout(snapshot, truth, 4).ndcg(LISTENERS, SONGS) == pytest.approx((first + third) / 2)


def test_places_after_the_kth_are_not_looked_at(snapshot: Snapshot) -> None:
    truth = [(0, np.array([3])), (2, np.array([1, 4]))]
    # u1 misses; of u3's two only the first counts, of an ideal list of one
    assert Holdout(snapshot, truth, 1).ndcg(LISTENERS, SONGS) == pytest.approx(1 / 2)


def test_k_beyond_the_catalogue_is_the_catalogue(snapshot: Snapshot) -> None:
    assert Holdout(snapshot, [(0, np.array([3]))], 100).ndcg(LISTENERS, SONGS) == pytest.approx(discount(2))


def test_nobody_is_refused(snapshot: Snapshot) -> None:
    with pytest.raises(ValueError, match="at least one listener"):
        Holdout(snapshot, [])


@pytest.mark.parametrize("block", [1, 2, 256])
def test_vectors_rank_with_ties_by_first_appearance(snapshot: Snapshot, block: int) -> None:
    # a and b stand alike, and so do c, d and e
    songs = np.array([[2.0], [2.0], [1.0], [1.0], [1.0]], dtype=np.float32)
    vectors = ModelVectors.of_pairs(snapshot, LISTENERS, songs)
    rank = ByScore(vectors, snapshot, block)
    ranked = {}
    for user in ("u1", "u2", "u3"):
        listener = Listener.of(snapshot, user)
        ranked[user] = "".join("abcde"[s] for s in rank(Query(listener, 0, listener.heard.astype(np.int32))))
    assert ranked == {"u1": "bde", "u2": "acde", "u3": "cdeb"}
