from __future__ import annotations

import tracemalloc
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import LinkLoader, NodeLoader
from torch_geometric.nn import SAGEConv
from torch_geometric.sampler import EdgeSamplerInput, NegativeSampling, NodeSamplerInput

from embeddings.gnn.sampler import NeighbourSampler, SamplerConfig

LIKES, LIKED, MAKES = ("user", "likes", "song"), ("song", "liked", "user"), ("artist", "makes", "song")


@pytest.fixture
def graph() -> Data:
    """300 nodes and 3,000 edges, parallel ones and loops included; node 0 has no in-edge, node 1 has 200."""
    rng = np.random.default_rng(0)
    edges = np.concatenate([rng.integers((0, 2), 300, size=(2800, 2)), [(v, 1) for v in range(200)]])
    edge_index = torch.from_numpy(rng.permutation(edges).T.copy())
    return Data(edge_index=edge_index, num_nodes=300, x=torch.arange(300.0)[:, None], mark=torch.arange(3000))


@pytest.fixture
def typed() -> HeteroData:
    """7 users, 11 songs, 3 artists; `likes` both ways, `makes` one way."""
    rng = np.random.default_rng(1)
    data = HeteroData()
    for kind, n in (("user", 7), ("song", 11), ("artist", 3)):
        data[kind].num_nodes, data[kind].x = n, torch.arange(float(n))[:, None]
    likes = torch.from_numpy(rng.integers(0, (7, 11), size=(40, 2)).T.copy())
    data[LIKES].edge_index, data[LIKED].edge_index = likes, likes.flip(0)
    data[MAKES].edge_index = torch.tensor([[s % 3 for s in range(10)], list(range(10))])
    for kind in data.edge_types:
        data[kind].w = torch.from_numpy(rng.integers(0, 4, data[kind].num_edges).astype(np.float32))
    return data


def star(weights: list[float]) -> Data:
    """Edges from the nodes 1, 2, … to node 0."""
    n = len(weights)
    edge_index = torch.stack([torch.arange(1, n + 1), torch.zeros(n, dtype=torch.long)])
    return Data(edge_index=edge_index, num_nodes=n + 1, w=torch.tensor(weights))


def sampled(
    data: Any, seeds: list[int], *, kind: str | None = None, seed: int = 3, threads: int = 1, **config: Any
) -> Any:
    sampler = NeighbourSampler(data, SamplerConfig(**config), seed=seed, threads=threads)
    return sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor(seeds), input_type=kind))


def drawn(data: Data, fan: int, times: int, **config: Any) -> list[list[int]]:
    """Neighbours drawn for node 0, again and again: a seed given twice is drawn for twice."""
    out = sampled(data, [0] * times, fan_outs=(fan,), **config)
    return [part.tolist() for part in torch.split(out.node[out.row], fan)]


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("weight", [None, "mark"])
def test_every_sampled_edge_stands_in_the_graph_at_its_place(graph: Data, replace: bool, weight: str | None) -> None:
    sampler = NeighbourSampler(graph, SamplerConfig((4, 3), replace=replace, weight=weight), seed=1)
    out = sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor([5, 1, 0, 77])))
    places = sampler.edge_permutation[out.edge]
    assert torch.equal(graph.edge_index[:, places], torch.stack([out.node[out.row], out.node[out.col]]))


def test_a_node_is_numbered_once_with_counts_per_hop(graph: Data) -> None:
    out = sampled(graph, [5, 1, 0, 77], fan_outs=(4, 3))
    assert out.node[:4].tolist() == [5, 1, 0, 77]
    assert len(out.node.unique()) == len(out.node) == sum(out.num_sampled_nodes)
    assert (len(out.num_sampled_nodes), len(out.num_sampled_edges)) == (3, 2)


def test_all_neighbours_of_two_hops_are_those_a_plain_search_finds(graph: Data) -> None:
    node, rows, cols, done = [5, 0, 77], [], [], 0
    edges = sorted(zip(graph.edge_index[1].tolist(), range(3000), graph.edge_index[0].tolist(), strict=True))
    for _ in range(2):
        frontier, done = range(done, len(node)), len(node)
        for col in frontier:
            for source in (s for t, _, s in edges if t == node[col]):
                node += [] if source in node else [source]
                rows.append(node.index(source))
                cols.append(col)
    out = sampled(graph, [5, 0, 77], fan_outs=(-1, -1))
    assert (out.node.tolist(), out.row.tolist(), out.col.tolist()) == (node, rows, cols)


def test_a_hop_draws_for_exactly_the_nodes_the_last_one_met(graph: Data) -> None:
    out = sampled(graph, [5, 1, 0, 77], fan_outs=(4, 3, 2))
    ends = np.cumsum([0, *out.num_sampled_nodes])
    for (begin, end), edges in zip(pairwise(ends), torch.split(out.col, out.num_sampled_edges), strict=False):
        assert ((edges >= begin) & (edges < end)).all()


def test_fan_outs_are_kept_or_all_in_edges_taken(graph: Data) -> None:
    out = sampled(graph, list(range(300)), fan_outs=(6,))
    degrees = torch.bincount(graph.edge_index[1], minlength=300)
    assert torch.equal(torch.bincount(out.col, minlength=300), degrees.clamp(max=6))
    assert len(sampled(graph, [1], fan_outs=(-1,)).row) == 200
    assert torch.bincount(sampled(graph, [0, 1, 9], fan_outs=(6,), replace=True).col, minlength=3).tolist() == [0, 6, 6]


@pytest.mark.parametrize("weight", [None, "mark"])
@pytest.mark.parametrize("fan", [6, 60, 190])
def test_without_replacement_no_edge_comes_twice(graph: Data, fan: int, weight: str | None) -> None:
    edges = sampled(graph, list(range(300)), fan_outs=(fan,), weight=weight).edge
    assert len(edges.unique()) == len(edges)


def test_a_fan_out_of_zero_stops_and_a_lone_seed_stays() -> None:
    out = sampled(star([1.0, 1.0]), [0], fan_outs=(0, 5))
    assert (out.node.tolist(), out.num_sampled_nodes, out.num_sampled_edges) == ([0], [1, 0, 0], [0, 0])


@pytest.mark.parametrize(("fan", "replace"), [(1, False), (3, False), (9, False), (4, True)])
def test_equal_chances(fan: int, replace: bool) -> None:
    counts = np.bincount(np.concatenate(drawn(star([1.0] * 12), fan, 3000, replace=replace)), minlength=13)[1:]
    assert chisquare(counts).pvalue > 1e-3


def test_every_pair_without_replacement_is_as_likely() -> None:
    pairs = [tuple(sorted(pair)) for pair in drawn(star([1.0] * 5), 2, 4000)]
    counts = [pairs.count((a, b)) for a in range(1, 6) for b in range(a + 1, 6)]
    assert chisquare(counts).pvalue > 1e-3


def test_chances_by_weight_with_replacement() -> None:
    weights = [1.0, 0.0, 5.0, 2.0]
    counts = np.bincount(np.concatenate(drawn(star(weights), 2, 5000, replace=True, weight="w")), minlength=5)[1:]
    assert counts[1] == 0
    assert chisquare(counts[[0, 2, 3]], np.array([1, 5, 2]) / 8 * 10_000).pvalue > 1e-3


@pytest.mark.parametrize("heavy", [2.0, 500.0])  # 500: refusals give way to exponential keys
def test_chances_by_weight_without_replacement_are_of_one_ball_after_the_other(heavy: float) -> None:
    weights = np.array([heavy, 1.0, 1.0, 3.0, 0.5])
    expected = {}
    for a in range(5):
        for b in range(a + 1, 5):
            p, q, total = weights[a], weights[b], weights.sum()
            expected[a + 1, b + 1] = p / total * q / (total - p) + q / total * p / (total - q)
    pairs = [tuple(sorted(pair)) for pair in drawn(star(weights.tolist()), 2, 6000, weight="w")]
    counts = np.array([pairs.count(pair) for pair in expected])
    wanted = np.array(list(expected.values())) * 6000
    common = wanted > 5
    assert chisquare(counts[common], wanted[common] * counts[common].sum() / wanted[common].sum()).pvalue > 1e-3


@pytest.mark.parametrize("config", [{}, {"replace": True}, {"weight": "mark"}, {"disjoint": True}])
def test_one_seed_gives_the_same_sample_for_any_number_of_threads(config: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    data = Data(
        edge_index=torch.from_numpy(rng.integers(0, 5000, (2, 60_000))), num_nodes=5000, mark=torch.arange(60_000)
    )
    outs = [sampled(data, list(range(3000)), fan_outs=(5, 3), threads=n, **config) for n in (1, 2, 4)]
    for other in outs[1:]:
        assert all(torch.equal(getattr(outs[0], name), getattr(other, name)) for name in ("node", "row", "col", "edge"))
    assert not torch.equal(
        outs[0].edge[:5000], sampled(data, list(range(3000)), seed=4, fan_outs=(5, 3), **config).edge[:5000]
    )


def test_calls_differ_and_another_sampler_repeats_them(graph: Data) -> None:
    samplers = [NeighbourSampler(graph, SamplerConfig((5,)), seed=7) for _ in range(2)]
    (a, b), again = (
        [s.sample_from_nodes(NodeSamplerInput(None, torch.tensor([1]))).edge.tolist() for _ in range(2)]
        for s in samplers
    )
    assert a != b
    assert [a, b] == again


def test_memory_is_of_the_sample_and_not_of_the_graph() -> None:
    edge_index = torch.from_numpy(np.random.default_rng(0).integers(0, 2_000_000, (2, 1000)))
    sampler = NeighbourSampler(Data(edge_index=edge_index, num_nodes=2_000_000), SamplerConfig((5, 5)), seed=0)
    tracemalloc.start()
    out = sampler.sample_from_nodes(NodeSamplerInput(None, edge_index[1, :50]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(out.node) >= 100
    assert peak < 500_000


def test_disjoint_samples_share_no_node(graph: Data) -> None:
    out = sampled(graph, [1, 5, 1], fan_outs=(4, 3), disjoint=True)
    assert out.batch[:3].tolist() == [0, 1, 2]
    assert torch.equal(out.batch[out.row], out.batch[out.col])
    assert len(torch.stack([out.batch, out.node]).unique(dim=1).T) == len(out.node)


def test_a_seed_given_twice_stands_there_twice(graph: Data) -> None:
    out = sampled(graph, [5, 9, 5], fan_outs=(2,))
    assert out.node[:3].tolist() == [5, 9, 5]
    assert torch.bincount(out.col, minlength=3).tolist() == [2, 2, 2]


def test_node_loader_hands_over_features_and_edges_of_the_sample(graph: Data) -> None:
    loader = NodeLoader(graph, NeighbourSampler(graph, SamplerConfig((4, 3)), seed=1), torch.arange(100), batch_size=40)
    batches = list(loader)
    assert [b.batch_size for b in batches] == [40, 40, 20]
    for batch in batches:
        assert torch.equal(batch.x[:, 0].long(), batch.n_id)
        assert torch.equal(batch.n_id[batch.edge_index], graph.edge_index[:, batch.e_id])
        assert torch.equal(batch.mark, batch.e_id)


def test_workers_of_a_loader_sample_as_well(graph: Data) -> None:
    sampler = NeighbourSampler(graph, SamplerConfig((4,)), seed=1, threads=2)
    batches = list(NodeLoader(graph, sampler, torch.arange(100), batch_size=50, num_workers=2))
    assert [batch.input_id.tolist() for batch in batches] == [list(range(50)), list(range(50, 100))]


def test_link_loader_with_binary_negatives(graph: Data) -> None:
    sampler = NeighbourSampler(graph, SamplerConfig((4, 3)), seed=1)
    loader = LinkLoader(
        graph, sampler, graph.edge_index[:, :64], neg_sampling=NegativeSampling("binary", 2), batch_size=16
    )
    batch = next(iter(loader))
    assert batch.edge_label.tolist() == [1.0] * 16 + [0.0] * 32
    assert torch.equal(batch.n_id[batch.edge_label_index[:, :16]], graph.edge_index[:, :16])


def test_link_loader_with_triplets_of_two_types(typed: HeteroData) -> None:
    sampler = NeighbourSampler(typed, SamplerConfig((3, 2)), seed=1)
    links = typed[LIKES].edge_index
    loader = LinkLoader(typed, sampler, (LIKES, links), neg_sampling=NegativeSampling("triplet", 3), batch_size=8)
    batch = next(iter(loader))
    user, song = batch["user"], batch["song"]
    assert torch.equal(user.n_id[user.src_index], links[0, :8])
    assert torch.equal(song.n_id[song.dst_pos_index], links[1, :8])
    assert song.dst_neg_index.shape == (8, 3)


def test_typed_samples_keep_types_apart(typed: HeteroData) -> None:
    fans = {LIKES: (2, 2), LIKED: (3, 1), MAKES: (1, 1)}
    sampler = NeighbourSampler(typed, SamplerConfig(fans), seed=2)
    out = sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor([4, 10, 2]), input_type="song"))
    assert out.node["song"][:3].tolist() == [4, 10, 2]
    assert out.num_sampled_nodes["song"][0] == 3
    assert out.num_sampled_edges[LIKED][0] == 0  # no user is met before the first hop
    for kind in typed.edge_types:
        places = sampler.edge_permutation[kind][out.edge[kind]]
        ends = out.node[kind[0]][out.row[kind]], out.node[kind[2]][out.col[kind]]
        assert torch.equal(typed[kind].edge_index[:, places], torch.stack(ends))
        assert torch.bincount(out.col[kind]).tolist() == [] or torch.bincount(out.col[kind]).max() <= max(fans[kind])


def test_typed_weights_of_zero_are_never_drawn(typed: HeteroData) -> None:
    sampler = NeighbourSampler(typed, SamplerConfig((-1,), weight="w"), seed=2)
    out = sampler.sample_from_nodes(NodeSamplerInput(None, torch.arange(11), input_type="song"))
    for kind in (LIKES, MAKES):
        assert len(out.edge[kind]) == int((typed[kind].w > 0).sum())


def test_typed_and_disjoint_edges(typed: HeteroData) -> None:
    sampler = NeighbourSampler(typed, SamplerConfig((2, 2), disjoint=True), seed=2)
    links = typed[LIKES].edge_index[:, :5]
    out = sampler.sample_from_edges(EdgeSamplerInput(torch.arange(5), links[0], links[1], input_type=LIKES))
    assert out.batch["user"][:5].tolist() == out.batch["song"][:5].tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(out.batch["artist"][out.row[MAKES]], out.batch["song"][out.col[MAKES]])


def test_a_pyg_model_learns_from_the_batches() -> None:
    """Which of two groups a node is of, told only by its neighbours' features."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    group = torch.from_numpy(rng.integers(0, 2, 400))
    source = rng.integers(0, 400, 6000)
    target = np.array([rng.choice(np.flatnonzero(group.numpy() == group[s].item())) for s in source])
    noise = torch.randn(400, 1)
    data = Data(
        edge_index=torch.from_numpy(np.stack([source, target])), x=group[:, None] + noise, y=group, num_nodes=400
    )
    first, second = SAGEConv(1, 8), SAGEConv(8, 2)

    def logits(batch: Any) -> Tensor:
        hidden = first(batch.x, batch.edge_index).relu()
        found: Tensor = second(hidden, batch.edge_index)[: batch.batch_size]
        return found

    optimizer = torch.optim.Adam([*first.parameters(), *second.parameters()], lr=0.02)
    sampler = NeighbourSampler(data, SamplerConfig((8, 4)), seed=0)
    for _ in range(10):
        for batch in NodeLoader(data, sampler, torch.arange(300), batch_size=50, shuffle=True):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits(batch), batch.y[: batch.batch_size]).backward()
            optimizer.step()
    held = next(iter(NodeLoader(data, sampler, torch.arange(300, 400), batch_size=100)))
    assert (logits(held).argmax(dim=1) == held.y[:100]).float().mean() > 0.95


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"fan_outs": ()}, "same number of hops"),
        ({"fan_outs": (3, -2)}, r"-1 \(all\), 0 or more \(got -2\)"),
        ({"fan_outs": {LIKES: (1,), LIKED: (1, 2)}}, "same number of hops"),
        ({"fan_outs": {LIKES: (1,)}}, "exactly the graph's edge types"),
        ({"weight": "loudness"}, "no attribute 'loudness'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(typed: HeteroData, config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        NeighbourSampler(typed, SamplerConfig(**config), seed=0)


def test_bad_graphs_and_seeds_are_refused(graph: Data) -> None:
    with pytest.raises(ValueError, match=r"seeds must be from 0 to 299 \(got 5 to 300\)"):
        sampled(graph, [5, 300])
    with pytest.raises(ValueError, match=r"threads must be at least 1 \(got 0\)"):
        sampled(graph, [5], threads=0)
    with pytest.raises(ValueError, match=r"finite number, 0 or more, an edge \(got -1.0\)"):
        sampled(star([1.0, -1.0]), [0], weight="w")
    with pytest.raises(ValueError, match=r"edge_index .* must be from 0 to 1 \(got 0 to 2\)"):
        sampled(Data(edge_index=torch.tensor([[0, 2], [1, 1]]), num_nodes=2), [0])
    with pytest.raises(ValueError, match=r"PyG Data or HeteroData \(got list\)"):
        sampled([], [0])
    with pytest.raises(ValueError, match="data has no edge_index"):
        sampled(Data(num_nodes=3), [0])


def test_times_are_refused(graph: Data) -> None:
    sampler = NeighbourSampler(graph, SamplerConfig(), seed=0)
    one = torch.tensor([1])
    with pytest.raises(ValueError, match="by time is not supported"):
        sampler.sample_from_nodes(NodeSamplerInput(None, one, time=one))
    with pytest.raises(ValueError, match="by time is not supported"):
        sampler.sample_from_edges(EdgeSamplerInput(None, one, one, time=one))
