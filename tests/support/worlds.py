"""Two small worlds for every test: a lopsided one to work answers out by hand, a planted one with one right answer.

The lopsided world has 3 listeners, 5 songs, 2 artists and 2 genres, so that whatever is transposed or swapped fails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pytest

from embeddings.skipgram.song2vec import Song2Vec, Song2VecConfig
from embeddings.vectors.model_vectors import ModelVectors, liked_songs, mean_of_liked
from graph import schema
from graph.release import Release
from graph.snapshot.snapshot import Snapshot
from ranking.learning import NEAREST
from recall.base import Query
from recall.discovery import channel_names, channel_type
from recall.item_lists.neighbours import Neighbours
from recall.listeners.listener import UNHEARD, Listener

DAY: Final = 86_400_000
NOW: Final = 1_000 * DAY
EVENT_TYPES: Final = {
    "user_id": pl.String,
    "action": pl.String,
    "song_id": pl.String,
    "at": pl.Int64,
    "count": pl.Int64,
    "played_ms": pl.Int64,
    "rating": pl.Float64,
    "latitude": pl.Float64,
    "longitude": pl.Float64,
}


def events(rows: Iterable[Sequence[Any]]) -> pl.DataFrame:
    """An event log of rows (user, action, song, at, count = 1, played_ms, rating, latitude, longitude = None), offsets
    from 1."""
    whole = [(*row, *(1, None, None, None, None)[len(row) - 4 :]) for row in rows]
    return pl.DataFrame(whole, schema=EVENT_TYPES, orient="row").with_row_index("offset", offset=1)


def nodes(ids: Iterable[str], **properties: Sequence[Any]) -> pl.DataFrame:
    """Nodes of one label, with one value of each property a node."""
    return pl.DataFrame({"id": list(ids), **properties})


def edges(
    given: Mapping[tuple[str, str, str], Sequence[Sequence[Any]]],
) -> dict[schema.Relationship, pl.DataFrame]:
    """Rows (source, target, properties in the schema's order) by (type, source label, target label)."""
    kinds = {"string": pl.String, "integer": pl.Int64, "float": pl.Float64}
    found = {}
    for key, rows in given.items():
        rel = schema.relationship(*key)
        types = {"source": pl.String, "target": pl.String, **{p.name: kinds[p.kind] for p in rel.properties}}
        width = len(types)
        found[rel] = pl.DataFrame([(*r, *[None] * (width - len(r))) for r in rows], schema=types, orient="row")
    return found


LOPSIDED_NODES: Final = {
    "User": nodes(["ana", "ben", "cy"], name=["Ana", "Ben", None], birth_year=[1990, None, 2001]),
    "Song": nodes(
        ["s1", "s2", "s3", "s4", "s5"],
        title=["One", "Two", "Three", "Four", None],
        language=["en", "en", "ro", None, ""],
        released_at=[NOW - 100 * DAY, NOW - 10 * DAY, None, NOW - 3 * DAY, NOW],
        quality=[0.5, None, 1.0, 0.25, 0.75],
    ),
    "Artist": nodes(["alba", "brio"], name=["Alba", "Brio"]),
    "Genre": nodes(["folk", "rock"]),
    "Playlist": nodes(["mix"], name=["Mix"]),
}
LOPSIDED_EDGES: Final = edges(
    {
        ("PERFORMED_BY", "Song", "Artist"): [
            ("s1", "alba"),
            ("s2", "alba"),
            ("s5", "alba"),
            ("s3", "brio"),
            ("s4", "brio"),
        ],
        ("HAS_GENRE", "Song", "Genre"): [
            ("s1", "folk"),
            ("s2", "folk"),
            ("s2", "rock"),
            ("s3", "rock"),
            ("s4", "rock"),
            ("s5", "folk"),
        ],
        ("HAS_TAG", "Song", "Tag"): [("s1", "calm", 3.0), ("s5", "calm", 1.0), ("s5", "loud", 3.0), ("s4", "loud")],
        ("ON_ALBUM", "Song", "Album"): [("s1", "first"), ("s2", "first")],
        ("COVER_OF", "Song", "Song"): [("s4", "s1")],
        ("CONTAINS", "Playlist", "Song"): [("mix", "s3", 0), ("mix", "s1", 2), ("mix", "s2", 1)],
        ("OWNS", "User", "Playlist"): [("ben", "mix")],
        ("SIMILAR_TO", "Artist", "Artist"): [("alba", "brio", 0.5)],
        ("FOLLOWS", "User", "User"): [("ana", "ben", NOW - DAY), ("ana", "cy"), ("cy", "ana")],
        ("FOLLOWS_ARTIST", "User", "Artist"): [("cy", "brio")],
        ("LIVES_IN", "User", "Place"): [("ana", "here"), ("ben", "here")],
        ("RELATED", "Song", "Entity"): [("s1", "film", "film.music")],
    }
)
LOPSIDED_EVENTS: Final = events(
    [
        ("ana", "full_play", "s1", NOW - 21 * DAY),
        ("ana", "collect", "s1", NOW - 21 * DAY),
        ("ben", "play", "s3", None, 10),
        ("ben", "full_play", "s4", NOW - 7 * DAY),
        ("ben", "like", "s4", NOW - 7 * DAY),
        ("cy", "full_play", "s2", NOW),
        ("cy", "full_play", "s4", NOW - 14 * DAY),
        ("cy", "block", "s3", NOW),
        ("ana", "skip", "s2", NOW),
        ("ana", "search", None, NOW),
    ]
)


def lopsided_snapshot(
    *,
    node_tables: Mapping[str, pl.DataFrame] | None = None,
    edge_tables: Mapping[schema.Relationship, pl.DataFrame] | None = None,
    log: pl.DataFrame | None = None,
    exposures: pl.DataFrame | None = None,
) -> Snapshot:
    """The lopsided world, with some tables changed."""
    return Snapshot.of_frames(
        {**LOPSIDED_NODES, **(node_tables or {})},
        {**LOPSIDED_EDGES, **(edge_tables or {})},
        LOPSIDED_EVENTS if log is None else log,
        exposures,
    )


def lopsided_vectors(snapshot: Snapshot) -> ModelVectors:
    """In the plane, by degrees: s1 at 0, s2 at 90, s3 at 30, s4 at 60; s5 is composed of its artist at 180."""
    degrees = np.radians([0, 90, 30, 60, 0])
    raw = np.stack([np.cos(degrees), np.sin(degrees)], axis=1).round(12)
    artists = np.array([[-1.0, 0.0], [0.0, 2.0]], dtype=np.float32)
    trained = np.array([True, True, True, True, False])
    return ModelVectors.of(snapshot, raw, trained, {"PERFORMED_BY": artists}, {"PERFORMED_BY": 1.0})


SCORING = "relation_gamma_gcn"
"""The model that has listener vectors in a built release."""


def scoring(snapshot: Snapshot, vectors: ModelVectors) -> ModelVectors:
    """Listeners as the mean of what they like."""
    return ModelVectors.of_pairs(snapshot, mean_of_liked(vectors.unit, liked_songs(snapshot)), vectors.unit)


def built(
    folder: Path,
    snapshot: Snapshot,
    vectors: ModelVectors,
    names: Sequence[str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Release:
    """A release of `snapshot` for the channels `names` (all), each prepared with its defaults and its `options`."""
    snapshot.write(folder / "snapshot")
    kinds = [channel_type(name) for name in (channel_names() if names is None else names)]
    models = sorted({"song2vec", *(model for kind in kinds for model in kind.vectors)})
    learned = {model: scoring(snapshot, vectors) if model == SCORING else vectors for model in models}
    for model, found in learned.items():
        found.save(folder / "vectors" / model, {})
        Neighbours.of_vectors(found.unit, NEAREST).save(folder / "similar" / model)
    for kind in kinds:
        if kind.prepares:
            mine = folder / "recall" / kind.name
            mine.mkdir(parents=True)
            config = kind.configure((options or {}).get(kind.name))
            kind.channel.prepare(snapshot, learned, config, mine, rng=np.random.default_rng(0))
    return Release.open(folder)


@dataclasses.dataclass(frozen=True)
class World:
    """A release and how to ask it."""

    release: Release
    vectors: ModelVectors

    @property
    def snapshot(self) -> Snapshot:
        return self.release.snapshot

    def song(self, id_: str) -> int:
        found = self.snapshot.ids["Song"].index(id_)
        assert found >= 0, id_
        return found

    def songs(self, *ids: str) -> list[int]:
        return [self.song(i) for i in ids]

    def ids(self, songs: Iterable[int]) -> list[str]:
        return [self.snapshot.ids["Song"][int(i)] for i in songs]

    def listener(self, user_id: str | None) -> Listener:
        return Listener.of(self.snapshot, user_id)

    def query(self, user_id: str | None, *, exclude: Iterable[str] = (), heard: bool = False, at: int = NOW) -> Query:
        """What a listener asks; songs that were heard are left out with `heard`."""
        listener = self.listener(user_id)
        own = listener.heard if heard else UNHEARD
        left_out = np.unique(np.concatenate([own, np.array(self.songs(*exclude), dtype=np.int32)])).astype(np.int32)
        return Query(listener, at, left_out)

    def answer(self, channel: Any, user_id: str | None, k: int = 10, **more: Any) -> dict[str, float]:
        """What a channel answers, by song id, the best first; scores to six decimals."""
        found = channel.recall(self.query(user_id, **more), k)
        return dict(zip(self.ids(found.songs), np.round(found.scores, 6).tolist(), strict=True))


# ---- the planted world

ANSWER: Final = "a-answer"
PLACES: Final = ((47.05, 21.92), (47.05, 22.05))  # some 10 km apart
SHORT: Final = Song2VecConfig(embedding_dim=16, epochs=20, negative=5)


def planted_snapshot() -> Snapshot:
    """`you` and 8 others love the songs of a small scene; you alone have not met `a-answer` yet.

    16 people of another scene play theirs more, so that the popular songs are the wrong ones. You follow three of your
    scene; its songs share artist, genre, tag, album and language, and its people a place (`bob00` has none and comes
    around); the answer is another version of one of yours, stands in a playlist with three, and was uploaded by one
    whom you follow.
    """
    scenes = {"a": (["you", *(f"ann{i}" for i in range(8))], 8), "b": ([f"bob{i:02}" for i in range(16)], 10)}
    songs = {key: [f"{key}-{i}" for i in range(count)] for key, (_, count) in scenes.items()}
    songs["a"].append(ANSWER)
    log = []
    rng = np.random.default_rng(5)
    for day in range(12):
        for key, (people, _) in scenes.items():
            for person in people:
                known = [s for s in songs[key] if (person, s) != ("you", ANSWER)]
                start = NOW - (11 - day) * DAY
                played = [ANSWER] * (person != "you" and key == "a") + rng.permutation(known)[:5].tolist()
                there = (1, None, None, *PLACES[day % 2]) if person == "bob00" else (1, None, None, None, None)
                log += [(person, "full_play", s, start + 240_000 * i, *there) for i, s in enumerate(played)]
    everything = [*songs["a"], *songs["b"]]
    scene = [s[0] for s in everything]
    of = {
        ("PERFORMED_BY", "Song", "Artist"): "artist",
        ("HAS_GENRE", "Song", "Genre"): "genre",
        ("ON_ALBUM", "Song", "Album"): "album",
    }
    relations: dict[tuple[str, str, str], list[tuple[Any, ...]]] = {
        key: [(s, f"{what}-{x}") for s, x in zip(everything, scene, strict=True)] for key, what in of.items()
    }
    relations["HAS_TAG", "Song", "Tag"] = [(s, f"tag-{x}", 1.0) for s, x in zip(everything, scene, strict=True)]
    relations["FOLLOWS", "User", "User"] = [
        *(("you", f"ann{i}") for i in range(3)),
        ("ann0", "bob00"),
        ("bob00", "bob01"),
    ]
    relations["LIVES_IN", "User", "Place"] = [
        (p, f"place-{k}") for k, (people, _) in scenes.items() for p in people if p != "bob00"
    ]
    relations["UPLOADED", "User", "Song"] = [("ann1", ANSWER, NOW - 9 * DAY), ("bob00", "b-0", NOW - 5 * DAY)]
    relations["COVER_OF", "Song", "Song"] = [(ANSWER, "a-0"), ("a-1", "a-2"), ("b-0", "b-1"), ("b-2", "b-3")]
    relations["FOLLOWS_ARTIST", "User", "Artist"] = [("you", "artist-a"), ("bob00", "artist-b")]
    relations["CONTAINS", "Playlist", "Song"] = [("list-a", s, i) for i, s in enumerate(["a-0", ANSWER, "a-1", "a-2"])]
    relations["OWNS", "User", "Playlist"] = [("ann0", "list-a")]
    released = [NOW - (2 * i + 1) * DAY for i in range(len(everything))]
    table = nodes(everything, language=["en" if x == "a" else "ro" for x in scene], released_at=released)
    places = nodes(["place-a", "place-b"], latitude=[p[0] for p in PLACES], longitude=[p[1] for p in PLACES])
    # what was shown: the songs of the other scene, again and again
    fields = {"user_id": pl.String, "song_id": pl.String, "at": pl.Int64, "channel": pl.String, "score": pl.Float64}
    rows = [("bob01", song, NOW - i * DAY, None, None) for i in range(9) for song in songs["b"][: 9 - i]]
    shown = pl.DataFrame(rows, schema=fields, orient="row").with_columns(request_id=pl.lit("r"), position=pl.lit(0))
    exposures = shown.with_row_index("offset", offset=1)
    return Snapshot.of_frames({"Song": table, "Place": places}, edges(relations), events(log), exposures)


@pytest.fixture(scope="session")
def lopsided(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The lopsided world with a release on disk."""
    snapshot = lopsided_snapshot()
    vectors = lopsided_vectors(snapshot)
    return World(built(tmp_path_factory.mktemp("lopsided"), snapshot, vectors), vectors)


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The planted world with a release whose vectors were learned."""
    snapshot = planted_snapshot()
    vectors = Song2Vec.fit(snapshot, SHORT, rng=np.random.default_rng(1))
    return World(built(tmp_path_factory.mktemp("planted"), snapshot, vectors), vectors)


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[..., World]:
    """Makes a release of a changed lopsided world."""

    def make(**tables: Any) -> World:
        snapshot = lopsided_snapshot(**tables)
        vectors = lopsided_vectors(snapshot)
        return World(built(tmp_path / f"world-{len(list(tmp_path.iterdir()))}", snapshot, vectors), vectors)

    return make
