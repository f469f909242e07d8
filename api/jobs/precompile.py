"""Compiles what a refresh and a request need, in a process of its own, while something else is under way.

A first refresh on a machine compiles some two hundred functions, one after the other. This learns a release from a
handful of listeners in a temporary folder and asks it for slates, so that their machine code is kept on disk when the
real refresh comes to them; both may compile the same function at once, which costs time and harms nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

DAY_MS: Final = 86_400_000
LISTENERS, SONGS, DAYS, A_DAY = 40, 60, 30, 4


@contextmanager
def meanwhile() -> Iterator[None]:
    """Compile beside what is done in this context, unless the machine code is there already.

    The process ends with the context, whatever it has got to; that it fails is nobody's business.
    """
    if _is_kept():
        yield
        return
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "api.jobs.precompile"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _is_kept() -> bool:
    """Whether machine code of the function that every channel calls is on disk."""
    from recall.kernels import best

    kept: Any = best.best_of
    return any(Path(kept.stats.cache_path).glob("best.best_of-*.nbi"))


def compile_all() -> None:
    """Learn a release of a few listeners with the settings that ship, and answer from it."""
    import numpy as np

    from api.settings import Settings
    from graph.release import Release
    from ranking.cascade import Cascade
    from ranking.learning import Learner
    from ranking.reasons import Reasons
    from ranking.scene import unhurried

    settings = Settings()
    scenes = {name: unhurried(scene) for name, scene in settings.scene_configs().items()}
    snapshot = _snapshot(np.random.default_rng(0))
    with tempfile.TemporaryDirectory(prefix="segue-compile-") as there:
        folder = Path(there)
        snapshot.write(folder / "snapshot")
        learner = Learner(scenes, replace(settings.learning(), listeners=20))
        learner.learn(folder)
        learner.evaluate(folder)
        learner.bring_to_end(folder)
        release = Release.open(folder)
        for name, scene in scenes.items():
            cascade = Cascade(release, scene, name)
            query = cascade.query(snapshot.ids["User"][0], snapshot.as_of)
            Reasons(release, settings.reasons.never_cited).of_slate(cascade, query, cascade.slate(query), 3)


def _snapshot(rng: Any) -> Any:
    """Listeners of two tastes who play songs, follow each other and live in two places."""
    import polars as pl

    from graph import schema
    from graph.snapshot.snapshot import Snapshot

    users, songs = [f"u{i:02}" for i in range(LISTENERS)], [f"s{i:02}" for i in range(SONGS)]
    begin = 20_000 * DAY_MS
    actions = ("full_play", "full_play", "full_play", "like", "skip", "collect")
    log = [
        (user, str(rng.choice(actions)), songs[int(song) * 2 + i % 2], begin + day * DAY_MS + k * 200_000)
        for day in range(DAYS)
        for i, user in enumerate(users)
        for k, song in enumerate(rng.integers(SONGS // 2, size=A_DAY))
    ]
    events = pl.DataFrame(log, schema=["user_id", "action", "song_id", "at"], orient="row")
    events = events.sort("at", maintain_order=True)
    none = {"count": pl.lit(1), "played_ms": pl.lit(None, pl.Int64), "rating": pl.lit(None, pl.Float64)}
    place = {name: pl.lit(None, pl.Float64) for name in ("latitude", "longitude")}
    events = events.with_columns(**none, **place).with_row_index("offset", offset=1)
    of_song: dict[tuple[str, str, str], list[tuple[Any, ...]]] = {
        ("PERFORMED_BY", "Song", "Artist"): [(s, f"a{i % 12}") for i, s in enumerate(songs)],
        ("HAS_GENRE", "Song", "Genre"): [(s, f"g{i % 2}") for i, s in enumerate(songs)],
        ("HAS_TAG", "Song", "Tag"): [(s, f"t{i % 5}", 1.0) for i, s in enumerate(songs)],
        ("FOLLOWS", "User", "User"): [
            (user, users[(i + k) % LISTENERS], begin) for i, user in enumerate(users) for k in (2, 4, 6)
        ],
        ("LIVES_IN", "User", "Place"): [(u, f"p{i % 2}") for i, u in enumerate(users)],
    }
    edges = {schema.relationship(*key): _edges(schema.relationship(*key), rows) for key, rows in of_song.items()}
    released = [begin + i * DAY_MS // 3 for i in range(SONGS)]
    nodes = {
        "Song": pl.DataFrame({"id": songs, "title": songs, "released_at": released, "language": ["en"] * SONGS}),
        "Place": pl.DataFrame({"id": ["p0", "p1"], "latitude": [47.0, 47.1], "longitude": [21.9, 22.0]}),
    }
    shown = {"request_id": "r", "user_id": users[0], "song_id": songs[:9], "position": 0, "at": begin, "channel": "x"}
    exposures = pl.DataFrame({**shown, "score": 1.0, "offset": range(1, 10)})
    return Snapshot.of_frames(nodes, edges, events, exposures)


def _edges(relationship: Any, rows: list[tuple[Any, ...]]) -> Any:
    import polars as pl

    names = ["source", "target", *(property_.name for property_ in relationship.properties)]
    return pl.DataFrame([(*row, *[None] * (len(names) - len(row))) for row in rows], schema=names, orient="row")


if __name__ == "__main__":
    compile_all()
