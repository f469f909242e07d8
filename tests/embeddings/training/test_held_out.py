import numpy as np
import pytest
from scipy import sparse

from embeddings.training import held_out as module
from embeddings.training.held_out import held_out
from embeddings.training.interactions import Interactions


def everything(listeners: int, songs: int) -> Interactions:
    matrix = sparse.csr_array(np.ones((listeners, songs), dtype=np.float32))
    indptr, indices = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)
    return Interactions(indptr, indices, matrix.data, songs)


def test_a_tenth_is_held_out_and_judged_among_what_was_not_trained_on() -> None:
    pairs = everything(50, 40)
    kept, judge = held_out(pairs, np.random.default_rng(0))
    assert len(kept) == pytest.approx(0.9 * len(pairs), rel=0.05)
    # whoever likes everything has all held-out songs first, whatever the scores
    assert judge(np.ones((50, 1)), np.arange(40.0)[:, None]) > 0.5


def test_vectors_that_say_nothing_do_worse_than_any_order() -> None:
    _, judge = held_out(everything(50, 400), np.random.default_rng(0))
    assert judge(np.zeros((50, 1)), np.zeros((400, 1))) < judge(np.ones((50, 1)), np.arange(400.0)[:, None])


def test_no_more_listeners_judge_than_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LISTENERS", 3)
    _, judge = held_out(everything(50, 40), np.random.default_rng(0))
    people = np.zeros((50, 1))
    values = []
    for user in range(50):
        people[:] = 0
        people[user] = 1
        values.append(judge(people, np.arange(40.0)[:, None]))
    assert sum(value > min(values) for value in values) == 3
