"""LightGCN: the mean of what nodes are and of what they are one, two, … symmetric averages over neighbours away.

    e_(l+1) = D^(-1/2) A D^(-1/2) e_l        vectors = (e_0 + … + e_L) / (L + 1)

Source: He et al. 2020, arXiv 2002.02126.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from embeddings.gnn.model import GraphModel, GraphModelConfig, pooled_loss


@dataclass(frozen=True)
class LightGCNConfig(GraphModelConfig):
    """Hyper-parameters, as published for 2 layers."""


class LightGCN(GraphModel):
    """Listeners and songs, each the mean of its layers."""

    def forward(self) -> Tensor:
        return self.propagation.pooled(self.table, self._weights)

    def loss(self, batch: Tensor) -> Tensor:
        return pooled_loss(self.table, self.propagation, self._weights, False, batch, self.config.decay)

    @property
    def _weights(self) -> list[float]:
        layers = self.config.layers + 1
        return [1 / layers] * layers
