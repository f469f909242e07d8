"""Songs and whatever they hang on: artists, albums, genres, tags, covers, places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graph.durations import DAY_MS
from graph.world.model import DIMENSION, END, WorldConfig

GENRES: Final = (
    *("pop", "rock", "electronic", "folk", "hip hop", "jazz", "classical", "metal", "soul"),
    *("reggae", "country", "blues", "latin", "punk", "ambient", "house", "indie", "gospel"),
)
MOODS: Final = ("calm", "happy", "sad", "energetic", "romantic", "dark", "dreamy", "focused", "angry", "festive")
MOOD_PEAKS: Final = np.array([23.0, 12.0, 22.0, 18.0, 20.0, 1.0, 0.0, 10.0, 17.0, 21.0])  # hours
STYLES: Final = ("classic", "modern", "underground")
OTHER_TAGS: Final = ("live", "favourites", "seen live", "acoustic", "remix", "soundtrack", "covers", "80s")
LANGUAGES: Final = ("en", "es", "zh", "de")
INSTRUMENTAL: Final = len(LANGUAGES)  # the code of a song without words
_SYLLABLES: Final = (
    *("ka", "lo", "mi", "ren", "sol", "ta", "vi", "no"),
    *("el", "ar", "ju", "se", "ba", "ri", "du", "ne"),
)

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Catalogue:
    """A artists, S songs, B albums, P places; vectors (., D) float32; codes int64; times epoch milliseconds."""

    genre_vec: F32
    mood_vec: F32
    artist_vec: F32
    artist_genre: I64
    artist_style: I64
    artist_place: I64
    artist_language: I64
    artist_fame: npt.NDArray[np.float64]
    artist_creator: I64  # the listener behind the artist, or -1
    place_lat: npt.NDArray[np.float64]
    place_lon: npt.NDArray[np.float64]
    place_language: I64
    song_vec: F32
    song_artist: I64
    song_mood: I64
    song_language: I64
    song_quality: npt.NDArray[np.float64]
    song_prior: npt.NDArray[np.float64]
    song_duration: I64
    song_released: I64
    song_uploaded: I64
    song_album: I64
    song_cover_of: I64  # -1: an original

    @property
    def song_genre(self) -> I64:
        return self.artist_genre[self.song_artist]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Every field by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def unit(x: npt.NDArray[Any]) -> F32:
    """Rows scaled to length 1."""
    scaled: F32 = (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)
    return scaled


def noise(rng: np.random.Generator, *shape: int) -> F32:
    """Random unit vectors of `DIMENSION` numbers."""
    return unit(rng.standard_normal((*shape, DIMENSION)))


def invent_names(rng: np.random.Generator, n: int, words: int = 2) -> list[str]:
    """Pronounceable names, not unique."""
    picks = rng.integers(0, len(_SYLLABLES), (n, words, 3))
    lengths = rng.integers(2, 4, (n, words))
    return [
        " ".join(
            "".join(_SYLLABLES[i] for i in word[:size]).capitalize() for word, size in zip(row, sizes, strict=True)
        )
        for row, sizes in zip(picks, lengths, strict=True)
    ]


def _places(config: WorldConfig, rng: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
    """City-like clusters in four countries far apart, each with its language."""
    centres = np.array([[51.0, 0.0], [40.0, -4.0], [31.0, 118.0], [51.0, 10.0]])
    country = np.arange(config.places) % len(LANGUAGES)
    spots = centres[country] + rng.normal(0.0, 1.5, (config.places, 2))
    return {"place_lat": spots[:, 0], "place_lon": spots[:, 1], "place_language": country.astype(np.int64)}


def _artists(config: WorldConfig, rng: np.random.Generator, vectors: dict[str, Any]) -> dict[str, Any]:
    signed = max(config.genres * 2, round(config.songs / config.songs_per_artist))
    creators = max(1, round(config.users * 0.03))
    n = signed + creators
    # every genre has an artist; the others fall on genres by a gentle power law
    shares = 1.0 / np.arange(1, config.genres + 1) ** 0.6
    genre = np.concatenate(
        [np.arange(config.genres), rng.choice(config.genres, n - config.genres, p=shares / shares.sum())]
    )
    style = rng.integers(0, len(STYLES), n)
    place = rng.integers(0, config.places, n)
    creator = np.full(n, -1)
    creator[signed:] = rng.choice(config.users, creators, replace=False)
    return {
        "artist_vec": unit(
            vectors["genre_vec"][genre] + 0.7 * vectors["style_vec"][genre, style] + 0.6 * noise(rng, n)
        ),
        "artist_genre": genre,
        "artist_style": style,
        "artist_place": place,
        "artist_language": np.where(rng.random(n) < 0.15, INSTRUMENTAL, vectors["place_language"][place]),
        "artist_fame": np.exp(rng.normal(0.0, 1.2, n)) * np.where(creator >= 0, 0.2, 1.0),
        "artist_creator": creator,
    }


def _song_artists(config: WorldConfig, rng: np.random.Generator, artists: dict[str, Any]) -> I64:
    n = len(artists["artist_fame"])
    share = np.exp(rng.normal(0.0, 0.6, n)) * np.where(artists["artist_creator"] >= 0, 0.35, 1.0)
    first = np.arange(min(n, config.songs))
    rest = rng.choice(n, config.songs - len(first), p=share / share.sum())
    return rng.permutation(np.concatenate([first, rest]))


def _times(config: WorldConfig, rng: np.random.Generator, artist: I64) -> tuple[I64, I64, npt.NDArray[np.bool_]]:
    """(released, uploaded, old): new songs appear evenly over the days, old ones did over eight years."""
    old = rng.random(config.songs) >= config.new_songs
    _, first = np.unique(artist, return_index=True)
    old[first] = True  # every artist has a song when the world begins
    past = config.start - DAY_MS - (rng.random(config.songs) ** 1.5 * 8 * 365 * DAY_MS).astype(np.int64)
    future = config.start + (rng.random(config.songs) * (END - config.start)).astype(np.int64)
    uploaded = np.where(old, past, future)
    released = np.where(rng.random(config.songs) < 0.9, uploaded, uploaded - 365 * DAY_MS)
    return released, uploaded, old


def _covers(rng: np.random.Generator, old: npt.NDArray[np.bool_], share: float = 0.06) -> I64:
    """Which old song a cover is of; originals are never covers themselves."""
    n = len(old)
    cover = rng.random(n) < share
    originals = np.flatnonzero(old & ~cover)
    return np.where(cover, originals[rng.integers(0, len(originals), n)], -1)


def _albums(artist: I64, uploaded: I64, size: int = 8) -> I64:
    """Songs of an artist in order of appearance, `size` an album."""
    order = np.lexsort((uploaded, artist))
    sorted_artist = artist[order]
    first = np.searchsorted(sorted_artist, sorted_artist)
    within = (np.arange(len(artist)) - first) // size
    _, dense = np.unique(sorted_artist * 1_000_000 + within, return_inverse=True)
    album = np.empty(len(artist), np.int64)
    album[order] = dense
    return album


def make_catalogue(config: WorldConfig, rng: np.random.Generator) -> Catalogue:
    """The whole catalogue of a world."""
    vectors: dict[str, Any] = {"genre_vec": noise(rng, config.genres), "mood_vec": noise(rng, len(MOODS))}
    vectors["style_vec"] = noise(rng, config.genres, len(STYLES))
    places = _places(config, rng)
    artists = _artists(config, rng, vectors | places)
    artist = _song_artists(config, rng, artists)
    n = config.songs
    released, uploaded, old = _times(config, rng, artist)
    mood = rng.integers(0, len(MOODS), n)
    cover_of = _covers(rng, old)
    vec = unit(artists["artist_vec"][artist] + 0.6 * vectors["mood_vec"][mood] + 0.4 * noise(rng, n))
    covers = np.flatnonzero(cover_of >= 0)
    vec[covers] = unit(0.5 * vec[cover_of[covers]] + 0.5 * vec[covers])
    amateur = artists["artist_creator"][artist] >= 0
    quality = 1.0 / (1.0 + np.exp(-rng.normal(np.where(amateur, -0.6, 0.3), np.where(amateur, 1.3, 0.8))))
    prior = artists["artist_fame"][artist] * np.exp(3.0 * (quality - 0.5)) * np.exp(rng.normal(0.0, 1.1, n))
    return Catalogue(
        genre_vec=vectors["genre_vec"],
        mood_vec=vectors["mood_vec"],
        **places,
        **artists,
        song_vec=vec,
        song_artist=artist,
        song_mood=mood,
        song_language=artists["artist_language"][artist],
        song_quality=quality,
        song_prior=prior / prior.mean(),
        song_duration=np.clip(rng.normal(215_000, 45_000, n), 60_000, 480_000).astype(np.int64),
        song_released=released,
        song_uploaded=uploaded,
        song_album=_albums(artist, uploaded),
        song_cover_of=cover_of,
    )
