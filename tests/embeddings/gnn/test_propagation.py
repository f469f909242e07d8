import numpy as np
import pytest
import torch
from scipy import sparse
from torch.autograd import gradcheck
from torch_geometric.nn import LGConv

from embeddings.gnn.propagation import Propagation, bipartite, normalised
from embeddings.training.losses import perturbed

# 3 listeners, 5 songs; nobody has met the last song
LIKED = np.array([[1, 0, 1, 1, 0], [0, 1, 1, 0, 0], [0, 0, 1, 0, 0]], dtype=np.float32)
ADJACENCY = np.block([[np.zeros((3, 3)), LIKED], [LIKED.T, np.zeros((5, 5))]]).astype(np.float32)
WEIGHTS = (0.2, 0.5, 0.3)


def graph(alpha: float = 0.5, beta: float = 0.5) -> sparse.csr_array:
    return normalised(bipartite(sparse.csr_array(LIKED)), alpha, beta)


def nodes(width: int = 4, n: int = 8) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(1))


def dense(x: torch.Tensor, matrix: sparse.csr_array, *, unit: bool) -> torch.Tensor:
    """`pooled` as it is written."""
    whole, total = torch.from_numpy(matrix.toarray()).to(x.dtype), WEIGHTS[0] * x
    for weight in WEIGHTS[1:]:
        x = whole @ (torch.nn.functional.normalize(x, dim=1) if unit else x)
        total = total + weight * x
    return total


# ---- the matrix


def test_a_bipartite_graph_has_every_edge_both_ways() -> None:
    assert (bipartite(sparse.csr_array(LIKED)).toarray() == ADJACENCY).all()


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (1.0, 0.0), (0.6, -0.1)])
def test_an_entry_is_divided_by_powers_of_the_degrees_of_its_row_and_column(alpha: float, beta: float) -> None:
    degrees = np.array([3, 2, 1, 1, 1, 3, 1, 1])  # of the last song 0, which has no entry
    expected = ADJACENCY / degrees[:, None] ** alpha / degrees[None, :] ** beta
    assert graph(alpha, beta).toarray() == pytest.approx(expected)
    assert graph(alpha, beta).dtype == np.float32


def test_degrees_of_a_directed_weighted_graph_are_sums_of_rows_and_of_columns() -> None:
    matrix = sparse.csr_array(np.array([[0, 4.0], [9.0, 16.0]]))
    assert normalised(matrix).toarray() == pytest.approx(
        np.array([[0, 4 / 2 / 20**0.5], [9 / 5 / 3, 16 / 5 / 20**0.5]])
    )


@pytest.mark.parametrize("weight", [-1.0, 0.0, np.inf])
def test_weights_that_are_not_above_0_and_finite_are_refused(weight: float) -> None:
    matrix = sparse.csr_array((np.array([1.0, weight]), (np.array([0, 1]), np.array([1, 0]))), shape=(2, 2))
    with pytest.raises(ValueError, match="weights must be above 0 and finite"):
        normalised(matrix)


def test_a_matrix_that_is_not_square_is_refused() -> None:
    with pytest.raises(ValueError, match=r"square \(got 3 x 5\)"):
        Propagation(sparse.csr_array(LIKED))


# ---- products


@pytest.mark.parametrize("width", [1, 4, 64])
def test_a_product_is_that_of_the_dense_matrix(width: int) -> None:
    matrix, x = graph(0.6, -0.1), nodes(width)
    expected = matrix.toarray().astype(np.float64) @ x.double().numpy()
    assert Propagation(matrix)(x).numpy() == pytest.approx(expected, abs=1e-6)


def test_the_gradient_is_the_product_with_the_transpose() -> None:
    matrix, x = graph(0.6, -0.1), nodes().requires_grad_()
    Propagation(matrix)(x)[0].sum().backward()
    assert x.grad is not None
    assert x.grad.numpy() == pytest.approx(matrix.toarray()[0][:, None].repeat(4, axis=1))


def test_columns_that_are_not_contiguous_or_not_in_order_give_the_same() -> None:
    matrix = graph(0.6, -0.1)
    expected = Propagation(matrix)(nodes())
    shuffled = sparse.csr_array(sparse.coo_array(matrix.toarray()[:, ::-1]))
    unordered = sparse.csr_array((shuffled.data, 7 - shuffled.indices, shuffled.indptr), shape=(8, 8))
    assert not unordered.has_sorted_indices
    assert torch.allclose(Propagation(unordered)(nodes().T.contiguous().T), expected)


@pytest.mark.parametrize("unit", [False, True])
def test_pooled_layers_are_those_of_the_dense_matrix_and_so_is_their_gradient(unit: bool) -> None:
    matrix = graph(0.6, -0.1)
    ours, oracle, direction = nodes().requires_grad_(), nodes().double().requires_grad_(), nodes(4)
    found, expected = Propagation(matrix).pooled(ours, WEIGHTS, unit=unit), dense(oracle, matrix, unit=unit)
    assert found.detach().numpy() == pytest.approx(expected.detach().numpy(), abs=1e-6)
    found.backward(direction)
    expected.backward(direction.double())
    assert ours.grad is not None
    assert oracle.grad is not None
    assert ours.grad.numpy() == pytest.approx(oracle.grad.numpy(), abs=1e-6)


@pytest.mark.parametrize("unit", [False, True])
def test_pooled_layers_have_the_gradient_of_their_value(unit: bool) -> None:
    propagation = Propagation(graph(0.6, -0.1))
    x = nodes(2).double().requires_grad_()
    assert gradcheck(lambda v: propagation.pooled(v, WEIGHTS, unit=unit), (x,), eps=1e-5, atol=1e-5)


def test_a_single_weight_is_layer_0_alone() -> None:
    assert torch.equal(Propagation(graph()).pooled(nodes(), [2.0]), 2 * nodes())


def test_rows_of_zeros_stay_finite_when_lengths_are_taken() -> None:
    x = torch.zeros(8, 4, requires_grad=True)
    pooled = Propagation(graph()).pooled(x, WEIGHTS, unit=True)
    pooled.sum().backward()
    assert (pooled == 0).all()
    assert torch.equal(x.grad, torch.full((8, 4), WEIGHTS[0]))


def test_nothing_that_is_not_finite_is_swept_away() -> None:
    x = nodes()
    x[3] = float("nan")
    for unit in (False, True):
        assert torch.isnan(Propagation(graph()).pooled(x, WEIGHTS, unit=unit)[0]).all()


def test_a_table_that_changed_before_its_gradient_was_taken_is_noticed() -> None:
    x = nodes().requires_grad_()
    loss = Propagation(graph()).pooled(x, WEIGHTS, unit=True).sum()
    with torch.no_grad():
        x += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_any_number_of_threads_gives_the_same_bits_and_keeps_torch_s_own() -> None:
    random = sparse.random_array((300, 300), density=0.8, rng=np.random.default_rng(3), format="csr")
    propagation, x, before = Propagation(normalised(random)), nodes(16, 300), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(propagation.pooled(x, WEIGHTS, unit=True))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_layers_are_lightgcn_s_of_pyg() -> None:
    edges, x = torch.from_numpy(np.stack(ADJACENCY.nonzero())), nodes()
    theirs, layer = [], x
    for _ in range(2):
        layer = LGConv()(layer, edges)
        theirs.append(layer)
    ours = Propagation(graph()).layers(x, 2)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(ours, theirs, strict=True))
    mean = Propagation(graph()).pooled(x, [1 / 3] * 3)
    assert torch.allclose(mean, (x + theirs[0] + theirs[1]) / 3, atol=1e-6)


def test_noise_is_put_on_every_layer_before_it_is_passed_on() -> None:
    propagation, x = Propagation(graph()), nodes()
    torch.manual_seed(3)
    first, second = propagation.layers(x, 2, noise=0.1)
    torch.manual_seed(3)
    expected = perturbed(propagation(x), 0.1)
    assert torch.equal(first, expected)
    assert torch.equal(second, perturbed(propagation(expected), 0.1))
    lengths = (first - propagation(x)).norm(dim=1)
    assert lengths[:7].numpy() == pytest.approx(0.1)
    assert lengths[7] == 0  # the song that nobody has met


@pytest.mark.parametrize("unit", [False, True])
def test_the_way_of_other_devices_gives_the_same(unit: bool) -> None:
    propagation = Propagation(graph(0.6, -0.1))
    there = propagation._pooled_elsewhere(nodes(), WEIGHTS, unit)
    assert torch.allclose(there, propagation.pooled(nodes(), WEIGHTS, unit=unit), atol=1e-6)
