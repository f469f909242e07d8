from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from embeddings.gnn.aggregation import Neighbours, _bags, aggregate

ROW, COL = torch.tensor([3, 0, 1, 1, 2]), torch.tensor([0, 0, 2, 2, 2])
WEIGHT = torch.tensor([1.0, 3.0, 1.0, 2.0, 5.0])
SHARES = torch.tensor([[0.75, 0, 0, 0.25], [0, 0, 0, 0], [0, 0.375, 0.625, 0]])


def test_shares_by_weight_sum_to_1_and_a_lone_node_gets_0() -> None:
    x = torch.eye(4)
    torch.testing.assert_close(aggregate(x, Neighbours.of(ROW, COL, 3, WEIGHT)), SHARES)


def test_without_weights_it_is_the_mean() -> None:
    x = torch.tensor([[1.0], [2.0], [6.0], [5.0]])
    assert aggregate(x, Neighbours.of(ROW, COL, 3)).tolist() == [[3.0], [0.0], [pytest.approx(10 / 3)]]


def test_the_first_nodes_alone() -> None:
    x = torch.eye(4)
    torch.testing.assert_close(aggregate(x, Neighbours.of(ROW, COL, 3, WEIGHT).first(1)), SHARES[:1])


@pytest.mark.parametrize("way", [aggregate, _bags])  # the second is for other devices than the CPU
def test_the_gradient_is_the_product_with_the_transpose(way: Callable[[Tensor, Neighbours], Tensor]) -> None:
    x = torch.zeros(4, 2, requires_grad=True)
    slope = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32))
    way(x, Neighbours.of(ROW, COL, 3, WEIGHT)).backward(slope)
    torch.testing.assert_close(x.grad, SHARES.T @ slope)


def test_both_ways_sum_alike() -> None:
    x, around = torch.eye(4), Neighbours.of(ROW, COL, 3, WEIGHT)
    for neighbours in (around, around.first(1)):
        torch.testing.assert_close(_bags(x, neighbours), aggregate(x, neighbours))
