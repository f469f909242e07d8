"""GraphSAGE on the typed graph of a snapshot: a song is what its artists, genres, tags and listeners make of it.

    h_v = W_label h_v + sum over relations r into v of W_r mean(h_u for u among v's r-neighbours)

for each of L layers, ReLU between them, the last at length 1; listeners and songs score by their dot product. Layer 0
is a vector of the node's label plus, for songs and entities, one of its own. Listeners have none, they are their
neighbourhood; nor have songs without a listener, and in training a share of the songs is treated as if they were
such, so that the vector of a song that nobody has played comes from a network that was trained to make it.

Trained on who likes which song by sampled softmax: counterparts are the other songs of the batch and as many drawn at
random, each taken off the logarithm of its chance. Neighbours are sampled by our `NeighbourSampler` through PyG's
`LinkLoader`; the pairs of a batch are hidden from its own neighbourhoods. Once trained, every vector is computed from
all neighbours.

Source: Hamilton et al. 2017, arXiv 1706.02216; one weight a relation as in Schlichtkrull et al. 2018, arXiv
1703.06103; treating songs as new after Volkovs et al. 2017 (DropoutNet); batch and random counterparts together after
Yang et al. 2020, "Mixed negative sampling for learning two-tower neural networks in recommendations".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import HeteroData
from torch_geometric.loader import LinkLoader
from torch_geometric.sampler import NegativeSampling

from embeddings.gnn.aggregation import Neighbours, aggregate
from embeddings.gnn.inductive import InductiveModel, check_places, relation_type, unknown_relation
from embeddings.gnn.sampler import EdgeType, NeighbourSampler, SamplerConfig
from embeddings.training.fit import FitConfig
from embeddings.training.interactions import Interactions
from embeddings.training.losses import sampled_softmax
from graph.configure import check_positive
from graph.schema import RELATIONSHIPS
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot

LIKES: Final[EdgeType] = ("User", "LIKES", "Song")
_BACK: Final = "rev_"
_DERIVED: Final = frozenset(r.key for r in RELATIONSHIPS if r.derived)
_PEOPLE: Final = frozenset({"User", "Playlist"})


@dataclass(frozen=True)
class GraphSAGEConfig:
    """Hyper-parameters of GraphSAGE.

    Raises: ValueError for a number out of range.
    """

    embedding_dim: int = 64
    """Numbers of a vector, 1 or more."""
    layers: int = 2
    """Hops that a song's vector sees, 1 or more."""
    fan_out: int = 10
    """Neighbours sampled for each relation in the first hop, half as many in each hop after it."""
    batch_size: int = 1024
    """Pairs of a listener and a liked song in a batch, 1 or more."""
    temperature: float = 0.1
    """Cosines are divided by this in the softmax, above 0."""
    unseen: float = 0.2
    """Share of songs that training treats as new, 0 to below 1."""
    training: FitConfig = field(default_factory=lambda: FitConfig(10, 0.01, evaluate_every=1, patience=2))
    """Epochs, learning rate and early stopping."""

    def __post_init__(self) -> None:
        check_positive(self, "embedding_dim", "layers", "fan_out", "batch_size", "temperature")
        if not 0 <= self.unseen < 1:
            raise ValueError(f"unseen must be 0 or more and below 1 (got {self.unseen})")


class GraphSAGE(InductiveModel):
    """Listeners and songs as what surrounds them."""

    known: Tensor
    log_chance: Tensor

    def __init__(
        self, graph: HeteroData, interactions: Interactions, config: GraphSAGEConfig, *, rng: np.random.Generator
    ) -> None:
        """The untrained network for a graph as `typed_graph` makes it."""
        super().__init__(config)
        self.graph, self.kinds = graph, graph.edge_types
        self._kept: list[dict[str, Tensor]] | None = None  # what `compose` needs of all nodes, until training goes on
        self._counts = {label: int(graph[label].num_nodes) for label in graph.node_types}
        dim, owners = config.embedding_dim, [label for label in self._counts if label != "User"]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**62)))
            self.labels = nn.ParameterDict({label: torch.zeros(dim) for label in self._counts})
            self.tables = nn.ParameterDict({label: torch.randn(self._counts[label], dim) for label in owners})
            self.layers = nn.ModuleList(_Layer(dim, list(self._counts), self.kinds) for _ in range(config.layers))
        plays = np.bincount(interactions.indices, minlength=interactions.songs)
        # a counterpart is a song of the batch, there by its plays, or any song with a play
        chance = (plays / plays.sum() + (plays > 0) / (plays > 0).sum()) / 2
        logs = np.log(np.maximum(chance, 1e-12)).astype(np.float32)
        self.register_buffer("known", torch.from_numpy(plays > 0), persistent=False)
        self.register_buffer("log_chance", torch.from_numpy(logs), persistent=False)

    @classmethod
    def build(
        cls,
        snapshot: Snapshot,
        config: GraphSAGEConfig,
        *,
        rng: np.random.Generator,
        device: str = "cpu",  # noqa: ARG003  `fit` moves it there
    ) -> Self:
        interactions = Interactions.of(snapshot)
        return cls(typed_graph(snapshot, interactions), interactions, config, rng=rng)

    def data(self) -> Iterator[tuple[str, Array]]:
        for kind in self.kinds:
            yield "|".join(kind), self.graph[kind].edge_index.numpy()

    def batches(self, rng: np.random.Generator) -> Iterator[HeteroData]:
        self._kept = None
        known = self.known.cpu().float()
        yield from LinkLoader(
            self.graph,
            self._sampler.restarted(int(rng.integers(2**62))),
            (LIKES, self.graph[LIKES].edge_index),
            neg_sampling=NegativeSampling("triplet", 1, dst_weight=known),
            batch_size=self.config.batch_size,
            shuffle=True,
            generator=torch.Generator().manual_seed(int(rng.integers(2**62))),
        )

    @cached_property
    def _sampler(self) -> NeighbourSampler:
        fans = tuple(max(1, self.config.fan_out >> hop) for hop in range(self.config.layers))
        return NeighbourSampler(self.graph, SamplerConfig(fans), seed=0)

    def loss(self, batch: HeteroData) -> Tensor:
        batch = batch.to(self.known.device)
        users, songs = batch["User"], batch["Song"]
        fresh = torch.rand(len(songs.n_id), device=self.known.device) < self.config.unseen
        fresh[songs.num_sampled_nodes[0] :] = False
        vectors = self.sampled(batch, fresh, self._around(batch, fresh))
        listener, positive = vectors["User"][users.src_index], songs.dst_pos_index
        pool = torch.cat([positive, songs.dst_neg_index.reshape(-1)])
        scores = listener @ vectors["Song"][pool].T / self.config.temperature  # (B, 2 B)
        others = scores.masked_fill(pool == positive[:, None], -torch.inf)
        return sampled_softmax(scores.diagonal(), others, self.log_chance[songs.n_id[pool]])

    def sampled(self, batch: HeteroData, fresh: Tensor, around: Mapping[EdgeType, Neighbours]) -> dict[str, Tensor]:
        """Vectors of the seeds of each label, from the neighbours in `around`; `fresh`: songs taken for new."""
        x = self._inputs(batch, fresh)
        for depth, sizes in enumerate(_sizes(batch, self.config.layers)):
            x = {label: self._between(depth, h) for label, h in self.layers[depth](x, around, sizes).items()}
        return x

    def vectors(self) -> tuple[Array, Array]:
        with torch.no_grad():
            found = self._hidden()[-1]
        return found["User"].cpu().numpy(), found["Song"].cpu().numpy()

    def compose(self, relations: Mapping[str, Sequence[int]]) -> Array:
        known = {kind[1].removeprefix(_BACK): i for i, kind in enumerate(self.kinds) if _describes(kind)}
        places: dict[int, list[int]] = {}
        for name, given in relations.items():
            if relation_type(name) not in known:
                raise unknown_relation(name, list(known))
            i = known[relation_type(name)]
            check_places(name, given, self._counts[self.kinds[i][0]])
            if len(given):
                places.setdefault(i, []).extend(given)
        with torch.no_grad():
            self._kept = self._kept or self._hidden()
            song = self.labels["Song"]
            for depth, hidden in enumerate(self._kept[:-1]):
                around = {i: hidden[self.kinds[i][0]][mine].mean(0) for i, mine in places.items()}
                song = self._between(depth, self._layer(depth).song(song, around))
        vector: Array = song.cpu().numpy()
        return vector

    def _hidden(self) -> list[dict[str, Tensor]]:
        """What every node is before, between and after the layers."""
        device = self.known.device
        hidden = [{label: self._input(label, torch.arange(n, device=device)) for label, n in self._counts.items()}]
        for depth, layer in enumerate(self.layers):
            last = depth == self.config.layers - 1
            sizes = {label: n for label, n in self._counts.items() if not last or label in {"User", "Song"}}
            out = layer(hidden[-1], self._everything, sizes)
            hidden.append({label: self._between(depth, h) for label, h in out.items()})
        return hidden

    @cached_property
    def _everything(self) -> dict[EdgeType, Neighbours]:
        """All in-edges of all nodes."""
        around = {}
        for kind in self.kinds:
            edge_index = self.graph[kind].edge_index
            row, col = edge_index[:, edge_index[1].argsort(stable=True)].to(self.known.device)
            around[kind] = Neighbours.of(row, col, self._counts[kind[2]])
        return around

    def _input(self, label: str, nodes: Tensor, fresh: Tensor | None = None) -> Tensor:
        """(N, D) layer 0."""
        start: Tensor = self.labels[label].expand(len(nodes), -1)
        if label not in self.tables:
            return start
        mine: Tensor = self.tables[label][nodes]
        if label == "Song":
            known = self.known[nodes] if fresh is None else self.known[nodes] & ~fresh
            mine = mine * known[:, None]
        return start + mine

    def _inputs(self, batch: HeteroData, fresh: Tensor) -> dict[str, Tensor]:
        return {
            label: self._input(label, batch[label].n_id, fresh if label == "Song" else None) for label in self._counts
        }

    def _around(self, batch: HeteroData, fresh: Tensor) -> dict[EdgeType, Neighbours]:
        """The sampled edges without those that the batch is about, and without the behaviour around fresh songs."""
        users, songs = batch["User"], batch["Song"]
        asked = users.n_id[users.src_index] * self._counts["Song"] + songs.n_id[songs.dst_pos_index]
        around = {}
        for kind in self.kinds:
            row, col = batch[kind].edge_index
            if kind[1].removeprefix(_BACK) == LIKES[1]:
                user, song = (row, col) if kind == LIKES else (col, row)
                keep = ~torch.isin(users.n_id[user] * self._counts["Song"] + songs.n_id[song], asked)
                row, col = row[keep], col[keep]
            if kind[0] in _PEOPLE and kind[2] == "Song":
                keep = ~fresh[col]
                row, col = row[keep], col[keep]
            around[kind] = Neighbours.of(row, col, len(batch[kind[2]].n_id))
        return around

    def _layer(self, depth: int) -> _Layer:
        layer = self.layers[depth]
        assert isinstance(layer, _Layer)
        return layer

    def _between(self, depth: int, h: Tensor) -> Tensor:
        return functional.normalize(h, dim=-1) if depth == self.config.layers - 1 else functional.relu(h)


class _Layer(nn.Module):
    """One layer: a weight for what a node is, one for the mean over each kind of its neighbours."""

    def __init__(self, dim: int, labels: Sequence[str], kinds: Sequence[EdgeType]) -> None:
        super().__init__()
        self.kinds = kinds
        self.own = nn.ModuleDict({label: nn.Linear(dim, dim) for label in labels})
        self.messages = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in kinds)

    def forward(
        self, x: Mapping[str, Tensor], around: Mapping[EdgeType, Neighbours], sizes: Mapping[str, int]
    ) -> dict[str, Tensor]:
        """Nodes (N, D) of each label -> the first `sizes[label]` of them (n, D)."""
        out = {label: self.own[label](x[label][:n]) for label, n in sizes.items() if n}
        for i, kind in enumerate(self.kinds):
            source, _, target = kind
            if target in out and source in x and len(around[kind].indices):
                mean = aggregate(x[source], around[kind].first(sizes[target]))
                out[target] = out[target] + self.messages[i](mean)
        return out

    def song(self, own: Tensor, around: Mapping[int, Tensor]) -> Tensor:
        """The same for one song (D,) with the means (D,) over the kinds of its neighbours."""
        out: Tensor = self.own["Song"](own)
        for i, mean in around.items():
            out = out + self.messages[i](mean)
        return out


def typed_graph(snapshot: Snapshot, interactions: Interactions) -> HeteroData:
    """Who likes what and the whole catalogue and social graph, every relation both ways (`rev_` before its name).

    Shapes: `num_nodes` a label; `edge_index` (2, E) a relation.
    """
    parts: dict[EdgeType, list[tuple[Array, Array]]] = {LIKES: [(interactions.listener, interactions.indices)]}
    for relation in snapshot.relations():
        if len(relation) and relation.key not in _DERIVED:
            kind = relation.source, relation_type(relation.name), relation.target
            parts.setdefault(kind, []).append((relation.edge_sources, relation.indices))
    data = HeteroData()
    for label in dict.fromkeys(label for source, _, target in parts for label in (source, target)):
        data[label].num_nodes = len(snapshot.ids[label])
    for (source, name, target), edges in parts.items():
        edge_index = torch.from_numpy(np.concatenate(edges, axis=1).astype(np.int64))
        data[source, name, target].edge_index = edge_index
        data[target, _BACK + name, source].edge_index = edge_index.flip(0)
    return data


def _describes(kind: EdgeType) -> bool:
    """Whether the edges lead from what a song's own relation points to back to the song."""
    return kind[1].startswith(_BACK) and kind[2] == "Song"


def _sizes(batch: HeteroData, layers: int) -> list[dict[str, int]]:
    """How many nodes of each label every layer has to answer for: all but the last hop's, then one hop less."""
    met = {label: np.cumsum(batch[label].num_sampled_nodes).tolist() for label in batch.node_types}
    return [{label: ends[layers - 1 - depth] for label, ends in met.items()} for depth in range(layers)]
