"""What node2vec, metapath2vec and EGES share: trained on any edge list, or on the graph of a snapshot."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, Final

import numpy as np
import polars as pl

from embeddings.skipgram.corpus import Progress
from embeddings.skipgram.edges import Edges
from embeddings.vectors.model_vectors import ModelVectors
from embeddings.vectors.node_vectors import NodeVectors
from graph.errors import NothingToLearn
from graph.snapshot.arrays import Array
from graph.snapshot.histories import strengths
from graph.snapshot.relations import Relation
from graph.snapshot.snapshot import Snapshot

FOLLOWS: Final = "FOLLOWS"


class WalkModel:
    """A model that learns a vector for every node of an edge list from walks over it."""

    @classmethod
    def fit_edges(
        cls,
        edges: Edges,
        config: Any,
        *,
        rng: np.random.Generator,
        workers: int = 1,
        progress: Progress | None = None,
    ) -> NodeVectors:
        """A vector for every node that is learned; the same state of `rng` gives the same ones where `workers` is 1.

        Raises: InvalidInput for what the edges do not have; FitError if the weights are not finite.
        """
        raise NotImplementedError

    @classmethod
    def fit(
        cls,
        snapshot: Snapshot,
        config: Any,
        *,
        rng: np.random.Generator,
        previous: ModelVectors | None = None,  # noqa: ARG003  it is trained anew
        device: str = "cpu",  # noqa: ARG003  walks know no device
        progress: Progress | None = None,
    ) -> ModelVectors:
        """The same over the snapshot's graph: who listens to what (edges without a relation, which walks follow), what
        describes songs, and follows.

        Raises: NothingToLearn for a graph without edges; FitError if the weights are not finite.
        """
        edges = snapshot_edges(snapshot)
        found = cls.fit_edges(edges, config, rng=rng, progress=progress)
        return of_nodes(snapshot, found, {"config": asdict(config)})


def snapshot_edges(snapshot: Snapshot) -> Edges:
    """The graph as an edge list; the ids of nodes are `label:position`.

    Raises: NothingToLearn if no listener likes a song.
    """
    follows = [r for r in snapshot.relations() if r.name == FOLLOWS and r.source == r.target and len(r)]
    frames = [_frame(relation) for relation in (*snapshot.song_relations(), *follows)]
    return Edges.of_frame(pl.concat([_listened(snapshot), *frames]))


def of_nodes(snapshot: Snapshot, found: NodeVectors, meta: dict[str, Any]) -> ModelVectors:
    """Vectors of the nodes of `snapshot_edges` by song and entity."""
    place = {id_: i for i, id_ in enumerate(found.ids)}

    def rows(label: str, count: int) -> Array:
        at = np.array([place.get(f"{label}:{i}", -1) for i in range(count)], dtype=np.int64)
        matrix = found.vectors[np.maximum(at, 0)].astype(np.float32) if len(found.ids) else np.zeros((count, 1))
        matrix[at < 0] = 0
        return matrix

    songs = rows("Song", snapshot.songs)
    entities = {r.name: rows(r.target, r.targets) for r in snapshot.song_relations() if r.target != "Song"}
    vectors = ModelVectors.of(snapshot, songs, np.asarray(songs.any(axis=1)), entities, dict.fromkeys(entities, 1.0))
    return replace(vectors, meta=meta)


def _listened(snapshot: Snapshot) -> pl.DataFrame:
    histories = snapshot.histories
    pairs = pl.DataFrame(
        {
            "source": histories.user.astype(np.int64),
            "target": histories.song.astype(np.int64),
            "weight": strengths(histories.action, histories.count),
        }
    )
    liked = pairs.group_by("source", "target", maintain_order=True).agg(pl.col("weight").sum())
    liked = liked.filter(pl.col("weight") > 0)
    if not len(liked):
        raise NothingToLearn("no listener likes a song")
    return liked.select(
        source=pl.format("User:{}", "source"),
        target=pl.format("Song:{}", "target"),
        weight="weight",
        relation=pl.lit(None, dtype=pl.String),
    )


def _frame(relation: Relation) -> pl.DataFrame:
    weights = relation.properties.get("weight")
    weight = np.ones(len(relation)) if weights is None else np.nan_to_num(weights.astype(np.float64), nan=1.0)
    return pl.DataFrame(
        {"s": relation.edge_sources.astype(np.int64), "t": relation.indices.astype(np.int64), "weight": weight}
    ).select(
        source=pl.format(f"{relation.source}:{{}}", "s"),
        target=pl.format(f"{relation.target}:{{}}", "t"),
        weight="weight",
        relation=pl.lit(relation.name),
    )
