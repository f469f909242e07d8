"""Relation-gamma GCN: propagation over the whole typed graph, with a gamma for each relation.

Every node has a free vector e, and a listener's vector is what two layers of messages bring together:

    z_u = sum over paths p of at most two relations that begin at a listener of  gamma_p x (M_p e)_u

A path is a relation of the listener (LISTENED, FOLLOWS, FOLLOWS_ARTIST, …), a relation of the songs heard (LISTENED,
then HAS_TAG, PERFORMED_BY, …), or what followees hear (FOLLOWS, then LISTENED); gamma_p is the product of its
relations' gammas, as it is where LightGCN's layers pass over a typed graph. A row of M_p holds the weights of the path,
columns divided by their degree^beta, at length 1, so that gamma_p^2 is what the path adds to the likeness of two
listeners who have the same neighbours by it. LISTENED is weighted by strength; FOLLOWS has a loop, a listener's own
vector. A song's vector w is layer 0 on its side, and the score of a pair is z_u . w_i.

Because all of it is linear, training is in closed form: e is the D leading right singular vectors of the messages
[gamma_p M_p], and w the ridge regression of what listeners like on z. There is no sampling, and nothing to stop early.
Gammas are given, or learned by coordinate ascent on held-out pairs (`rounds`).

Source: He et al. 2020 (LightGCN), arXiv 2002.02126; norms after Lee et al. 2024 (LightGCN++), doi
10.1145/3640457.3688176; the loop after Kipf and Welling 2017, arXiv 1609.02907; a GCN trained by its spectrum after
Peng et al. 2022 (SVD-GCN), arXiv 2208.12689; the subspace iteration after Halko et al. 2011, arXiv 0909.4061.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from scipy import linalg, sparse

from embeddings.training.held_out import held_out
from embeddings.training.interactions import Interactions
from embeddings.vectors.attributes import propagate, song_matrices
from embeddings.vectors.model_vectors import ModelVectors
from graph.configure import check_positive
from graph.errors import FitError
from graph.snapshot.arrays import Array
from graph.snapshot.relations import Relation
from graph.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from embeddings.gnn.model import Validate
    from embeddings.training.fit import Progress

LISTENED: Final = "LISTENED"
FOLLOWS: Final = "FOLLOWS"
# What listeners do to songs is in `Interactions` already, with its strength.
_BEHAVIOUR: Final = frozenset({LISTENED, "COLLECTED", "LIKED", "SHARED", "BLOCKED"})
_STEPS: Final = (0.0, 0.5, 0.7, 1.4, 2.0)
_DENSE: Final = 4096
_ATTRIBUTES: Final = frozenset({"HAS_TAG", "HAS_GENRE", "PERFORMED_BY"})


def _default_gamma() -> dict[str, float]:
    return {LISTENED: 1.0, FOLLOWS: 0.5, "HAS_TAG": 2.0, "PERFORMED_BY": 0.4}


@dataclass(frozen=True)
class RelationGammaGCNConfig:
    """Hyper-parameters of the relation-gamma GCN.

    The defaults suit listens with friends and tags (`segue bench gnn-graph`); on listens alone a higher decay does
    better.

    Raises: ValueError for a number out of range.
    """

    embedding_dim: int = 512
    """Numbers of a vector, 1 or more."""
    gamma: Mapping[str, float] = field(default_factory=_default_gamma)
    """Weight of each relation, by its name, 0 or more; 0 where a relation is not named."""
    beta: float = 0.15
    """Power of a neighbour's degree by which it counts less; 0 for all alike."""
    decay: float = 1.5
    """The ridge, in units of a listener's similarity to himself, above 0."""
    by_strength: float = 0.8
    """From 0, every liked song counts alike, to 1, by its strength over the listener's mean."""
    smooth: float = 0.1
    """How much of what a song's tags, artist and genres explain of its vector counts again, 0 to 1. Above 0 a song that
    nobody has liked gets all of it."""
    smooth_ridge: float = 1.0
    """The ridge of that explanation, above 0."""
    tilt: float = 0.02
    """Vectors are divided by the number of the song's listeners to this power, 0 to 1, so that the best known songs
    score a little less."""
    rounds: int = 0
    """Rounds of coordinate ascent on the gammas, 0 or more; 0 keeps them as given."""

    def __post_init__(self) -> None:
        check_positive(self, "embedding_dim", "decay", "smooth_ridge")
        for name in ("smooth", "tilt"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1 (got {getattr(self, name)})")
        if not 0 <= self.by_strength <= 1:
            raise ValueError(f"by_strength must be between 0 and 1 (got {self.by_strength})")
        if self.rounds < 0:
            raise ValueError(f"rounds must be 0 or more (got {self.rounds})")
        for name, value in self.gamma.items():
            if not 0 <= value < float("inf"):
                raise ValueError(f"gamma of {name} must be 0 or more (got {value})")


class RelationGammaGCN:
    """Listeners as what two layers of the typed graph tell of them, and songs that answer to it."""

    enabled: ClassVar[bool] = True
    """A refresh trains it unless `[embed.relation_gamma_gcn]` says otherwise."""

    @classmethod
    def fit(
        cls,
        snapshot: Snapshot,
        config: RelationGammaGCNConfig,
        *,
        rng: np.random.Generator,
        previous: ModelVectors | None = None,  # noqa: ARG003  it is solved anew
        validate: Validate | None = None,
        progress: Progress | None = None,
        checkpoint: Path | None = None,  # noqa: ARG003  nothing to go on from: it takes seconds
        device: str = "cpu",
        threads: int | None = None,  # noqa: ARG003
    ) -> ModelVectors:
        """Vectors of listeners and songs; a song that nobody has heard gets what its attributes explain.

        `validate` judges gammas where they are learned; without it a tenth of the pairs, drawn from `rng`, does.

        Raises: FitError if there is nothing to learn from or a vector is not finite; ValueError for a gamma of a
        relation that the snapshot has not.
        """
        report = progress if progress is not None else lambda what, done, total: None  # noqa: ARG005
        interactions = Interactions.of(snapshot)
        _check_gamma(snapshot, config.gamma)
        found: dict[str, Any] = {}
        if config.rounds:
            found = {"gamma": _learned(snapshot, interactions, config, rng, validate, report, device), "rounds": 0}
            config = replace(config, **found)
        report("relation-gamma-gcn", 0, 1)
        listeners, songs = _solved(Messages(snapshot, interactions, config.beta), interactions, config, rng, device)
        songs = _with_attributes(snapshot, interactions, songs, config)
        report("relation-gamma-gcn", 1, 1)
        return ModelVectors.of_pairs(snapshot, listeners, songs, {"config": asdict(config), "found": found})


def _with_attributes(
    snapshot: Snapshot, interactions: Interactions, songs: Array, config: RelationGammaGCNConfig
) -> Array:
    """(S, D) the vectors of songs, with what their attributes explain of them once more; that alone for songs that
    nobody has liked; the best known ones a little shorter."""
    listeners = np.bincount(interactions.indices, minlength=len(songs))
    relations = {r.name: 1.0 for r in snapshot.song_relations() if r.name in _ATTRIBUTES}
    matrices = list(song_matrices(snapshot, relations).values())
    if matrices and config.smooth:
        attributes = sparse.csr_array(sparse.hstack(matrices, format="csr"))
        explained = propagate(np.ascontiguousarray(songs.T), attributes, 1.0, config.smooth_ridge).T - songs
        share = np.where(listeners > 0, np.float32(config.smooth), np.float32(1))
        songs = songs + share[:, None] * explained
    shorter = np.maximum(listeners, 1).astype(np.float32) ** -np.float32(config.tilt)
    return np.asarray(songs * shorter[:, None], dtype=np.float32)


class Messages:
    """What reaches the U listeners: for every path a sparse (U, N_p) matrix with rows of length 1, or 0."""

    def __init__(self, snapshot: Snapshot, interactions: Interactions, beta: float) -> None:
        self.beta = beta
        self.by_path = {path: _unit_rows(matrix) for path, matrix in self._paths(snapshot, interactions)}

    def _paths(self, snapshot: Snapshot, interactions: Interactions) -> Iterator[tuple[tuple[str, ...], Any]]:
        listened = interactions.matrix()
        listened.data = interactions.strength
        yield (LISTENED,), self._damped(listened)
        for relation in snapshot.relations():
            if not len(relation):
                continue
            name, matrix = relation.name, relation.matrix()
            if relation.source == relation.target == "User" and name == FOLLOWS:
                yield (FOLLOWS,), matrix + sparse.eye_array(matrix.shape[0], dtype=np.float32, format="csr")
                yield (FOLLOWS, LISTENED), self._damped(_shares(matrix) @ _unit_rows(interactions.matrix()))
            elif relation.source == "User" and relation.target != "Song":
                yield (name,), self._damped(matrix)
            elif relation.source == "Song" and relation.target != "Song":
                yield (LISTENED, name), _shares(listened) @ _unit_rows(_log(matrix))

    def _damped(self, matrix: sparse.csr_array) -> sparse.csr_array:
        """Columns over their degree^beta, the degree being how many listeners lead there."""
        degrees = np.bincount(matrix.indices, minlength=matrix.shape[1])
        return sparse.csr_array(matrix @ sparse.diags_array(np.maximum(degrees, 1.0) ** -self.beta))

    def weighed(self, gamma: Mapping[str, float]) -> sparse.csr_array:
        """[gamma_p M_p] of all paths side by side, (U, sum of N_p), scaled so that its rows have a mean square of 1.

        Raises: FitError if no path is left.
        """
        weights = {path: float(np.prod([gamma.get(name, 0.0) for name in path])) for path in self.by_path}
        parts = [weight * self.by_path[path] for path, weight in weights.items() if weight > 0]
        if not parts:
            raise FitError("nothing to learn from: every gamma is 0")
        together = sparse.csr_array(sparse.hstack(parts, format="csr").astype(np.float32))
        together.data *= np.sqrt(together.shape[0] / np.square(together.data, dtype=np.float64).sum())
        return together


def _check_gamma(snapshot: Snapshot, gamma: Mapping[str, float]) -> None:
    known = {LISTENED} | {r.name for r in snapshot.relations() if len(r) and _is_message(r)}
    for name, value in gamma.items():
        if value and name not in known and name not in _default_gamma():
            raise ValueError(f"gamma of {name}: no such relation (known: {', '.join(sorted(known))})")


def _is_message(relation: Relation) -> bool:
    return relation.source in {"User", "Song"} and relation.target != "Song" and relation.name not in _BEHAVIOUR


def _unit_rows(matrix: sparse.csr_array) -> sparse.csr_array:
    """Rows at length 1; empty ones stay empty."""
    squares = np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel()
    return sparse.csr_array(sparse.diags_array(1 / np.sqrt(np.maximum(squares, 1e-24))) @ matrix)


def _shares(matrix: sparse.csr_array) -> sparse.csr_array:
    """Rows that sum to 1; empty ones stay empty."""
    sums = np.asarray(matrix.sum(axis=1)).ravel()
    return sparse.csr_array(sparse.diags_array(1 / np.maximum(sums, 1e-12)) @ matrix)


def _log(matrix: sparse.csr_array) -> sparse.csr_array:
    """ln(1 + weight): a tag given by twice as many people is not twice as true."""
    matrix = matrix.copy()
    matrix.data = np.log1p(matrix.data)
    return matrix


def _targets(interactions: Interactions, by_strength: float) -> sparse.csr_array:
    """(U, S) what the scores are fitted to: around 1 for a pair, 0 for none."""
    matrix = interactions.matrix()
    sums = np.bincount(interactions.listener, weights=interactions.strength, minlength=interactions.listeners)
    means = sums / np.maximum(np.diff(interactions.indptr), 1)
    matrix.data = (1 - by_strength + by_strength * interactions.strength / means[interactions.listener]).astype(
        np.float32
    )
    return matrix


def _solved(
    messages: Messages,
    interactions: Interactions,
    config: RelationGammaGCNConfig,
    rng: np.random.Generator,
    device: str,
) -> tuple[Array, Array]:
    """Listeners (U, D) and songs (S, D): z = Q L^1/2 of the D leading directions, w = L^1/2 (L + decay)^-1 Q' Y."""
    together = messages.weighed(config.gamma)
    basis, values = spectrum(together, min(config.embedding_dim, *together.shape), rng=rng, device=device)
    scale = np.sqrt(values)
    listeners = basis * scale
    songs = (_targets(interactions, config.by_strength).T @ basis) * (scale / (values + config.decay))
    if not (np.isfinite(listeners).all() and np.isfinite(songs).all()):
        raise FitError("relation-gamma-gcn ended with vectors that are not finite")
    return listeners.astype(np.float32), songs.astype(np.float32)


def spectrum(
    matrix: sparse.csr_array, rank: int, *, rng: np.random.Generator, device: str = "cpu", passes: int = 6
) -> tuple[Array, Array]:
    """The leading left singular vectors (U, rank) of a sparse matrix (U, N), and their squared singular values (rank,).

    Exact for up to 4,096 rows, else by `passes` subspace iterations from a random start.
    """
    if matrix.shape[0] <= _DENSE:
        values, vectors = _leading((matrix @ matrix.T).toarray(), rank, device)
        return vectors, values
    wide = min(rank + 32, *matrix.shape)
    found = _orthonormal(matrix @ rng.standard_normal((matrix.shape[1], wide), dtype=np.float32), device)
    for _ in range(passes):
        found = _orthonormal(matrix @ (matrix.T @ found), device)
    small = np.asarray(matrix.T @ found, dtype=np.float32)
    values, turn = _leading(small.T @ small, rank, device)
    return np.asarray(found @ turn, dtype=np.float32), values


def _leading(gram: Array, rank: int, device: str) -> tuple[Array, Array]:
    """The `rank` largest eigenvalues (rank,) of a symmetric matrix, 0 where negative, and their vectors (N, rank)."""
    gram = gram.astype(np.float32)
    if device == "cpu":  # without torch, whose import takes longer than a small graph
        first = max(len(gram) - rank, 0)
        values, vectors = linalg.eigh(gram, subset_by_index=(first, len(gram) - 1), driver="evr")
    else:
        import torch

        found = torch.linalg.eigh(torch.from_numpy(gram).to(device))
        values, vectors = found.eigenvalues.cpu().numpy(), found.eigenvectors.cpu().numpy()
    return np.maximum(values[::-1][:rank], 0), np.ascontiguousarray(vectors[:, ::-1][:, :rank])


def _orthonormal(columns: Array, device: str) -> Array:
    columns = np.ascontiguousarray(columns, dtype=np.float32)
    if device == "cpu":
        return np.asarray(linalg.qr(columns, mode="economic")[0], dtype=np.float32)
    import torch

    basis: Array = torch.linalg.qr(torch.from_numpy(columns).to(device)).Q.cpu().numpy()
    return basis


def _learned(
    snapshot: Snapshot,
    interactions: Interactions,
    config: RelationGammaGCNConfig,
    rng: np.random.Generator,
    validate: Validate | None,
    report: Progress,
    device: str,
) -> dict[str, float]:
    """Gammas by coordinate ascent: each relation's in turn at some multiples of itself, the best kept."""
    if validate is None:
        interactions, validate = held_out(interactions, rng)
    messages = Messages(snapshot, interactions, config.beta)
    judge = validate

    def value(gamma: Mapping[str, float]) -> float:
        return judge(*_solved(messages, interactions, replace(config, gamma=gamma), rng, device))

    names = sorted({name for path in messages.by_path for name in path} - {LISTENED})
    best = {LISTENED: 1.0, **{name: config.gamma.get(name, 0.0) for name in names}}
    reached, done = value(best), 0
    for _ in range(config.rounds):
        before = dict(best)
        for name in names:
            for step in _STEPS:
                tried = {**best, name: step * best[name] if best[name] else step / 4}
                found = value(tried) if tried != best else reached
                if found > reached:
                    best, reached = tried, found
            done += 1
            report("gammas", done, config.rounds * len(names))
        if best == before:
            break
    return best
