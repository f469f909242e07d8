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

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from embeddings.sequences import SequenceConfig, Sequences
from embeddings.vectors import SongVectors
from graph.arrays import Array
from graph.errors import FitError
from graph.relations import Relation
from graph.snapshot import Snapshot

Progress = Callable[[str, int, int], None]


def _default_gamma() -> dict[str, float]:
    return {"PERFORMED_BY": 1.0, "HAS_GENRE": 0.3, "HAS_TAG": 0.5, "ON_ALBUM": 0.2, "LANGUAGE": 0.1}


@dataclass(frozen=True)
class Song2VecConfig:
    """Hyper-parameters; `gamma` by relation name (`HAS_GENRE`, `LANGUAGE`, `RELATED:film.actor`)."""

    embedding_dim: int = 64
    window: int = 5
    negative: int = 10
    epochs: int = 10
    learning_rate: float = 0.025
    ns_exponent: float = 0.75
    gamma: Mapping[str, float] = field(default_factory=_default_gamma)
    sequences: SequenceConfig = field(default_factory=SequenceConfig)


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
        for name, weight in config.gamma.items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"gamma of {name} must be 0 or more (got {weight})")
        relations = {r.name: r for r in snapshot.song_relations() if config.gamma.get(r.name, 0) > 0}
        corpus = _Corpus(Sequences.of(snapshot, config.sequences), relations, config.gamma, snapshot.songs, seed)
        if not corpus.occurrences.any():
            raise FitError("nothing to learn from: no playback is left after cleaning, and there is no playlist")
        matrix = _train(corpus, config, seed, progress)
        entities = {name: matrix[corpus.base[name] :][: r.targets] for name, r in relations.items()}
        gamma = {name: float(config.gamma[name]) for name in relations}
        return SongVectors.of(snapshot, matrix[: snapshot.songs], corpus.occurrences > 0, entities, gamma)


class _Corpus:
    """The sentences of one epoch after the other, as gensim wants them; words are numbers written out."""

    def __init__(
        self, sequences: Sequences, relations: Mapping[str, Relation], gamma: Mapping[str, float], songs: int, seed: int
    ) -> None:
        self.sequences, self.relations, self.gamma, self.seed = sequences, relations, gamma, seed
        self.occurrences = np.bincount(sequences.songs, minlength=songs)
        self.base: dict[str, int] = {}
        size = songs
        for name, relation in relations.items():
            self.base[name] = size
            size += relation.targets
        self.words = [str(i) for i in range(size)]
        self.epoch = 0

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
        yield from self._pairs(rng)
        words, songs, ends = self.words, self.sequences.songs, self.sequences.indptr
        for s in range(len(self.sequences)):
            piece = songs[ends[s] : ends[s + 1]]
            if len(piece) > 1:
                yield [words[i] for i in (rng.permutation(piece) if self.sequences.bag[s] else piece)]

    def _pairs(self, rng: np.random.Generator) -> Iterator[list[str]]:
        words = self.words
        for name, relation in self.relations.items():
            whole, part = divmod(self.gamma[name], 1)
            occurrences = self.sequences.songs[np.diff(relation.indptr)[self.sequences.songs] > 0]
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


def _train(corpus: _Corpus, config: Song2VecConfig, seed: int, progress: Progress | None) -> Array:
    """Matrix (words, D) of the input vectors; zero for words that never occur."""
    from gensim.models import Word2Vec

    frequencies = corpus.frequencies()
    model = Word2Vec(
        vector_size=config.embedding_dim,
        window=config.window,
        sg=1,
        hs=0,
        negative=config.negative,
        ns_exponent=config.ns_exponent,
        alpha=config.learning_rate,
        min_count=1,
        sample=0,  # dropping frequent words would drop genres and break what gamma means
        seed=seed,
        workers=1,  # gensim is deterministic with one worker only
    )
    model.build_vocab_from_freq(frequencies)
    if progress is not None:
        progress("song2vec", 0, config.epochs)
    total = sum(frequencies.values())
    # One call an epoch, so that it reports, stops at Ctrl-C, and draws its pairs anew.
    for epoch in range(config.epochs):
        alphas = [config.learning_rate * max(1e-3, 1 - e / config.epochs) for e in (epoch, epoch + 1)]
        model.train(corpus, total_words=total, epochs=1, start_alpha=alphas[0], end_alpha=alphas[1])
        if progress is not None:
            progress("song2vec", epoch + 1, config.epochs)
    matrix = np.zeros((len(corpus.words), config.embedding_dim), dtype=np.float32)
    matrix[[int(word) for word in model.wv.index_to_key]] = model.wv.vectors
    if not np.isfinite(matrix).all():
        raise FitError("song2vec ended with weights that are not finite: lower the learning rate")
    return matrix
