"""LightGCN++: LightGCN whose norms, neighbours and layers can be weighed.

    e_(l+1) = D^-alpha A D^-beta (e_l / |e_l|)        vectors = gamma e_0 + (1 - gamma) (e_1 + … + e_L) / L

with A the adjacency of listeners and songs, D its degrees, and every row of e_l at length 1 before it is passed on:
alpha bends how far a node's degree lengthens its vector, beta how much a neighbour of high degree counts.

Source: Lee et al. 2024, Revisiting LightGCN, RecSys 2024, doi 10.1145/3640457.3688176; defaults as published there.
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy import sparse
from torch import Tensor

from embeddings.gnn.model import GraphModel, GraphModelConfig, pooled_loss
from embeddings.gnn.propagation import bipartite, normalised


@dataclass(frozen=True)
class LightGCNppConfig(GraphModelConfig):
    """Hyper-parameters of LightGCN++.

    Raises: ValueError for a gamma that is not between 0 and 1.
    """

    alpha: float = 0.6
    """Power by which a node's own degree shortens its vector."""
    beta: float = -0.1
    """Power by which a neighbour's degree makes it count less; below 0 it counts more."""
    gamma: float = 0.2
    """Share of layer 0 in the vectors, 0 to 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma must be between 0 and 1 (got {self.gamma})")


class LightGCNpp(GraphModel):
    """Listeners and songs, each a weighted mean of its layers."""

    config: LightGCNppConfig

    def adjacency(self) -> sparse.csr_array:
        return normalised(bipartite(self.interactions.matrix()), self.config.alpha, self.config.beta)

    def forward(self) -> Tensor:
        return self.propagation.pooled(self.table, self._weights, unit=True)

    def loss(self, batch: Tensor) -> Tensor:
        return pooled_loss(self.table, self.propagation, self._weights, True, batch, self.config.decay)

    @property
    def _weights(self) -> list[float]:
        gamma, layers = self.config.gamma, self.config.layers
        return [gamma] + [(1 - gamma) / layers] * layers
