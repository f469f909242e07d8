"""LightGCN and LightGCN++ on the split of LightGCN++, against the figures that were published on it.

`lastfm-lightgcnpp`, given split, 2 layers, dimension 64, settings as published (learning rate .001, L2 .0001, batches
of 2,048; alpha .6, beta -.1, gamma .2); the epoch is chosen by NDCG@20 on the validation part, looked at every 5
epochs, as there. Full ranking, training items masked; +- is the standard deviation over the seeds. Every training keeps
a checkpoint under `var/bench/gnn-quality`, so a run that was stopped goes on, and one that is done is only scored.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import numpy as np

from api.commands.evaluate import read_data
from embeddings.models import model_type
from embeddings.training.fit import FitConfig, Progress
from embeddings.vectors.model_vectors import ModelVectors
from graph.errors import InvalidInput
from ranking.evaluation import ByScore, Data, measure, prepare
from ranking.holdout import Holdout

FOLDER: Final = Path("var/bench/gnn-quality")
SEEDS: Final = (0, 1, 2)
TRAINING: Final = FitConfig(epochs=1000, learning_rate=1e-3, evaluate_every=5, patience=10, checkpoint_every=5)
PUBLISHED: Final = {  # recall@10, NDCG@10
    "lightgcn": (0.1741, 0.1996),
    "lightgcnpp": (0.1889, 0.2171),
}


def run(seeds: tuple[int, ...] = SEEDS, models: tuple[str, ...] = tuple(PUBLISHED)) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them.

    Raises: InvalidInput if the data set is missing.
    """
    data = split()
    return [row for model in models for row in _rows(model, [scored(model, seed, data) for seed in seeds])]


def split() -> Data:
    """The data set, cut as published.

    Raises: InvalidInput if it is missing.
    """
    folder = Path(os.environ.get("SEGUE_DATA", "../shared/data")) / "lastfm-lightgcnpp"
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: expected the data set lastfm-lightgcnpp (set SEGUE_DATA)")
    return prepare(read_data(f"lightgcn:{folder}", "given", lambda *_: None), "given", 0)


def trained(model: str, seed: int, data: Data, progress: Progress | None = None) -> ModelVectors:
    """The vectors of one training, which goes on from its checkpoint."""
    kind = model_type(model)
    found: ModelVectors = kind.model.fit(
        data.train,
        kind.config(training=TRAINING),
        rng=np.random.default_rng(seed),
        validate=Holdout(data.train, data.valid).ndcg,
        checkpoint=FOLDER / f"{model}-{seed}.pt",
        progress=progress,
    )
    return found


def scored(model: str, seed: int, data: Data) -> dict[str, float]:
    """Test metrics of one training, with its `epochs`."""
    vectors = trained(model, seed, data)
    return measure(ByScore(vectors, data.train), data, (10, 20)).means() | {"epochs": vectors.meta["epochs"]}


def _rows(model: str, found: list[dict[str, float]]) -> list[dict[str, Any]]:
    epochs = ", ".join(f"{one['epochs']:.0f}" for one in found) + " epochs"
    rows = []
    for metric, published in zip(("recall@10", "ndcg@10"), PUBLISHED[model], strict=True):
        values = np.array([one[metric] for one in found])
        spread = f"+- {values.std(ddof=1):.4f}, " if len(found) > 1 else ""
        rows.append(
            {
                "what": f"{model}, {metric}",
                "ours": round(float(values.mean()), 4),
                "peer": published,
                "peer_name": "as published",
                "ratio": round(float(values.mean()) / published, 3),
                "unit": metric,
                "ours_quality": spread + epochs,
                "peer_quality": None,
            }
        )
    return rows
