"""What tables and the log say, looked up by id: the other side of every claim."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl

from graph.schema import Relationship

Key = tuple[str, str]
Point = tuple[float, float]
"""Latitude and longitude in degrees."""
PLAYBACKS: Final = ("play", "full_play", "skip")
LOVING: Final = ("play", "full_play", "like", "collect", "share", "download", "playlist_add")
VERBS: Final[Mapping[str, tuple[str, ...]]] = {
    "played": ("play", "full_play", "skip"),
    "liked": ("like",),
    "collected": ("collect",),
    "shared": ("share",),
    "downloaded": ("download",),
    "put on a playlist": ("playlist_add",),
}
_STATES: Final = {"LIKED": ("like", "unlike"), "COLLECTED": ("collect", "uncollect"), "SHARED": ("share", "")}
_BLOCKED: Final = ("block", "unblock")


class Facts:
    """Names by (label, id); relationships by type and the ids of both ends; sums of the log by (listener, song).

    `similar` are the nearest songs that a release holds: (id, id of the near song, model).
    """

    def __init__(
        self,
        nodes: Mapping[str, pl.DataFrame],
        relationships: Mapping[Relationship, pl.DataFrame],
        events: pl.DataFrame,
        similar: Iterable[tuple[str, str, str]] = (),
    ) -> None:
        self.names = {(label, row["id"]): _name(row) for label, frame in nodes.items() for row in frame.to_dicts()}
        self.edges: dict[str, dict[Key, dict[str, Any]]] = defaultdict(dict)
        for kind, frame in relationships.items():
            # artists have tags and genres too: only what songs have is cited
            if kind.type not in {"HAS_TAG", "HAS_GENRE", "SIMILAR_TO"} or kind.source == "Song":
                for row in frame.to_dicts():
                    self.edges[kind.type][row.pop("source"), row.pop("target")] = row
        for source, target, by in similar:
            self.edges["SIMILAR_TO"][source, target] = {}
            self.edges[f"SIMILAR_TO:{by}"][source, target] = {}
        self.events: dict[Key, list[dict[str, Any]]] = defaultdict(list)
        self.searches: dict[str, set[str]] = defaultdict(set)
        for event in _in_order(events):
            if event["action"] == "search":
                self.searches[event["user_id"]].add(event.get("query") or "")
            if event["song_id"] is not None:
                self.events[event["user_id"], event["song_id"]].append(event)
        self._places = {
            (label, row["id"]): (row["latitude"], row["longitude"])
            for label in ("User", "Place")
            for row in (nodes[label].to_dicts() if label in nodes else ())
            if row.get("latitude") is not None and row.get("longitude") is not None
        }
        self._sum()

    def name(self, label: str, id_: str) -> str:
        return self.names.get((label, id_)) or id_

    def follow(self, user: str, other: str, since: int, type_: str = "FOLLOWS") -> None:
        """A follow that was made since."""
        self.edges[type_][user, other] = {"since": since}

    def followed(self, user: str | None, type_: str = "FOLLOWS") -> list[str]:
        return [target for source, target in self.edges[type_] if source == user]

    def holds(self, type_: str, source: str, target: str, properties: Mapping[str, Any]) -> bool:
        """Whether there is such a relationship, with all of the properties that are given."""
        if type_ == "SIMILAR_TO":
            return (source, target) in self.edges[f"{type_}:{properties['by']}"]
        known = self.edges[type_].get((source, target))
        return known is not None and all(known.get(name) == value for name, value in properties.items())

    def loves(self, user: str, song: str) -> bool:
        """Whether the listener has ever done anything but skip or block it."""
        return song in self._loved[user]

    def did(self, user: str, song: str, verb: str) -> bool:
        return any(event["action"] in VERBS[verb] for event in self.events.get((user, song), ()))

    def unblocked(self, user: str, song: str) -> bool:
        """Whether the listener's last word on blocking it was to unblock it."""
        last = [event["action"] for event in self.events.get((user, song), ()) if event["action"] in _BLOCKED]
        return last[-1:] == ["unblock"]

    def known_by(self, user: str) -> set[str]:
        """Songs that the listener has any event on."""
        return self._known[user]

    def loved_by(self, user: str) -> set[str]:
        return self._loved[user]

    def places(self, user: str) -> set[Point]:
        """Where a listener is to be found: at home, else wherever his events happened."""
        lives = [("Place", place) for who, place in self.edges["LIVES_IN"] if who == user]
        for home in (("User", user), *lives):
            if home in self._places:
                return {self._places[home]}
        return {point for song in self._known[user] for point in self.points(user, song)}

    def points(self, user: str, song: str) -> set[Point]:
        """Where the events of a listener on a song happened."""
        found = self.events.get((user, song), ())
        return {(e["latitude"], e["longitude"]) for e in found if e.get("latitude") is not None}

    def of_song(self, type_: str, song: str) -> list[str]:
        """The artists, albums, tags or genres of a song."""
        return self._entities[type_, song]

    def by_artist(self, artist: str) -> list[str]:
        """Songs of an artist."""
        return [song for song, by in self.edges["PERFORMED_BY"] if by == artist]

    def lovers(self, song: str) -> set[str]:
        return self._lovers[song]

    def reachable(self, user: str) -> set[str]:
        """Everybody to whom follows lead from a user."""
        if user in self._reachable:
            return self._reachable[user]
        found, rest = {user}, [user]
        while rest:
            for other in self._follows[rest.pop()]:
                if other not in found:
                    found.add(other)
                    rest.append(other)
        self._reachable[user] = found - {user}
        return self._reachable[user]

    def _sum(self) -> None:
        """Relationships that follow from the log."""
        self.plays: Counter[str] = Counter()
        self.players: Counter[str] = Counter()
        self.likers: dict[str, set[str]] = defaultdict(set)
        self._lovers: dict[str, set[str]] = defaultdict(set)
        self._loved: dict[str, set[str]] = defaultdict(set)
        self._follows: dict[str, list[str]] = defaultdict(list)
        self._known: dict[str, set[str]] = defaultdict(set)
        self._entities: dict[Key, list[str]] = defaultdict(list)
        for type_ in ("PERFORMED_BY", "ON_ALBUM", "HAS_TAG", "HAS_GENRE"):
            for song, entity in self.edges[type_]:
                self._entities[type_, song].append(entity)
        self._reachable: dict[str, set[str]] = {}
        self.tagged = Counter(tag for _, tag in self.edges["HAS_TAG"])
        for source, target in self.edges["FOLLOWS"]:
            self._follows[source].append(target)
        for (user, song), events in self.events.items():
            if any(event["action"] in LOVING for event in events):
                self._lovers[song].add(user)
                self._loved[user].add(song)
            self._known[user].add(song)
            self._sum_of(user, song, events)

    def _sum_of(self, user: str, song: str, events: list[dict[str, Any]]) -> None:
        counts = {action: sum(e["count"] for e in events if e["action"] == action) for action in PLAYBACKS}
        if plays := sum(counts.values()):
            times = [e["at"] for e in events if e["action"] in PLAYBACKS and e["at"] is not None]
            known = {"first_at": min(times), "last_at": max(times)} if times else {}
            kept = {"plays": plays, "full_plays": counts["full_play"], "skips": counts["skip"], **known}
            self.edges["LISTENED"][user, song] = kept
            self.plays[song] += plays
            self.players[song] += 1
        states = {type_: e for type_, pair in _STATES.items() if (e := _state(events, *pair)) is not None}
        for type_, event in states.items():
            self.edges[type_][user, song] = {"at": event["at"]}
        if (states or plays > 2 * counts["skip"]) and _state(events, *_BLOCKED) is None:
            self.likers[song].add(user)


def _state(events: list[dict[str, Any]], make: str, undo: str) -> dict[str, Any] | None:
    """The event that made a state, None where the last word was to undo it."""
    last = [event for event in events if event["action"] in (make, undo)]
    return last[-1] if last and last[-1]["action"] == make else None


def _name(row: Mapping[str, Any]) -> str:
    return str(row.get("name") or row.get("title") or row["id"])


def _in_order(events: pl.DataFrame) -> list[dict[str, Any]]:
    """As they happened: an event without a time happened after what the log held before."""
    happened = pl.col("at").cum_max().forward_fill().over("user_id")
    frame = events.with_columns(count=pl.col("count").fill_null(1), happened=pl.coalesce("at", happened))
    return frame.sort("happened", "offset", nulls_last=False).to_dicts()
