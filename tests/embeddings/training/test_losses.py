import math

import pytest
import torch
from torch.autograd import gradcheck

from embeddings.training.losses import bpr, bpr_rows, info_nce, l2_rows, perturbed, sampled_softmax

# 2 listeners, 3 songs, in the plane
VECTORS = torch.tensor([[1.0, 0.0], [0.0, 2.0], [2.0, 1.0], [-1.0, 0.5], [0.0, 0.0]], dtype=torch.float64)
TRIPLES = torch.tensor([[0, 1, 1], [2, 3, 3], [3, 2, 4]])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


# ---- ranking


def test_bpr_of_scores_2_and_0_is_0_127() -> None:
    assert bpr(torch.tensor([2.0]), torch.tensor([0.0])).item() == pytest.approx(0.1269, abs=1e-4)


def test_bpr_of_a_batch_is_unchanged_when_it_is_repeated() -> None:
    positive, negative = torch.tensor([2.0, -1.0]), torch.tensor([0.0, 3.0])
    once, twice = bpr(positive, negative), bpr(positive.repeat(2), negative.repeat(2))
    assert once.item() == pytest.approx(twice.item())


def test_bpr_of_scores_far_apart_stays_finite() -> None:
    assert bpr(torch.tensor([-1e4]), torch.tensor([1e4])).item() == pytest.approx(2e4)
    far = VECTORS * 100
    assert bpr_rows(far, TRIPLES).item() == pytest.approx(((far[1] * (far[2] - far[3])).sum() / 3).item())


def test_bpr_refuses_scores_of_two_shapes() -> None:
    with pytest.raises(ValueError, match=r"one shape \(got \(2,\) and \(3,\)\)"):
        bpr(torch.zeros(2), torch.zeros(3))


def test_bpr_of_rows_compares_each_listener_with_their_own_songs() -> None:
    # 0: 2 against -1; 1: 1 against 2, then 1 against 0
    by_hand = (softplus(-3) + softplus(1) + softplus(-1)) / 3
    assert bpr_rows(VECTORS, TRIPLES).item() == pytest.approx(by_hand)


def test_bpr_of_rows_has_the_gradient_of_its_value() -> None:
    assert gradcheck(lambda x: bpr_rows(x, TRIPLES), VECTORS.clone().requires_grad_())


def test_l2_counts_a_row_as_often_as_it_is_used() -> None:
    # squared lengths 1, 4, 5, 1.25, 0; listeners 1 + 4 + 4, positives 5 + 1.25 + 1.25, negatives 1.25 + 5 + 0
    assert l2_rows(VECTORS, TRIPLES, 3).item() == pytest.approx((9 + 7.5 + 6.25) / 6)


def test_l2_of_rows_has_the_gradient_of_its_value() -> None:
    assert gradcheck(lambda x: l2_rows(x, TRIPLES, 3), VECTORS.clone().requires_grad_())


def test_gradients_by_hand_are_those_of_a_scaled_loss_too() -> None:
    x = VECTORS.clone().requires_grad_()
    (once,) = torch.autograd.grad(bpr_rows(x, TRIPLES) + l2_rows(x, TRIPLES, 3), x)
    (thrice,) = torch.autograd.grad(3 * (bpr_rows(x, TRIPLES) + l2_rows(x, TRIPLES, 3)), x)
    assert torch.allclose(thrice, 3 * once)


# ---- softmax


def test_sampled_softmax_is_a_softmax_over_the_positive_and_its_own_negatives() -> None:
    loss = sampled_softmax(torch.tensor([1.0, 0.0]), torch.tensor([[0.0, 2.0], [3.0, 0.0]]))
    first, second = math.log(math.e + 1 + math.e**2) - 1, math.log(1 + math.e**3 + 1)
    assert loss.item() == pytest.approx((first + second) / 2)


def test_sampled_softmax_leans_to_the_full_one_when_the_chances_are_taken_off() -> None:
    # 2 of 3 other items, each with a chance of 1/3, stand for 3 / 2 items each
    loss = sampled_softmax(torch.zeros(1), torch.zeros(1, 2), torch.full((2,), math.log(1 / 3)))
    assert loss.item() == pytest.approx(math.log(1 + 3))


def test_negatives_of_other_positives_are_refused() -> None:
    with pytest.raises(ValueError, match="got 3 rows for 2"):
        sampled_softmax(torch.zeros(2), torch.zeros(3, 4))


# ---- contrast


def test_info_nce_of_two_pairs_at_right_angles_by_hand() -> None:
    # cosines 1 with the own positive and 0 with the other one, whatever the lengths
    loss = info_nce(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 7.0]]), 0.5)
    assert loss.item() == pytest.approx(softplus(-2))


def test_info_nce_of_pairs_that_are_all_alike_is_ln_of_their_number() -> None:
    assert info_nce(torch.ones(5, 3), torch.ones(5, 3), 0.1).item() == pytest.approx(math.log(5))


def test_info_nce_has_the_gradient_of_its_value() -> None:
    first, second = VECTORS[:3].clone().requires_grad_(), VECTORS[1:4].clone().requires_grad_()
    assert gradcheck(lambda a, b: info_nce(a, b, 0.3), (first, second))


def test_info_nce_refuses_what_it_cannot_compare() -> None:
    with pytest.raises(ValueError, match="one shape"):
        info_nce(torch.ones(2, 3), torch.ones(3, 3), 1)
    with pytest.raises(ValueError, match=r"temperature must be above 0 \(got -1\)"):
        info_nce(torch.ones(2, 3), torch.ones(2, 3), -1)


def test_noise_has_the_length_that_was_asked_for_and_stays_in_the_orthant() -> None:
    vectors = torch.randn(50, 8)
    noisy = perturbed(vectors, 0.3)
    assert torch.allclose((noisy - vectors).norm(dim=1), torch.tensor(0.3))
    assert (noisy.sign() == vectors.sign()).all()
    assert (noisy.abs() >= vectors.abs()).all()


def test_noise_leaves_zeros_alone_and_follows_torch_s_seed() -> None:
    assert (perturbed(torch.zeros(2, 3), 1.0) == 0).all()
    noisy = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        noisy.append(perturbed(VECTORS, 0.1))
    assert torch.equal(noisy[0], noisy[1])
    assert not torch.equal(noisy[0], noisy[2])
