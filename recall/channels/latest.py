"""Songs that answer to what the listener did a moment ago: liked, searched, followed, unblocked or moved."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Final

import numpy as np

from embeddings.vectors.model_vectors import ModelVectors
from graph.configure import check_positive
from graph.durations import HOUR_MS
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.histories import CODE, STRENGTH_BY_CODE, strengths
from recall.base import Candidates, Query
from recall.causes import (
    NEARBY,
    NEW_ARTIST,
    NEW_FOLLOWEE,
    NEW_PLACE,
    SEARCHED,
    SEARCHED_NEAR,
    SIMILAR,
    UNBLOCKED,
    Cause,
)
from recall.channels.lbs import Lbs, LbsConfig
from recall.decay import HALF_LIFE_MS, decay
from recall.geo.cells import distance_km, home_cells
from recall.grouped import isin_sorted, sum_by_key
from recall.index.nearest_songs import near
from recall.index.vector_index import VectorIndex
from recall.item_lists.neighbours import Neighbours
from recall.listeners.listener import Listener
from recall.listeners.preferences import listeners
from recall.live.counters import Counters
from recall.live.live import Overlay
from recall.live.since import people_events
from recall.name_index import NameIndex, fit

MODEL: Final = "song2vec"
"""Whose nearest songs are asked."""
FIRST: Final = 10
"""Songs that answer to an action, the best ones; others that it proposes are no answer, though a slate holds them."""
FOLLOWS: Final = 5
"""Latest follows that are answered to."""
MATCHES: Final = 20
"""Names of each kind that a search may mean, the best ones."""
LOVED: Final = 300
"""Latest events of somebody followed that say what that person loves."""
REFUSALS: Final = 3
"""Songs turned down last whose neighbours are not pushed."""
WORDS: Final = 200
"""Latest events that are looked at."""
AWAY_KM: Final = 5.0
"""Kilometres from home at which somebody is elsewhere: where `lbs` counts what is heard as half as near."""
_REFUSING: Final = tuple(CODE[action] for action in ("skip", "dislike", "block"))
_UNDOING: Final = tuple(CODE[action] for action in ("unblock", "undislike"))
_OFFERED: Final = 0.5
"""What the support of a song that came after the release is taken for."""
# How a search's words fit a name is worth less where the name is not the song's or its artist's.
_SEARCHABLE: Final = (("Artist", "PERFORMED_BY", 1.0), ("Tag", "HAS_TAG", 0.8), ("Genre", "HAS_GENRE", 0.8))
_TITLE: Final = 0.9
_NEAR_TITLE: Final = 0.4


@dataclass(frozen=True)
class LatestConfig:
    """What counts as a moment ago, and how far the answer reaches.

    Raises: ValueError for a number out of range.
    """

    hours: float = 3.0
    """Hours after which something done is no news any more; what has no time is none."""
    songs: int = 1
    """The latest liked songs that are asked."""
    neighbours: int = 50
    """The nearest songs of each that may be proposed."""
    fade: float = 0.5
    """The weight of a liked song, or a follow, is this share of that of the one after it."""
    support: float = 5.0
    """A neighbour of n listeners counts n / (n + support) of its cosine."""
    works: int = 20
    """Songs of each artist, tag or genre followed or searched, the best known ones; and of a person followed."""

    def __post_init__(self) -> None:
        check_positive(self, "hours", "songs", "neighbours", "fade", "works")
        if not 0 <= self.support < float("inf"):
            raise ValueError(f"support must be at least 0 (got {self.support})")


@dataclass(frozen=True)
class Answer:
    """Songs that answer to one recent action, done at `at` (epoch milliseconds): songs and scores (n,), the best first,
    and the cause of each."""

    at: float
    songs: Array
    scores: Array
    causes: Sequence[Cause | None]


Part = tuple[Array, Array, Callable[[int], Cause | None]]
"""Songs (n,), what they are worth (n,), and the cause of a song."""


class Latest:
    """Songs for each kind of thing that the listener did within the last hours: each kind is a recent action.

    liked      fade^i x cosine x support of the nearest songs of the i-th latest liked one
    searched   fit of the words x kind x support of songs of that artist, tag or genre; fit x kind x (1 + support) / 2
               of a song of that title, and less than that of the songs near to it
    followed   fade^i x support of the artist's songs, or x love / most loved, of the person's
    unblocked  the song itself
    moved      as `lbs` scores songs around where the listener is now, its best one being 1

    Songs of several actions come in turn, those of the newest first; a score is at most that of the song before.
    """

    audience: ClassVar[str] = "listeners who liked, searched, followed or unblocked something, or moved, of late"
    in_memory: ClassVar[bool] = True
    vectors: ClassVar[tuple[str, ...]] = (MODEL,)

    def __init__(self, release: Release, config: LatestConfig = LatestConfig()) -> None:
        self._config, self._snapshot, self._release = config, release.snapshot, release
        self._index = VectorIndex.of(release, f"index/{MODEL}", ModelVectors.load(release, MODEL).unit)
        self._neighbours = Neighbours.load(release, f"similar/{MODEL}").nearest(config.neighbours)
        heard = listeners(release.snapshot)
        self._listeners = heard
        self._support = heard / np.maximum(heard + config.support, 1e-12)
        self._lbs: Lbs | None = None
        self._last: tuple[Query, list[Answer]] | None = None

    def serves(self, listener: Listener) -> bool:
        wanted = any(event.action in {"search", "follow"} for event in listener.since)
        return wanted or bool((STRENGTH_BY_CODE[listener.action] > 0).any())

    def count(self, counters: Counters) -> None:
        """What is loved where, and what the people did lately whom somebody may follow."""
        self._near().count(counters)

    def warm(self, live: Overlay) -> None:  # noqa: ARG002
        """The names that a search may mean."""
        for label in ("Song", *(label for label, _, _ in _SEARCHABLE)):
            NameIndex.of(self._snapshot, label)

    def anything(self, query: Query) -> bool:
        """Whether anything that is looked at may have happened within the hours; False for most who ask."""
        listener, edits = query.listener, query.live.edits
        me = listener.user_id or ""
        done = bool(listener.new_events or listener.since) or listener.latest > self._since(query)
        return done or me in edits.homes or any((me, label) in edits.followed for label in ("User", "Artist"))

    def recall(self, query: Query, k: int) -> Candidates:
        found = self._answers(query)
        if not found:
            return Candidates.none()
        turn = np.concatenate([np.arange(len(answer.songs)) for answer in found])
        which = np.repeat(np.arange(len(found)), [len(answer.songs) for answer in found])
        order = np.lexsort((which, turn))
        songs, scores = (np.concatenate([getattr(a, name) for a in found])[order] for name in ("songs", "scores"))
        _, first = np.unique(songs, return_index=True)
        kept = np.sort(first)[:k]
        falling = np.minimum.accumulate(scores[kept])
        return Candidates(songs[kept].astype(np.int32), falling.astype(np.float64))

    def because(self, query: Query, songs: Array) -> list[Cause | None]:
        """The newest action that each of these songs answers to, None where that has a path of its own."""
        causes: dict[int, Cause | None] = {}
        for answer in self._answers(query):
            for song, cause in zip(answer.songs.tolist(), answer.causes, strict=True):
                causes.setdefault(song, cause)
        return [causes.get(song) for song in songs.tolist()]

    def answers(self, query: Query, songs: Array) -> Array:
        """(n,) which recent action has each of these songs among its `FIRST` answers: 0 the newest, -1 none."""
        which = np.full(len(songs), -1, dtype=np.int64)
        for i, answer in reversed(list(enumerate(self._answers(query)))):
            which[isin_sorted(songs, np.sort(answer.songs[:FIRST]))] = i
        return which

    def refused(self, query: Query, songs: Array) -> Array:
        """(n,) whether each is near to a song skipped, disliked or blocked of late, and answers to nothing."""
        turned_down = [s for _, s, action in self._of_late(query) if action in _REFUSING][:REFUSALS]
        if not turned_down:
            return np.zeros(len(songs), dtype=bool)
        near_to = np.concatenate([self._around(query, song)[0] for song in turned_down])
        return isin_sorted(songs, np.sort(near_to)) & (self.answers(query, songs) < 0)

    # ---- what was done

    def _answers(self, query: Query) -> list[Answer]:
        """One for each kind of thing done, the newest first; of those done at once, where the listener is comes first
        and what was liked last."""
        last = self._last
        if last is None or last[0] is not query:
            if not self.anything(query):
                return []
            kinds = (self._moved, self._unblocked, self._followed, self._searched, self._liked)
            found = [answer for kind in kinds for answer in kind(query) if len(answer.songs)]
            last = self._last = query, sorted(found, key=lambda answer: -answer.at)
        return last[1]

    def _since(self, query: Query) -> float:
        return max(query.at - self._config.hours * HOUR_MS, -1)  # -1: no time is known

    def _of_late(self, query: Query) -> list[tuple[int, int, int]]:
        """(at, song, action) of each song's last word within the hours, new songs included, the latest first."""
        since = self._since(query)
        words = query.listener.once("last words", partial(_last_words, query.listener))
        return words[: bisect_left(words, -since, key=lambda word: -word[0])]

    def _liked(self, query: Query) -> Iterable[Answer]:
        liked = [(at, song) for at, song, action in self._of_late(query) if STRENGTH_BY_CODE[action] > 0]
        liked = liked[: self._config.songs]
        parts = []
        for i, (_, song) in enumerate(liked):
            songs, scores = self._around(query, song)
            # a song that came later has no path in the release to tell of
            cause = Cause(SIMILAR, "Song", song) if song < query.live.songs.first else None
            parts.append((songs, self._config.fade**i * scores, _always(cause)))
        return [self._merged(query, liked[0][0], parts)] if liked else []

    def _unblocked(self, query: Query) -> Iterable[Answer]:
        listener, since = query.listener, self._since(query)
        known = np.flatnonzero((listener.at > since) & (listener.action == CODE["unblock"]))
        done = list(zip(listener.at[known].tolist(), listener.song[known].tolist(), strict=True))
        done += [(at, song) for song, action, at in listener.new_events if action == CODE["unblock"] and at > since]
        if not done:
            return []
        songs = np.array(list(dict.fromkeys(song for _, song in sorted(done)[::-1])), dtype=np.int64)
        scores = self._config.fade ** np.arange(len(songs))
        return [self._merged(query, max(done)[0], [(songs, scores, _always(Cause(UNBLOCKED)))])]

    def _searched(self, query: Query) -> Iterable[Answer]:
        since = self._since(query)
        done = [event for event in query.listener.since if event.action == "search" and (event.at or -1) > since]
        if not done:
            return []
        newest = max(done, key=lambda event: (event.at or -1, event.offset))
        return [self._merged(query, newest.at or -1, self._meant(query, newest.query or ""))]

    def _followed(self, query: Query) -> Iterable[Answer]:
        since, edits, me = self._since(query), query.live.edits, query.listener.user_id or ""
        at = {
            (label, id_): float(when)
            for label in ("User", "Artist")
            for id_, when in edits.followed.get((me, label), {}).items()
        }
        for event in query.listener.since:
            key = (event.target_label or "", event.target_id or "")
            if event.action == "follow" and event.at is not None:
                at[key] = max(at.get(key, -1), float(event.at))
            elif event.action == "unfollow":
                at.pop(key, None)
        newest = sorted(((when, key) for key, when in at.items() if when > since), reverse=True)[:FOLLOWS]
        parts = []
        for i, (_, (label, id_)) in enumerate(newest):
            songs, scores = self._works(query, id_) if label == "Artist" else self._loved(query, id_)
            cause = Cause(NEW_ARTIST if label == "Artist" else NEW_FOLLOWEE, name=edits.name(label, id_))
            parts.append((songs, self._config.fade**i * scores, _always(cause)))
        return [self._merged(query, newest[0][0], parts)] if newest else []

    def _moved(self, query: Query) -> Iterable[Answer]:
        """Songs around the place that the listener moved to: a home that an edit gave since the release, news until the
        next one knows it, or where the newest event with a place happened."""
        place, listener, since = query.live.edits.homes.get(query.listener.user_id or ""), query.listener, -1.0
        for event in listener.since:
            if event.latitude is not None and event.longitude is not None and (event.at or -1) > self._since(query):
                place, since = (event.latitude, event.longitude), float(event.at or -1)
        if place is None:
            return []
        home, _ = home_cells(self._release, LbsConfig().resolution)
        if listener.user >= 0 and distance_km(int(home[listener.user]), *place) <= AWAY_KM:
            return []
        there = replace(query, latitude=place[0], longitude=place[1])
        found = self._near().recall(there, self._config.neighbours)
        if not len(found):
            return []
        causes = dict(zip(found.songs.tolist(), self._near().because(there, found.songs), strict=True))

        def cause(song: int) -> Cause:
            told = causes[song]
            return Cause(NEW_PLACE) if told is None or told.kind == NEARBY else told

        return [self._merged(query, since, [(found.songs, found.scores / found.scores[0], cause)])]

    # ---- songs that answer

    def _merged(self, query: Query, at: float, parts: Sequence[Part]) -> Answer:
        """The songs of all parts that may come back, each once with its highest score and the cause of that."""
        if not parts:
            return Answer(at, np.empty(0, dtype=np.int64), np.empty(0), [])
        songs, scores = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        which = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
        order = np.lexsort((songs, -scores))
        order = order[query.permits(songs[order]) & (scores[order] > 0)]
        _, first = np.unique(songs[order], return_index=True)
        kept = order[np.sort(first)]
        causes = [parts[which[i]][2](int(songs[i])) for i in kept.tolist()]
        return Answer(at, songs[kept], scores[kept], causes)

    def _around(self, query: Query, song: int) -> tuple[Array, Array]:
        """The nearest songs (n,) of one, and their cosines (n,) by support."""
        new = query.live.songs
        if song < new.first:
            near_to = self._neighbours.songs[song]
            filled = near_to >= 0
            return near_to[filled], self._neighbours.weights[song][filled] * self._support[near_to[filled]]
        if not (vector := new.unit[song - new.first]).any():
            return np.empty(0, dtype=np.int32), np.empty(0)
        found = near(self._index, vector, query, self._config.neighbours + 1)
        other = found.songs != song
        songs = found.songs[other]
        return songs, found.scores[other] * new.take(self._support, _OFFERED, songs)

    def _of(self, query: Query, relation: str, position: int) -> tuple[Array, Array]:
        """The best known songs of an artist, tag or genre, new ones first, and their support."""
        songs, new = self._snapshot.relation(relation).into(position), query.live.songs
        best = songs[np.argsort(-self._listeners[songs], kind="stable")[: self._config.works]]
        late = [i for i, entities in enumerate(new.entities[relation]) if position in entities]
        found = np.concatenate([new.first + np.array(late, dtype=np.int64), best])
        return found, np.maximum(new.take(self._support, _OFFERED, found), 0.1)

    def _works(self, query: Query, artist: str) -> tuple[Array, Array]:
        """Songs (n,) of an artist by id, and what they are worth (n,)."""
        known = self._snapshot.ids["Artist"].index(artist)
        if known >= 0:
            return self._of(query, "PERFORMED_BY", known)
        return self._late_works(query, {artist})

    @staticmethod
    def _late_works(query: Query, artists: set[str]) -> tuple[Array, Array]:
        """New songs (n,) of artists who came after the release."""
        new = query.live.songs
        late = [i for i, song in enumerate(new.songs) if artists & set(song.relations.get("artists", ()))]
        return new.first + np.array(late, dtype=np.int64), np.full(len(late), _OFFERED)

    def _loved(self, query: Query, person: str) -> tuple[Array, Array]:
        """Songs (n,) that a person loved lately, the most loved of them 1 (n,)."""
        user = self._snapshot.ids["User"].index(person)
        if user >= 0:
            done = people_events(self._snapshot.histories, query.live.counters, np.array([user]), LOVED)
            song, action, at, count = done.song, done.action, done.at, done.count
        else:
            song, action, at, count = query.live.new_users.of(person)
        known = song < query.live.size  # what was folded in since this request began may be on a newer song still
        love = strengths(action, count) * decay(at, query.at, HALF_LIFE_MS)
        songs, love = sum_by_key(song[known].astype(np.int64), love[known])
        best = np.argsort(-love, kind="stable")
        best = best[query.permits(songs[best])][: self._config.works]
        return songs[best], love[best] / max(float(love.max(initial=0.0)), 1e-12)

    def _meant(self, query: Query, text: str) -> list[Part]:
        """Songs that a search may mean: of an artist, a tag or a genre, by their titles, and near those."""
        new, edits, parts = query.live.songs, query.live.edits, list[Part]()
        said = _always(Cause(SEARCHED, name=text))
        for label, relation, weight in _SEARCHABLE:
            for position, fits in self._matches(label, text):
                songs, scores = self._of(query, relation, position)
                parts.append((songs, weight * fits * scores, said))
        late = {id_ for song in new.songs for id_ in song.relations.get("artists", ())}
        for artist in sorted(late):
            if self._snapshot.ids["Artist"].index(artist) < 0 and (fits := fit(text, edits.name("Artist", artist))):
                songs, scores = self._late_works(query, {artist})
                parts.append((songs, fits * scores, said))
        titles = self._matches("Song", text)
        titles += [(new.first + i, fits) for i in range(len(new)) if (fits := fit(text, new.title(i)))]
        for song, fits in titles:
            support = float(new.take(self._support, _OFFERED, np.array([song]))[0])
            parts.append((np.array([song]), np.array([_TITLE * fits * (1 + support) / 2]), said))
            songs, scores = self._around(query, song)
            name = self._snapshot.name("Song", song) if song < new.first else new.title(song - new.first)
            parts.append((songs, _NEAR_TITLE * fits * scores, _always(Cause(SEARCHED_NEAR, name=name))))
        return parts

    def _matches(self, label: str, text: str) -> list[tuple[int, float]]:
        """The names of a label that a text may mean, and how well it fits each, the best first."""
        found, fits = NameIndex.of(self._snapshot, label).find(text)
        best = np.argsort(-fits, kind="stable")[:MATCHES]
        return list(zip(found[best].tolist(), fits[best].tolist(), strict=True))

    def _near(self) -> Lbs:
        if self._lbs is None:
            self._lbs = Lbs(self._release, known=home_cells(self._release, LbsConfig().resolution))
        return self._lbs


def _last_words(listener: Listener) -> list[tuple[int, int, int]]:
    """(at, song, action) of the last that each song was told by the latest `WORDS` events and those on new songs, the
    latest first."""
    columns = (column[-WORDS:].tolist() for column in (listener.at, listener.song, listener.action))
    events = list(zip(*columns, strict=True))
    events += [(at, song, action) for song, action, at in listener.new_events]
    last: dict[int, tuple[int, int, int]] = {}
    for at, song, action in sorted(events, key=lambda event: event[0]):
        if STRENGTH_BY_CODE[action] or action in _UNDOING:
            last.pop(song, None)
            last[song] = at, song, action
    return list(last.values())[::-1]


def _always(cause: Cause | None) -> Callable[[int], Cause | None]:
    return lambda _: cause
