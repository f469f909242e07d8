"""Song2Vec with a gamma for each relation: songs and what describes them in one space.

    loss = sum over (song, neighbouring song) of SGNS + sum over relations r of gamma_r x SGNS over (song, r-entity)

where SGNS is skip-gram with negative sampling. gamma_r is the expected number of (song, entity) pairs, each counted
once, that are trained through r for every occurrence of a song in the sequences, in the mean over occurrences; gamma =
0 leaves the entities out and is exactly Song2Vec. Each song has as many pairs as any other, however often it occurs:
what a song is does not become truer by being played, so a rare song is placed by what it is and a frequent one by its
company. Entities get vectors too, so a song that nobody has played is composed from its artist, genre and tags, and a
query may weigh them anew.

Every pair is a sequence of two words, trained in both directions as neighbouring songs are. Pairs are drawn anew each
epoch from the seed, so gamma_r need not be a whole number.

Source: the QQ Music recall talk (knowledge-graph triples joined into Song2Vec with a gamma factor); Mikolov et al.
2013, arXiv 1310.4546; Barkan and Koenigstein 2016, arXiv 1603.04259.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from embeddings.skipgram.corpus import Numbers, Ragged, WalkCorpus
from embeddings.skipgram.sequences import SequenceConfig, Sequences
from embeddings.skipgram.skipgram import SkipGramConfig, numbered, train, untrained
from embeddings.vectors.model_vectors import ModelVectors
from graph.errors import InvalidInput, NothingToLearn
from graph.snapshot.arrays import Array
from graph.snapshot.relations import Relation
from graph.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from embeddings.skipgram.edges import Edges
    from embeddings.skipgram.walks import WalkConfig
    from embeddings.vectors.incremental import LastTraining, UpdateConfig
    from embeddings.vectors.node_vectors import NodeVectors

Progress = Callable[[str, int, int], None]
_PART: Final = 1 << 14
"""Songs between which the pairs of entities are mixed."""
_SHARED = tuple(f.name for f in fields(SkipGramConfig) if f.name not in {"sample", "trainer", "deterministic"})


def _default_gamma() -> dict[str, float]:
    return {"PERFORMED_BY": 2.0, "HAS_GENRE": 0.6, "HAS_TAG": 1.0, "ON_ALBUM": 0.4, "LANGUAGE": 0.2}


@dataclass(frozen=True)
class Song2VecConfig:
    """Hyper-parameters of Song2Vec."""

    embedding_dim: int = 64
    """Numbers of a vector, 1 or more."""
    window: int = 5
    """Songs on either side of a song that are its neighbours at most, 1 or more."""
    negative: int = 10
    """Negatives drawn for each pair, 1 or more."""
    epochs: int = 10
    """Passes over the sequences, 1 or more."""
    learning_rate: float = 0.1
    """Step at the beginning, above 0; it falls to near 0 over training."""
    ns_exponent: float = 0.75
    """Negatives are drawn by their count to this power: 0 for all alike, 1 by count."""
    gamma: Mapping[str, float] = field(default_factory=_default_gamma)
    """Pairs trained through each relation for every occurrence of a song, by name (`HAS_GENRE`, `LANGUAGE`,
    `RELATED:film.actor`), 0 or more; 0 leaves a relation out."""
    described: float = 0.5
    """How much of what a song's entities say is added to its vector after training, both at length 1; 0 for none."""
    sequences: SequenceConfig = field(default_factory=SequenceConfig)
    """How listening is cut into sequences."""

    @classmethod
    def of_skipgram(cls, skipgram: SkipGramConfig, gamma: Mapping[str, float]) -> Song2VecConfig:
        """With the hyper-parameters of a plain skip-gram, but for its `sample`."""
        return cls(**{name: getattr(skipgram, name) for name in _SHARED}, gamma=gamma)

    def skipgram(self) -> SkipGramConfig:
        """What the songs and entities are trained with.

        Raises: ValueError for a number out of range.
        """
        # dropping frequent words would drop genres and break what gamma means
        return SkipGramConfig(**{name: getattr(self, name) for name in _SHARED}, sample=0)


class Song2Vec:
    """Songs, and the entities that describe them, as vectors."""

    enabled: ClassVar[bool] = True
    """A refresh trains it unless `[embed.song2vec]` says otherwise."""

    @classmethod
    def fit(
        cls,
        snapshot: Snapshot,
        config: Song2VecConfig,
        *,
        rng: np.random.Generator,
        previous: ModelVectors | None = None,  # noqa: ARG003  `update` goes on from it
        device: str = "cpu",  # noqa: ARG003  there is one
        workers: int = 1,
        start: ModelVectors | None = None,
        only: Sequences | None = None,
        progress: Progress | None = None,
    ) -> ModelVectors:
        """Train on the snapshot's sequences; the same state of `rng` gives the same vectors where `workers` is 1.

        `start`: vectors to go on from, of this snapshot's songs and entities; those that are 0 begin at random. `only`:
        the sequences to train on; what is not in them stays as it starts, but for what is drawn as a negative.

        Raises: ValueError for a negative gamma or `described`, or a start of another shape; FitError if there is
        nothing to learn from, or the weights are not finite.
        """
        seed = int(rng.integers(2**31))
        _check_gamma(config.gamma)
        if not 0 <= config.described < float("inf"):
            raise ValueError(f"described must be 0 or more (got {config.described})")
        relations = {r.name: r for r in snapshot.song_relations() if config.gamma.get(r.name, 0) > 0}
        bases, size = {}, snapshot.songs
        for name, relation in relations.items():
            bases[name] = size
            size += relation.targets
        sequences = Sequences.of(snapshot, config.sequences) if only is None else only
        occurrences = np.bincount(sequences.songs, minlength=snapshot.songs)
        trained, frequent = occurrences > 0, occurrences
        if only is not None and start is not None:
            # negatives are drawn from all that is known; plays say nearly what the sequences of all of them would
            h = snapshot.histories
            trained, frequent = trained | start.trained, np.bincount(h.song[h.playbacks], minlength=snapshot.songs)
        corpus = _Corpus(lambda: sequences.parts(_PART), frequent, relations, config.gamma, bases, size, seed)
        if not occurrences.any():
            raise NothingToLearn("nothing to learn from: no playback is left after cleaning, and there is no playlist")
        given = None if start is None else _given(start, bases, size, config.embedding_dim)
        words = round(float(corpus.expected(occurrences).sum()))
        matrix, outputs = _train(corpus, config, seed, workers, progress, given, words)

        def split(rows: Array) -> dict[str, Array]:
            return {name: rows[bases[name] :][: r.targets] for name, r in relations.items()}

        gamma = {name: float(config.gamma[name]) for name in relations}
        songs = matrix[: snapshot.songs]
        found = ModelVectors.of(snapshot, songs, trained, split(matrix), gamma, config.described)
        return replace(found, outputs=outputs[: snapshot.songs], entity_outputs=split(outputs))

    @classmethod
    def update(
        cls,
        snapshot: Snapshot,
        last: LastTraining,
        config: Song2VecConfig,
        how: UpdateConfig,
        *,
        rng: np.random.Generator,
        progress: Progress | None = None,
    ) -> ModelVectors:
        """The vectors after the snapshot's fresh events, taken on from those of the last release.

        The same state of `rng` gives the same; see `embeddings.vectors.incremental`.

        Raises: FitError if the weights are not finite; ValueError as `fit`.
        """
        if not last.fresh.any():
            return last.vectors
        touched = last.fresh | _replayed(snapshot, last.fresh, how.replay, rng)
        sequences = Sequences.of(snapshot, config.sequences, among=touched)
        if not len(sequences.songs):  # what is new is skips, or too short
            return last.vectors
        short = replace(config, epochs=how.epochs, learning_rate=how.learning_rate)
        return cls.fit(snapshot, short, rng=rng, start=last.vectors, only=sequences, progress=progress)

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
        `config.gamma` says another. `config.sequences` and `config.described` have no part in it.

        A node that no walk meets is composed from its entities; one without any trained entity has no vector. The same
        state of `rng` gives the same vectors where `workers` is 1.

        Raises: InvalidInput for an unknown relation or a base without edges; ValueError for a negative gamma;
        FitError if the weights are not finite.
        """
        from embeddings.skipgram.node2vec import collected, draw_seed
        from embeddings.skipgram.walks import Walks  # and with it numba, which serving does without

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
        matrix, _ = _train(corpus, config, seed, workers, progress)
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
    """What is read in one epoch after the other; a word is a number written out."""

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
        self._blocks, self.occurrences, self.relations, self.gamma = blocks, occurrences, relations, gamma
        # how many times gamma_r pairs each occurrence of a song has, so that all songs have as many
        self._times = occurrences.sum() / max(1, np.count_nonzero(occurrences)) / np.maximum(occurrences, 1)
        self.base, self.seed, self.epoch = base, seed, 0
        self.words = [str(i) for i in range(size)]

    @property
    def kinds(self) -> Array:
        """(words,) 0 for a song, and for an entity its relation's number from 1: what negatives are drawn by.

        One space for all would have a song told mostly from rare entities, of which there may be many more than songs.
        """
        kinds = np.zeros(len(self.words), dtype=np.int32)
        for number, (name, relation) in enumerate(self.relations.items(), start=1):
            kinds[self.base[name] + relation.indices] = number
        kinds[np.flatnonzero(self.occurrences)] = 0
        return kinds

    def frequencies(self) -> dict[str, int]:
        """Expected occurrences of every word in an epoch (at least 1 for each that may occur)."""
        counts = self.expected(self.occurrences)
        return {self.words[i]: max(1, round(counts[i])) for i in np.flatnonzero(counts)}

    def expected(self, occurrences: Array) -> Array:
        """(words,) the same, for other occurrences (S,) of the songs."""
        counts = np.zeros(len(self.words))
        counts[: len(occurrences)] = occurrences
        for name, relation in self.relations.items():
            # a song's pair holds the song once more, and one of its entities
            pairs = self.gamma[name] * self._times * occurrences * (np.diff(relation.indptr) > 0)
            counts[: len(pairs)] += pairs
            share = _shares(relation) * pairs[relation.edge_sources]
            np.add.at(counts, self.base[name] + relation.indices, share)
        return counts

    def blocks(self) -> Iterator[Ragged]:
        """Part by part the pairs of the sequences, drawn anew, and then the sequences."""
        rng = np.random.default_rng([self.seed, self.epoch])
        self.epoch += 1
        for sequences in self._blocks():
            pairs = self._pairs(sequences.songs, rng).reshape(-1)
            ends = np.arange(0, len(pairs), 2), len(pairs) + sequences.indptr
            yield Ragged(np.concatenate(ends), np.concatenate([pairs, sequences.shuffled(rng)]))

    def _pairs(self, songs: Array, rng: np.random.Generator) -> Array:
        """(P, 2) song and entity, relation by relation."""
        drawn = [np.empty((0, 2), dtype=np.int64)]
        for name, relation in self.relations.items():
            occurrences = songs[np.diff(relation.indptr)[songs] > 0]
            part, whole = np.modf(self.gamma[name] * self._times[occurrences])
            times = whole.astype(np.int64) + (rng.random(len(occurrences)) < part)
            mine = rng.permutation(np.repeat(occurrences, times))
            drawn.append(np.stack([mine, self.base[name] + _draw(relation, mine, rng)], axis=1))
        return np.concatenate(drawn)


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


def _given(start: ModelVectors, bases: Mapping[str, int], size: int, dim: int) -> tuple[Array, Array]:
    """Input and output vectors (size, D) as `start` has them, 0 where it has none."""
    inputs, outputs = np.zeros((size, dim), dtype=np.float32), np.zeros((size, dim), dtype=np.float32)
    parts: list[tuple[int, Array | None, Array | None]] = [(0, start.raw, start.outputs)]
    parts += [(base, start.entities.get(name), start.entity_outputs.get(name)) for name, base in bases.items()]
    for (base, *matrices), end in zip(parts, [*bases.values(), size], strict=True):
        for whole, matrix in zip((inputs, outputs), matrices, strict=True):
            if matrix is None:
                continue
            if matrix.shape != (end - base, dim):
                raise ValueError(f"start must have vectors of shape {(end - base, dim)} (got {matrix.shape})")
            whole[base:end] = matrix
    return inputs, outputs


def _train(
    corpus: _Corpus,
    config: Song2VecConfig,
    seed: int,
    workers: int,
    progress: Progress | None,
    start: tuple[Array, Array] | None = None,
    words: int | None = None,
) -> tuple[Array, Array]:
    """Input and output vectors (words, D); those of words that never occur stay as they start, or 0.

    `words`: how many an epoch reads, the corpus's frequencies where None.
    """

    def report(epoch: int) -> None:
        if progress is not None:
            progress("song2vec", epoch, config.epochs)

    report(0)
    model = untrained(corpus.frequencies(), config.skipgram(), seed=seed, workers=workers)
    if start is not None:
        places = np.array([int(word) for word in model.wv.index_to_key])
        inputs, outputs = (matrix[places] for matrix in start)
        known = inputs.any(axis=1)
        model.wv.vectors[known] = inputs[known]
        model.syn1neg[:] = outputs
    train(model, Numbers(corpus.words, corpus.blocks, corpus.kinds), config.skipgram(), words=words, after_epoch=report)
    sides = (model.wv.vectors, model.syn1neg)
    found = [numbered(model, side, len(corpus.words)) for side in sides]
    if start is not None:
        absent = np.setdiff1d(np.arange(len(corpus.words)), places)
        for matrix, begun in zip(found, start, strict=True):
            matrix[absent] = begun[absent]
    return found[0], found[1]


def _replayed(snapshot: Snapshot, fresh: Array, replay: float, rng: np.random.Generator) -> Array:
    """(E,) older events on songs that the fresh ones touch, `replay` for each fresh one."""
    histories = snapshot.histories
    around = np.zeros(snapshot.songs, dtype=bool)
    around[histories.song[fresh]] = True
    older = np.flatnonzero(~fresh & around[histories.song])
    drawn = np.zeros(len(histories), dtype=bool)
    drawn[rng.choice(older, min(len(older), round(replay * int(fresh.sum()))), replace=False)] = True
    return drawn
