import numpy as np
import pytest

from ranking.metrics import Scoreboard, auc, gini, ndcg_at, recall_at, reciprocal_rank

HITS = np.array([False, True, False, True, True])


@pytest.mark.parametrize(("k", "expected"), [(1, 0), (2, 0.25), (4, 0.5), (5, 0.75), (10, 0.75)])
def test_recall_is_hits_over_relevant(k: int, expected: float) -> None:
    assert recall_at(HITS, 4, k) == expected


def test_ndcg_uses_the_ideal_list_of_as_many_as_there_are() -> None:
    gain = 1 / np.log2(3) + 1 / np.log2(5)
    assert ndcg_at(HITS, 4, 4) == pytest.approx(gain / (1 + 1 / np.log2(3) + 0.5 + 1 / np.log2(5)))
    assert ndcg_at(HITS, 1, 4) == pytest.approx(gain / 1)
    assert ndcg_at(np.array([True]), 1, 10) == 1
    assert ndcg_at(np.array([], dtype=bool), 3, 10) == 0


def test_ndcg_of_one_hit_in_second_place_is_0_631() -> None:
    assert ndcg_at(np.array([False, True]), 1, 10) == pytest.approx(0.6309298)


def test_reciprocal_rank_is_over_the_whole_list() -> None:
    assert reciprocal_rank(HITS) == 0.5
    assert reciprocal_rank(np.array([False] * 99 + [True])) == 0.01
    assert reciprocal_rank(np.array([False])) == 0


def test_auc_counts_ties_one_half() -> None:
    # positives 3 and 1 against negatives 2 and 1: wins 3>2, 3>1, a tie 1=1, a loss 1<2
    assert auc(np.array([3.0, 2, 1, 1]), np.array([1, 0, 1, 0])) == 2.5 / 4
    assert auc(np.ones(5), np.array([1, 0, 0, 1, 0])) == 0.5
    assert auc(np.array([0.0, 1, 2]), np.array([0, 0, 1])) == 1


@pytest.mark.parametrize("labels", [[0, 0], [1, 1]])
def test_auc_needs_both_classes(labels: list[int]) -> None:
    with pytest.raises(ValueError, match="at least one positive and one negative"):
        auc(np.array([0.1, 0.2]), np.array(labels))


@pytest.mark.parametrize(
    ("counts", "expected"), [([2, 2, 2], 0), ([0, 0, 0, 8], 0.75), ([1, 3], 0.25), ([3, 1], 0.25), ([0, 0], 0)]
)
def test_gini_says_how_unevenly_songs_are_shown(counts: list[int], expected: float) -> None:
    assert gini(np.array(counts)) == pytest.approx(expected)


def test_a_scoreboard_averages_over_listeners() -> None:
    board = Scoreboard(5, np.array([4, 2, 1, 0, 0]), 4, ks=(2,))
    board.add(np.array([0, 1, 2]), np.array([1]))
    board.add(np.array([0, 2]), np.array([0, 3]))
    means = board.means()
    assert means == pytest.approx(
        {
            "recall@2": (1 + 0.5) / 2,
            "hit_rate@2": 1,
            "mrr": (0.5 + 1) / 2,
            "ndcg@2": (1 / np.log2(3) + 1 / (1 + 1 / np.log2(3))) / 2,
            "novelty@2": ((0 + 1) / 2 + (0 + 2) / 2) / 2,
            "coverage@2": 3 / 5,
            "gini@2": gini(np.array([2, 1, 1, 0, 0])),
        }
    )
    assert board.values("mrr").tolist() == [0.5, 1]


def test_an_empty_list_scores_nothing_and_an_empty_board_is_empty() -> None:
    board = Scoreboard(5, np.ones(5), 3)
    assert board.means() == {}
    board.add(np.array([], dtype=np.int32), np.array([1]))
    assert board.means()["recall@10"] == board.means()["mrr"] == board.means()["novelty@10"] == 0
