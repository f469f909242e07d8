import numpy as np
import pytest

from recall.base import Candidates
from recall.blend.calibration import Calibration
from recall.blend.fusion import Fusion
from recall.blend.merge import merge
from recall.blend.places import allocate, within


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


def test_the_first_channel_is_the_one_where_a_song_stands_highest() -> None:
    pool = merge({"a": found(7, 9, 8), "b": found(8, 7), "c": found(6, 9)}, {"a": 3, "b": 2, "c": 2}, {})
    first = {song: pool.first_channel(i) for i, song in enumerate(pool.songs.tolist())}
    assert first == {7: "a", 8: "b", 6: "c", 9: "a"}  # 9 stands second in two: the one that comes first


@pytest.mark.parametrize("proposals", [{}, {"a": Candidates.none()}])
def test_no_proposals_make_an_empty_pool(proposals: dict[str, Candidates]) -> None:
    assert len(merge(proposals, dict.fromkeys(proposals, 3), {})) == 0


def test_equal_scores_keep_the_order_of_the_songs() -> None:
    assert merge({"a": found(9), "b": found(3)}, {"a": 1, "b": 1}, {}).songs.tolist() == [3, 9]


def of_interests(interest: list[int], importance: list[float] | None = None) -> Candidates:
    songs = np.arange(len(interest), dtype=np.int32)
    given = None if importance is None else np.array(importance)
    return Candidates(songs, np.linspace(1, 0.5, len(songs)), np.array(interest), given)


@pytest.mark.parametrize(
    ("interest", "importance", "quota", "expected"),
    [
        ([0, 0, 0, 0, 1, 1], None, 4, [0, 1, 4, 5]),  # alike
        ([0, 0, 0, 0, 1, 1, 1, 1], [2, 1], 4, [0, 1, 4, 5]),  # one each, then 1.33 and 0.67: the larger remainder
        ([0, 0, 0, 0, 1, 1, 1, 1], [9, 1], 4, [0, 1, 2, 4]),
        ([0, 0, 0, 0, 1], [1, 1], 4, [0, 1, 2, 4]),  # what one leaves over goes to the other
        ([0, 1, 2, 0, 1, 2], [1, 3, 2], 2, [1, 2]),  # fewer places than interests: the most important ones
        ([0, 0, 1], None, 9, [0, 1, 2]),
    ],
)
def test_a_quota_is_shared_out_among_interests(
    interest: list[int], importance: list[float] | None, quota: int, expected: list[int]
) -> None:
    assert within(of_interests(interest, importance), quota).tolist() == expected


def test_sharing_out_adds_up() -> None:
    for places in range(12):
        parts = allocate(places, np.array([0.5, 0, 0.2, 0.3]))
        assert (parts.sum(), parts[1]) == (places, 0)
    assert allocate(4, np.zeros(3)).tolist() == [0, 0, 0]


def test_a_calibrated_channel_says_how_much_it_is_to_be_believed() -> None:
    sure = Calibration("rank", np.array([-5.0, 0.0]), np.array([0.5, 0.5]))
    fusion = Fusion({"a": sure}, {}, otherwise=0.1)
    pool = merge({"a": found(1), "b": found(2, 1)}, {"a": 5, "b": 5}, {"b": 2.0}, fusion)
    assert pool.songs.tolist() == [1, 2]
    assert pool.fused == pytest.approx([0.5 + 2 * 0.1 * 60 / 61, 2 * 0.1], rel=2e-3)
