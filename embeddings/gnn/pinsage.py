"""PinSage: a song is convolved with the songs that short random walks from it visit most.

From every song short walks go to and fro between songs and what joins them: listeners, playlists, artists, genres,
tags. The songs visited most are its neighbours, their shares of the visits their importance, and a layer is

    n_v = sum over neighbours u of importance(v, u) ReLU(Q h_u + q)        h_v = unit(ReLU(W [h_v, n_v] + w))

After the last layer G2 ReLU(G1 h + g), at length 1, is the song's vector. Layer 0 is the sum of the mean vectors of the
song's artists, genres, …, and for a song with listeners a vector of its own, which a share of the songs goes without in
training, so that those nobody has played are no strangers to the network. A listener is the mean of the songs liked.

Trained on pairs of songs that one listener likes: such a song must score above songs drawn at random, the same for a
whole batch, and above hard ones, which walks visit too, but less than the neighbours. Two things are not the paper's:
the loss is a sampled softmax of cosines, which learned faster than the hinge with a margin (recall@10 on a validation
split of MovieLens-100K after 3 epochs: .118, and .089 at best), and the hard ones take part from the start.

Source: Ying et al. 2018, Graph Convolutional Neural Networks for Web-Scale Recommender Systems, arXiv 1806.01973.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader

from embeddings.gnn.aggregation import Neighbours, aggregate
from embeddings.gnn.inductive import InductiveModel, check_places, relation_type, unknown_relation
from embeddings.gnn.sampler import NeighbourSampler, SamplerConfig
from embeddings.skipgram.walks import WalkConfig, WalkGraph, Walks
from embeddings.training.fit import FitConfig
from embeddings.training.interactions import Interactions
from embeddings.training.losses import sampled_softmax
from graph.configure import check_positive
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot

_CHUNK: Final = 1 << 16
_HARD_RANKS: Final = 5
"""Hard counterparts are among this many times as many songs as there are neighbours."""


@dataclass(frozen=True)
class PinSageConfig:
    """Hyper-parameters of PinSage.

    Raises: ValueError for a number out of range.
    """

    embedding_dim: int = 64
    """Numbers of a vector, 1 or more."""
    layers: int = 2
    """Hops that a song's vector sees, 1 or more."""
    walks: int = 50
    """Random walks from every song that choose its neighbours, 1 or more."""
    length: int = 5
    """Nodes of a walk, 3 or more: a song, what joins and a song."""
    neighbours: int = 10
    """Neighbours of a song: those that its walks meet most often."""
    batch_size: int = 512
    """Pairs of songs in a batch, 1 or more."""
    random: int = 512
    """Random counterparts that a batch shares, 1 or more."""
    hard: int = 1
    """Hard counterparts drawn for each pair, 0 or more."""
    temperature: float = 0.1
    """Cosines are divided by this in the softmax, above 0."""
    unseen: float = 0.2
    """Share of songs that training does without a vector of their own, 0 to below 1."""
    training: FitConfig = field(default_factory=lambda: FitConfig(10, 0.003, evaluate_every=1, patience=2))
    """Epochs, learning rate and early stopping."""

    def __post_init__(self) -> None:
        check_positive(self, "embedding_dim", "layers", "walks", "neighbours", "batch_size", "random", "temperature")
        if self.length < 3:
            raise ValueError(f"length must be at least 3, a song, what joins and a song (got {self.length})")
        if self.hard < 0:
            raise ValueError(f"hard must be 0 or more (got {self.hard})")
        if not 0 <= self.unseen < 1:
            raise ValueError(f"unseen must be 0 or more and below 1 (got {self.unseen})")


@dataclass(frozen=True)
class _Pairs:
    """Places among a batch's B nodes: of P queries and their songs (P,), (P,), random ones (K,), hard ones (P, H)."""

    nodes: Data
    query: Tensor
    song: Tensor
    random: Tensor
    hard: Tensor


class PinSage(InductiveModel):
    """Songs as the songs around them, listeners as the songs they like."""

    known: Tensor

    def __init__(
        self,
        interactions: Interactions,
        described: Mapping[str, sparse.csr_array],
        joined: WalkGraph,
        config: PinSageConfig,
        *,
        rng: np.random.Generator,
    ) -> None:
        """The untrained network; `described`: (S, M) shares of a song's entities, by type of relation; `joined`: what
        walks step on, songs first, then whatever joins them, the entities of `described` last and in its order."""
        super().__init__(config)
        self.interactions, self.described, self._joined = interactions, described, joined
        self._kept: list[Tensor] | None = None  # what `compose` needs of all songs, until training goes on
        visits = _visits(joined, interactions.songs, config, int(rng.integers(2**62)))
        self.graph = _graph(visits, interactions.songs, config.neighbours)
        self._further = _ranked(visits, config.neighbours, _HARD_RANKS * config.neighbours)
        dim = config.embedding_dim
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**62)))
            self.table = nn.Parameter(torch.randn(interactions.songs, dim))
            self.entities = nn.ParameterList(torch.randn(shares.shape[1], dim) for shares in described.values())
            self.convolutions = nn.ModuleList(_Convolution(dim) for _ in range(config.layers))
            self.head = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim, bias=False))
        plays = np.bincount(interactions.indices, minlength=interactions.songs)
        self.register_buffer("known", torch.from_numpy(plays > 0), persistent=False)

    @classmethod
    def build(
        cls,
        snapshot: Snapshot,
        config: PinSageConfig,
        *,
        rng: np.random.Generator,
        device: str = "cpu",  # noqa: ARG003  `fit` moves it there
    ) -> Self:
        interactions = Interactions.of(snapshot)
        described = _described(snapshot)
        return cls(interactions, described, _joined(snapshot, interactions, described), config, rng=rng)

    def data(self) -> Iterator[tuple[str, Array]]:
        yield "liked indptr", self.interactions.indptr
        yield "liked indices", self.interactions.indices
        yield "joined indptr", self._joined.indptr
        yield "joined indices", self._joined.indices
        yield from ((f"shares {kind}", shares.data) for kind, shares in self.described.items())

    def batches(self, rng: np.random.Generator) -> Iterator[_Pairs]:
        self._kept = None
        groups = list(self._groups(rng))
        seeds = [np.unique(np.concatenate([part.ravel() for part in group])) for group in groups]
        loader = NodeLoader(
            self.graph,
            self._sampler.restarted(int(rng.integers(2**62))),
            batch_sampler=[nodes.tolist() for nodes in seeds],
        )
        for group, nodes, batch in zip(groups, seeds, loader, strict=True):
            yield _Pairs(batch, *(torch.from_numpy(np.searchsorted(nodes, part)) for part in group))

    @cached_property
    def _sampler(self) -> NeighbourSampler:
        return NeighbourSampler(self.graph, SamplerConfig((-1,) * self.config.layers), seed=0)

    def _groups(self, rng: np.random.Generator) -> Iterator[tuple[Array, Array, Array, Array]]:
        """Of every batch: queries (P,), songs that a listener of the query likes (P,), random (K,), hard (P, H)."""
        owned, order = self.interactions, rng.permutation(len(self.interactions))
        listener, song = owned.listener[order], owned.indices[order]
        others = np.diff(owned.indptr)[listener]
        query = owned.indices[owned.indptr[listener] + rng.integers(others)]
        query, song = (part[query != song].astype(np.int64) for part in (query, song))
        known = np.flatnonzero(self.known.cpu().numpy())
        indptr, further = self._further
        for at in range(0, len(query), self.config.batch_size):
            mine = query[at : at + self.config.batch_size]
            spread = np.diff(indptr)[mine]
            drawn = rng.integers(np.maximum(spread, 1)[:, None], size=(len(mine), self.config.hard))
            hard = rng.choice(known, drawn.shape)  # where no walk went further
            hard[spread > 0] = further[(indptr[mine][:, None] + drawn)[spread > 0]]
            yield mine, song[at : at + self.config.batch_size], rng.choice(known, self.config.random), hard

    def loss(self, batch: _Pairs) -> Tensor:
        device = self.known.device
        nodes = batch.nodes.to(device)
        fresh = torch.rand(len(nodes.n_id), device=device) < self.config.unseen
        row, col = nodes.edge_index
        around = Neighbours.of(row, col, len(nodes.n_id), nodes.importance)
        sizes = np.cumsum(nodes.num_sampled_nodes)[: self.config.layers][::-1].tolist()
        vectors = self._convolved(self._input(nodes.n_id, self.known[nodes.n_id] & ~fresh), around, sizes)[-1]
        query, song, random, hard = (part.to(device) for part in (batch.query, batch.song, batch.random, batch.hard))
        at = vectors[query]
        far = torch.cat([random.expand(len(query), -1), hard], dim=1)  # (P, K + H)
        scores = torch.cat([at @ vectors[random].T, torch.einsum("pd,phd->ph", at, vectors[hard])], dim=1)
        scores = scores.masked_fill((far == song[:, None]) | (far == query[:, None]), -torch.inf)
        own = (at * vectors[song]).sum(1)
        return sampled_softmax(own / self.config.temperature, scores / self.config.temperature)

    def vectors(self) -> tuple[Array, Array]:
        with torch.no_grad():
            songs = self._everyone()[-1].cpu().numpy()
        liked = self.interactions.matrix() @ songs
        return liked / np.maximum(np.linalg.norm(liked, axis=1, keepdims=True), 1e-12), songs

    def compose(self, relations: Mapping[str, Sequence[int]]) -> Array:
        kinds, starts = list(self.described), []
        ends = np.cumsum([shares.shape[1] for shares in self.described.values()])
        begins = dict(zip(kinds, self._joined.nodes - ends[-1:].sum() + np.concatenate([[0], ends]), strict=False))
        with torch.no_grad():
            song = torch.zeros(self.config.embedding_dim, device=self.known.device)
            for kind, places in self._by_type(relations).items():
                song = song + self.entities[kinds.index(kind)][places].mean(0)
                starts.append(begins[kind] + np.asarray(places))
            nodes, counts = self._visited(starts)
            around = Neighbours.of(nodes, torch.zeros_like(nodes), 1, counts)
            self._kept = self._kept or self._everyone()
            for convolution, hidden in zip(self.convolutions, self._kept, strict=False):
                song = convolution(song[None], hidden, around)[0]
            vector: Array = functional.normalize(self.head(song), dim=-1).cpu().numpy()
        return vector

    def _by_type(self, relations: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for name, given in relations.items():
            kind = relation_type(name)
            if kind not in self.described:
                raise unknown_relation(name, list(self.described))
            check_places(name, given, self.described[kind].shape[1])
            if len(given):
                places.setdefault(kind, []).extend(given)
        return places

    def _visited(self, starts: list[Array]) -> tuple[Tensor, Tensor]:
        """The songs that walks from some entities visit most, and how often."""
        found = np.empty(0, dtype=np.int64)
        if starts:
            config = WalkConfig(walks=self.config.walks, length=self.config.length - 1)
            blocks = list(Walks(self._joined, config, seed=0, starts=np.concatenate(starts)))
            visited = np.concatenate([block.ravel() for block in blocks])
            found = visited[(visited >= 0) & (visited < self.interactions.songs)]
        nodes, counts = np.unique(found, return_counts=True)
        most = np.argsort(-counts, kind="stable")[: self.config.neighbours]
        device = self.known.device
        return torch.from_numpy(nodes[most].astype(np.int64)).to(device), torch.from_numpy(counts[most]).to(device)

    def _input(self, nodes: Tensor, known: Tensor) -> Tensor:
        """(N, D) layer 0 of songs (N,)."""
        x = self.table[nodes] * known[:, None]
        for table, shares in zip(self.entities, self.described.values(), strict=True):
            rows = shares[nodes.cpu().numpy()]
            parts = (rows.indptr.astype(np.int64), rows.indices.astype(np.int64), rows.data)
            x = x + aggregate(table, Neighbours(*(torch.from_numpy(part).to(nodes.device) for part in parts)))
        return x

    def _everyone(self) -> list[Tensor]:
        """All songs before, between and after the layers."""
        device = self.known.device
        order = self.graph.edge_index[1].argsort(stable=True)
        row, col = self.graph.edge_index[:, order].to(device)
        around = Neighbours.of(row, col, self.interactions.songs, self.graph.importance[order].to(device))
        nodes = torch.arange(self.interactions.songs, device=device)
        return self._convolved(self._input(nodes, self.known), around, [len(nodes)] * self.config.layers)

    def _convolved(self, x: Tensor, around: Neighbours, sizes: Sequence[int]) -> list[Tensor]:
        hidden = [x]
        for convolution, n in zip(self.convolutions, sizes, strict=True):
            hidden.append(convolution(hidden[-1][:n], hidden[-1], around.first(n)))
        return [*hidden, functional.normalize(self.head(hidden[-1]), dim=1)]


class _Convolution(nn.Module):
    """One layer of the module's docstring."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.near, self.both = nn.Linear(dim, dim), nn.Linear(2 * dim, dim)

    def forward(self, own: Tensor, all_: Tensor, around: Neighbours) -> Tensor:
        """own (T, D), of whose neighbours among `all_` (N, D) `around` tells -> (T, D)."""
        pooled = aggregate(functional.relu(self.near(all_)), around)
        return functional.normalize(functional.relu(self.both(torch.cat([own, pooled], dim=1))), dim=1)


def _described(snapshot: Snapshot) -> dict[str, sparse.csr_array]:
    """(S, M) shares of each song's entities, by type of relation."""
    found: dict[str, sparse.csr_array] = {}
    for relation in snapshot.song_relations():
        kind, matrix = relation_type(relation.name), relation.matrix().astype(np.float32)
        found[kind] = found[kind] + matrix if kind in found else matrix
    for kind, matrix in found.items():
        sums = np.repeat(matrix.sum(axis=1), np.diff(matrix.indptr))
        found[kind] = sparse.csr_array((matrix.data / sums, matrix.indices, matrix.indptr), shape=matrix.shape)
    return found


def _joined(snapshot: Snapshot, interactions: Interactions, described: Mapping[str, sparse.csr_array]) -> WalkGraph:
    """Songs and what joins them: listeners, playlists, then the entities of each type of relation."""
    parts = [(interactions.indices, interactions.listener, interactions.listeners)]
    contains = snapshot.relation("CONTAINS", "Playlist")
    parts.append((contains.indices, contains.edge_sources, contains.sources))
    parts += [(*shares.nonzero(), shares.shape[1]) for shares in described.values()]
    first = np.cumsum([interactions.songs, *(count for _, _, count in parts)])
    songs = np.concatenate([song for song, _, _ in parts])
    others = np.concatenate([begin + other for begin, (_, other, _) in zip(first, parts, strict=False)])
    return WalkGraph.of_edges(songs, others, nodes=int(first[-1]))


def _visits(joined: WalkGraph, songs: int, config: PinSageConfig, seed: int) -> sparse.csr_array:
    """(S, S) how often walks from each song visit each other one, the most visited first in its row; at most the ranks
    that neighbours and hard counterparts are taken from."""
    rows = []
    walks = WalkConfig(walks=config.walks, length=config.length)
    for first in range(0, songs, _CHUNK):
        starts = np.arange(first, min(first + _CHUNK, songs))
        shape = len(starts), songs
        counts: Any = sparse.csr_array(shape, dtype=np.float32)
        for block in Walks(joined, walks, seed=seed + first, starts=starts):
            start = np.broadcast_to(block[:, :1], block.shape)
            used = (block >= 0) & (block < songs) & (block != start)
            ones = np.ones(int(used.sum()), dtype=np.float32)
            counts = counts + sparse.csr_array((ones, (start[used] - first, block[used])), shape=shape)
        rows.append(_most(counts, (1 + _HARD_RANKS) * config.neighbours))
    return sparse.csr_array(sparse.vstack(rows, format="csr"))


def _most(counts: sparse.csr_array, kept: int) -> sparse.csr_array:
    """The `kept` largest entries of every row, the largest first."""
    row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    order = np.lexsort((-counts.data, row))
    order = order[np.arange(len(order)) - counts.indptr[row] < kept]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row[order], minlength=counts.shape[0]))])
    return sparse.csr_array((counts.data[order], counts.indices[order], indptr), shape=counts.shape)


def _ranked(visits: sparse.csr_array, low: int, high: int) -> tuple[Array, Array]:
    """CSR (S + 1,), (E,) of the entries of each row from rank `low` up to rank `high`."""
    row = np.repeat(np.arange(visits.shape[0]), np.diff(visits.indptr))
    rank = np.arange(len(row)) - visits.indptr[row]
    kept = (rank >= low) & (rank < high)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row[kept], minlength=visits.shape[0]))])
    return indptr, visits.indices[kept].astype(np.int64)


def _graph(visits: sparse.csr_array, songs: int, neighbours: int) -> Data:
    """Edges from its `neighbours` most visited songs to every song, with their visits as `importance`."""
    row = np.repeat(np.arange(songs), np.diff(visits.indptr))
    kept = np.arange(len(row)) - visits.indptr[row] < neighbours
    edge_index = np.stack([visits.indices[kept], row[kept]]).astype(np.int64)
    importance = torch.from_numpy(visits.data[kept])
    return Data(edge_index=torch.from_numpy(edge_index), importance=importance, num_nodes=songs)
