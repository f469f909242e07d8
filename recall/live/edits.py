"""What single edits have changed since the release: new songs, songs taken out, follows made and undone.

Folded from the journal, line by line, into an immutable state that readers hold on to while the next one is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from scipy import sparse

from embeddings.vectors.model_vectors import ModelVectors
from graph.log.events import JournalEntry
from graph.snapshot.arrays import Array
from graph.snapshot.relations import Relation
from graph.snapshot.snapshot import Snapshot
from recall.release_times import release_time

NONE: Final = np.empty(0, dtype=np.int32)
NOT_ADMITTED: Final = 0
# The relation of each kind in a journal line, and the label that it leads to.
_RELATIONS: Final = {
    "artists": ("PERFORMED_BY", "Artist"),
    "albums": ("ON_ALBUM", "Album"),
    "genres": ("HAS_GENRE", "Genre"),
    "tags": ("HAS_TAG", "Tag"),
    "cover_of": ("COVER_OF", "Song"),
}


@dataclass(frozen=True)
class NewSong:
    """A song that the release does not know: its properties, and the ids that each kind of relation leads to."""

    id: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    relations: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def entities(self, snapshot: Snapshot) -> dict[str, Array]:
        """Positions of what is known of it, by the name of the relation."""
        found = {
            name: snapshot.ids[label].indices(self.relations.get(kind, ()))
            for kind, (name, label) in _RELATIONS.items()
        }
        if language := self.properties.get("language"):
            found["LANGUAGE"] = snapshot.languages.indices([language])
        return found


@dataclass(frozen=True)
class Edits:
    """The state of the catalogue after the release and every journal line since.

    New songs stand at the positions from `snapshot.songs` on, in the order in which they came, whichever worker folds.
    `removed` holds songs that were deleted, `tiers` the tier of songs that were given another one, both by position;
    `followed` and `unfollowed` ids by (id of the listener, "User" or "Artist"); `names` what edits call a node, by
    (label, id); `homes` where edits say that a listener lives (degrees), by id; `gone` nodes other than songs that were
    deleted, by (label, id), with the offset of the log by then: a listener's events before it count no more.
    """

    snapshot: Snapshot
    offset: int
    songs: Mapping[str, NewSong] = field(default_factory=dict)
    removed: frozenset[int] = frozenset()
    tiers: Mapping[int, int] = field(default_factory=dict)
    followed: Mapping[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)
    unfollowed: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    places: Mapping[str, int] = field(default_factory=dict)
    names: Mapping[tuple[str, str], str] = field(default_factory=dict)
    homes: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    gone: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def after(self, entries: Iterable[JournalEntry]) -> Edits:
        """With these further lines of the journal."""
        state = self
        for entry in entries:
            if entry.kind == "removed":
                state = state._without(entry.payload["ids"])
            elif entry.label is not None and entry.id is not None:
                state = state._after(entry, entry.label, entry.id)
            state = replace(state, offset=entry.offset)
        return state

    def song(self, id_: str) -> int:
        """Position of a song of the release or a new one, -1 where it is unknown."""
        known = self.snapshot.ids["Song"].index(id_)
        return known if known >= 0 else self.places.get(id_, -1)

    def follows(self, user_id: str | None, user: int, label: str) -> Array:
        """Positions of the users or artists (`label`) whom a listener follows now, sorted."""
        relation = self.snapshot.relation("FOLLOWS" if label == "User" else "FOLLOWS_ARTIST")
        release = relation.of(user) if user >= 0 else NONE
        if self.gone:
            release = release[~np.isin(release, self.positions_gone(label))]
        key = (user_id or "", label)
        if key not in self.followed and key not in self.unfollowed:
            return release
        ids = self.snapshot.ids[label]
        undone = ids.indices(self.unfollowed.get(key, ()))
        made = ids.indices(self.followed.get(key, ()))
        return np.union1d(release[~np.isin(release, undone)], made).astype(np.int32)

    @cached_property
    def withheld(self) -> Array:
        """Positions of songs that no answer may hold: deleted, or not admitted by an edit; sorted."""
        barred = {song for song, tier in self.tiers.items() if tier == NOT_ADMITTED}
        return np.array(sorted(self.removed | barred), dtype=np.int32)

    def of_listener(self, user_id: str) -> tuple[Mapping[str, int], int | None]:
        """What a listener is made of beside events: the positions of new songs by id, and the offset of the log up to
        which nothing of the listener counts, None where all does."""
        return self.places, self.gone.get(("User", user_id))

    def positions_gone(self, label: str) -> Array:
        """Positions of the nodes of a label, other than songs, that were deleted; in no order."""
        return self.snapshot.ids[label].indices([id_ for name, id_ in self.gone if name == label])

    @cached_property
    def readmitted(self) -> Array:
        """Positions of songs of the release that an edit has admitted; sorted."""
        return np.array(sorted(s for s, tier in self.tiers.items() if tier != NOT_ADMITTED), dtype=np.int32)

    def _after(self, entry: JournalEntry, label: str, id_: str) -> Edits:
        payload = entry.payload
        if entry.kind in {"follow", "unfollow"}:
            return self._follow(entry.kind, (id_, label), payload)
        if label != "Song":
            return self._changed(entry.kind, label, id_, payload)
        place = self.song(id_)
        if entry.kind == "delete":
            return self._without([id_])
        state = replace(self, removed=self.removed - {place})
        properties = payload["properties"] if entry.kind == "upsert" else {}
        if place < 0 or place >= self.snapshot.songs:
            old = self.songs.get(id_, NewSong(id_))
            relations = payload if entry.kind == "relations" else {}
            song = NewSong(
                id_,
                {**old.properties, **_given(properties)},
                {**old.relations, **{k: list(relations[k]) for k in relations}},
            )
            place = self.snapshot.songs + len(self.places) if place < 0 else place
            state = replace(state, songs={**self.songs, id_: song}, places={**self.places, id_: place})
        if properties.get("tier") is not None:
            state = replace(state, tiers={**self.tiers, place: int(properties["tier"])})
        return state

    def _without(self, ids: Sequence[str]) -> Edits:
        """With these songs taken out."""
        gone = {place for id_ in ids if (place := self.song(id_)) >= 0}
        songs = {key: song for key, song in self.songs.items() if self.song(key) not in gone}
        return replace(self, songs=songs, removed=self.removed | gone) if gone else self

    def _changed(self, kind: str, label: str, id_: str, payload: Mapping[str, Any]) -> Edits:
        """After an edit of a node that is no song."""
        if kind == "delete":
            names = {key: name for key, name in self.names.items() if key != (label, id_)}
            homes = {key: home for key, home in self.homes.items() if label != "User" or key != id_}
            followed = {
                key: {target: since for target, since in targets.items() if (key[1], target) != (label, id_)}
                for key, targets in self.followed.items()
                if label != "User" or key[0] != id_
            }
            unfollowed = {key: ends for key, ends in self.unfollowed.items() if label != "User" or key[0] != id_}
            gone = {**self.gone, (label, id_): int(payload.get("events", 0))}
            return replace(self, gone=gone, names=names, homes=homes, followed=followed, unfollowed=unfollowed)
        if kind == "upsert" and (label, id_) in self.gone and label != "User":
            gone = {key: offset for key, offset in self.gone.items() if key != (label, id_)}
            return replace(self, gone=gone)._described(label, id_, payload["properties"])
        return self._described(label, id_, payload["properties"]) if kind == "upsert" else self

    def _described(self, label: str, id_: str, properties: Mapping[str, Any]) -> Edits:
        state, given = self, _given(properties)
        if "name" in given:
            state = replace(state, names={**state.names, (label, id_): str(given["name"])})
        if label == "User" and {"latitude", "longitude"} <= given.keys():
            state = replace(state, homes={**state.homes, id_: (float(given["latitude"]), float(given["longitude"]))})
        return state

    def name(self, label: str, id_: str) -> str:
        """What people call a user, artist, tag or genre: as an edit says, else the release, else its id."""
        if (label, id_) in self.names:
            return self.names[label, id_]
        known = self.snapshot.ids[label].index(id_)
        return id_ if known < 0 else self.snapshot.name(label, known)

    def _follow(self, kind: str, key: tuple[str, str], payload: Mapping[str, Any]) -> Edits:
        target = payload["target"]
        made, undone = dict(self.followed.get(key, {})), self.unfollowed.get(key, frozenset())
        if kind == "follow":
            made[target], undone = int(payload["since"]), undone - {target}
        else:
            made.pop(target, None)
            undone = undone | {target}
        return replace(self, followed={**self.followed, key: made}, unfollowed={**self.unfollowed, key: undone})


def _given(properties: Mapping[str, Any]) -> dict[str, Any]:
    """A property of None leaves what is there."""
    return {name: value for name, value in properties.items() if value is not None}


class NewSongs:
    """The new songs of one state as arrays.

    Shapes: M places for songs that came since the release, S of the release before them; ids (M,); unit (M, D) vectors
    of length 1 composed of their entities, 0 where none is known; entities[r][i] (n,) positions of song i's r-entities;
    artist (M,) the position of an artist, -1 where unknown; released (M,) epoch milliseconds of the release, else of
    the upload, `UNKNOWN_INTEGER` where neither is known; quality (M,) NaN where unknown. A song that was deleted keeps
    its place, without a vector or entities.
    """

    def __init__(self, edits: Edits, vectors: ModelVectors | None) -> None:
        snapshot = edits.snapshot
        self.first, self.ids = snapshot.songs, list(edits.places)
        songs = [edits.songs.get(id_, NewSong(id_)) for id_ in self.ids]
        self.songs = songs
        entities = [song.entities(snapshot) for song in songs]
        self.entities = {
            name: [one.get(name, NONE) for one in entities]
            for name in (*(n for n, _ in _RELATIONS.values()), "LANGUAGE")
        }
        dim = 1 if vectors is None else vectors.unit.shape[1]
        self.unit = np.zeros((len(songs), dim), dtype=np.float32)
        if vectors is not None:
            for i, one in enumerate(entities):
                self.unit[i] = vectors.composed(one)
        self.artist = np.array([a[-1] if len(a) else -1 for a in self.entities["PERFORMED_BY"]], dtype=np.int64)
        self.released = np.array([release_time(song.properties) for song in songs], dtype=np.int64)
        self.quality = np.array([s.properties.get("quality", np.nan) for s in songs], dtype=np.float64)
        self._shares: dict[str, sparse.csr_array] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def out_by(self, at: int) -> int:
        """How many had come out by `at`, those of unknown times among them."""
        return int(np.count_nonzero(self.released <= at)) if len(self) else 0

    def shares(self, relation: Relation) -> sparse.csr_array:
        """(M, targets) sparse: each song's entities of a relation, evenly."""
        if relation.key not in self._shares:
            entities = self.entities.get(relation.name, [NONE] * len(self))
            sizes = np.array([len(one) for one in entities], dtype=np.int64)
            indptr = np.concatenate([[0], np.cumsum(sizes)])
            indices = np.concatenate([NONE, *entities])
            data = np.repeat(1.0 / np.maximum(sizes, 1), sizes)
            self._shares[relation.key] = sparse.csr_array((data, indices, indptr), shape=(len(self), relation.targets))
        return self._shares[relation.key]

    def title(self, i: int) -> str:
        """What people call it: its title, else its id."""
        return str(self.songs[i].properties.get("title") or self.ids[i])

    def take(self, known: Array, new: Array | float, songs: Array) -> Array:
        """(n, …) rows of `known` (S, …), or of `new` (M, …) where a position is a new song's; `new` may be a number."""
        late = songs >= self.first
        if not late.any():
            return np.asarray(known[songs])
        found = np.asarray(known[np.where(late, 0, songs)])
        found[late] = new[songs[late] - self.first] if isinstance(new, np.ndarray) else new
        return found
