"""Paths over whom a listener follows: what followees play, songs by followed artists, works of followees."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np

from graph.reasons.asker import Asker, Since
from graph.reasons.edges import Edges
from graph.reasons.reason import Draft, Hop, Node
from graph.reasons.seeds import VERBS, saturate
from graph.snapshot.relations import Relation

FOLLOWEE: Final = 0.9
ARTIST: Final = 1.0
OFTEN: Final = 10
"""Plays from which on somebody loops a song."""
Found = tuple[str, Draft]
"""A kind of path, and the reason."""


class People:
    """Reasons over the follows of one listener, those made since the release included."""

    def __init__(self, edges: Edges, asker: Asker) -> None:
        self._edges, self._snapshot = edges, edges.snapshot
        self._me, self._follows = asker.node(edges.snapshot), asker.followed(edges.snapshot)
        self._user, self._people = asker.user, np.array(sorted(self._follows.people), dtype=np.int64)

    def reasons(self, song: int) -> Iterator[Found]:
        """For a song of the release."""
        performed = self._snapshot.relation("PERFORMED_BY")
        at, node = performed.edges_of(song), self._edges.node("Song", song)
        yield from self._followees(song, node)
        yield from self._works(song, node)
        for edge in self._edges.used(performed, range(at.start, at.stop)):
            yield from self.by_artist(int(performed.indices[edge]), Hop.of(performed, edge, "in"), node)

    def by_artist(self, artist: int, last: Hop, song: Node) -> Iterator[Found]:
        """That the listener follows the artist of a song; `last` leads from the artist to it."""
        follow = self._follow("FOLLOWS_ARTIST", "Artist", self._follows.artists, artist)
        if follow is not None and self._me is not None:
            node = self._edges.node("Artist", artist)
            text = f"by {node.name}, whom you follow"
            hops = [follow, last]
            yield "artist", Draft("path", text, ARTIST, [self._me, node, song], partial(list, hops))

    def _follow(self, type_: str, label: str, since: Since, other: int) -> Hop | None:
        """The relationship to somebody followed, None if there is none that a path may use."""
        if other not in since or self._me is None:
            return None
        if self._edges.left_out(type_, self._me.id, self._snapshot.ids[label][other]):
            return None
        when = since[other]
        return Hop(type_, "out", {} if when is None else {"since": when})

    def _followees(self, song: int, node: Node) -> Iterator[Found]:
        for name in ("COLLECTED", "LIKED", "LISTENED"):
            for follow, person, relation, edge in self._of_followees(name, song):
                strength, said = self._opinion(relation, edge)
                if strength > 0:
                    assert self._me is not None
                    hops = partial(_two, follow, relation, edge)
                    text = f"you follow {person.name}, who {said}"
                    yield "followee", Draft("path", text, FOLLOWEE * strength, [self._me, person, node], hops)

    def _works(self, song: int, node: Node) -> Iterator[Found]:
        for follow, person, relation, edge in self._of_followees("UPLOADED", song):
            assert self._me is not None
            hops = partial(_two, follow, relation, edge)
            text = f"a work of {person.name}, whom you follow"
            yield "creator", Draft("path", text, FOLLOWEE, [self._me, person, node], hops)

    def _of_followees(self, name: str, song: int) -> Iterator[tuple[Hop, Node, Relation, int]]:
        """Edges of a relation from people whom the listener follows to the song."""
        if not len(self._people):
            return
        relation = self._snapshot.relation(name)
        if not len(relation):
            return
        edges = relation.edges_into(song)
        mine = edges[np.isin(relation.edge_sources[edges], self._people)]
        for edge in self._edges.used(relation, mine.tolist()):
            person = int(relation.edge_sources[edge])
            follow = self._follow("FOLLOWS", "User", self._follows.people, person)
            if follow is not None and person != self._user:
                yield follow, self._edges.node("User", person), relation, edge

    def _opinion(self, relation: Relation, edge: int) -> tuple[float, str]:
        if relation.name != "LISTENED":
            return 1.0, f"{VERBS[relation.name]} it"
        plays, skips = int(relation.properties["plays"][edge]), int(relation.properties["skips"][edge])
        said = "played it once" if plays == 1 else f"{'played' if plays < OFTEN else 'loops'} it ({plays} times)"
        return saturate(plays - 2 * skips), said


def _two(follow: Hop, relation: Relation, edge: int) -> list[Hop]:
    """To somebody followed, and from there to a song."""
    return [follow, Hop.of(relation, edge, "out")]
