from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

import networkx as nx
import numpy as np
import polars as pl
import pytest
from scipy import stats

from embeddings.skipgram.edges import Edges
from embeddings.skipgram.walks import MetapathWalks, WalkConfig, WalkGraph, Walks
from graph.snapshot.arrays import Array

Triple = tuple[int, int, float]

# A triangle with a tail, a loop on 3, the edge 0-1 twice, and node 6 alone.
EDGES: list[Triple] = [
    *((0, 1, 1.0), (0, 1, 2.0), (1, 2, 1.0), (2, 0, 0.5), (2, 3, 4.0), (3, 3, 1.5)),
    *((3, 4, 1.0), (4, 5, 2.0), (5, 0, 1.0)),
]
NODES = 7


def of(edges: Iterable[Triple], nodes: int = NODES, *, weighted: bool = True, directed: bool = False) -> WalkGraph:
    source, target, weight = zip(*edges, strict=True)
    ends = np.array(source), np.array(target)
    return WalkGraph.of_edges(*ends, np.array(weight) if weighted else None, nodes=nodes, directed=directed)


def walked(walks: Walks) -> Array:
    return np.concatenate(list(walks))


def model(edges: Iterable[Triple], *, weighted: bool, directed: bool) -> nx.DiGraph:
    graph = nx.DiGraph()
    for a, b, w in edges:
        for x, y in {(a, b), (a, b) if directed else (b, a)}:
            before = graph.get_edge_data(x, y, {"weight": 0.0})["weight"]
            graph.add_edge(x, y, weight=before + (w if weighted else 1.0))
    return graph


def exact(graph: nx.DiGraph, before: int | None, node: int, p: float, q: float) -> dict[int, float]:
    """Transition probabilities as the definition has them."""
    shares = {}
    for x, data in graph[node].items():
        bias = 1.0 if before is None else 1 / p if x == before else 1.0 if graph.has_edge(before, x) else 1 / q
        shares[x] = data["weight"] * bias
    return {x: share / sum(shares.values()) for x, share in shares.items()}


def p_value(seen: dict[int, int], expected: dict[int, float]) -> float:
    assert set(seen) <= set(expected)
    if len(expected) < 2:
        return 1.0
    total = sum(seen.values())
    return float(
        stats.chisquare([seen.get(x, 0) for x in expected], [share * total for share in expected.values()]).pvalue
    )


def chance(graph: WalkGraph, truth: nx.DiGraph, p: float, q: float, told: tuple[float, float] | None = None) -> float:
    """The least p-value of a step, times their number, of walks with p and q, against what networkx says of `told`."""
    seen: dict[tuple[int | None, int], Counter[int]] = defaultdict(Counter)
    config = WalkConfig(p=p, q=q, walks=2000, length=12)
    for walk in walked(Walks(graph, config, seed=7, starts=np.arange(len(truth)))).tolist():
        nodes = [node for node in walk if node >= 0]
        for before, node, after in zip([None, *nodes], nodes, nodes[1:], strict=False):
            seen[before, node][after] += 1
    steps = {(b, n): found for (b, n), found in seen.items() if sum(found.values()) > 100}
    assert len(steps) > 6
    return len(steps) * min(p_value(found, exact(truth, b, n, *(told or (p, q)))) for (b, n), found in steps.items())


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("p", "q"), [(1, 1), (0.25, 4), (4, 0.25), (0.25, 0.25), (0.01, 0.5), (50, 50), (1, 200)])
def test_steps_have_the_probabilities_of_the_definition(p: float, q: float, weighted: bool, directed: bool) -> None:
    graph = of(EDGES, weighted=weighted, directed=directed)
    assert chance(graph, model(EDGES, weighted=weighted, directed=directed), p, q) > 1e-3


@pytest.mark.parametrize(("p", "q"), [(0.25, 4), (4, 0.25), (0.25, 0.25)])
def test_so_they_have_where_marks_leave_open_who_is_a_neighbour(p: float, q: float) -> None:
    # 64 bits for each neighbour are fewer than there are nodes
    assert chance(of(EDGES, 400), model(EDGES, weighted=True, directed=False), p, q) > 1e-3


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize(("p", "q"), [(0.25, 4), (0.25, 0.5), (4, 0.25)])
def test_so_they_have_where_all_edges_weigh_the_same(p: float, q: float, directed: bool) -> None:
    edges = EDGES[:1] + EDGES[2:]  # 0-1 once
    graph = of(edges, weighted=False, directed=directed)
    assert not len(graph.weights)
    assert chance(graph, model(edges, weighted=False, directed=directed), p, q) > 1e-3


def test_a_stranger_whose_mark_is_a_neighbours_is_no_neighbour() -> None:
    # node 0 has 64 bits for 3,000 nodes: about 47 leaves share the bit of its one neighbour
    star = of(((1, leaf, 1.0) for leaf in range(3000) if leaf != 1), 3000)
    walks = walked(Walks(star, WalkConfig(q=1e6, walks=300, length=3), seed=1, starts=np.array([0])))
    assert (walks[:, 2] == 0).mean() > 0.98


@pytest.mark.parametrize(("p", "q"), [(0.25, 4), (4, 0.25), (1, 1)])
def test_walks_keep_to_the_edges_when_many_end_early(p: float, q: float) -> None:
    rng = np.random.default_rng(0)
    edges = [(int(a), int(b), 1.0) for a, b in rng.integers(0, 900, (1500, 2))]
    walks = walked(Walks(of(edges, 900, directed=True), WalkConfig(p=p, q=q, walks=2, length=20), seed=1))
    stays = walks[:, :-1] >= 0
    after = walks[:, 1:][stays]
    ways = {(a, b) for a, b, _ in edges}
    assert set(zip(walks[:, :-1][stays][after >= 0].tolist(), after[after >= 0].tolist(), strict=True)) <= ways
    assert not set(walks[:, :-1][stays][after < 0].tolist()) & {a for a, _ in ways}
    assert (walks[:, 1:][~stays] < 0).all()


def test_another_definition_is_told_from_the_walks() -> None:
    truth = model(EDGES, weighted=True, directed=False)
    assert chance(of(EDGES), truth, 0.25, 4, told=(0.3, 4)) < 1e-6
    assert chance(of(EDGES), truth, 0.25, 4, told=(0.25, 3)) < 1e-6


def test_gamma_is_the_weight_of_a_relation_in_a_step() -> None:
    relations = ["a", "b", "a", None, "b", None, "a", "b", None]
    rows = [(str(s), str(t), w, r) for (s, t, w), r in zip(EDGES, relations, strict=True)]
    schema = {"source": pl.String, "target": pl.String, "weight": pl.Float64, "relation": pl.String}
    edges = Edges.of_frame(pl.DataFrame(rows, schema=schema, orient="row"))
    factors = {"a": 3.0, "b": 0.25, None: 1.0}
    weighed = [(s, t, w * factors[r]) for (s, t, w), r in zip(EDGES, relations, strict=True)]
    graph = edges.graph({"a": 3.0, "b": 0.25})
    assert chance(graph, model(weighed, weighted=True, directed=False), 0.5, 2) > 1e-3
    assert chance(graph, model(EDGES, weighted=True, directed=False), 0.5, 2) < 1e-6


def test_a_step_after_many_refusals_is_exact() -> None:
    # from 0 by way of 1: 40 leaves at 1/q and one common neighbour; a draw is refused almost always
    edges = [(0, 1, 1.0), (0, 2, 1.0), (1, 2, 1.0), *((1, leaf, 1.0) for leaf in range(3, 43))]
    walks = walked(Walks(of(edges, 43, directed=True), WalkConfig(q=1000, walks=30_000, length=3), seed=1,
                         starts=np.array([0])))  # fmt: skip
    after = walks[(walks[:, 1] == 1), 2]
    common = (after == 2).mean()
    assert common == pytest.approx(1 / (1 + 40 / 1000), abs=0.008)


def test_the_alias_tables_hold_the_weights() -> None:
    rng = np.random.default_rng(0)
    weights = rng.pareto(1, 50) + 1e-3
    graph = WalkGraph.of_edges(np.zeros(50, int), np.arange(1, 51), weights, nodes=51, directed=True)
    shares = graph.threshold[:50].astype(float)
    np.add.at(shares, graph.alias[:50][graph.threshold[:50] < 1], 1 - graph.threshold[:50][graph.threshold[:50] < 1])
    np.testing.assert_allclose(shares / 50, weights / weights.sum(), rtol=1e-5)


def test_walks_on_a_line_are_known() -> None:
    line = of([(0, 1, 1.0), (1, 2, 1.0), (2, 3, 1.0)], 4, directed=True)
    walks = walked(Walks(line, WalkConfig(p=3, q=0.5, walks=1, length=3), seed=0))
    assert sorted(walks.tolist()) == [[0, 1, 2], [1, 2, 3], [2, 3, -1], [3, -1, -1]]


def test_a_walk_without_a_way_back_never_returns_and_with_a_dear_one_rarely() -> None:
    ring = of([(i, (i + 1) % 5, 1.0) for i in range(5)], 5)
    walks = walked(Walks(ring, WalkConfig(p=1e6, walks=100, length=50), seed=0))
    assert (walks[:, 2:] == walks[:, :-2]).mean() < 0.001


def test_parallel_edges_add_up_and_edges_of_weight_0_are_left_out() -> None:
    graph = of([(0, 1, 1.0), (1, 0, 2.0), (0, 2, 0.0), (2, 2, 5.0)], 3)
    assert graph.edges == 2
    assert graph.indices.tolist() == [1, 0, 2]
    assert graph.weights.tolist() == [3.0, 3.0, 5.0]


@pytest.mark.parametrize("directed", [False, True])
def test_rows_are_the_sorted_ones_of_the_adjacency_matrix(directed: bool) -> None:
    rng = np.random.default_rng(0)
    source, target, weight = *rng.integers(0, 9, (2, 200)), rng.integers(0, 4, 200).astype(float)
    dense = np.zeros((9, 9))
    np.add.at(dense, (source, target), weight)
    dense += 0 if directed else (dense * (1 - np.eye(9))).T
    graph = WalkGraph.of_edges(source, target, weight, nodes=9, directed=directed)
    rows, columns = dense.nonzero()
    assert graph.indptr.tolist() == [0, *np.cumsum((dense > 0).sum(axis=1)).tolist()]
    assert graph.indices.tolist() == columns.tolist()
    assert graph.weights.tolist() == dense[rows, columns].tolist()
    assert graph.edges == (len(rows) if directed else (np.triu(dense) > 0).sum())


def test_equal_weights_need_no_tables() -> None:
    graph = of([(0, 1, 2.0), (1, 2, 2.0)], 3)
    assert len(graph.alias) == len(graph.threshold) == len(graph.weights) == 0


@pytest.mark.parametrize(("threads", "block"), [(2, 1 << 20), (1, 100), (2, 333)])
def test_one_seed_gives_the_same_walks_for_any_threads_and_blocks(threads: int, block: int) -> None:
    config = WalkConfig(p=0.5, q=2, walks=20, length=30)
    base = walked(Walks(of(EDGES), config, seed=3))
    assert base.shape == (140, 30)
    other = Walks(of(EDGES), config, seed=3, threads=threads, block_tokens=block)
    np.testing.assert_array_equal(walked(other), base)
    np.testing.assert_array_equal(walked(other), base)


def test_another_seed_gives_other_walks() -> None:
    config = WalkConfig(walks=20, length=30)
    one, two = (walked(Walks(of(EDGES), config, seed=s, threads=2)) for s in (1, 2))
    assert (one != two).mean() > 0.3


def test_walks_of_one_node_differ() -> None:
    walks = walked(Walks(of(EDGES), WalkConfig(walks=50, length=30), seed=1, starts=np.array([0])))
    assert len({tuple(walk) for walk in walks.tolist()}) == 50


def test_blocks_are_bounded_and_every_node_starts_its_walks() -> None:
    walks = Walks(of(EDGES), WalkConfig(walks=3, length=10), seed=1, block_tokens=40)
    blocks = list(walks)
    assert max(len(block) for block in blocks) == 4
    assert len(walks) == 21
    assert np.bincount(np.concatenate(blocks)[:, 0]).tolist() == [3] * NODES


def test_a_node_alone_is_a_walk_of_one() -> None:
    (walk,) = walked(Walks(of(EDGES), WalkConfig(walks=1, length=4), seed=1, starts=np.array([6])))
    assert walk.tolist() == [6, -1, -1, -1]


def typed() -> WalkGraph:
    """Listeners 0 and 1, songs 2 and 3, artist 4: 0-2, 1-2, 1-3 are kind 0; 2-4, 3-4 kind 1."""
    kinds = np.array([0, 0, 0, 1, 1])
    source, target = np.array([0, 1, 1, 2, 3]), np.array([2, 2, 3, 4, 4])
    return WalkGraph.of_edges(source, target, nodes=5, kinds=(kinds, kinds), n_kinds=2)


def test_a_metapath_goes_round() -> None:
    walks = walked(
        MetapathWalks(typed(), WalkConfig(walks=50, length=9), [0, 1, 1, 0], seed=1, starts=np.array([0, 1]))
    )
    kind = np.array([0, 0, 1, 1, 2])
    assert (kind[walks] == [0, 1, 2, 1, 0, 1, 2, 1, 0]).all()
    assert set(np.unique(walks)) == {0, 1, 2, 3, 4}


def test_a_metapath_that_is_not_cyclic_ends_and_one_without_an_edge_stops() -> None:
    config = WalkConfig(walks=1, length=5)
    straight = MetapathWalks(typed(), config, [0, 1], seed=1, starts=np.array([0]), cyclic=False)
    assert walked(straight).tolist() == [[0, 2, 4, -1, -1]]
    stuck = MetapathWalks(typed(), config, [0, 1, 0], seed=1, starts=np.array([0]), cyclic=True)
    assert walked(stuck).tolist() == [[0, 2, 4, -1, -1]]


def test_metapath_steps_go_by_weight() -> None:
    graph = WalkGraph.of_edges(np.array([0, 0]), np.array([1, 2]), np.array([1.0, 3.0]), nodes=3, directed=True)
    walks = walked(MetapathWalks(graph, WalkConfig(walks=20_000, length=2), [0], seed=1, starts=np.array([0])))
    assert p_value(dict(Counter(walks[:, 1].tolist())), {1: 0.25, 2: 0.75}) > 1e-3


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"p": -1}, "p must be above 0 .got -1."),
        ({"q": 0}, "q must be above 0 .got 0."),
        ({"q": float("nan")}, "q must be above 0 .got nan."),
        ({"walks": 0}, "walks must be at least 1 .got 0."),
        ({"length": 0}, "length must be at least 1 .got 0."),
    ],
)
def test_a_config_out_of_range_is_told(wrong: dict[str, float], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        WalkConfig(**wrong)  # type: ignore[arg-type]


def test_edges_out_of_range_are_told() -> None:
    with pytest.raises(ValueError, match="target must be from 0 to 1"):
        of([(0, 2, 1.0)], 2)
    with pytest.raises(ValueError, match=r"weights must be 0 or more and finite .got -1\.0"):
        of([(0, 1, -1.0)], 2)
    with pytest.raises(ValueError, match=r"threads must be at least 1 \(got 0"):
        Walks(of(EDGES), WalkConfig(), seed=1, threads=0)


@pytest.mark.parametrize(("p", "q"), [(1.0, 1.0), (0.5, 2.0)])
def test_huge_weights_compare_as_they_should(p: float, q: float) -> None:
    edges = [(0, 1, 1e308), (0, 1, 1e308), (0, 2, 1e308), (2, 3, 1.0), (3, 4, 1.0)]
    graph = of(edges, 5)
    walks = walked(Walks(graph, WalkConfig(walks=400, length=3, p=p, q=q), seed=1))
    after_0 = walks[walks[:, 0] == 0][:, 1]
    assert 0.6 < (after_0 == 1).mean() < 0.73  # twice as often as 2
    after_3 = walks[walks[:, 0] == 3][:, 1]
    assert 0.4 < (after_3 == 2).mean() < 0.6
