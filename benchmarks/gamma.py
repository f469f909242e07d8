"""Song2Vec with gamma against gamma = 0, EGES and GraphSAGE, most of all on rare songs; with the sweep of gamma.

Each listener's last liked song is held out, and the one before it for choosing. A list is the 50 songs nearest to the
mean of the vectors of the listener's last 10 songs, those heard left out; hit-rate@50 is how often it holds the
held-out song, over all listeners and over those whose song has fewer than 5 plays in training. The bad-case rate is the
share of a song's 10 nearest that have neither artist, genre, tag nor any other described thing in common with it, over
songs that are described at all; what more than a fifth of all songs have (Sports are all tagged so) does not count as
common. Rare songs are those with fewer than 5 plays. At most 5,000 listeners are looked at.

The gammas are the default ones, and for relations without a default 0.2, all times one factor. What each model is
trained with is chosen for each data set: what has the fewest bad cases of all that find the songs before the last as
well as the best does, within one standard error of its hit-rate@50. For gamma = 0 it is chosen from `SHAPES` (window,
epochs); for gamma from these at a factor of 1 and with one of `DESCRIBED` (one seed, not of those reported), and then
the factor from the sweep that `docs/gamma.svg` shows; for EGES, which walks on songs that follow each other in a
session and is described by the same relations, from three trainings. GraphSAGE, which learns from listeners and songs
as it does by default, stops where the songs before the last rank best. Peers are trained with one seed, Song2Vec with
three, whose standard deviation is +-.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from api.commands.evaluate import read_data
from benchmarks._plots import needed, plotted
from embeddings.skipgram.edges import Edges
from embeddings.skipgram.eges import EGES, EGESConfig
from embeddings.skipgram.sequences import SequenceConfig, Sequences
from embeddings.skipgram.skipgram import SkipGramConfig
from embeddings.skipgram.song2vec import Song2Vec, Song2VecConfig
from embeddings.skipgram.walks import WalkConfig
from embeddings.vectors.model_vectors import ModelVectors
from graph.batch import Batch
from graph.errors import InvalidInput
from graph.importers.base import open_importer
from graph.snapshot.arrays import Array
from graph.snapshot.histories import strengths
from graph.snapshot.snapshot import Snapshot

FACTORS: Final = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
SHAPES: Final = ((5, 10), (20, 10), (20, 30), (100, 10))
OTHERWISE: Final = 0.2
SEEDS: Final = (0, 1, 2)
DESCRIBED: Final = (0.0, 0.5, 1.0, 2.0)
CHOOSING: Final = 11
EGES_TRAININGS: Final = ((1, 0.01), (3, 0.01), (3, 0.003))
LISTENERS: Final = 5000
COMMON: Final = 0.2
LATEST, HITS, NEAREST, RARE = 10, 50, 10, 5
MEASURES: Final = ("hit-rate@50", "hit-rate@50, rare", "bad-case rate", "bad-case rate, rare")

T = TypeVar("T")


@dataclass(frozen=True)
class Split:
    """What is trained on, and (listener, song) pairs held out: (U', 2) each."""

    train: Snapshot
    valid: Array
    test: Array

    @classmethod
    def of(cls, snapshot: Snapshot) -> Split:
        """Each listener's last song that is liked and not heard before tests, the one before it validates; the pairs of
        at most `LISTENERS` are looked at."""
        h = snapshot.histories
        liked = strengths(h.action, h.count) > 0
        keep = np.ones(len(h), dtype=bool)
        held: tuple[list[tuple[int, int]], list[tuple[int, int]]] = [], []
        for user in range(h.users):
            mine = np.flatnonzero(liked[h.of(user)]) + h.indptr[user]
            _, first = np.unique(h.song[mine], return_index=True)
            first = mine[np.sort(first)]
            if len(first) < 5:
                continue
            for into, at in zip(held, first[[-2, -1]], strict=True):
                into.append((user, int(h.song[at])))
            keep[first[-2] : h.indptr[user + 1]] = False
        chosen = np.random.default_rng(0).permutation(len(held[0]))[:LISTENERS]
        return cls(snapshot.view(keep), *(np.array(pairs)[chosen] for pairs in held))


def run(seeds: tuple[int, ...] = SEEDS, names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them, of the data sets `names` (all), and the plot if it is all of them.

    Raises: InvalidInput if a data set or matplotlib is missing.
    """
    needed()
    rows: list[dict[str, Any]] = []
    sweeps = {}
    for name, snapshot in data_sets().items():
        if names and name not in names:
            continue
        split = Split.of(snapshot)
        shape, plain = _shape(split, 1.0, DESCRIBED), _shape(split, 0.0, (0.0,))
        sweep = {
            f: _mean([measured(split, shape.song2vec(split.train, f, seed).unit) for seed in seeds]) for f in FACTORS
        }
        choice = _chosen({f: sweep[f][0] for f in FACTORS[1:]}, split)
        sweeps[f"{name}, {shape}"] = sweep
        others = {
            f"gamma = 0, {plain}": _mean(
                [measured(split, plain.song2vec(split.train, 0.0, seed).unit) for seed in seeds]
            ),
            "EGES": (_best_eges(split, seeds[0]), None),
            "GraphSAGE": (measured(split, _graphsage(split, seeds[0])), None),
        }
        ours = f"gamma x {choice:g}, {shape}"
        for peer, (theirs, spread) in others.items():
            rows += [_row(name, ours, measure, sweep[choice], peer, theirs, spread) for measure in MEASURES]
    if not names:
        _plot(sweeps)
    return rows


def data_sets() -> dict[str, Snapshot]:
    """The world (seed 10, which tuning has not seen), Sports and MovieLens-100K with its graph.

    Raises: InvalidInput if one is missing.
    """
    root = Path(os.environ.get("SEGUE_DATA", "../shared/data"))
    options = {"users": 500, "songs": 2000, "days": 60, "events": 60_000, "seed": 10}
    with tempfile.TemporaryDirectory() as folder:
        found = {"world": _snapshot(open_importer("world", Path(folder) / "world", options).read(lambda *_: None))}
    for name, kind, path in (("Sports", "s3rec", "s3rec/Sports_and_Outdoors.txt"), ("ml-100k", "recbole", "ml-100k")):
        if not (root / path).exists():
            raise InvalidInput(f"{root / path}: expected a data set (set SEGUE_DATA)")
        found[name] = _snapshot(read_data(f"{kind}:{root / path}", "temporal", lambda *_: None))
    return found


def _snapshot(batch: Batch) -> Snapshot:
    """Without playlists and uploads: they would tell of held-out songs."""
    told = {
        rel: frame for rel, frame in batch.relationships.items() if rel.type not in {"CONTAINS", "OWNS", "UPLOADED"}
    }
    events = batch.events.with_row_index("offset", offset=1)
    return Snapshot.of_frames(batch.nodes, told, events)


@dataclass(frozen=True)
class Shape:
    """What Song2Vec is trained with beside its gammas."""

    window: int
    epochs: int
    described: float

    def song2vec(self, train: Snapshot, factor: float, seed: int) -> ModelVectors:
        config = Song2VecConfig(window=self.window, epochs=self.epochs, described=self.described)
        gamma = {r.name: factor * config.gamma.get(r.name, OTHERWISE) for r in train.song_relations()}
        return Song2Vec.fit(train, replace(config, gamma=gamma), rng=np.random.default_rng(seed))

    def __str__(self) -> str:
        return f"window {self.window}, {self.epochs} epochs, described {self.described:g}"


def _shape(split: Split, factor: float, described: Sequence[float]) -> Shape:
    found = {}
    for window, epochs in SHAPES:
        plain = Shape(window, epochs, 0.0).song2vec(split.train, factor, CHOOSING)
        for much in described:
            made = ModelVectors.of(split.train, plain.raw, plain.trained, plain.entities, plain.gamma, much)
            found[Shape(window, epochs, much)] = measured(split, made.unit)
    return _chosen(found, split)


def _chosen(found: Mapping[T, Mapping[str, float]], split: Split) -> T:
    """Of those whose hit-rate on the songs before the last is within one standard error of the best one's, that with
    the fewest bad cases."""
    best = max(one["valid"] for one in found.values())
    error = np.sqrt(best * (1 - best) / len(split.valid))
    return min((t for t in found if found[t]["valid"] >= best - error), key=lambda t: found[t]["bad-case rate"])


def _best_eges(split: Split, seed: int) -> Mapping[str, float]:
    found = {how: measured(split, _eges(split.train, *how, seed)) for how in EGES_TRAININGS}
    return found[_chosen(found, split)]


def _eges(train: Snapshot, epochs: int, learning_rate: float, seed: int) -> Array:
    sequences = Sequences.of(train, SequenceConfig())
    inside = np.ones(len(sequences.songs), dtype=bool)
    inside[sequences.indptr[1:-1][sequences.indptr[1:-1] < len(inside)]] = False
    source, target = sequences.songs[:-1][inside[1:]], sequences.songs[1:][inside[1:]]
    parts, size = [(source, target, np.full(len(source), -1))], train.songs
    names: list[str] = []
    for relation in train.song_relations():
        parts.append((relation.edge_sources, size + relation.indices, np.full(len(relation), len(names))))
        names.append(relation.name)
        size += relation.targets
    source, target, kind = (np.concatenate(column).astype(np.int32) for column in zip(*parts, strict=True))
    ids = [f"{i:08}" for i in range(size)]
    edges = Edges(ids, source, target, np.ones(len(source)), kind, tuple(names))
    walks, skipgram = WalkConfig(walks=4, length=20), SkipGramConfig(64, 5, 5, epochs, learning_rate)
    found = EGES.fit_edges(edges, EGESConfig(walks, skipgram), rng=np.random.default_rng(seed), workers=2)
    vectors = np.zeros((train.songs, found.vectors.shape[1]), dtype=np.float32)
    places = np.array([int(i) for i in found.ids])
    vectors[places[places < train.songs]] = found.vectors[places < train.songs]
    return _unit(vectors)


def _graphsage(split: Split, seed: int) -> Array:
    from embeddings.gnn.graphsage import GraphSAGE, GraphSAGEConfig
    from ranking.holdout import Holdout

    validate = Holdout(split.train, [(int(user), np.array([song])) for user, song in split.valid]).ndcg
    rng = np.random.default_rng(seed)
    return _unit(GraphSAGE.fit(split.train, GraphSAGEConfig(), rng=rng, validate=validate).songs)


def _unit(vectors: Array) -> Array:
    unit: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)[:, None]
    return unit


def measured(split: Split, unit: Array) -> dict[str, float]:
    """`MEASURES` of song vectors (S, D) of length 1 or 0, and `valid`, hit-rate@50 on the songs before the last."""
    plays = np.bincount(split.train.histories.song, minlength=len(unit))
    hits, rare = _hits(split, unit, split.test), plays[split.test[:, 1]] < RARE
    bad, described = _bad_cases(split.train, unit)
    few = described & (plays < RARE)
    values = (hits.mean(), hits[rare].mean(), bad[described].mean(), bad[few].mean())
    found = dict(zip(MEASURES, map(float, values), strict=True))
    return found | {"valid": float(_hits(split, unit, split.valid).mean())}


def _mean(found: Sequence[Mapping[str, float]]) -> tuple[Mapping[str, float], Mapping[str, float]]:
    values = {name: np.array([one[name] for one in found]) for name in found[0]}
    return {n: float(v.mean()) for n, v in values.items()}, {n: float(v.std()) for n, v in values.items()}


def _hits(split: Split, unit: Array, pairs: Array) -> Array:
    h = split.train.histories
    hits = np.zeros(len(pairs), dtype=bool)
    for start in range(0, len(pairs), 256):
        part = pairs[start : start + 256]
        heard = [h.song[h.of(user)] for user in part[:, 0].tolist()]
        scores = np.stack([unit[songs[-LATEST:]].mean(axis=0) for songs in heard]) @ unit.T
        for row, songs in zip(scores, heard, strict=True):
            row[songs] = -np.inf
        wanted = part[:, 1]
        better = (scores > scores[np.arange(len(part)), wanted][:, None]).sum(axis=1)
        hits[start : start + 256] = unit[wanted].any(axis=1) & (better < HITS)
    return hits


def _bad_cases(train: Snapshot, unit: Array) -> tuple[Array, Array]:
    """(S,) the share of each song's nearest that have nothing in common with it, and which songs are described.

    A song without a vector has no neighbour that fits: all of its cases are bad.
    """
    from scipy import sparse

    about = sparse.csr_array(sparse.hstack([(r.matrix() > 0).astype(np.int32) for r in train.song_relations()]))
    about = about[:, np.bincount(about.indices, minlength=about.shape[1]) <= COMMON * len(unit)]
    described = np.diff(about.indptr) > 0
    bad = np.ones(len(unit))
    filled = unit.any(axis=1)
    for rows in np.array_split(np.flatnonzero(described & filled), max(1, len(unit) // 512)):
        scores = unit[rows] @ unit.T
        scores[:, ~filled] = -np.inf
        scores[np.arange(len(rows)), rows] = -np.inf
        near = np.argpartition(-scores, NEAREST - 1, axis=1)[:, :NEAREST]
        shared = about[np.repeat(rows, NEAREST)].multiply(about[near.reshape(-1)]).sum(axis=1)
        bad[rows] = (np.asarray(shared).reshape(near.shape) == 0).mean(axis=1)
    return bad, described


def _row(
    data: str,
    called: str,
    measure: str,
    ours: tuple[Mapping[str, float], Mapping[str, float]],
    peer: str,
    theirs: Mapping[str, float],
    spread: Mapping[str, float] | None,
) -> dict[str, Any]:
    mine, other = ours[0][measure], theirs[measure]
    return {
        "what": f"{data}: {measure}, {called}",
        "ours": round(mine, 4),
        "peer": round(other, 4),
        "peer_name": peer,
        "ratio": round(mine / other, 2) if other else None,
        "unit": "lower is better" if measure.startswith("bad") else "higher is better",
        "ours_quality": f"+- {ours[1][measure]:.4f}",
        "peer_quality": f"+- {spread[measure]:.4f}" if spread else "one seed",
    }


def _plot(sweeps: Mapping[str, Mapping[float, tuple[Mapping[str, float], Mapping[str, float]]]]) -> None:
    with plotted("gamma", len(MEASURES), size=(15, 3.4)) as panels:
        for panel, measure in zip(panels, MEASURES, strict=True):
            for name, sweep in sweeps.items():
                values, spreads = ([sweep[f][i][measure] for f in FACTORS] for i in (0, 1))
                panel.errorbar(range(len(FACTORS)), values, spreads, marker="o", label=name)
            panel.set_xticks(range(len(FACTORS)), [f"{f:g}" for f in FACTORS])
            panel.set_title(measure)
            panel.set_xlabel("all gammas x")
            panel.set_ylim(bottom=0)
        panels[0].legend()
