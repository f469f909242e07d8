"""XSimGCL: SimGCL in one pass: the noisy vectors that are scored are contrasted with one of their own layers.

    loss = BPR(noisy vectors) + contrast x InfoNCE(layer l*, noisy vectors) + decay x L2

Source: Yu et al. 2023, XSimGCL: Towards Extremely Simple Graph Contrastive Learning, TKDE, arXiv 2209.02544.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from embeddings.gnn.model import GraphModel, GraphModelConfig, contrast
from embeddings.training.losses import bpr_rows, l2_rows
from graph.configure import check_positive


@dataclass(frozen=True)
class XSimGCLConfig(GraphModelConfig):
    """Hyper-parameters of XSimGCL.

    Raises: ValueError for a number out of range.
    """

    contrast: float = 0.2
    """Weight of the contrastive loss beside BPR, above 0."""
    noise: float = 0.2
    """Length of the noise added to each layer, above 0."""
    temperature: float = 0.2
    """Cosines are divided by this in the contrastive loss, above 0."""
    contrasted: int = 1
    """Layer that is contrasted with the vectors that are scored, from 1 to `layers`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "contrast", "noise", "temperature")
        if not 1 <= self.contrasted <= self.layers:
            raise ValueError(f"contrasted must be a layer from 1 to {self.layers} (got {self.contrasted})")


class XSimGCL(GraphModel):
    """Listeners and songs, each the mean of its layers but the first."""

    config: XSimGCLConfig

    def forward(self) -> Tensor:
        return torch.stack(self.propagation.layers(self.table, self.config.layers)).mean(0)

    def loss(self, batch: Tensor) -> Tensor:
        layers = self.propagation.layers(self.table, self.config.layers, self.config.noise)
        vectors = torch.stack(layers).mean(0)
        apart = contrast(layers[self.config.contrasted - 1], vectors, batch, self.config.temperature)
        decay = self.config.decay * l2_rows(self.table, batch, batch.shape[1])
        return bpr_rows(vectors, batch) + self.config.contrast * apart + decay
