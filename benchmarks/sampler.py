"""Neighbours of 1,024 seeds, 15 in the first hop and 10 in the second, on power-law graphs of 10^6 nodes.

10^5, 10^6 and 10^7 edges, without replacement, 1 and 2 threads; the same seeds for all, runs of three samples
alternate. The peer is `torch-sparse` where it is installed (PyG then uses it, in one thread; PyG has no way without it
or pyg-lib), else the same sampling on networkx, whose graph holds only the edges that can be met, since all of 10^7
would fill the memory. Quality: the number of distinct nodes that a sample holds, which must agree within chance.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.sampler import NodeSamplerInput

from benchmarks.growth import NODES, SIZES, power_law
from embeddings.gnn.sampler import NeighbourSampler, SamplerConfig
from graph.snapshot.arrays import Array

FANS: Final = (15, 10)
SEEDS: Final = 1024
RUNS: Final = 9
IN_A_ROW: Final = 3

Sample = Callable[[], int]
"""Samples once, and says how many nodes it met."""


def run(sizes: tuple[int, ...] = SIZES, nodes: int = NODES, runs: int = RUNS) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them."""
    return [row for edges in sizes for row in _rows(edges, nodes, runs)]


def _rows(edges: int, nodes: int, runs: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    edge_index = torch.from_numpy(np.stack(power_law(edges, nodes, rng)).astype(np.int64))
    seeds = torch.from_numpy(rng.choice(nodes, SEEDS, replace=False))
    data = Data(edge_index=edge_index, num_nodes=nodes)
    began = time.perf_counter()
    ours = {threads: _ours(data, seeds, threads) for threads in (1, 2)}
    ready = (time.perf_counter() - began) / 2
    name, peer = _torch_sparse(edge_index, nodes, seeds) or _networkx(edge_index.numpy(), seeds)
    contenders: dict[Any, Sample] = {**ours, name: peer}
    seconds: dict[Any, list[float]] = {who: [] for who in contenders}
    met: dict[Any, list[int]] = {who: [] for who in contenders}
    for _ in range(runs + 1):  # the first compiles
        for who, sample in contenders.items():
            began = time.perf_counter()
            met[who] += [sample() for _ in range(IN_A_ROW)]
            seconds[who].append((time.perf_counter() - began) / IN_A_ROW)
    best = {who: min(taken[1:]) for who, taken in seconds.items()}
    mean = {who: float(np.mean(counts)) for who, counts in met.items()}
    return [
        {
            "what": f"{edges:,} edges, {threads} thread{'s' * (threads > 1)}",
            "ours": round(best[threads] * 1000, 2),
            "peer": round(best[name] * 1000, 2),
            "peer_name": name,
            "ratio": round(best[name] / best[threads], 1),
            "unit": "ms",
            "ours_quality": f"{_speed(mean[threads], best[threads])}, ready in {ready:.2f} s",
            "peer_quality": _speed(mean[name], best[name]),
        }
        for threads in ours
    ]


def _speed(nodes: float, seconds: float) -> str:
    return f"{nodes:.0f} nodes, {nodes / seconds:,.0f}/s"


def _ours(data: Data, seeds: Tensor, threads: int) -> Sample:
    sampler = NeighbourSampler(data, SamplerConfig(FANS), seed=0, threads=threads)
    return lambda: len(sampler.sample_from_nodes(NodeSamplerInput(None, seeds)).node)


def _torch_sparse(edge_index: Tensor, nodes: int, seeds: Tensor) -> tuple[str, Sample] | None:
    try:
        import torch_sparse  # noqa: F401
    except (ImportError, OSError):  # none, or built for another torch
        return None
    order = edge_index[1].argsort(stable=True)
    row, degree = edge_index[0][order], torch.bincount(edge_index[1], minlength=nodes)
    ends = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
    sample = torch.ops.torch_sparse.neighbor_sample
    return "torch-sparse", lambda: len(sample(ends, row, seeds, list(FANS), False, True)[0])


def _networkx(edge_index: Array, seeds: Tensor) -> tuple[str, Sample]:
    import networkx

    near = np.isin(edge_index[1], seeds.numpy())
    met = np.union1d(seeds.numpy(), edge_index[0][near])
    graph = networkx.MultiDiGraph()
    graph.add_nodes_from(met.tolist())
    graph.add_edges_from(edge_index[:, np.isin(edge_index[1], met)].T.tolist())
    rng = np.random.default_rng(0)

    def sample() -> int:
        place = {node: i for i, node in enumerate(seeds.tolist())}
        rows, cols, frontier = [], [], list(place)
        for fan in FANS:
            found = []
            for node in frontier:
                sources = [source for source, _ in graph.in_edges(node)]
                for at in rng.permutation(len(sources))[:fan].tolist():
                    if sources[at] not in place:
                        place[sources[at]] = len(place)
                        found.append(sources[at])
                    rows.append(place[sources[at]])
                    cols.append(place[node])
            frontier = found
        return len(place)

    return "networkx", sample
