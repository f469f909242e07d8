"""Who or what caused a channel to propose a song, in words that name no people but those the listener follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from recall.base import Query

# What a cause is called in code, and how it is said; {name} is that of the node, where it has one.
FOLLOWEE, CIRCLE, ALIKE, ARTIST, CREATOR, NEARBY, NEAR_ARTIST, NEAR_CREATOR = range(8)
_SAID: Final = {
    FOLLOWEE: "{name}, whom you follow, has loved it lately",
    CIRCLE: "loved among the people around {name}, whom you follow",
    ALIKE: "loved by listeners with your taste",
    ARTIST: "by {name}, whom you follow",
    CREATOR: "a work of {name}, whom you follow",
    NEARBY: "loved near you more than elsewhere",
    NEAR_ARTIST: "by {name}, whom listeners near you love",
    NEAR_CREATOR: "by somebody whom listeners near you love",
}
PATHS: Final = frozenset({FOLLOWEE, ARTIST})
"""What `graph.paths` shows as a path already."""


@dataclass(frozen=True)
class Cause:
    """`kind` is one of the numbers above; (label, position) is the node that is meant, where one may be named."""

    kind: int
    label: str | None = None
    position: int = -1

    def text(self, snapshot: Snapshot) -> str:
        """As it is said to the listener."""
        name = "" if self.label is None else snapshot.name(self.label, self.position)
        return _SAID[self.kind].format(name=name)


@runtime_checkable
class Because(Protocol):
    """A channel that can say what caused it to propose a song."""

    def because(self, query: Query, songs: Array) -> list[Cause | None]:
        """What weighs most for each of these songs, None where nothing does."""
        ...
