"""One epoch of LightGCN on `lastfm-lightgcnpp`, against PyG's own `LightGCN` and the usual loop around it.

2 layers, dimension 64, batches of 2,048 triples, Adam at .001, L2 .0001 on the layer 0 of every batch, 2 threads; both
begin with the same vectors and get the same triples, so their losses must agree. Both are timed from the drawn triples
on: forward, loss, backward, step. PyG's layers work along an edge list; its second row hands them a sparse matrix.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.gnn_quality import split
from embeddings.gnn.lightgcn import LightGCN, LightGCNConfig
from embeddings.gnn.propagation import bipartite
from embeddings.training.interactions import Interactions

CONFIG: Final = LightGCNConfig()
THREADS: Final = 2

Step = Callable[[Tensor], Tensor]


def run(epochs: int = 3, threads: int = THREADS) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them; of `epochs`, after one that warms up.

    Raises: InvalidInput if the data set is missing.
    """
    interactions = Interactions.of(split().train)
    model = LightGCN(interactions, CONFIG, rng=np.random.default_rng(0))
    contenders = {"ours": _ours(model)} | {
        name: _peer(model, edges) for name, edges in (("PyG LightGCN", False), ("PyG LightGCN, sparse matrix", True))
    }
    before = torch.get_num_threads()
    list(_epoch(interactions, 0))  # compiles
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    losses: dict[str, list[float]] = {name: [] for name in contenders}
    for epoch in range(epochs + 1):
        batches = _epoch(interactions, epoch)
        for name, step in contenders.items():
            torch.set_num_threads(threads)
            began = time.perf_counter()
            found = [step(batch) for batch in batches]
            seconds[name].append(time.perf_counter() - began)
            losses[name] += [float(loss) for loss in found]
    torch.set_num_threads(before)
    return [_row(name, seconds, losses) for name in contenders if name != "ours"]


def _epoch(interactions: Interactions, epoch: int) -> list[Tensor]:
    drawn = interactions.triples(CONFIG.batch_size, np.random.default_rng(epoch))
    return [torch.from_numpy(triples) for triples in drawn]


def _ours(model: LightGCN) -> Step:
    optimizer = torch.optim.Adam(model.parameters(), lr=CONFIG.training.learning_rate, fused=True)

    def step(batch: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = model.loss(batch)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _peer(ours: LightGCN, sparse: bool) -> Step:
    from torch_geometric.nn import LightGCN as Peer
    from torch_geometric.utils import to_torch_csr_tensor

    adjacency = bipartite(ours.interactions.matrix()).tocoo()
    edges = torch.from_numpy(np.stack([adjacency.row, adjacency.col]).astype(np.int64))
    graph = to_torch_csr_tensor(edges, size=adjacency.shape) if sparse else edges
    model = Peer(adjacency.shape[0], CONFIG.embedding_dim, CONFIG.layers)
    model.embedding.weight = nn.Parameter(ours.table.detach().clone())
    optimizer = torch.optim.Adam(model.parameters(), lr=CONFIG.training.learning_rate)

    def step(batch: Tensor) -> Tensor:
        listeners, positive, negative = batch
        pairs = torch.stack([listeners.repeat(2), torch.cat([positive, negative])])
        optimizer.zero_grad()
        liked, other = model(graph, pairs).chunk(2)
        # its regulariser has no factor 1/2, and takes each node as often as it is named
        loss = model.recommendation_loss(liked, other, node_id=batch.flatten(), lambda_reg=CONFIG.decay / 2)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _row(name: str, seconds: dict[str, list[float]], losses: dict[str, list[float]]) -> dict[str, Any]:
    ours, peer = min(seconds["ours"][1:]), min(seconds[name][1:])
    mine, theirs = np.array(losses["ours"]), np.array(losses[name])
    apart = np.abs(mine / theirs - 1).max()
    return {
        "what": "one epoch",
        "ours": round(ours, 3),
        "peer": round(peer, 3),
        "peer_name": name,
        "ratio": round(peer / ours, 1),
        "unit": "s",
        "ours_quality": f"loss {mine[-1]:.5f} after {len(mine)} steps, at most {apart:.0e} apart",
        "peer_quality": f"loss {theirs[-1]:.5f}",
    }
