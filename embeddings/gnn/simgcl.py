"""SimGCL: LightGCN beside a contrast of two noisy views of it, which spreads the vectors evenly.

    e_(l+1) = D^(-1/2) A D^(-1/2) e_l        vectors = (e_1 + … + e_L) / L        (layer 0 is left out)

In a view every layer gets noise of one length; the views of a node must know each other among all nodes of the batch.

    loss = BPR + contrast x InfoNCE(view, other view) + decay x L2

Source: Yu et al. 2022, Are Graph Augmentations Necessary?, SIGIR 2022, arXiv 2112.08679.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from embeddings.gnn.model import GraphModel, GraphModelConfig, contrast
from graph.configure import check_positive


@dataclass(frozen=True)
class SimGCLConfig(GraphModelConfig):
    """Hyper-parameters of SimGCL.

    Raises: ValueError for a number out of range.
    """

    contrast: float = 0.5
    """Weight of the contrastive loss beside BPR, above 0."""
    noise: float = 0.1
    """Length of the noise added to each layer, above 0."""
    temperature: float = 0.2
    """Cosines are divided by this in the contrastive loss, above 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "contrast", "noise", "temperature")


class SimGCL(GraphModel):
    """Listeners and songs, each the mean of its layers but the first."""

    config: SimGCLConfig

    def forward(self) -> Tensor:
        return self._view(0)

    def loss(self, batch: Tensor) -> Tensor:
        first, second = self._view(self.config.noise), self._view(self.config.noise)
        return super().loss(batch) + self.config.contrast * contrast(first, second, batch, self.config.temperature)

    def _view(self, noise: float) -> Tensor:
        layers = self.propagation.layers(self.table, self.config.layers, noise)
        return torch.stack(layers).mean(0)
