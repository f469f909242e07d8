"""Why a song: the strongest short paths that lead to it from a listener, in words and as Cypher.

A path has at most three hops and cites only relationships that a release projects back into the graph, so that its
Cypher finds it there. No person is named whom the listener does not follow. Strength of a path: what the listener's
first step weighs (0..1) x what the kind of connection says x how telling the node in the middle is (an artist of ten
songs tells more than a genre of ten thousand).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.histories import UNKNOWN_TIME
from graph.snapshot.relations import Relation
from graph.snapshot.snapshot import UNKNOWN_INTEGER, Snapshot
from graph.store import queries

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
            model: {key: value[:, :SIMILAR_KEPT] for key, value in release.arrays(f"similar/{model}")[0].items()}
            for model in release.names("similar")
        }

    def why(self, user: int, song: int, most: int = 3, without: tuple[str, str, str] | None = None) -> list[Reason]:
        """The `most` strongest reasons for position `song`, at most two of a kind of path.

        `user` is a position, -1 for somebody unknown. Without any path: that the song is popular, or nothing if it
        has never been played. `without` is a relationship (type, id it leads from, id it leads to) that no path may
        use, as if the graph did not hold it; one that it does not hold changes nothing.
        """
        found = list(_Search(self._snapshot, self._similar, user, song, without).reasons()) if user >= 0 else []
        found.sort(key=lambda pair: (-pair[1].score, pair[1].text))
        kept: list[Reason] = []
        seen: dict[str, int] = {}
        for shape, reason in found:
            if seen.get(shape, 0) < 2 and len(kept) < most:
                seen[shape] = seen.get(shape, 0) + 1
                kept.append(reason)
        return kept or self._popular(song)

    def why_new(self, user: int, song: tuple[str, str], entities: Mapping[str, Array], most: int = 3) -> list[Reason]:
        """The same for a `song` (id, name) that came after the release: by its artists, album, tags and genres.

        entities[r] are the positions of its r-entities. Its last edge stands in the graph, which single edits write.
        """
        if user < 0:
            return []
        found = list(_Search(self._snapshot, {}, user, -1, None).of_new(song, entities))
        found.sort(key=lambda reason: (-reason.score, reason.text))
        return found[:most]

    def told(self, song: int, text: str, score: float) -> Reason:
        """A reason that has no path of its own: the song alone, and why in words."""
        return _reason(self._snapshot, "popular", text, score, [("Song", song)], [])

    def _popular(self, song: int) -> list[Reason]:
        listened = self._snapshot.relation("LISTENED")
        people = len(listened.into(song))
        if not people:
            return []
        plays = int(listened.properties["plays"][listened.edges_into(song)].sum())
        times = "once" if plays == 1 else f"{plays} times"
        text = f"played {times} by {people} listeners" if people > 1 else f"played {times}"
        score = min(1.0, people / max(self._snapshot.users, 1))
        return [_reason(self._snapshot, "popular", text, score, [("Song", song)], [])]


class _Search:
    """All reasons for one song and one listener, in no order."""

    def __init__(
        self,
        snapshot: Snapshot,
        similar: Mapping[str, Mapping[str, Array]],
        user: int,
        song: int,
        without: tuple[str, str, str] | None,
    ) -> None:
        self._snapshot, self._similar, self._user, self._song, self._without = snapshot, similar, user, song, without

    def reasons(self) -> Iterator[tuple[str, Reason]]:
        """Each with the kind of its path."""
        yield from self._followees()
        yield from self._followed_artists()
        own = self._own()
        yield from self._shared(own)
        yield from self._covers(own)
        yield from self._neighbours(own)

    def _used(self, relation: Relation, edges: Iterable[int]) -> list[int]:
        """Those of the `edges` that a path may use."""
        if self._without is None or relation.name != self._without[0]:
            return list(edges)
        return [
            edge
            for edge in edges
            if not self._left_out(
                relation.name,
                (relation.source, int(relation.edge_sources[edge])),
                (relation.target, int(relation.indices[edge])),
            )
        ]

    def _left_out(self, name: str, source: tuple[str, int], target: tuple[str, int]) -> bool:
        ids = self._snapshot.ids
        return self._without == (name, ids[source[0]][source[1]], ids[target[0]][target[1]])

    def _own(self) -> dict[int, tuple[float, str, int]]:
        """The listener's other songs: how much each is liked (0..1), and the relationship and edge that says so."""
        listened = self._snapshot.relation("LISTENED")
        own: dict[int, tuple[float, str, int]] = {}
        at = listened.edges_of(self._user)
        liked = listened.properties["plays"][at] - 2 * listened.properties["skips"][at]
        for place in self._used(listened, (at.start + np.flatnonzero(liked > 0)).tolist()):
            own[int(listened.indices[place])] = (_saturate(int(liked[place - at.start])), "LISTENED", place)
        for name, step in _STEP.items():
            relation = self._snapshot.relation(name)
            for place in self._used(relation, range(*relation.edges_of(self._user).indices(len(relation)))):
                target = int(relation.indices[place])
                if own.get(target, (0.0,))[0] < step:
                    own[target] = (step, name, place)
        for unwanted in (self._song, *self._snapshot.relation("BLOCKED").of(self._user).tolist()):
            own.pop(unwanted, None)
        return own

    def _followees(self) -> Iterator[tuple[str, Reason]]:
        follows = self._snapshot.relation("FOLLOWS")
        at = follows.edges_of(self._user)
        place_of = {int(follows.indices[e]): e for e in self._used(follows, range(at.start, at.stop))}
        for name in ("COLLECTED", "LIKED", "LISTENED"):
            relation = self._snapshot.relation(name)
            for edge in self._used(relation, relation.edges_into(self._song).tolist()):
                person = int(relation.edge_sources[edge])
                if person not in place_of or person == self._user:
                    continue
                strength, said = self._opinion(relation, edge)
                if strength <= 0:
                    continue
                who = self._snapshot.name("User", person)
                hops = [_Hop(follows, place_of[person], "out"), _Hop(relation, edge, "out")]
                ends = [("User", self._user), ("User", person), ("Song", self._song)]
                score = _TELLS["FOLLOWS"] * strength
                yield "followee", _reason(self._snapshot, "path", f"you follow {who}, who {said}", score, ends, hops)

    def _opinion(self, relation: Relation, edge: int) -> tuple[float, str]:
        if relation.name != "LISTENED":
            return 1.0, f"{_VERBS[relation.name]} it"
        plays, skips = int(relation.properties["plays"][edge]), int(relation.properties["skips"][edge])
        said = "played it once" if plays == 1 else f"{'played' if plays < 10 else 'loops'} it ({plays} times)"
        return _saturate(plays - 2 * skips), said

    def _followed_artists(self) -> Iterator[tuple[str, Reason]]:
        follows, performed = self._snapshot.relation("FOLLOWS_ARTIST"), self._snapshot.relation("PERFORMED_BY")
        at, mine = follows.edges_of(self._user), performed.edges_of(self._song)
        for by in self._used(performed, range(mine.start, mine.stop)):
            artist = int(performed.indices[by])
            followed = at.start + np.flatnonzero(follows.indices[at] == artist)
            for place in self._used(follows, followed.tolist()):
                hops = [_Hop(follows, place, "out"), _Hop(performed, by, "in")]
                ends = [("User", self._user), ("Artist", artist), ("Song", self._song)]
                text = f"by {self._snapshot.name('Artist', artist)}, whom you follow"
                yield "artist", _reason(self._snapshot, "path", text, _TELLS["FOLLOWS_ARTIST"], ends, hops)

    def _shared(self, own: Mapping[int, tuple[float, str, int]]) -> Iterator[tuple[str, Reason]]:
        """Songs of the listener that share an artist, album, tag or genre with the song."""
        mine = np.fromiter(own, dtype=np.int64, count=len(own))
        for name, text in _SHARED:
            relation = self._snapshot.relation(name, "Song")
            at = relation.edges_of(self._song)
            for last in self._used(relation, range(at.start, at.stop)):
                middle = int(relation.indices[last])
                if (best := self._best_of(relation, middle, own, mine, text)) is not None:
                    said, score, ends, hops = best
                    hops, ends = [*hops, _Hop(relation, last, "in")], [*ends, ("Song", self._song)]
                    yield name, _reason(self._snapshot, "path", said, score, ends, hops)

    def _best_of(
        self, relation: Relation, middle: int, own: Mapping[int, tuple[float, str, int]], mine: Array, text: str
    ) -> tuple[str, float, list[tuple[str, int]], list[_Hop]] | None:
        """The way to the entity `middle` over the song of the listener that is liked most: text, score, ends, hops."""
        edges = relation.edges_into(middle)
        both = np.isin(relation.edge_sources[edges], mine)
        best = max(
            ((own[int(relation.edge_sources[e])], e) for e in self._used(relation, edges[both].tolist())),
            key=lambda pair: (pair[0][0], -pair[1]),
            default=None,
        )
        if best is None:
            return None
        (liked, verb, first), edge = best
        other = int(relation.edge_sources[edge])
        names = self._snapshot.name(relation.target, middle), self._snapshot.name("Song", other)
        said = text.format(middle=names[0], song=names[1], verb=_VERBS[verb])
        telling = 1.0 / (1.0 + np.log1p(len(relation.into(middle))) / 4)
        ends = [("User", self._user), ("Song", other), (relation.target, middle)]
        hops = [_Hop(self._snapshot.relation(verb), first, "out"), _Hop(relation, edge, "out")]
        return said, liked * _TELLS[relation.name] * telling, ends, hops

    def of_new(self, song: tuple[str, str], entities: Mapping[str, Array]) -> Iterator[Reason]:
        """Reasons for a song (id, name) that the snapshot does not hold."""
        own, follows = self._own(), self._snapshot.relation("FOLLOWS_ARTIST")
        mine = np.fromiter(own, dtype=np.int64, count=len(own))
        for artist in entities.get("PERFORMED_BY", np.empty(0, dtype=np.int32)).tolist():
            at = follows.edges_of(self._user)
            for place in (at.start + np.flatnonzero(follows.indices[at] == artist)).tolist():
                text = f"by {self._snapshot.name('Artist', artist)}, whom you follow"
                ends = [("User", self._user), ("Artist", artist)]
                hops = [_Hop(follows, place, "out")]
                yield self._to_new(text, _TELLS["FOLLOWS_ARTIST"], ends, hops, "PERFORMED_BY", song)
        for name, text in _SHARED:
            for middle in entities.get(name, np.empty(0, dtype=np.int32)).tolist():
                best = self._best_of(self._snapshot.relation(name, "Song"), middle, own, mine, text)
                if best is not None:
                    yield self._to_new(*best, name, song)

    def _to_new(
        self,
        text: str,
        score: float,
        ends: Sequence[tuple[str, int]],
        hops: Sequence[_Hop],
        last: str,
        song: tuple[str, str],
    ) -> Reason:
        whole = _reason(self._snapshot, "path", text, score, ends, hops)
        path = [*whole.path, {"relationship": last, "direction": "in", "properties": {}}]
        path.append({"label": "Song", "id": song[0], "name": song[1]})
        kinds = [*((hop.relation.name, hop.direction) for hop in hops), (last, "in")]
        cypher = queries.reason([*(label for label, _ in ends), "Song"], kinds)
        return Reason("path", text, whole.score, path, cypher, {**whole.parameters, f"id{len(ends)}": song[0]})

    def _covers(self, own: Mapping[int, tuple[float, str, int]]) -> Iterator[tuple[str, Reason]]:
        covers = self._snapshot.relation("COVER_OF")
        at = covers.edges_of(self._song)
        others: list[tuple[int, int, Literal["out", "in"]]] = [
            (int(covers.indices[e]), e, "in") for e in self._used(covers, range(at.start, at.stop))
        ]
        into = self._used(covers, covers.edges_into(self._song).tolist())
        others += [(int(covers.edge_sources[e]), e, "out") for e in into]
        for other, edge, direction in others:
            if other in own:
                liked, verb, first = own[other]
                hops = [_Hop(self._snapshot.relation(verb), first, "out"), _Hop(covers, edge, direction)]
                ends = [("User", self._user), ("Song", other), ("Song", self._song)]
                text = f"another version of {self._snapshot.name('Song', other)}, which you {_VERBS[verb]}"
                yield "COVER_OF", _reason(self._snapshot, "path", text, liked * _TELLS["COVER_OF"], ends, hops)

    def _neighbours(self, own: Mapping[int, tuple[float, str, int]]) -> Iterator[tuple[str, Reason]]:
        for by, arrays in self._similar.items():
            mine = np.fromiter(own, dtype=np.int64, count=len(own))
            # (own songs, 20) the neighbours of what the listener likes, where the song may stand among them
            rows, places = np.nonzero(arrays["songs"][mine] == self._song)
            for row, place in zip(rows.tolist(), places.tolist(), strict=True):
                other = int(mine[row])
                if self._left_out("SIMILAR_TO", ("Song", other), ("Song", self._song)):
                    continue
                liked, verb, first = own[other]
                weight = float(arrays["weights"][other, place])
                listened = self._snapshot.relation(verb)
                text = f"heard beside {self._snapshot.name('Song', other)}, which you {_VERBS[verb]}"
                ends = [("User", self._user), ("Song", other), ("Song", self._song)]
                step = {"relationship": "SIMILAR_TO", "direction": "out", "properties": {"weight": weight, "by": by}}
                path = [
                    _node(self._snapshot, *ends[0]),
                    _edge(_Hop(listened, first, "out")),
                    _node(self._snapshot, *ends[1]),
                    step,
                ]
                cypher = queries.reason(["User", "Song", "Song"], [(verb, "out"), ("SIMILAR_TO", "out")])
                parameters = _parameters(self._snapshot, ends)
                score = liked * _TELLS["SIMILAR_TO"] * max(weight, 0.0)
                yield by, Reason("neighbour", text, score, [*path, _node(self._snapshot, *ends[2])], cypher, parameters)


def _reason(
    snapshot: Snapshot, kind: Kind, text: str, score: float, ends: Sequence[tuple[str, int]], hops: Sequence[_Hop]
) -> Reason:
    path: list[dict[str, Any]] = [_node(snapshot, *ends[0])]
    for hop, end in zip(hops, ends[1:], strict=True):
        path += [_edge(hop), _node(snapshot, *end)]
    kinds = [(hop.relation.name, hop.direction) for hop in hops]
    cypher = queries.reason([label for label, _ in ends], kinds)
    return Reason(kind, text, float(score), path, cypher, _parameters(snapshot, ends))


def _node(snapshot: Snapshot, label: str, i: int) -> dict[str, Any]:
    return {"label": label, "id": snapshot.ids[label][i], "name": snapshot.name(label, i)}


def _edge(hop: _Hop) -> dict[str, Any]:
    properties = {name: _plain(values[hop.edge]) for name, values in hop.relation.properties.items()}
    known = {name: value for name, value in properties.items() if value is not None}
    return {"relationship": hop.relation.name, "direction": hop.direction, "properties": known}


def _parameters(snapshot: Snapshot, ends: Sequence[tuple[str, int]]) -> dict[str, Any]:
    return {f"id{n}": snapshot.ids[label][i] for n, (label, i) in enumerate(ends)}


def _saturate(plays: int) -> float:
    """Liking (0..1) of so many plays: 1 -> 0.33, 4 -> 0.67, 18 -> 0.9."""
    return max(plays, 0) / (plays + 2) if plays > 0 else 0.0


def _plain(value: Any) -> Any:
    """A JSON value, None where unknown."""
    number = value.item()
    if isinstance(number, float):
        return None if np.isnan(number) else number
    return None if number in {UNKNOWN_INTEGER, UNKNOWN_TIME} else number
