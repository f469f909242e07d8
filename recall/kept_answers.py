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
from recall.listeners.listener import Listener
from recall.live.edits import NewSongs


@dataclass(frozen=True)
class Question:
    """All that an answer of a channel follows from, as it stands before the channel is asked."""

    channel: Channel
    k: int
    moment: int
    turn: float
    version: object
    exclude: Array
    new: NewSongs
    leaders: Leaders | None

    @classmethod
    def of(cls, channel: Any, query: Query, k: int) -> Question | None:
        """None for a channel whose answers are not kept."""
        if not (lasts_ms := getattr(channel, "lasts_ms", 0.0)):
            return None
        version = channel.version(query) if hasattr(channel, "version") else None
        moment, turn = query.listener.moment(query.at), query.at // lasts_ms
        return cls(channel, k, moment, turn, version, query.exclude, query.live.songs, query.leaders)

    def same_as(self, other: Question) -> bool:
        """Whether the answer is the same; arrays and songs are told apart by which they are, not by what they hold."""
        mine, theirs = ((q.k, q.moment, q.turn, q.version) for q in (self, other))
        return (
            self.channel is other.channel
            and self.exclude is other.exclude
            and self.new is other.new
            and self.leaders is other.leaders
            and mine == theirs
        )


class KeptAnswers:
    """The last answer of each channel to one listener."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Question, Candidates]] = {}

    @classmethod
    def of(cls, listener: Listener) -> KeptAnswers:
        return listener.once("answers", cls)

    def get(self, question: Question) -> Candidates | None:
        """The answer to the same question; None where the channel has to be asked."""
        last = self._kept.get(id(question.channel))
        return last[1] if last is not None and last[0].same_as(question) else None

    def keep(self, question: Question, found: Candidates) -> None:
        """Keep an answer that nothing is wrong with."""
        self._kept[id(question.channel)] = question, found
