"""Who or what caused a channel to propose a song, in words that name no people but those the listener follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from graph.snapshot import Snapshot

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
