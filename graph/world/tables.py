"""The world's catalogue and people as the tables of the `tables` format."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from graph.durations import DAY_MS
from graph.world.catalogue import (
    GENRES,
    LANGUAGES,
    MOODS,
    OTHER_TAGS,
    STYLES,
    Catalogue,
    invent_names,
)
from graph.world.model import WorldConfig
from graph.world.people import People
from graph.world.simulate import Ids, coded, numbered_genres, numbered_moods

Array = npt.NDArray[Any]


def artist_names(config: WorldConfig, artists: int) -> list[str]:
    """Names of the artists; equal names differ by a number, as searches name them."""
    names = invent_names(np.random.default_rng([config.seed, 3]), artists)
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return out


def _language(codes: Array) -> pl.Series:
    return coded(pl.Series(LANGUAGES), np.where(codes < len(LANGUAGES), codes, -1))


def _album_ids(albums: Array) -> pl.Series:
    return pl.Series([f"b{i:06d}" for i in albums.tolist()], dtype=pl.String)


def node_tables(config: WorldConfig, c: Catalogue, p: People, ids: Ids) -> dict[str, pl.DataFrame]:
    """`songs artists albums genres tags places users`; neither quality nor tier: they are truth."""
    rng = np.random.default_rng([config.seed, 4])
    titles = np.array(invent_names(rng, config.songs))
    cover = np.flatnonzero(c.song_cover_of >= 0)
    titles[cover] = titles[c.song_cover_of[cover]]
    albums = np.arange(int(c.song_album.max()) + 1)
    styles = [
        (f"style{g:02d}{i}", f"{style} {GENRES[g]}") for g in range(config.genres) for i, style in enumerate(STYLES)
    ]
    tags = (
        [(f"mood{i:02d}", m) for i, m in enumerate(MOODS)]
        + styles
        + [(f"tag{i:02d}", t) for i, t in enumerate(OTHER_TAGS)]
    )
    return {
        "songs": pl.DataFrame(
            {
                "id": ids.songs,
                "title": titles.tolist(),
                "duration_ms": c.song_duration,
                "language": _language(c.song_language),
                "released_at": c.song_released,
                "uploaded_at": c.song_uploaded,
            }
        ),
        "artists": pl.DataFrame({"id": ids.artists, "name": ids.artist_names}),
        "albums": pl.DataFrame({"id": _album_ids(albums), "title": invent_names(rng, len(albums), 1)}),
        "genres": pl.DataFrame({"id": numbered_genres(np.arange(config.genres)), "name": GENRES[: config.genres]}),
        "tags": pl.DataFrame(tags, schema=["id", "name"], orient="row"),
        "places": pl.DataFrame(
            {
                "id": [f"p{i:03d}" for i in range(config.places)],
                "name": invent_names(rng, config.places, 1),
                "latitude": c.place_lat,
                "longitude": c.place_lon,
            }
        ),
        "users": _users(config, c, p, ids, rng),
    }


def _users(config: WorldConfig, c: Catalogue, p: People, ids: Ids, rng: np.random.Generator) -> pl.DataFrame:
    n = config.users
    spread = rng.normal(0.0, 0.03, (2, n))
    genders = pl.Series(["female", "male", "other"])
    return pl.DataFrame(
        {
            "id": ids.users,
            "name": invent_names(rng, n, 1),
            "gender": coded(genders, np.where(rng.random(n) < 0.2, -1, rng.choice(3, n, p=[0.48, 0.48, 0.04]))),
            "birth_year": np.clip(rng.normal(1995, 11, n), 1940, 2012).astype(np.int64),
            "language": _language(p.language),
            # seniority only: activity is for models to find out
            "level": np.clip((config.start - p.joined) // (90 * DAY_MS), 0, 10),
            "joined_at": p.joined,
            "latitude": c.place_lat[p.place] + spread[0],
            "longitude": c.place_lon[p.place] + spread[1],
        }
    )


def _song_tags(config: WorldConfig, c: Catalogue, ids: Ids, rng: np.random.Generator) -> pl.DataFrame:
    """A song's mood (9 in 10 songs), its style (3 in 4), and now and then a tag that tells nothing or a wrong mood."""
    n = config.songs
    style = pl.Series([f"style{g:02d}{s}" for g, s in zip(c.song_genre, c.artist_style[c.song_artist], strict=True)])
    parts = []
    for tag, share, low in (
        (numbered_moods(c.song_mood), 0.9, 0.5),
        (style, 0.75, 0.4),
        (numbered_moods(rng.integers(0, len(MOODS), n)), 0.15, 0.1),
        (pl.Series([f"tag{i:02d}" for i in rng.integers(0, len(OTHER_TAGS), n)]), 0.5, 0.1),
    ):
        has = rng.random(n) < share
        weight = np.round(low + (1.0 - low) * rng.random(n), 3)
        parts.append(pl.DataFrame({"song_id": ids.songs, "tag_id": tag, "weight": weight}).filter(pl.Series(has)))
    return pl.concat(parts).unique(["song_id", "tag_id"], keep="first", maintain_order=True)


def _artist_similar(c: Catalogue, ids: Ids, near: int = 5) -> pl.DataFrame:
    """The `near` nearest artists by vector, with the cosine as weight."""
    n = len(ids.artists)
    near = min(near, n - 1)
    source, target, weight = [], [], []
    for low in range(0, n, 512):
        cosine = c.artist_vec[low : low + 512] @ c.artist_vec.T
        rows = np.arange(len(cosine))
        cosine[rows, rows + low] = -2.0
        best = np.argsort(-cosine, axis=1, kind="stable")[:, :near]
        source.append(np.repeat(rows + low, near))
        target.append(best.ravel())
        weight.append(np.take_along_axis(cosine, best, 1).ravel())
    a, b, w = (np.concatenate(x) for x in (source, target, weight))
    good = w > 0
    return pl.DataFrame(
        {
            "artist_id": ids.artists.gather(a[good]),
            "similar_id": ids.artists.gather(b[good]),
            "weight": np.round(w[good], 4),
        }
    )


def relation_tables(
    config: WorldConfig, c: Catalogue, p: People, ids: Ids, follows: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Everything between nodes but playlists; `follows` are the follow events (`user`, `artist`, `at`)."""
    rng = np.random.default_rng([config.seed, 5])
    artist, genre = ids.artists.gather(c.song_artist), numbered_genres(c.song_genre)
    second = rng.random(config.songs) < 0.12  # a song of two genres
    other = (c.song_genre + 1 + rng.integers(0, config.genres - 1, config.songs)) % config.genres
    style = [f"style{g:02d}{s}" for g, s in zip(c.artist_genre, c.artist_style, strict=True)]
    covers = np.flatnonzero(c.song_cover_of >= 0)
    uploads = np.flatnonzero(c.artist_creator[c.song_artist] >= 0)
    users = np.arange(config.users)
    return {
        "song_artist": pl.DataFrame({"song_id": ids.songs, "artist_id": artist}),
        "song_album": pl.DataFrame({"song_id": ids.songs, "album_id": _album_ids(c.song_album)}),
        "song_genre": pl.concat(
            [
                pl.DataFrame({"song_id": ids.songs, "genre_id": genre}),
                pl.DataFrame({"song_id": ids.songs, "genre_id": numbered_genres(other)}).filter(pl.Series(second)),
            ]
        ),
        "song_tag": _song_tags(config, c, ids, rng),
        "artist_genre": pl.DataFrame({"artist_id": ids.artists, "genre_id": numbered_genres(c.artist_genre)}),
        "artist_tag": pl.DataFrame(
            {"artist_id": ids.artists, "tag_id": style, "weight": np.round(0.5 + 0.5 * rng.random(len(style)), 3)}
        ),
        "artist_similar": _artist_similar(c, ids),
        "cover_of": pl.DataFrame(
            {"song_id": ids.songs.gather(covers), "original_id": ids.songs.gather(c.song_cover_of[covers])}
        ),
        "uploads": pl.DataFrame(
            {
                "user_id": ids.users.gather(c.artist_creator[c.song_artist[uploads]]),
                "song_id": ids.songs.gather(uploads),
                "at": c.song_uploaded[uploads],
            }
        ),
        "follows": pl.DataFrame(
            {
                "user_id": ids.users.gather(np.repeat(users, np.diff(p.follow_ptr))),
                "followed_id": ids.users.gather(p.follow_idx),
                "since": p.follow_since,
            }
        ),
        "artist_follows": pl.DataFrame(
            {
                "user_id": coded(ids.users, follows["user"].to_numpy()),
                "artist_id": coded(ids.artists, follows["artist"].to_numpy()),
                "since": follows["at"],
            }
        ),
        "user_place": pl.DataFrame({"user_id": ids.users, "place_id": [f"p{i:03d}" for i in p.place.tolist()]}),
    }
