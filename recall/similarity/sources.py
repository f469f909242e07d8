"""What a release holds that tells how near two songs are, and how far each of it is trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from embeddings.models import model_names
from embeddings.vectors.model_vectors import ModelVectors, models_in
from graph.errors import InvalidInput, NotInRelease
from graph.release import Release
from graph.snapshot.arrays import Array
from recall.base import Candidates
from recall.index.vector_index import VectorIndex
from recall.item_lists.neighbours import Neighbours
from recall.listeners.preferences import listeners
from recall.live.edits import NewSongs

FUSION: Final = "fusion"
ATTRIBUTES: Final = "attributes"
ITEM_KNN: Final = "item_knn"
FEW: Final = 5.0
"""Listeners at which a cosine that listeners alone speak for counts one half."""


class Sources:
    """Vectors of every model that the release has, and the lists of songs heard by the same listeners."""

    def __init__(self, release: Release) -> None:
        self.snapshot = release.snapshot
        self.listeners = listeners(self.snapshot)
        lists = f"recall/{ITEM_KNN}/neighbours"
        self.lists = Neighbours.load(release, lists) if release.has(lists) else None
        self.models = {name: ModelVectors.load(release, name) for name in models_in(release)}
        self.index = {
            name: VectorIndex.of(release, f"index/{name}", vectors.unit) for name, vectors in self.models.items()
        }
        self._late: tuple[NewSongs, dict[str, Array]] | None = None

    @property
    def names(self) -> list[str]:
        """What things can be compared by."""
        return [FUSION, ATTRIBUTES, *([ITEM_KNN] if self.lists is not None else []), *self.models]

    def check(self, by: str) -> None:
        """Whether things can be compared `by` it.

        Raises: NotInRelease for a model or list that ships and that this release was made without; InvalidInput for
        any other name.
        """
        if by in self.names:
            return
        known = f"(known: {', '.join(self.names)})"
        if by == ITEM_KNN:
            raise NotInRelease(f"the release has no lists of {by!r}: give a scene the channel and refresh {known}")
        if by in model_names():
            raise NotInRelease(f"the release has no vectors of {by!r}: enable [embed.{by}] and refresh {known}")
        raise InvalidInput(f"cannot compare by {by!r} {known}")

    def new_vectors(self, name: str, new: NewSongs) -> Array:
        """(M, D) vectors of new songs in the space of one model, composed of what describes them."""
        late, model = self._late, self.models[name]
        if late is None or late[0] is not new:
            late = self._late = new, {}
        kept = late[1]
        if name not in kept:
            each = [{key: places[i] for key, places in new.entities.items()} for i in range(len(new))]
            composed = [model.composed(entities) for entities in each]
            kept[name] = np.array(composed, dtype=np.float32).reshape(len(new), model.unit.shape[1])
        return kept[name]


def support(mine: float, theirs: Array) -> Array:
    """(n,) n / (n + 5) of the fewer listeners: how far a cosine of two songs is to be believed."""
    fewer = np.minimum(theirs, mine)
    return np.asarray(fewer / (fewer + FEW))


def fused(overlap: Array, learned: Sequence[Array], backed: Array, hidden: Array) -> Array:
    """(n,) the mean of what each source says, from 0 to 1.

    What describes two things (`overlap`) counts as it is. Each of the `learned` cosines counts as a share of the
    highest one, times how far it is believed: by as much as listeners back it, or as the graph itself says the same.
    `hidden` are positions that are no answer.
    """
    believed = np.maximum(backed, overlap)
    total = np.maximum(overlap, 0).astype(np.float64)
    for cosines in learned:
        known = np.maximum(cosines, 0)
        known[hidden] = 0
        total += known * believed / max(float(known.max(initial=0)), 1e-12)
    return np.asarray(total / (1 + len(learned)))


def best(scores: Array, hidden: Array, k: int) -> Candidates:
    """The `k` highest of `scores` (n,) above 0 that are not `hidden`; equal ones by position."""
    scores = scores.astype(np.float64)
    scores[hidden] = 0
    if k < len(scores):
        border = max(float(np.partition(scores, len(scores) - k)[len(scores) - k]), np.finfo(np.float64).tiny)
        found = np.flatnonzero(scores >= border)
    else:
        found = np.flatnonzero(scores > 0)
    return Candidates.best(found, scores[found], k)


def check_gamma(gamma: Mapping[str, float], known: Iterable[str]) -> None:
    """Whether every relation that is weighed is `known`.

    Raises: InvalidInput.
    """
    known = sorted(set(known))
    for name in gamma:
        if name not in known:
            raise InvalidInput(f"gamma for unknown relation {name!r} (known: {', '.join(known) or 'none'})")
