"""The songs that reasons start from: what a listener likes, or the songs of a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from graph.reasons.asker import Asker
from graph.reasons.edges import Edges
from graph.reasons.reason import Hop, Node
from graph.snapshot.arrays import Array

VERBS: Final = {"COLLECTED": "collected", "LIKED": "liked", "SHARED": "shared", "LISTENED": "played"}
_STATES: Final = {"COLLECTED": 1.0, "LIKED": 0.9, "SHARED": 0.9}
_OF_LATE: Final = 0.5
"""How much a song is liked that the release knows nothing of."""


@dataclass(frozen=True)
class Seed:
    """A song that a path leads from.

    `liked` is how much (0..1), `verb` how the listener met it, None for a song of the session. `start` is the listener
    with the relationship to the song, None where the path begins with the song itself.
    """

    song: int
    node: Node
    liked: float
    verb: str | None
    start: tuple[Node, Hop] | None = None

    @property
    def named(self) -> str:
        """As in "like One which you played"."""
        return f"{self.node.name} from this session" if self.verb is None else f"{self.node.name} which you {self.verb}"

    @property
    def apart(self) -> str:
        """As in "another version of One, which you played"."""
        return self.named if self.verb is None else f"{self.node.name}, which you {self.verb}"

    @property
    def nodes(self) -> list[Node]:
        """The path up to the song."""
        return [self.node] if self.start is None else [self.start[0], self.node]

    @property
    def hops(self) -> list[Hop]:
        return [] if self.start is None else [self.start[1]]


class Seeds:
    """Every seed of somebody who asks about songs.

    A song that the listener skips as often as every other time, or has blocked, is none.
    """

    def __init__(self, edges: Edges, asker: Asker) -> None:
        self._edges, self._snapshot, self._asker = edges, edges.snapshot, asker
        self._made: dict[int, Seed] = {}
        # song -> how much it is liked, the verb, and the relationship with its edge that says so
        self._known: dict[int, tuple[float, str | None, str, int]] = {}
        if asker.user >= 0:
            self._add_plays(edges)
            self._add_states(edges)
        for other, verb in asker.since.items():
            self._known.setdefault(other, (_OF_LATE, verb, "", -1))
        for other in asker.session:
            self._known.setdefault(other, (1.0, None, "", -1))
        blocked = edges.snapshot.relation("BLOCKED").of(asker.user).tolist() if asker.user >= 0 else []
        for unwanted in (*asker.blocked, *blocked):
            self._known.pop(unwanted, None)
        self.songs = np.sort(np.fromiter(self._known, dtype=np.int64, count=len(self._known)))
        self.likes = np.array([self._known[song][0] for song in self.songs.tolist()], dtype=np.float64)
        """(S,) how much each of `songs` is liked."""

    def __contains__(self, song: int) -> bool:
        return song in self._known

    def among(self, songs: Array) -> Array:
        """(n,) whether each of some songs is a seed."""
        if not len(self.songs):
            return np.zeros(len(songs), dtype=bool)
        places = np.minimum(np.searchsorted(self.songs, songs), len(self.songs) - 1)
        return np.asarray(self.songs[places] == songs)

    def liked(self, song: int) -> float:
        """How much a seed is liked (0..1)."""
        return self._known[song][0]

    def of(self, song: int) -> Seed:
        """The seed at a position."""
        if song not in self._made:
            liked, verb, name, place = self._known[song]
            me = self._asker.node(self._snapshot)
            start = (me, Hop.of(self._snapshot.relation(name), place, "out")) if name and me is not None else None
            self._made[song] = Seed(song, self._edges.node("Song", song), liked, verb, start)
        return self._made[song]

    def _add_plays(self, edges: Edges) -> None:
        listened = self._snapshot.relation("LISTENED")
        at = listened.edges_of(self._asker.user)
        liked = listened.properties["plays"][at] - 2 * listened.properties["skips"][at]
        for place in edges.used(listened, (at.start + np.flatnonzero(liked > 0)).tolist()):
            song = int(listened.indices[place])
            self._known[song] = saturate(int(liked[place - at.start])), VERBS["LISTENED"], "LISTENED", place

    def _add_states(self, edges: Edges) -> None:
        for name, strength in _STATES.items():
            relation = self._snapshot.relation(name)
            at = relation.edges_of(self._asker.user)
            for place in edges.used(relation, range(at.start, at.stop)):
                song = int(relation.indices[place])
                known = self._known.get(song, (0.0,))[0]
                if (name, song) not in self._asker.undone and known < strength:
                    self._known[song] = strength, VERBS[name], name, place


def saturate(plays: int) -> float:
    """Liking (0..1) of so many plays: 1 -> 0.33, 4 -> 0.67, 18 -> 0.9."""
    return plays / (plays + 2) if plays > 0 else 0.0
