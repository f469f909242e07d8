"""Paths over what a song shares with a seed: an artist, album, tag or genre, or that one is a version of the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from graph.reasons.edges import Edges
from graph.reasons.people import Found
from graph.reasons.reason import Hop, Node, Reason
from graph.reasons.seeds import Seeds
from graph.reasons.tags import Tags
from graph.snapshot.arrays import Array
from graph.snapshot.relations import Relation

# What a connection through each relation says about the song, all else equal.
_TELLS: Final = {"PERFORMED_BY": 0.8, "COVER_OF": 0.8, "ON_ALBUM": 0.6, "HAS_TAG": 0.5, "HAS_GENRE": 0.4}
LEADS: Final = {"PERFORMED_BY": "by ", "ON_ALBUM": "from the album ", "HAS_TAG": "tagged ", "HAS_GENRE": ""}
"""How what is shared is introduced."""


class Shared:
    """Reasons over what seeds share with a song."""

    def __init__(self, edges: Edges, seeds: Seeds, tags: Tags) -> None:
        self._edges, self._seeds, self._tags, self._snapshot = edges, seeds, tags, edges.snapshot

    def reasons(self, song: int) -> Iterator[Found]:
        """For a song of the release."""
        node = Node.of(self._snapshot, "Song", song)
        names = self._artists(song)
        for name in LEADS:
            relation = self._snapshot.relation(name, "Song")
            at = relation.edges_of(song)
            for last in self._edges.used(relation, range(at.start, at.stop)):
                strength = float(self._tags.strengths[last]) if name == "HAS_TAG" else 1.0
                hop = Hop.of(relation, last, "in")
                yield from self._over(relation, int(relation.indices[last]), hop, node, names, strength)
        yield from self._versions(song, node)

    def of_new(self, song: Node, entities: Mapping[str, Array]) -> Iterator[Found]:
        """For a song that came after the release; entities[r] are the positions of its r-entities."""
        artists = entities.get("PERFORMED_BY", np.empty(0, dtype=np.int32)).tolist()
        names = [self._snapshot.name("Artist", artist) for artist in artists]
        for name in LEADS:
            relation = self._snapshot.relation(name, "Song")
            for middle in entities.get(name, np.empty(0, dtype=np.int32)).tolist():
                yield from self._over(relation, middle, Hop(name, "in"), song, names, 1.0)

    def _over(
        self, relation: Relation, middle: int, last: Hop, song: Node, names: Sequence[str], strength: float
    ) -> Iterator[Found]:
        """The way to a song over the entity `middle` and the seed that is the best example of it."""
        tagged = relation.name == "HAS_TAG"
        if tagged and not self._tags.citable(middle, names):
            return
        edges = relation.edges_into(middle)
        both = self._seeds.among(relation.edge_sources[edges])
        best = max(
            ((self._worth(relation, e), -e) for e in self._edges.used(relation, edges[both].tolist())), default=None
        )
        if best is None:
            return
        worth, edge = best[0], -best[1]
        seed, node = self._seeds.of(int(relation.edge_sources[edge])), Node.of(self._snapshot, relation.target, middle)
        if tagged and not self._tags.citable(middle, self._artists(seed.song)):
            return
        telling = self._tags.telling(middle) if tagged else 1.0 / (1.0 + np.log1p(len(edges)) / 4)
        text = f"{LEADS[relation.name]}{node.name}, like {seed.named}"
        hops = [*seed.hops, Hop.of(relation, edge, "out"), last]
        score = worth * strength * _TELLS[relation.name] * telling
        yield relation.name, Reason.of("path", text, score, [*seed.nodes, node, song], hops)

    def widened(self, name: str, entity: int, by: int) -> str | None:
        """That a song has an attribute that is near another one, of a seed; None where no seed has that.

        `entity` and `by` are positions among the targets of the relation `name`.
        """
        relation = self._snapshot.relation(name, "Song")
        if name == "HAS_TAG" and not all(self._tags.citable(tag) for tag in (entity, by)):
            return None
        sources = relation.into(by)
        mine = sources[self._seeds.among(sources)].tolist()
        if not mine:
            return None
        seed = self._seeds.of(max(mine, key=lambda song: (self._seeds.liked(song), -song)))
        has, like = (self._snapshot.name(relation.target, position) for position in (entity, by))
        return f"{LEADS[name]}{has}, near {like} ({seed.named})"

    def _worth(self, relation: Relation, edge: int) -> float:
        """How good an example the seed of an edge is: how much it is liked, and how strongly it has the tag."""
        liked = self._seeds.liked(int(relation.edge_sources[edge]))
        return liked * float(self._tags.strengths[edge]) if relation.name == "HAS_TAG" else liked

    def _artists(self, song: int) -> list[str]:
        artists = self._snapshot.relation("PERFORMED_BY").of(song).tolist()
        return [self._snapshot.name("Artist", artist) for artist in artists]

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
            if other in self._seeds:
                seed = self._seeds.of(other)
                score = seed.liked * _TELLS["COVER_OF"]
                text = f"another version of {seed.apart}"
                yield "COVER_OF", Reason.of("path", text, score, [*seed.nodes, node], [*seed.hops, hop])
