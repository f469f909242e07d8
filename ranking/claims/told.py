"""Whether what a reason says in words alone, without a path, is true."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ranking.claims.facts import VERBS, Facts, Point

_RELATIONS: Final = {
    "by ": ("PERFORMED_BY", "Artist"),
    "from the album ": ("ON_ALBUM", "Album"),
    "tagged ": ("HAS_TAG", "Tag"),
    "": ("HAS_GENRE", "Genre"),
}
_ENOUGH: Final = 3
NEAR_KM, REGION_KM = 60.0, 1000.0
"""How far "near you" and "in the region around you" reach, in kilometres."""
_EARTH_KM: Final = 6371.0


@dataclass(frozen=True)
class _Said:
    facts: Facts
    song: str
    user: str | None
    session: Sequence[str]
    place: Point | None

    def seeds(self, words: str) -> Iterator[str]:
        """Songs that "One from this session" or "One which you played" may mean."""
        if match := re.fullmatch(r"(.+) from this session", words):
            yield from (song for song in self.session if self.facts.name("Song", song) == match[1])
        if self.user is not None and (match := re.fullmatch(rf"(.+?),? which you ({'|'.join(VERBS)})", words)):
            for song in self.facts.known_by(self.user):
                if self.facts.name("Song", song) == match[1] and self.facts.did(self.user, song, match[2]):
                    yield song

    def popular(self, plays: str, people: str | None) -> bool:
        times = 1 if plays == "once" else int(plays.removesuffix(" times"))
        return (self.facts.plays[self.song], self.facts.players[self.song]) == (times, int(people or 1))

    def beside(self, name: str, people: str) -> bool:
        own = self.session if self.user is None else self.facts.known_by(self.user)
        both = {
            len(self.facts.likers[other] & self.facts.likers[self.song])
            for other in own
            if self.facts.name("Song", other) == name
        }
        return int(people) in both and int(people) >= _ENOUGH

    def similar(self, words: str) -> bool:
        return any(True for _ in self.seeds(words))

    def followee(self, name: str) -> bool:
        return any(self.facts.loves(person, self.song) for person in self._followees(name))

    def circle(self, people: str, name: str) -> bool:
        lovers = self.facts.lovers(self.song) - {self.user}
        return any(len(lovers & self.facts.reachable(p)) >= _number(people) for p in self._followees(name))

    def alike(self, people: str) -> bool:
        """Others who love the song, and one that the listener or the session loves."""
        own = set(self.session) if self.user is None else self.facts.loved_by(self.user)
        lovers = self.facts.lovers(self.song) - {self.user}
        return sum(bool(self.facts.loved_by(other) & own) for other in lovers) >= _number(people)

    def artist(self, name: str, where: str) -> bool:
        """A song of the artist is loved there."""
        mine = self._entities("PERFORMED_BY", "Artist", name, self.song)
        return any(self._loved_within(song, where) for one in mine for song in self.facts.by_artist(one))

    def followed_artist(self, name: str) -> bool:
        found = self._entities("PERFORMED_BY", "Artist", name, self.song)
        return bool(set(found) & set(self.facts.followed(self.user, "FOLLOWS_ARTIST")))

    def work(self, name: str) -> bool:
        return any((person, self.song) in self.facts.edges["UPLOADED"] for person in self._followees(name))

    def nearby(self, where: str) -> bool:
        return self._loved_within(self.song, where)

    def creator(self, where: str) -> bool:
        """A work of somebody who uploaded the song is loved there."""
        makers = {person for person, song in self.facts.edges["UPLOADED"] if song == self.song}
        works = {song for person, song in self.facts.edges["UPLOADED"] if person in makers}
        return any(self._loved_within(song, where) for song in works)

    def new_place(self) -> bool:
        return self._loved_within(self.song, "near")

    def unblocked(self) -> bool:
        return self.user is not None and self.facts.unblocked(self.user, self.song)

    def searched(self, words: str) -> bool:
        """The listener searched for these words, and they mean the song, or its artist, a tag or a genre of it."""
        names = [self.facts.name("Song", self.song)]
        for type_, label in (("PERFORMED_BY", "Artist"), ("HAS_TAG", "Tag"), ("HAS_GENRE", "Genre")):
            names += [self.facts.name(label, one) for one in self.facts.of_song(type_, self.song)]
        return words in self.facts.searches[self.user or ""] and any(_fits(words, name) for name in names)

    def found(self, title: str) -> bool:
        """A search of the listener means a song of this title."""
        return any(_fits(words, title) for words in self.facts.searches[self.user or ""]) and any(
            label == "Song" and name == title for (label, _), name in self.facts.names.items()
        )

    def widened(self, lead: str, name: str, near: str, words: str) -> bool:
        """The song has the one attribute, and a song that the listener knows the other."""
        relation = _RELATIONS[lead]
        has = self._entities(*relation, name, self.song)
        return bool(has) and any(self._entities(*relation, near, seed) for seed in self.seeds(words))

    def _followees(self, name: str) -> list[str]:
        return [other for other in self.facts.followed(self.user) if self.facts.name("User", other) == name]

    def _entities(self, type_: str, label: str, name: str, song: str) -> list[str]:
        return [e for e in self.facts.of_song(type_, song) if self.facts.name(label, e) == name]

    def _loved_within(self, song: str, where: str) -> bool:
        """Whether somebody who loves a song was, or lives, so near to where the asker is."""
        most = NEAR_KM if where == "near" else REGION_KM
        here = {self.place} if self.place is not None else self.facts.places(self.user) if self.user else set()
        there = {p for who in self.facts.lovers(song) for p in self.facts.points(who, song) or self.facts.places(who)}
        return any(_km(one, other) <= most for one in here for other in there)


_WHERE: Final = "(near|in the region around)"
_SENTENCES: Final[tuple[tuple[str, Callable[..., bool]], ...]] = (
    (r"played (once|\d+ times)(?: by (\d+) listeners)?", _Said.popular),
    (r"heard beside (.+) by (\d+) listeners", _Said.beside),
    (r"similar to (.+)", _Said.similar),
    (r"(.+), whom you follow, loves it", _Said.followee),
    (r"loved by (.+) around (.+), whom you follow", _Said.circle),
    (r"loved by (.+) with your taste", _Said.alike),
    (r"by (.+), whom you (?:follow|just followed)", _Said.followed_artist),
    (r"loved by (.+), whom you just followed", _Said.followee),
    (r"loved around the place where you are now", _Said.new_place),
    (r"you searched for (.+)", _Said.searched),
    (r"like (.+), found when you searched", _Said.found),
    (r"you unblocked it", _Said.unblocked),
    (r"a work of (.+), whom you follow", _Said.work),
    (rf"by (.+), whom listeners {_WHERE} you love", _Said.artist),
    (rf"loved {_WHERE} you more than elsewhere", _Said.nearby),
    (rf"by somebody whom listeners {_WHERE} you love", _Said.creator),
    (r"(by |from the album |tagged |)(.+), near (.+?) \((.+)\)", _Said.widened),
)


def is_told(
    facts: Facts, text: str, song: str, user: str | None, session: Sequence[str], place: Point | None = None
) -> bool:
    """Whether one of the sentences that there are fits and is true of the listener or the session, who may be at a
    `place`."""
    said = _Said(facts, song, user, session, place)
    matches = ((re.fullmatch(pattern, text, re.DOTALL), check) for pattern, check in _SENTENCES)
    return any(check(said, *match.groups()) for match, check in matches if match is not None)


def _fits(words: str, name: str) -> bool:
    """Whether all words of one are in the other."""
    ours, theirs = (set(re.findall(r"[^\W_]+", text.lower())) for text in (words, name))
    return bool(ours and theirs) and (ours <= theirs or theirs <= ours)


def _km(one: Point, other: Point) -> float:
    """Kilometres over the sphere between two points (haversine)."""
    (a, b), (c, d) = (np.radians(point) for point in (one, other))
    h = np.sin((c - a) / 2) ** 2 + np.cos(a) * np.cos(c) * np.sin((d - b) / 2) ** 2
    return float(2 * _EARTH_KM * np.arcsin(np.sqrt(h)))


def _number(people: str) -> int:
    return 1 if people == "a listener" else int(people.removesuffix(" listeners"))
