import numpy as np
import pytest

from ranking.rerank.mmr import Mmr, MmrConfig

RELEVANCE = np.array([1.0, 0.9, 0.8, 0.0])
LIKENESS = np.array([[1, 0], [0.8, 0.6], [0, 1], [0, 0]])
NONE = np.full(4, -1)


def test_picks_worked_by_hand() -> None:
    # first 0; then 1: .5 x .9 - .5 x .8 = .05, 2: .5 x .8 - 0 = .4; then 1: .45 - .5 x .8, 3: 0
    order = Mmr(MmrConfig(balance=0.5)).order(RELEVANCE, LIKENESS, NONE, 4)
    assert order.tolist() == [0, 2, 1, 3]


def test_relevance_alone_keeps_the_order() -> None:
    assert Mmr(MmrConfig(balance=1.0)).order(RELEVANCE, LIKENESS, NONE, 3).tolist() == [0, 1, 2]


def test_songs_of_one_artist_are_as_alike_as_can_be() -> None:
    artist = np.array([7, 8, 7, -1])
    # 2 shares the artist of 0: .5 x .8 - .5 x 1 < 1's .05 < 3's 0 - 0
    assert Mmr(MmrConfig(balance=0.5)).order(RELEVANCE, np.zeros((4, 1)), artist, 4).tolist() == [0, 1, 3, 2]


def test_songs_without_an_artist_have_none_in_common() -> None:
    assert Mmr(MmrConfig(balance=0.5)).order(RELEVANCE, np.zeros((4, 1)), NONE, 4).tolist() == [0, 1, 2, 3]


def test_the_scale_of_relevance_says_nothing() -> None:
    mmr = Mmr(MmrConfig(balance=0.5))
    scaled = mmr.order(RELEVANCE * 1000 - 3, LIKENESS, NONE, 4)
    assert scaled.tolist() == mmr.order(RELEVANCE, LIKENESS, NONE, 4).tolist()


@pytest.mark.parametrize(("n", "expected"), [(0, 0), (2, 2), (9, 4)])
def test_as_many_as_there_are_each_once(n: int, expected: int) -> None:
    order = Mmr().order(RELEVANCE, LIKENESS, NONE, n)
    assert len(set(order.tolist())) == len(order) == expected


def test_an_empty_pool_gives_an_empty_slate() -> None:
    assert len(Mmr().order(np.empty(0), np.empty((0, 2)), np.empty(0, dtype=np.int64), 5)) == 0


def test_a_balance_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ValueError, match=r"balance must be between 0 and 1 \(got 1.5\)"):
        Mmr(MmrConfig(balance=1.5))
