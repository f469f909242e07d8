"""Why the songs of a slate are recommended: first what made a channel propose each, then the strongest other paths."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from graph.paths import Paths, PathsOfAsker
from graph.reasons.edges import Edge
from graph.reasons.reason import Draft, Node, Reason
from graph.release import Release
from ranking.asker import asker_of
from ranking.cascade import Cascade, Slate
from ranking.scene import LATEST
from recall.base import Query
from recall.causes import (
    ARTIST,
    ATTRIBUTE,
    BESIDE,
    CREATOR,
    FOLLOWEE,
    RELATION_OF,
    SIMILAR,
    Cause,
    Explains,
)

TOLD: Final = 0.5
"""Strength of a reason that no path shows."""
_ON_A_PATH: Final = frozenset({FOLLOWEE, ARTIST, CREATOR, SIMILAR, BESIDE, ATTRIBUTE})


class Reasons:
    """Reasons by one release; no tag with a word of `never_cited` is named."""

    def __init__(self, release: Release, never_cited: Iterable[str]) -> None:
        self._snapshot, self._paths = release.snapshot, Paths(release, never_cited)

    def of_slate(
        self, cascade: Cascade, query: Query, slate: Slate, most: int, pause: Callable[[], object] = lambda: None
    ) -> list[list[Reason]]:
        """At most `most` for each song of a slate; what the channel says that found it first leads.

        `pause` is called before each song, some milliseconds apart: for whoever else has something to compute.
        """
        paths, causes = self._paths.of(asker_of(query)), causes_of(cascade, query, slate)
        found = []
        for song, cause in zip(slate.songs.tolist(), causes, strict=True):
            pause()
            found.append(self._led(paths, query, song, most, cause))
        return found

    def of_song(self, query: Query, song: int, most: int, without: Edge | None = None) -> list[Reason]:
        """The strongest for a song; none uses the relationship `without`."""
        paths = self._paths.of(asker_of(query), without)
        return self._found(paths, query, song, most) or self._popular(query, song)

    def _led(self, paths: PathsOfAsker, query: Query, song: int, most: int, cause: Cause | None) -> list[Reason]:
        leads = cause if cause is not None and cause.kind in _ON_A_PATH and cause.by < 0 else None
        lead = None if leads is None else self._lead(leads)
        found = self._found(paths, query, song, most, leads)
        if cause is not None and not (lead and found and lead(found[0])):
            text = self._text(paths, query, song, cause)
            if text is not None:
                told = Reason.of("neighbour", text, TOLD, [self._node(query, song)])
                return [told, *found][:most]
        return found or self._popular(query, song)

    def _lead(self, cause: Cause) -> Callable[[Draft | Reason], int]:
        """How well a path shows the cause: 0 not at all, more for one over what the channel itself went by."""
        assert cause.label is not None
        node = Node.of(self._snapshot, cause.label, cause.position)

        def lead(reason: Draft | Reason) -> int:
            if not reason.passes(node):
                return 0
            if cause.kind == BESIDE:
                return int(reason.kind == "neighbour")
            return 1 + int(cause.kind == SIMILAR and reason.kind == "neighbour")

        return lead

    def _text(self, paths: PathsOfAsker, query: Query, song: int, cause: Cause) -> str | None:
        """A cause in words, None where it is not true of what the listener likes."""
        if cause.kind == BESIDE:
            return paths.beside(cause.position, song) if song < query.live.songs.first else None
        if cause.kind == SIMILAR:
            return paths.similar(cause.position, song)
        if cause.kind == ATTRIBUTE:
            if cause.by < 0 or cause.label is None:
                return None
            return paths.widened(RELATION_OF[cause.label], cause.position, cause.by, song)
        return cause.text(self._snapshot)

    def _found(
        self,
        paths: PathsOfAsker,
        query: Query,
        song: int,
        most: int,
        leads: Cause | None = None,
    ) -> list[Reason]:
        """The reasons by paths; one that shows what `leads` comes first."""
        new, lead = query.live.songs, None if leads is None else self._lead(leads)
        if song < new.first:
            through = None if leads is None or leads.label is None else (leads.label, leads.position)
            return paths.why(song, most, lead, through)
        entities = {name: places[song - new.first] for name, places in new.entities.items()}
        return paths.why_new(self._node(query, song), entities, most, lead)

    def _popular(self, query: Query, song: int) -> list[Reason]:
        return self._paths.popular(song) if song < query.live.songs.first else []

    def _node(self, query: Query, song: int) -> Node:
        new = query.live.songs
        if song < new.first:
            return Node.of(self._snapshot, "Song", song)
        return Node("Song", new.ids[song - new.first], new.title(song - new.first))


def causes_of(cascade: Cascade, query: Query, slate: Slate) -> list[Cause | None]:
    """What the channel that found each song first says of it, of one that answers to what was just done that; each
    channel is asked once."""
    answers, _ = cascade.answers(query, slate.pool)
    first = [LATEST if answers[row] >= 0 else slate.channel(i) for i, row in enumerate(slate.rows.tolist())]
    causes: list[Cause | None] = [None] * len(first)
    for name in dict.fromkeys(first):
        channel = cascade.channels.get(name)
        mine = [i for i, other in enumerate(first) if other == name]
        if isinstance(channel, Explains):
            for i, cause in zip(mine, channel.because(query, np.asarray(slate.songs[mine])), strict=True):
                causes[i] = cause
    return causes
