"""Why a song: the strongest short paths that lead to it from a listener, in words and as Cypher.

A path has at most three hops and cites only relationships that a release projects back into the graph, so that its
Cypher finds it there. No person is named whom the listener does not follow. Strength of a path: what the listener's
first step weighs (0..1) x what the kind of connection says x how telling the node in the middle is (an artist of ten
songs tells more than a genre of ten thousand).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from graph import queries
from graph.arrays import Array
from graph.histories import UNKNOWN_TIME
from graph.relations import Relation
from graph.release import Release
from graph.snapshot import UNKNOWN_INTEGER, Snapshot

Kind = Literal["path", "neighbour", "popular"]
SIMILAR_KEPT: Final = 20

# What a connection through each relation says about the song, all else equal.
_TELLS: Final = {
    "FOLLOWS": 0.9,
    "FOLLOWS_ARTIST": 1.0,
    "PERFORMED_BY": 0.8,
    "COVER_OF": 0.8,
    "SIMILAR_TO": 0.7,
    "ON_ALBUM": 0.6,
    "HAS_TAG": 0.5,
    "HAS_GENRE": 0.4,
}
_SHARED: Final = (
    ("PERFORMED_BY", "by {middle}, like {song} which you {verb}"),
    ("ON_ALBUM", "from the album {middle}, like {song} which you {verb}"),
    ("HAS_TAG", "tagged {middle}, like {song} which you {verb}"),
    ("HAS_GENRE", "{middle}, like {song} which you {verb}"),
)
_VERBS: Final = {"COLLECTED": "collected", "LIKED": "liked", "SHARED": "shared", "LISTENED": "played"}
_STEP: Final = {"COLLECTED": 1.0, "LIKED": 0.9, "SHARED": 0.9}


@dataclass(frozen=True)
class Reason:
    """One reason: its text, strength (0..1), path, and the Cypher that returns exactly that path."""

    kind: Kind
    text: str
    score: float
    path: list[dict[str, Any]]
    cypher: str
    parameters: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "text": self.text,
            "score": round(self.score, 6),
            "path": self.path,
            "cypher": self.cypher,
            "parameters": self.parameters,
        }


@dataclass(frozen=True)
class _Hop:
    relation: Relation
    edge: int
    direction: Literal["out", "in"]


class Paths:
    """Finds reasons in one release."""

    def __init__(self, release: Release) -> None:
        self._snapshot: Snapshot = release.snapshot
        self._similar = {
            name.removeprefix("similar/"): release.arrays(name)[0]
            for name in ("similar/song2vec",)
            if release.has(name)
        }

    def why(self, user: int, song: int, most: int = 3) -> list[Reason]:
        """The `most` strongest reasons for position `song`, at most two of a kind of path.

        `user` is a position, -1 for somebody unknown. Without any path: that the song is popular, or nothing if it
        has never been played.
        """
        found = list(self._reasons(user, song)) if user >= 0 else []
        found.sort(key=lambda pair: (-pair[1].score, pair[1].text))
        kept: list[Reason] = []
        seen: dict[str, int] = {}
        for shape, reason in found:
            if seen.get(shape, 0) < 2 and len(kept) < most:
                seen[shape] = seen.get(shape, 0) + 1
                kept.append(reason)
        return kept or self._popular(song)

    def _reasons(self, user: int, song: int) -> Iterator[tuple[str, Reason]]:
        yield from self._followees(user, song)
        yield from self._followed_artists(user, song)
        own = self._own(user, song)
        yield from self._shared(user, song, own)
        yield from self._covers(user, song, own)
        yield from self._neighbours(user, song, own)

    def _own(self, user: int, song: int) -> dict[int, tuple[float, str, int]]:
        """The listener's other songs: how much each is liked (0..1), and the relationship and edge that says so."""
        listened = self._snapshot.relation("LISTENED")
        own: dict[int, tuple[float, str, int]] = {}
        at = listened.edges_of(user)
        liked = listened.properties["plays"][at] - 2 * listened.properties["skips"][at]
        for edge in np.flatnonzero(liked > 0).tolist():
            place = at.start + edge
            own[int(listened.indices[place])] = (_saturate(int(liked[edge])), "LISTENED", place)
        for name, step in _STEP.items():
            relation = self._snapshot.relation(name)
            for place in range(*relation.edges_of(user).indices(len(relation))):
                target = int(relation.indices[place])
                if own.get(target, (0.0,))[0] < step:
                    own[target] = (step, name, place)
        for unwanted in (song, *self._snapshot.relation("BLOCKED").of(user).tolist()):
            own.pop(unwanted, None)
        return own

    def _followees(self, user: int, song: int) -> Iterator[tuple[str, Reason]]:
        follows = self._snapshot.relation("FOLLOWS")
        at = follows.edges_of(user)
        place_of = {int(u): at.start + i for i, u in enumerate(follows.indices[at])}
        for name in ("COLLECTED", "LIKED", "LISTENED"):
            relation = self._snapshot.relation(name)
            edges = relation.edges_into(song)
            people = relation.edge_sources[edges]
            for edge, person in zip(edges.tolist(), people.tolist(), strict=True):
                if person not in place_of or person == user:
                    continue
                strength, said = self._opinion(relation, edge)
                if strength <= 0:
                    continue
                who = self._snapshot.name("User", person)
                hops = [_Hop(follows, place_of[person], "out"), _Hop(relation, edge, "out")]
                ends = [("User", user), ("User", person), ("Song", song)]
                score = _TELLS["FOLLOWS"] * strength
                yield "followee", self._reason("path", f"you follow {who}, who {said}", score, ends, hops)

    def _opinion(self, relation: Relation, edge: int) -> tuple[float, str]:
        if relation.name != "LISTENED":
            return 1.0, f"{_VERBS[relation.name]} it"
        plays, skips = int(relation.properties["plays"][edge]), int(relation.properties["skips"][edge])
        said = "played it once" if plays == 1 else f"{'played' if plays < 10 else 'loops'} it ({plays} times)"
        return _saturate(plays - 2 * skips), said

    def _followed_artists(self, user: int, song: int) -> Iterator[tuple[str, Reason]]:
        follows, performed = self._snapshot.relation("FOLLOWS_ARTIST"), self._snapshot.relation("PERFORMED_BY")
        at, mine = follows.edges_of(user), performed.edges_of(song)
        for i, artist in enumerate(performed.indices[mine].tolist()):
            for place in np.flatnonzero(follows.indices[at] == artist).tolist():
                hops = [_Hop(follows, at.start + place, "out"), _Hop(performed, mine.start + i, "in")]
                ends = [("User", user), ("Artist", artist), ("Song", song)]
                text = f"by {self._snapshot.name('Artist', artist)}, whom you follow"
                yield "artist", self._reason("path", text, _TELLS["FOLLOWS_ARTIST"], ends, hops)

    def _shared(self, user: int, song: int, own: Mapping[int, tuple[float, str, int]]) -> Iterator[tuple[str, Reason]]:
        """Songs of the listener that share an artist, album, tag or genre with the song."""
        mine = np.fromiter(own, dtype=np.int64, count=len(own))
        for name, text in _SHARED:
            relation = self._snapshot.relation(name, "Song")
            at = relation.edges_of(song)
            for i, middle in enumerate(relation.indices[at].tolist()):
                telling = 1.0 / (1.0 + np.log1p(len(relation.into(middle))) / 4)
                edges = relation.edges_into(middle)
                both = np.isin(relation.edge_sources[edges], mine)
                best = max(
                    ((own[int(relation.edge_sources[e])], int(e)) for e in edges[both]),
                    key=lambda pair: (pair[0][0], -pair[1]),
                    default=None,
                )
                if best is None:
                    continue
                (liked, verb, first), edge = best
                other = int(relation.edge_sources[edge])
                hops = [
                    _Hop(self._snapshot.relation(verb), first, "out"),
                    _Hop(relation, edge, "out"),
                    _Hop(relation, at.start + i, "in"),
                ]
                ends = [("User", user), ("Song", other), (relation.target, middle), ("Song", song)]
                said = text.format(
                    middle=self._snapshot.name(relation.target, middle),
                    song=self._snapshot.name("Song", other),
                    verb=_VERBS[verb],
                )
                yield name, self._reason("path", said, liked * _TELLS[name] * telling, ends, hops)

    def _covers(self, user: int, song: int, own: Mapping[int, tuple[float, str, int]]) -> Iterator[tuple[str, Reason]]:
        covers = self._snapshot.relation("COVER_OF")
        at = covers.edges_of(song)
        others: list[tuple[int, int, Literal["out", "in"]]] = [
            (int(covers.indices[e]), e, "in") for e in range(at.start, at.stop)
        ]
        others += [(int(covers.edge_sources[e]), int(e), "out") for e in covers.edges_into(song)]
        for other, edge, direction in others:
            if other in own:
                liked, verb, first = own[other]
                hops = [_Hop(self._snapshot.relation(verb), first, "out"), _Hop(covers, edge, direction)]
                ends = [("User", user), ("Song", other), ("Song", song)]
                text = f"another version of {self._snapshot.name('Song', other)}, which you {_VERBS[verb]}"
                yield "COVER_OF", self._reason("path", text, liked * _TELLS["COVER_OF"], ends, hops)

    def _neighbours(
        self, user: int, song: int, own: Mapping[int, tuple[float, str, int]]
    ) -> Iterator[tuple[str, Reason]]:
        for by, arrays in self._similar.items():
            mine = np.fromiter(own, dtype=np.int64, count=len(own))
            # (own songs, 20) the neighbours of what the listener likes, where the song may stand among them
            rows, places = np.nonzero(arrays["songs"][mine] == song)
            for row, place in zip(rows.tolist(), places.tolist(), strict=True):
                other = int(mine[row])
                liked, verb, first = own[other]
                weight = float(arrays["weights"][other, place])
                listened = self._snapshot.relation(verb)
                text = f"heard beside {self._snapshot.name('Song', other)}, which you {_VERBS[verb]}"
                ends = [("User", user), ("Song", other), ("Song", song)]
                step = {"relationship": "SIMILAR_TO", "direction": "out", "properties": {"weight": weight, "by": by}}
                path = [self._node(*ends[0]), self._edge(_Hop(listened, first, "out")), self._node(*ends[1]), step]
                cypher = queries.reason(["User", "Song", "Song"], [(verb, "out"), ("SIMILAR_TO", "out")])
                parameters = self._parameters(ends)
                score = liked * _TELLS["SIMILAR_TO"] * max(weight, 0.0)
                yield by, Reason("neighbour", text, score, [*path, self._node(*ends[2])], cypher, parameters)

    def _popular(self, song: int) -> list[Reason]:
        listened = self._snapshot.relation("LISTENED")
        people = len(listened.into(song))
        if not people:
            return []
        plays = int(listened.properties["plays"][listened.edges_into(song)].sum())
        times = "once" if plays == 1 else f"{plays} times"
        text = f"played {times} by {people} listeners" if people > 1 else f"played {times}"
        score = min(1.0, people / max(self._snapshot.users, 1))
        return [self._reason("popular", text, score, [("Song", song)], [])]

    def _reason(
        self, kind: Kind, text: str, score: float, ends: Sequence[tuple[str, int]], hops: Sequence[_Hop]
    ) -> Reason:
        path: list[dict[str, Any]] = [self._node(*ends[0])]
        for hop, end in zip(hops, ends[1:], strict=True):
            path += [self._edge(hop), self._node(*end)]
        kinds = [(hop.relation.name, hop.direction) for hop in hops]
        cypher = queries.reason([label for label, _ in ends], kinds)
        return Reason(kind, text, float(score), path, cypher, self._parameters(ends))

    def _node(self, label: str, i: int) -> dict[str, Any]:
        return {"label": label, "id": self._snapshot.ids[label][i], "name": self._snapshot.name(label, i)}

    def _edge(self, hop: _Hop) -> dict[str, Any]:
        properties = {name: _plain(values[hop.edge]) for name, values in hop.relation.properties.items()}
        known = {name: value for name, value in properties.items() if value is not None}
        return {"relationship": hop.relation.name, "direction": hop.direction, "properties": known}

    def _parameters(self, ends: Sequence[tuple[str, int]]) -> dict[str, Any]:
        return {f"id{n}": self._snapshot.ids[label][i] for n, (label, i) in enumerate(ends)}


def similar_of(songs: Array, weights: Array) -> dict[str, Array]:
    """The arrays that a release stores as `similar/<model>`: the 20 nearest of every song."""
    return {"songs": songs[:, :SIMILAR_KEPT], "weights": weights[:, :SIMILAR_KEPT]}


def _saturate(plays: int) -> float:
    """Liking (0..1) of so many plays: 1 -> 0.33, 4 -> 0.67, 18 -> 0.9."""
    return max(plays, 0) / (plays + 2) if plays > 0 else 0.0


def _plain(value: Any) -> Any:
    """A JSON value, None where unknown."""
    number = value.item()
    if isinstance(number, float):
        return None if np.isnan(number) else number
    return None if number in {UNKNOWN_INTEGER, UNKNOWN_TIME} else number
