"""Matrix factorisation of who likes what, by alternating least squares.

Listeners W (U, D) and songs H (S, D) minimise

    sum over liked pairs (w_u . h_i - 1)^2 + unobserved x sum over all pairs (w_u . h_i)^2
        + sum over listeners r_u |w_u|^2 + sum over songs r_i |h_i|^2

with r = regularization x (likes + unobserved x all that could be liked)^frequency. Each side in turn is solved exactly.
A row of n likes is a system of n equations, not of D, where n is smaller: in the basis of the eigenvectors of the other
side's Gram matrix, what all rows share is diagonal, and the Woodbury identity leaves the rest.

Source: Hu et al. 2008, doi 10.1109/ICDM.2008.22; the regularization by frequency and its ranges after Rendle et al.
2022, Revisiting the performance of iALS, doi 10.1145/3523227.3548486.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from numba import njit, prange
from scipy import linalg, sparse

from embeddings.training.held_out import held_out
from embeddings.training.interactions import Interactions
from embeddings.vectors.model_vectors import ModelVectors
from graph.configure import check_positive
from graph.errors import FitError
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from embeddings.gnn.model import Validate
    from embeddings.training.fit import Progress

_MULTIPLES: Final = (0.25, 0.5, 1.0, 2.0)
_VANISHED: Final = 1e-6
"""The share of the longest vector below which a song has none."""
_FAST: Final = {"contract", "reassoc", "nsz", "arcp"}


@dataclass(frozen=True)
class ALSConfig:
    """Hyper-parameters.

    Raises: ValueError for a number out of range.
    """

    embedding_dim: int = 128
    """Numbers in a vector; no more than there are listeners or songs are used."""
    unobserved: float = 0.1
    """The weight of a pair that nobody liked, beside 1 for a liked one."""
    regularization: float = 0.2
    """The weight of the squared vectors, or where the search for it begins."""
    tuned: bool = True
    """Whether a quarter, half and twice that weight are tried too; the best one on held-out likes is kept."""
    frequency: float = 0.5
    """How much the regularization of a row grows with its likes: 0 not at all, 1 in proportion."""
    sweeps: int = 8
    """How often both sides are solved."""

    def __post_init__(self) -> None:
        check_positive(self, "embedding_dim", "unobserved", "regularization", "sweeps")
        if not 0 <= self.frequency <= 1:
            raise ValueError(f"frequency must be between 0 and 1 (got {self.frequency})")


class ALS:
    """Listeners and songs whose products are near 1 for what is liked, and near 0 elsewhere."""

    enabled: ClassVar[bool] = True
    """A refresh trains it unless `[embed.als]` says otherwise."""

    @classmethod
    def fit(
        cls,
        snapshot: Snapshot,
        config: ALSConfig,
        *,
        rng: np.random.Generator,
        previous: ModelVectors | None = None,  # noqa: ARG003  it is solved anew
        validate: Validate | None = None,  # noqa: ARG003  every sweep lowers the loss: there is nothing to stop early
        progress: Progress | None = None,
        checkpoint: Path | None = None,  # noqa: ARG003  nothing to go on from: it takes seconds
        device: str = "cpu",  # noqa: ARG003
        threads: int | None = None,  # noqa: ARG003
    ) -> ModelVectors:
        """Vectors of listeners and songs, 0 for a song that nobody likes.

        Raises: NothingToLearn if nobody likes anything; FitError if a vector is not finite.
        """
        report = progress if progress is not None else lambda what, done, total: None  # noqa: ARG005
        interactions = Interactions.of(snapshot)
        seed = int(rng.integers(2**63))
        found = {}
        if config.tuned:
            config = _tuned(interactions, config, rng, seed, report)
            found = {"regularization": config.regularization, "tuned": False}
        listeners, songs = _factors(interactions, config, seed, report)
        if not (np.isfinite(listeners).all() and np.isfinite(songs).all()):
            raise FitError("als ended with vectors that are not finite; raise the regularization")
        # sweep by sweep the regularization takes away who shares too little with anybody: what is left is rounding
        lengths = np.linalg.norm(songs, axis=1)
        songs[lengths < _VANISHED * lengths.max()] = 0
        return ModelVectors.of_pairs(snapshot, listeners, songs, {"config": asdict(config), "found": found})


def _tuned(
    interactions: Interactions, config: ALSConfig, rng: np.random.Generator, seed: int, report: Progress
) -> ALSConfig:
    """The config with the regularization, of some multiples, that ranks held-out likes best."""
    kept, judge = held_out(interactions, rng)
    tried = [replace(config, regularization=multiple * config.regularization, tuned=False) for multiple in _MULTIPLES]
    if not len(kept):
        return config
    return max(tried, key=lambda one: judge(*_factors(kept, one, seed, report)))


def _factors(interactions: Interactions, config: ALSConfig, seed: int, report: Progress) -> tuple[Array, Array]:
    """Listeners (U, D) and songs (S, D) after all sweeps, from a start drawn from the seed."""
    likes = interactions.matrix()
    width = min(config.embedding_dim, *likes.shape)
    by_listener, by_song = Side.of(likes, config), Side.of(sparse.csr_array(likes.T), config)
    start = np.random.default_rng(seed).standard_normal((likes.shape[1], width), dtype=np.float32)
    songs = start * np.float32(0.1 / np.sqrt(width))
    for sweep in range(config.sweeps):
        report("als", sweep, config.sweeps)
        songs = by_song.solved(by_listener.solved(songs))
    report("als", config.sweeps, config.sweeps)
    return by_listener.solved(songs), songs


@dataclass(frozen=True)
class Side:
    """One side of the factorisation: what each of N rows likes, and its ridge.

    Shapes: E likes; indptr (N + 1,), indices (E,) rows of the other side; ridge (N,) float32.
    """

    indptr: Array
    indices: Array
    ridge: Array
    unobserved: float

    @classmethod
    def of(cls, likes: sparse.csr_array, config: ALSConfig) -> Side:
        counts = np.diff(likes.indptr) + config.unobserved * likes.shape[1]
        ridge = (config.regularization * counts**config.frequency).astype(np.float32)
        return cls(likes.indptr.astype(np.int64), likes.indices.astype(np.int64), ridge, config.unobserved)

    def solved(self, other: Array) -> Array:
        """(N, D) float32 of this side, from the other side's vectors (M, D); a row without likes is 0."""
        gram = self.unobserved * (other.T.astype(np.float64) @ other)
        values, basis = linalg.eigh(gram)
        turned = np.ascontiguousarray(other @ basis.astype(np.float32))
        shared = np.maximum(values, 0).astype(np.float32)
        return np.asarray(_rows(self.indptr, self.indices, self.ridge, turned, shared) @ basis.T, dtype=np.float32)


@njit(cache=True, nogil=True, parallel=True, fastmath=_FAST)  # type: ignore[untyped-decorator]
def _rows(indptr: Array, indices: Array, ridge: Array, other: Array, shared: Array) -> Array:
    """(N, D) of each row the solution of (diag(shared + ridge) + H'H) x = H'1, H being the rows of `other` it likes."""
    found = np.zeros((len(indptr) - 1, other.shape[1]), dtype=np.float32)
    for row in prange(len(found)):
        count = indptr[row + 1] - indptr[row]
        if count:
            liked = other[indices[indptr[row] : indptr[row + 1]]]
            inverse = 1 / (shared + ridge[row])
            if count < other.shape[1]:
                found[row] = _by_likes(liked, inverse)
            else:
                found[row] = _by_numbers(liked, inverse)
    return found


@njit(cache=True, nogil=True, fastmath=_FAST)  # type: ignore[untyped-decorator]
def _by_likes(liked: Array, inverse: Array) -> Array:
    """The solution by a system of as many equations as likes: x = S H' (1 + H S H')^-1 1, S = diag(inverse)."""
    scaled = liked * inverse
    system = np.eye(len(liked), dtype=np.float32)
    for i in range(len(liked)):
        for j in range(i + 1):
            total = np.float32(0)
            for d in range(liked.shape[1]):
                total += scaled[i, d] * liked[j, d]
            system[i, j] += total
    weights = _solve(system, np.ones(len(liked), dtype=np.float32))
    found = np.zeros(liked.shape[1], dtype=np.float32)
    for i in range(len(liked)):
        found += weights[i] * scaled[i]
    return found


@njit(cache=True, nogil=True, fastmath=_FAST)  # type: ignore[untyped-decorator]
def _by_numbers(liked: Array, inverse: Array) -> Array:
    """The solution by a system of D equations."""
    width = liked.shape[1]
    system = np.diag(1 / inverse)
    right = np.zeros(width, dtype=np.float32)
    for n in range(len(liked)):
        right += liked[n]
        for i in range(width):
            for j in range(i + 1):
                system[i, j] += liked[n, i] * liked[n, j]
    found: Array = _solve(system, right)
    return found


@njit(cache=True, nogil=True, fastmath=_FAST)  # type: ignore[untyped-decorator]
def _solve(system: Array, right: Array) -> Array:
    """x of `system` x = `right` for a positive definite matrix given by its lower half; both are overwritten."""
    size = len(right)
    for i in range(size):
        for j in range(i + 1):
            total = system[i, j]
            for k in range(j):
                total -= system[i, k] * system[j, k]
            system[i, j] = np.sqrt(total) if i == j else total / system[j, j]
    for i in range(size):
        for k in range(i):
            right[i] -= system[i, k] * right[k]
        right[i] /= system[i, i]
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            right[i] -= system[k, i] * right[k]
        right[i] /= system[i, i]
    return right
