"""Song2Vec with a gamma for each relation: songs and what describes them in one space.

    loss = sum over (song, neighbouring song) of SGNS + sum over relations r of gamma_r x SGNS over (song, r-entity)

where SGNS is skip-gram with negative sampling. gamma_r is the expected number of (song, entity) pairs, each counted
once, that are trained through r for every occurrence of a song in the sequences; gamma = 0 leaves the entities out and
is exactly Song2Vec. Entities get vectors too, so a song that nobody has played is composed from its artist, genre and
tags, and a query may weigh them anew.

Trained by gensim: every pair becomes a sentence of two words, which gensim trains in both directions, as it does with
neighbouring songs. Pairs are drawn anew each epoch from the seed, so gamma_r need not be a whole number.

Source: the QQ Music recall talk (knowledge-graph triples joined into Song2Vec with a gamma factor); Mikolov et al.
2013, arXiv 1310.4546; Barkan and Koenigstein 2016, arXiv 1603.04259.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from embeddings.sequences import SequenceConfig, Sequences
from embeddings.skipgram import SkipGramConfig, WalkCorpus, matrix_of, train
from embeddings.vectors import SongVectors
from graph.arrays import Array
from graph.errors import FitError, InvalidInput
from graph.relations import Relation
from graph.snapshot import Snapshot

if TYPE_CHECKING:
    from embeddings.edges import Edges
    from embeddings.node_vectors import NodeVectors
    from embeddings.walks import WalkConfig

Progress = Callable[[str, int, int], None]
_SHARED = tuple(f.name for f in fields(SkipGramConfig) if f.name != "sample")


def _default_gamma() -> dict[str, float]:
    return {"PERFORMED_BY": 2.0, "HAS_GENRE": 0.6, "HAS_TAG": 1.0, "ON_ALBUM": 0.4, "LANGUAGE": 0.2}


@dataclass(frozen=True)
class Song2VecConfig:
    """Hyper-parameters; `gamma` by relation name (`HAS_GENRE`, `LANGUAGE`, `RELATED:film.actor`)."""

    embedding_dim: int = 64
    window: int = 5
    negative: int = 10
    epochs: int = 10
    learning_rate: float = 0.1
    ns_exponent: float = 0.75
    gamma: Mapping[str, float] = field(default_factory=_default_gamma)
    sequences: SequenceConfig = field(default_factory=SequenceConfig)

    @classmethod
    def of_skipgram(cls, skipgram: SkipGramConfig, gamma: Mapping[str, float]) -> Song2VecConfig:
        """With the hyper-parameters of a plain skip-gram, but for its `sample`."""
        return cls(**{name: getattr(skipgram, name) for name in _SHARED}, gamma=gamma)

    def skipgram(self) -> SkipGramConfig:
        """What gensim trains with.

        Raises: ValueError for a number out of range.
        """
        # dropping frequent words would drop genres and break what gamma means
        return SkipGramConfig(**{name: getattr(self, name) for name in _SHARED}, sample=0)


class Song2Vec:
    """Songs, and the entities that describe them, as vectors."""

    @classmethod
    def fit(
        cls,
        snapshot: Snapshot,
        config: Song2VecConfig,
        *,
        rng: np.random.Generator,
        progress: Progress | None = None,
    ) -> SongVectors:
        """Train on the snapshot's sequences; the same state of `rng` gives the same vectors.

        Raises: ValueError for a negative gamma; FitError if there is nothing to learn from, or the weights are not
        finite.
        """
        seed = int(rng.integers(2**31))
        _check_gamma(config.gamma)
        relations = {r.name: r for r in snapshot.song_relations() if config.gamma.get(r.name, 0) > 0}
        bases, size = {}, snapshot.songs
        for name, relation in relations.items():
            bases[name] = size
            size += relation.targets
        sequences = Sequences.of(snapshot, config.sequences)
        occurrences = np.bincount(sequences.songs, minlength=snapshot.songs)
        corpus = _Corpus(lambda: [sequences], occurrences, relations, config.gamma, bases, size, seed)
        if not occurrences.any():
            raise FitError("nothing to learn from: no playback is left after cleaning, and there is no playlist")
        matrix = _train(corpus, config, seed, 1, progress)
        entities = {name: matrix[bases[name] :][: r.targets] for name, r in relations.items()}
        gamma = {name: float(config.gamma[name]) for name in relations}
        return SongVectors.of(snapshot, matrix[: snapshot.songs], occurrences > 0, entities, gamma)

    @classmethod
    def fit_edges(
        cls,
        edges: Edges,
        config: Song2VecConfig,
        walks: WalkConfig,
        *,
        base: str | None = None,
        rng: np.random.Generator,
        workers: int = 1,
        progress: Progress | None = None,
    ) -> NodeVectors:
        """The same on an edge list: walks over the edges of the relation `base` (those without one where None) are the
        sequences, and every other edge is a (node, entity) pair of its relation, with a gamma of 1 unless
        `config.gamma` says another. `config.sequences` has no part in it.

        A node that no walk meets is composed from its entities; one without any trained entity has no vector. The same
        state of `rng` gives the same vectors where `workers` is 1.

        Raises: InvalidInput for an unknown relation or a base without edges; ValueError for a negative gamma;
        FitError if the weights are not finite.
        """
        from embeddings.node2vec import collected, draw_seed
        from embeddings.walks import Walks  # and with it numba, which serving does without

        _check_gamma(config.gamma)
        graph, side = edges.base_graph(base), edges.side(base)
        for name in config.gamma:
            if edges.names[edges.code(name)] == base:
                raise InvalidInput(f"gamma of {name}: the base relation is walked on, it has no gamma")
        relations = {name: r for name, r in side.items() if config.gamma.get(name, 1.0) > 0}
        gamma = {name: config.gamma.get(name, 1.0) for name in relations}
        starts = np.flatnonzero(graph.degrees + np.bincount(graph.indices, minlength=graph.nodes))
        walked = WalkCorpus(Walks(graph, walks, seed=draw_seed(rng), starts=starts, threads=workers), progress)
        seed, began = int(rng.integers(2**31)), time.perf_counter()
        corpus = _Corpus(
            lambda: map(_sequences, walked.blocks()),
            walked.counts,
            relations,
            gamma,
            dict.fromkeys(relations, 0),
            graph.nodes,
            seed,
        )
        matrix = _train(corpus, config, seed, workers, progress)
        _compose(matrix, relations, gamma)
        known: Array = np.asarray(matrix.any(axis=1))
        found = collected(walked, graph, edges.ids, matrix, known, time.perf_counter() - began)
        return replace(found, edges=graph.edges + sum(map(len, relations.values())))


def _check_gamma(gamma: Mapping[str, float]) -> None:
    for name, weight in gamma.items():
        if not 0 <= weight < float("inf"):
            raise ValueError(f"gamma of {name} must be 0 or more (got {weight})")


def _sequences(block: Array) -> Sequences:
    """Walks (B, L) as sequences."""
    inside = block >= 0
    indptr = np.zeros(len(block) + 1, dtype=np.int64)
    np.cumsum(inside.sum(axis=1), out=indptr[1:])
    return Sequences(indptr, block[inside], np.zeros(len(block), dtype=bool))


def _compose(matrix: Array, relations: Mapping[str, Relation], gamma: Mapping[str, float]) -> None:
    """Give each node without a vector the sum over its relations of gamma x the mean of its trained entities."""
    missing: Array = np.logical_not(matrix.any(axis=1))
    known = matrix.copy()
    for name, relation in relations.items():
        edges = missing[relation.edge_sources] & ~missing[relation.indices]
        sources, targets = relation.edge_sources[edges], relation.indices[edges]
        counts = np.bincount(sources, minlength=len(matrix))
        np.add.at(matrix, sources, gamma[name] * known[targets] / counts[sources][:, None].astype(np.float32))


class _Corpus:
    """The sentences of one epoch after the other, as gensim wants them; words are numbers written out."""

    def __init__(
        self,
        blocks: Callable[[], Iterable[Sequences]],
        occurrences: Array,
        relations: Mapping[str, Relation],
        gamma: Mapping[str, float],
        base: Mapping[str, int],
        size: int,
        seed: int,
    ) -> None:
        """`blocks` gives the sequences anew; occurrences (S,) of each of their songs, which are the words 0 to S - 1.

        base[r] is the word of entity 0 of the relation r; there are `size` words.
        """
        self.blocks, self.occurrences, self.relations, self.gamma = blocks, occurrences, relations, gamma
        self.base, self.seed, self.epoch = base, seed, 0
        self.words = [str(i) for i in range(size)]

    def frequencies(self) -> dict[str, int]:
        """Expected occurrences of every word in an epoch (at least 1 for each that may occur)."""
        counts = np.zeros(len(self.words))
        counts[: len(self.occurrences)] = self.occurrences
        for name, relation in self.relations.items():
            # a song's pair holds the song once more, and one of its entities
            pairs = self.gamma[name] * self.occurrences * (np.diff(relation.indptr) > 0)
            counts[: len(pairs)] += pairs
            share = _shares(relation) * pairs[relation.edge_sources]
            np.add.at(counts, self.base[name] + relation.indices, share)
        return {self.words[i]: max(1, round(counts[i])) for i in np.flatnonzero(counts)}

    def __iter__(self) -> Iterator[list[str]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        self.epoch += 1
        words = self.words
        for sequences in self.blocks():
            yield from self._pairs(sequences.songs, rng)
            songs, ends = sequences.songs, sequences.indptr
            for s in range(len(sequences)):
                piece = songs[ends[s] : ends[s + 1]]
                if len(piece) > 1:
                    yield [words[i] for i in (rng.permutation(piece) if sequences.bag[s] else piece)]

    def _pairs(self, songs: Array, rng: np.random.Generator) -> Iterator[list[str]]:
        words = self.words
        for name, relation in self.relations.items():
            whole, part = divmod(self.gamma[name], 1)
            occurrences = songs[np.diff(relation.indptr)[songs] > 0]
            times = int(whole) + (rng.random(len(occurrences)) < part)
            drawn = np.repeat(occurrences, times)
            rng.shuffle(drawn)
            entities = self.base[name] + _draw(relation, drawn, rng)
            for song, entity in zip(drawn.tolist(), entities.tolist(), strict=True):
                yield [words[song], words[entity]]


def _shares(relation: Relation) -> Array:
    """(E,) probability of each edge among those of its source, by weight."""
    weights = np.maximum(relation.weights().astype(np.float64), 1e-9)
    totals = np.bincount(relation.edge_sources, weights=weights, minlength=relation.sources)
    return weights / totals[relation.edge_sources]


def _draw(relation: Relation, sources: Array, rng: np.random.Generator) -> Array:
    """One target for each of `sources`, by weight."""
    ends = np.concatenate([[0.0], np.cumsum(_shares(relation))])
    low, high = ends[relation.indptr[sources]], ends[relation.indptr[sources + 1]]
    edges = np.searchsorted(ends, low + rng.random(len(sources)) * (high - low), side="right") - 1
    targets: Array = relation.indices[np.clip(edges, relation.indptr[sources], relation.indptr[sources + 1] - 1)]
    return targets


def _train(corpus: _Corpus, config: Song2VecConfig, seed: int, workers: int, progress: Progress | None) -> Array:
    """Matrix (words, D) of the input vectors; zero for words that never occur."""

    def report(epoch: int) -> None:
        if progress is not None:
            progress("song2vec", epoch, config.epochs)

    report(0)
    model = train(corpus, corpus.frequencies(), config.skipgram(), seed=seed, workers=workers, after_epoch=report)
    return matrix_of(model, len(corpus.words))
