"""Paths over what a song shares with a seed: an artist, album, tag or genre, or that one is a version of the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from graph.reasons.edges import Edges
from graph.reasons.people import Found
from graph.reasons.reason import Draft, Hop, Node
from graph.reasons.seeds import Seed, Seeds
from graph.reasons.tags import Tags
from graph.snapshot.arrays import Array
from graph.snapshot.relations import Relation

# What a connection through each relation says about the song, all else equal.
_TELLS: Final = {"PERFORMED_BY": 0.8, "COVER_OF": 0.8, "ON_ALBUM": 0.6, "HAS_TAG": 0.5, "HAS_GENRE": 0.4}
LEADS: Final = {"PERFORMED_BY": "by ", "ON_ALBUM": "from the album ", "HAS_TAG": "tagged ", "HAS_GENRE": ""}
"""How what is shared is introduced."""


@dataclass(frozen=True)
class _Examples:
    """The edges of a relation from seeds, by what they lead to; of one target the best example first.

    Shapes: T targets, E edges; targets (T,) rising, starts (T + 1,), edge and worth (E,).
    """

    targets: Array
    starts: Array
    edge: Array
    worth: Array

    @classmethod
    def of(cls, relation: Relation, edge: Array, worth: Array) -> _Examples:
        target = relation.indices[edge]
        order = np.lexsort((edge, -worth, target))
        targets, first = np.unique(target[order], return_index=True)
        return cls(targets, np.append(first, len(edge)), edge[order], worth[order])

    def best(self, targets: Array, source: Array, asked: int) -> list[int]:
        """(n,) where the best example of each target stands that does not come from the song `asked`, -1 where none is;
        `source` is that of every edge of the relation."""
        if not len(self.targets):
            return [-1] * len(targets)
        places = np.minimum(np.searchsorted(self.targets, targets), len(self.targets) - 1)
        found = []
        for known, first, last in zip(
            (self.targets[places] == targets).tolist(),
            self.starts[places].tolist(),
            self.starts[places + 1].tolist(),
            strict=True,
        ):
            mine = range(first, last) if known else ()
            found.append(next((i for i in mine if source[self.edge[i]] != asked), -1))
        return found


@dataclass(frozen=True)
class _Way:
    """From the song `seed` by its `edge` to the entity `middle`, and by the edge `last` back to a song."""

    relation: Relation
    middle: int
    seed: int
    edge: int
    last: int | None
    score: float


class Shared:
    """Reasons over what seeds share with a song, of one asker."""

    def __init__(self, edges: Edges, seeds: Seeds, tags: Tags) -> None:
        self._edges, self._seeds, self._tags, self._snapshot = edges, seeds, tags, edges.snapshot
        self._examples: dict[str, _Examples] = {}
        self._artists: dict[int, list[str]] = {}

    def reasons(self, song: int, most: int, through: tuple[str, int] | None = None) -> Iterator[Found]:
        """For a song of the release: the `most` strongest over each relation, and all that lead through a node, a label
        with a position."""
        node = self._edges.node("Song", song)
        names = self._artists_of(song)
        for name in LEADS:
            relation = self._snapshot.relation(name, "Song")
            at = relation.edges_of(song)
            last = np.array(self._edges.used(relation, range(at.start, at.stop)), dtype=np.int64)
            strengths = self._tags.strengths[last].tolist() if name == "HAS_TAG" else [1.0] * len(last)
            ways = self._ways(relation, relation.indices[last], last.tolist(), strengths, song)
            yield from self._strongest(ways, node, names, most, through)
        yield from self._versions(song, node)

    def of_new(self, song: Node, entities: Mapping[str, Array]) -> Iterator[Found]:
        """For a song that came after the release; entities[r] are the positions of its r-entities."""
        artists = entities.get("PERFORMED_BY", np.empty(0, dtype=np.int32)).tolist()
        names = [self._snapshot.name("Artist", artist) for artist in artists]
        for name in LEADS:
            relation = self._snapshot.relation(name, "Song")
            middles = entities.get(name, np.empty(0, dtype=np.int32))
            ways = self._ways(relation, middles, [None] * len(middles), [1.0] * len(middles), -1)
            yield from self._strongest(ways, song, names, len(ways), None)

    def _ways(
        self, relation: Relation, middles: Array, last: Sequence[int | None], strengths: Sequence[float], asked: int
    ) -> list[_Way]:
        """The ways to a song over entities (n,) and the seed that is the best example of each, the strongest first.

        `last` (n,) are the edges from the song to them, None for a song that came later, `strengths` (n,) how strongly
        it has them; the song `asked` itself is no seed.
        """
        examples, found = self._examples_of(relation), []
        best = examples.best(middles, relation.edge_sources, asked)
        for place, middle, to_song, strength in zip(best, middles.tolist(), last, strengths, strict=True):
            if place >= 0:
                edge = int(examples.edge[place])
                worth = float(examples.worth[place]) * strength * _TELLS[relation.name]
                score = float(worth * self._telling(relation, middle))
                found.append(_Way(relation, middle, int(relation.edge_sources[edge]), edge, to_song, score))
        return sorted(found, key=lambda way: -way.score)

    def _telling(self, relation: Relation, middle: int) -> float:
        if relation.name == "HAS_TAG":
            return self._tags.telling(middle)
        return float(1.0 / (1.0 + np.log1p(len(relation.edges_into(middle))) / 4))

    def _strongest(
        self, ways: list[_Way], song: Node, names: Sequence[str], most: int, through: tuple[str, int] | None
    ) -> Iterator[Found]:
        """Of some ways to a song by artists of those names the strongest that may be cited, equal ones all; and those
        that lead through a node."""
        scores: list[float] = []
        for way in ways:
            enough = len(scores) >= most and way.score < scores[most - 1]
            if enough and through not in {(way.relation.target, way.middle), ("Song", way.seed)}:
                continue
            draft = self._over(way, song, names)
            if draft is not None:
                scores.append(way.score)
                yield way.relation.name, draft

    def _over(self, way: _Way, song: Node, names: Sequence[str]) -> Draft | None:
        """The reason, None where its tag may not be cited of the song or of the seed."""
        relation, middle = way.relation, way.middle
        if relation.name == "HAS_TAG":
            artists = (names, self._artists_of(way.seed))
            if not all(self._tags.citable(middle, theirs) for theirs in artists):
                return None
        seed, node = self._seeds.of(way.seed), self._edges.node(relation.target, middle)
        text = f"{LEADS[relation.name]}{node.name}, like {seed.named}"
        hops = partial(_over_entity, seed, relation, way.edge, way.last)
        return Draft("path", text, way.score, [*seed.nodes, node, song], hops)

    def widened(self, name: str, entity: int, by: int, song: int) -> str | None:
        """That a song has an attribute that is near one of another song, which is a seed; None where none has it.

        `entity` and `by` are positions among the targets of the relation `name`.
        """
        relation = self._snapshot.relation(name, "Song")
        if name == "HAS_TAG" and not all(self._tags.citable(tag) for tag in (entity, by)):
            return None
        sources = relation.into(by)
        mine = sources[self._seeds.among(sources) & (sources != song)].tolist()
        if not mine:
            return None
        seed = self._seeds.of(max(mine, key=lambda song: (self._seeds.liked(song), -song)))
        has, like = (self._snapshot.name(relation.target, position) for position in (entity, by))
        return f"{LEADS[name]}{has}, near {like} ({seed.named})"

    def _examples_of(self, relation: Relation) -> _Examples:
        """Of the seeds, worth how much each is liked, and how strongly it has the tag."""
        if relation.name not in self._examples:
            first, last = relation.indptr[self._seeds.songs], relation.indptr[self._seeds.songs + 1]
            sizes = last - first
            edge = np.arange(int(sizes.sum())) + np.repeat(first - np.cumsum(sizes) + sizes, sizes)
            worth = np.repeat(self._seeds.likes, sizes)
            if self._edges.without_one_of(relation.name):
                kept = np.isin(edge, self._edges.used(relation, edge.tolist()))
                edge, worth = edge[kept], worth[kept]
            if relation.name == "HAS_TAG":
                worth = worth * self._tags.strengths[edge].astype(np.float64)
            self._examples[relation.name] = _Examples.of(relation, edge, worth)
        return self._examples[relation.name]

    def _artists_of(self, song: int) -> list[str]:
        if song not in self._artists:
            artists = self._snapshot.relation("PERFORMED_BY").of(song).tolist()
            self._artists[song] = [self._snapshot.name("Artist", artist) for artist in artists]
        return self._artists[song]

    def _versions(self, song: int, node: Node) -> Iterator[Found]:
        covers = self._snapshot.relation("COVER_OF")
        at = covers.edges_of(song)
        others = [
            (int(covers.indices[e]), Hop.of(covers, e, "in"))
            for e in self._edges.used(covers, range(at.start, at.stop))
        ]
        into = self._edges.used(covers, covers.edges_into(song).tolist())
        others += [(int(covers.edge_sources[e]), Hop.of(covers, e, "out")) for e in into]
        for other, hop in others:
            if other in self._seeds and other != song:
                seed = self._seeds.of(other)
                score = seed.liked * _TELLS["COVER_OF"]
                text = f"another version of {seed.apart}"
                hops: Callable[[], list[Hop]] = partial(list, [*seed.hops, hop])
                yield "COVER_OF", Draft("path", text, score, [*seed.nodes, node], hops)


def _over_entity(seed: Seed, relation: Relation, edge: int, last: int | None) -> list[Hop]:
    """From a seed over its `edge` to an entity, and from there to a song, by its own edge where it has one."""
    to_song = Hop(relation.name, "in") if last is None else Hop.of(relation, last, "in")
    return [*seed.hops, Hop.of(relation, edge, "out"), to_song]
