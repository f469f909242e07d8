"""Who or what caused a channel to propose a song."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from recall.base import Query

# Kinds of causes. The text names a node, and how many people; those without one are told by the paths of the release.
FOLLOWEE, CIRCLE, ALIKE, ARTIST, CREATOR, NEARBY, NEAR_ARTIST, NEAR_CREATOR, SIMILAR, BESIDE, ATTRIBUTE = range(11)
REGION, REGION_ARTIST, REGION_CREATOR = range(11, 14)
SEARCHED, SEARCHED_NEAR, NEW_FOLLOWEE, NEW_ARTIST, NEW_PLACE, UNBLOCKED = range(14, 20)
_TEXTS: Final = {
    FOLLOWEE: "{name}, whom you follow, loves it",
    CIRCLE: "loved by {people} around {name}, whom you follow",
    ALIKE: "loved by {people} with your taste",
    ARTIST: "by {name}, whom you follow",
    CREATOR: "a work of {name}, whom you follow",
    NEARBY: "loved near you more than elsewhere",
    NEAR_ARTIST: "by {name}, whom listeners near you love",
    NEAR_CREATOR: "by somebody whom listeners near you love",
    REGION: "loved in the region around you more than elsewhere",
    REGION_ARTIST: "by {name}, whom listeners in the region around you love",
    REGION_CREATOR: "by somebody whom listeners in the region around you love",
    SEARCHED: "you searched for {name}",
    SEARCHED_NEAR: "like {name}, found when you searched",
    NEW_FOLLOWEE: "loved by {name}, whom you just followed",
    NEW_ARTIST: "by {name}, whom you just followed",
    NEW_PLACE: "loved around the place where you are now",
    UNBLOCKED: "you unblocked it",
}
RELATION_OF: Final = {"Artist": "PERFORMED_BY", "Album": "ON_ALBUM", "Tag": "HAS_TAG", "Genre": "HAS_GENRE"}
"""The relation from songs to each label that an attribute may have."""


@dataclass(frozen=True)
class Cause:
    """`kind` is one of the numbers above; (label, position) is the node that is meant, where one may be named.

    `SIMILAR` and `BESIDE` name the song of the listener that the proposed one is near to, by vectors and by common
    listeners. `ATTRIBUTE` names what the song has, and `by` the position of the preferred attribute that it is near
    to, -1 where it is preferred itself. `people` are how many of a circle, or of the same taste, love the song. `name`
    is named where there is no node to name: the words of a search, or somebody whom the release may not know.
    """

    kind: int
    label: str | None = None
    position: int = -1
    by: int = -1
    people: int = 0
    name: str | None = None

    def text(self, snapshot: Snapshot) -> str | None:
        """As it is said to the listener; names no people but those the listener follows. None for what needs a path."""
        if self.kind not in _TEXTS:
            return None
        name = self.name or ("" if self.label is None else snapshot.name(self.label, self.position))
        people = "a listener" if self.people == 1 else f"{self.people} listeners"
        return _TEXTS[self.kind].format(name=name, people=people)


@runtime_checkable
class Explains(Protocol):
    """A channel that can say what caused it to propose a song."""

    def because(self, query: Query, songs: Array) -> list[Cause | None]:
        """What weighs most for each of these songs, None where nothing does."""
        ...


def near_songs(kind: int, seeds: Array) -> list[Cause | None]:
    """Causes of songs that are near to `seeds` (n,), positions of songs, -1 where none is."""
    return [None if seed < 0 else Cause(kind, "Song", seed) for seed in seeds.tolist()]
