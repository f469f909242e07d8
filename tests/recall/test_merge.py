import numpy as np
import pytest

from recall.base import Candidates
from recall.merge import merge


def found(*songs: int) -> Candidates:
    return Candidates(np.array(songs, dtype=np.int32), np.linspace(1, 0.5, len(songs)))


def test_each_song_once_by_the_sum_of_weight_over_60_plus_rank() -> None:
    pool = merge({"a": found(4, 2), "b": found(2, 9, 4)}, {"a": 5, "b": 5}, {"a": 1.0, "b": 0.5})
    assert pool.songs.tolist() == [4, 2, 9]
    assert pool.fused == pytest.approx([1 / 60 + 0.5 / 62, 1 / 61 + 0.5 / 60, 0.5 / 61])
    assert pool.ranks.tolist() == [[0, 2], [1, 0], [-1, 1]]
    assert pool.scores.tolist() == [[1.0, 0.5], [0.5, 1.0], [0.0, 0.75]]


def test_a_quota_bounds_what_a_channel_brings_in_but_not_what_it_says() -> None:
    pool = merge({"a": found(1, 2, 3), "b": found(3)}, {"a": 1, "b": 1}, {})
    assert sorted(pool.songs.tolist()) == [1, 3]
    assert pool.fused[pool.songs == 3] == pytest.approx(1 / 62 + 1 / 60)


def test_provenance_names_channels_with_ranks_from_1() -> None:
    pool = merge({"a": found(7), "b": found(8, 7)}, {"a": 1, "b": 2}, {})
    assert pool.provenance(0) == [
        {"channel": "a", "rank": 1, "score": 1.0},
        {"channel": "b", "rank": 2, "score": 0.5},
    ]


@pytest.mark.parametrize("proposals", [{}, {"a": Candidates.none()}])
def test_no_proposals_make_an_empty_pool(proposals: dict[str, Candidates]) -> None:
    assert len(merge(proposals, dict.fromkeys(proposals, 3), {})) == 0


def test_equal_scores_keep_the_order_of_the_songs() -> None:
    assert merge({"a": found(9), "b": found(3)}, {"a": 1, "b": 1}, {}).songs.tolist() == [3, 9]
