"""The relation-gamma GCN with friends, tags and play counts, against LightGCN++, and what each relation adds.

`lastfm-lightgcnpp`, given split, full ranking, training items masked. Friends, tags, play counts and triples are joined
through the two maps (`ranking.sides` says what is left out so that nothing tells of held-out pairs). `FROZEN` was
chosen on the validation part, and committed before the test part was scored. Training is in closed form: every seed
gives the same vectors. LightGCN++ is ours (`segue bench gnn-quality`); +- is the standard error of the paired
difference over listeners. A relation's row takes it out, or puts it in, and changes nothing else.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from api.commands.evaluate import read_data
from benchmarks import gnn_quality
from embeddings.gnn.relation_gamma_gcn import RelationGammaGCN, RelationGammaGCNConfig
from graph.errors import InvalidInput
from ranking.evaluation import ByScore, Data, measure, prepare
from ranking.metrics import Scoreboard

FROZEN: Final = RelationGammaGCNConfig(
    embedding_dim=512,
    gamma={"LISTENED": 1.0, "FOLLOWS": 0.5, "HAS_TAG": 2.0, "PERFORMED_BY": 0.4},
    beta=0.15,
    decay=1.5,
    by_strength=0.8,
)
SEEDS: Final = (0, 1, 2)
TRIPLES: Final = 0.3  # gamma of every relation of the knowledge graph, where they are put in
METRICS: Final = ("recall@10", "ndcg@10")


def run(seeds: tuple[int, ...] = SEEDS) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them.

    Raises: InvalidInput if a data set is missing.
    """
    data = split()
    boards, seconds = zip(*(scored(data, FROZEN, seed) for seed in seeds), strict=True)
    theirs = [
        measure(ByScore(gnn_quality.trained("lightgcnpp", seed, data), data.train), data, (10,)) for seed in seeds
    ]
    rows = [_row(f"{metric}, LightGCN++ with interactions alone", metric, boards, theirs) for metric in METRICS]
    rows[0]["ours_quality"] += f", fit {min(seconds):.1f} s"
    for what, config in _ablations(data):
        board, _ = scored(data, config, seeds[0])
        rows += [_row(f"{metric} {what}", metric, [board], boards[:1], "all as frozen") for metric in METRICS]
    return rows


def split() -> Data:
    """The data set with its sides, cut as published.

    Raises: InvalidInput if one is missing.
    """
    root = Path(os.environ.get("SEGUE_DATA", "../shared/data"))
    folder = root / "lastfm-lightgcnpp"
    sides = {"lastfm": root / "lastfm-2k", "kg": root / "kgcn-music"}
    for path in (folder, *sides.values()):
        if not path.is_dir():
            raise InvalidInput(f"{path}: expected a data set (set SEGUE_DATA)")
    batch = read_data(f"lightgcn:{folder}", "given", lambda *_: None)
    return prepare(batch, "given", 0, sides=[f"{kind}:{path}" for kind, path in sides.items()], maps=folder)


def scored(data: Data, config: RelationGammaGCNConfig, seed: int) -> tuple[Scoreboard, float]:
    """Test metrics by listener, and the seconds that fitting took."""
    began = time.perf_counter()
    vectors = RelationGammaGCN.fit(data.train, config, rng=np.random.default_rng(seed))
    seconds = time.perf_counter() - began
    return measure(ByScore(vectors, data.train), data, (10,)), seconds


def _ablations(data: Data) -> list[tuple[str, RelationGammaGCNConfig]]:
    found = [
        (f"without {name}", replace(FROZEN, gamma={**FROZEN.gamma, name: 0.0}))
        for name in FROZEN.gamma
        if name != "LISTENED"
    ]
    found.append(("with LISTENED alone", replace(FROZEN, gamma={"LISTENED": 1.0})))
    found.append(("without play counts", replace(FROZEN, by_strength=0.0)))
    triples = sorted({r.name for r in data.train.song_relations() if r.name.startswith("RELATED:")})
    found.append(("with triples", replace(FROZEN, gamma={**FROZEN.gamma, **dict.fromkeys(triples, TRIPLES)})))
    return found


def _row(what: str, metric: str, ours: Any, theirs: Any, peer: str = "LightGCN++") -> dict[str, Any]:
    mine, other = (np.array([[row[metric] for row in board.rows] for board in boards]) for boards in (ours, theirs))
    difference = mine.mean(axis=0) - other.mean(axis=0)
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return {
        "what": what,
        "ours": round(float(mine.mean()), 4),
        "peer": round(float(other.mean()), 4),
        "peer_name": peer,
        "ratio": round(float(mine.mean() / other.mean()), 3),
        "unit": metric,
        "ours_quality": f"difference {difference.mean():+.4f} +- {error:.4f}",
        "peer_quality": None,
    }
