"""Answers of channels that are kept with a listener: what they follow from has not changed, so neither have they.

A channel that has `lasts_ms` answers from the listener's events as they weigh against each other, from new songs, from
the listener's interests and from what is excluded; from the clock it takes no more than a number of `lasts_ms`. What
else it looks at its `version(query)` tells. An event makes another `Listener`, an edit other new songs or another
exclusion: whatever changes, the channel is asked again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graph.snapshot.arrays import Array
from recall.base import Candidates, Channel, Query
from recall.listeners.interests import Leaders
from recall.live.edits import NewSongs

Question = tuple[int, float, object]
"""What one channel is asked beside what all are: how many songs, the turn of the clock, and its version."""


def question(channel: Any, query: Query, k: int) -> Question | None:
    """None for a channel whose answers are not kept."""
    if not (lasts_ms := getattr(channel, "lasts_ms", 0.0)):
        return None
    version = channel.version(query) if hasattr(channel, "version") else None
    return k, query.at // lasts_ms, version


@dataclass(frozen=True)
class _Asked:
    """What all channels are asked about; arrays and songs are told apart by which they are, not by what they hold."""

    moment: int
    exclude: Array
    new: NewSongs
    leaders: Leaders | None

    @classmethod
    def of(cls, query: Query) -> _Asked:
        return cls(query.listener.moment(query.at), query.exclude, query.live.songs, query.leaders)

    def same_as(self, other: _Asked) -> bool:
        mine, theirs = (self.exclude, self.new, self.leaders), (other.exclude, other.new, other.leaders)
        return self.moment == other.moment and all(one is two for one, two in zip(mine, theirs, strict=True))


class KeptAnswers:
    """The last answers of a scene's channels to what one listener asks."""

    def __init__(self, asked: _Asked) -> None:
        self._asked = asked
        self._kept: dict[int, tuple[Channel, Question, Candidates]] = {}

    @classmethod
    def of(cls, query: Query) -> KeptAnswers:
        """Those to the same question; none where it is another one than the listener's last."""
        asked, last = _Asked.of(query), query.listener.once(("answers", query.scene), dict[str, KeptAnswers])
        if "last" not in last or not last["last"]._asked.same_as(asked):
            last["last"] = cls(asked)
        return last["last"]

    def get(self, channel: Channel, asked: Question) -> Candidates | None:
        """The answer to the same question; None where the channel has to be asked."""
        last = self._kept.get(id(channel))
        return last[2] if last is not None and last[0] is channel and last[1] == asked else None

    def keep(self, channel: Channel, asked: Question, found: Candidates) -> None:
        """Keep an answer that nothing is wrong with."""
        self._kept[id(channel)] = channel, asked, found
