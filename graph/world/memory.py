"""What the simulation remembers, as arrays that compiled code can change: named tuples of numpy arrays."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from graph.compiled import compiled
from graph.world.catalogue import INSTRUMENTAL, Catalogue
from graph.world.people import People

Array = npt.NDArray[Any]

LIBRARY: Final = 300  # songs a listener's library holds; a random one gives way
LOVES: Final = 60  # latest loves that followees can see
BLOCKED: Final = 32
FOLLOWED: Final = 40
# flags of a (listener, song) pair, above its count of plays
COUNT_MASK: Final = 0x3FF
COLLECTED: Final = 1 << 10
LIKED: Final = 1 << 11
SHARED: Final = 1 << 12
LISTED: Final = 1 << 13
DOWNLOADED: Final = 1 << 14
KEPT: Final = 1 << 15  # in the library


class Songs(NamedTuple):
    """Songs of the catalogue; `*_ptr` and `*_songs` list the songs of an artist, genre, place (oldest first)."""

    vec: Array
    quality: Array
    artist: Array
    genre: Array
    language: Array
    place: Array
    uploaded: Array
    duration: Array
    artist_ptr: Array
    artist_songs: Array
    genre_ptr: Array
    genre_songs: Array
    place_ptr: Array
    place_songs: Array


class Today(NamedTuple):
    """Attraction of songs in the morning; `cum` runs over `genre_songs`, `place_cum` over `place_songs`.

    `available` holds a song as often as `copies` (songs,) says.
    """

    weight: Array
    cum: Array
    place_cum: Array
    fresh: Array
    is_fresh: Array
    available: Array
    copies: Array


class Memory(NamedTuple):
    """What has happened: heat of songs, libraries, recent loves, blocks, followed artists, pairs heard."""

    heat: Array
    library: Array
    library_n: Array
    love_song: Array
    love_at: Array
    love_n: Array
    blocked: Array
    blocked_n: Array
    followed: Array
    followed_n: Array
    keys: Array
    values: Array
    used: Array


class Log(NamedTuple):
    """Rows of one day, events not in the order of time; `n`: (events, exposures, requests, sessions) so far."""

    n: Array
    user: Array
    action: Array
    song: Array
    artist: Array
    at: Array
    played: Array
    scene: Array
    request: Array
    position: Array
    fit: Array
    interest: Array
    shown_request: Array
    shown_user: Array
    shown_song: Array
    shown_position: Array
    shown_at: Array
    shown_scene: Array
    shown_channel: Array
    shown_score: Array
    shown_propensity: Array
    shown_fit: Array


def grouped(key: Array, uploaded: Array, groups: int) -> tuple[Array, Array]:
    """CSR of songs by `key`, the oldest first within a group."""
    order = np.lexsort((uploaded, key)).astype(np.int64)
    return np.concatenate([[0], np.cumsum(np.bincount(key, minlength=groups))]).astype(np.int64), order


def make_songs(c: Catalogue) -> Songs:
    """The catalogue as the compiled code reads it."""
    place = c.artist_place[c.song_artist]
    artist_ptr, artist_songs = grouped(c.song_artist, c.song_uploaded, len(c.artist_fame))
    genre_ptr, genre_songs = grouped(c.song_genre, c.song_uploaded, len(c.genre_vec))
    place_ptr, place_songs = grouped(place, c.song_uploaded, len(c.place_lat))
    return Songs(
        np.ascontiguousarray(c.song_vec),
        c.song_quality,
        c.song_artist,
        c.song_genre,
        c.song_language,
        place,
        c.song_uploaded,
        c.song_duration,
        artist_ptr,
        artist_songs,
        genre_ptr,
        genre_songs,
        place_ptr,
        place_songs,
    )


def make_memory(songs: int, users: int) -> Memory:
    """Nothing has happened yet."""
    size = 1 << 14
    return Memory(
        np.zeros(songs),
        np.full((users, LIBRARY), -1, np.int64),
        np.zeros(users, np.int64),
        np.full((users, LOVES), -1, np.int64),
        np.zeros((users, LOVES), np.int64),
        np.zeros(users, np.int64),
        np.full((users, BLOCKED), -1, np.int64),
        np.zeros(users, np.int64),
        np.full((users, FOLLOWED), -1, np.int64),
        np.zeros(users, np.int64),
        np.full(size, -1, np.int64),
        np.zeros(size, np.int64),
        np.zeros(1, np.int64),
    )


def make_log(events: int, shown: int) -> Log:
    """Room for a day's rows."""

    def column(n: int, kind: type) -> Array:
        return np.zeros(n, kind)

    i, f = np.int64, np.float64
    return Log(
        np.zeros(4, i),
        *(column(events, kind) for kind in (i, np.int8, i, i, i, i, np.int8, i, i, f, np.int8)),
        *(column(shown, kind) for kind in (i, i, i, i, i, np.int8, np.int8, f, f, f)),
    )


@compiled
def pair_slot(keys: Array, key: int) -> int:
    """Where `key` stands or would stand: open addressing, linear probing; the table is never full."""
    mask = len(keys) - 1
    h = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    i = int(np.int64(h >> np.uint64(20)) & mask)
    while keys[i] != -1 and keys[i] != key:
        i = (i + 1) & mask
    return i


@compiled
def refill(old_keys: Array, old_values: Array, keys: Array, values: Array) -> None:
    """Copy every pair into a larger table."""
    for j in range(len(old_keys)):
        if old_keys[j] != -1:
            i = pair_slot(keys, old_keys[j])
            keys[i] = old_keys[j]
            values[i] = old_values[j]


def with_room(memory: Memory, more: int) -> Memory:
    """The same memory with a pair table that stays at most half full after `more` new pairs."""
    size = len(memory.keys)
    while (int(memory.used[0]) + more) * 2 > size:
        size *= 2
    if size == len(memory.keys):
        return memory
    keys, values = np.full(size, -1, np.int64), np.zeros(size, np.int64)
    refill(memory.keys, memory.values, keys, values)
    return memory._replace(keys=keys, values=values)


@compiled
def best_cosine(p: Any, s: Any, u: int, song: int) -> float:
    """The best cosine between a listener's interests and a song."""
    best = -1.0
    for k in range(p.n[u]):
        dot = 0.0
        for d in range(s.vec.shape[1]):
            dot += p.vec[u, k, d] * s.vec[song, d]
        best = max(best, dot)
    return best


@compiled
def cosine_with(p: Any, s: Any, u: int, k: int, song: int) -> float:
    """The cosine between one interest and a song."""
    dot = 0.0
    for d in range(s.vec.shape[1]):
        dot += p.vec[u, k, d] * s.vec[song, d]
    return dot


class Minds(NamedTuple):
    """Listeners as the compiled code reads them."""

    vec: Array
    n: Array
    artist: Array
    place: Array
    language: Array
    curiosity: Array
    joined: Array
    declared: Array
    follow_ptr: Array
    follow_idx: Array
    follow_since: Array


def make_minds(p: People, artists: Array | None = None) -> Minds:
    """A view of the people: interest arrays are shared, so that drift is seen."""
    return Minds(
        p.interest_vec,
        p.interests,
        p.interest_artist if artists is None else artists,
        p.place,
        p.language,
        p.curiosity,
        p.joined,
        p.declared,
        p.follow_ptr,
        p.follow_idx,
        p.follow_since,
    )


@compiled
def understood(listener_language: int, song_language: int) -> bool:
    """Whether the listener knows the song's language, or it has no words."""
    return song_language in (INSTRUMENTAL, listener_language)
