"""A world on disk: Parquet tables, `truth/` beside them, and `world.json` last, which says that it is whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from graph.errors import InvalidInput
from graph.world import playlists, tables
from graph.world.audio import audio_segments
from graph.world.behaviour import FOLLOW
from graph.world.bursts import Bursts
from graph.world.catalogue import Catalogue
from graph.world.memory import Memory, make_songs
from graph.world.model import FORMAT, WorldConfig
from graph.world.people import People
from graph.world.simulate import (
    Ids,
    Rows,
    Simulation,
    events_frame,
    exposures_frame,
    interests_frame,
    joined_rows,
    numbered,
)

MARKER: Final = "world.json"
TRUTH: Final = "truth"
TRUTH_EVERY_DAYS: Final = 10
Progress = Callable[[str, int, int], None]


def exists(path: Path, config: WorldConfig) -> bool:
    """Whether `path` holds a whole world of exactly this config."""
    try:
        found = json.loads((path / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(found == _marker(config))


def _marker(config: WorldConfig) -> dict[str, Any]:
    return {"format": FORMAT, "config": config.as_dict()}


def generate(path: Path, config: WorldConfig, progress: Progress | None = None) -> None:
    """Make a world and write it into `path`, in place of another world there; the same rows for the same config.

    `progress` is told (what, done, of how many).
    Raises: InvalidInput if `path` holds something that is no world.
    """
    tell = progress or (lambda _what, _done, _total: None)
    _clear(path)
    simulation = Simulation.begin(config)
    ids = ids_of(simulation)
    lists = playlists.initial(config, simulation.catalogue, simulation.people)
    interests = [interests_frame(simulation, ids)]
    days: list[Rows] = []
    for day in range(config.days):
        tell("days", day, config.days)
        days.append(simulation.advance())
        if simulation.day % TRUTH_EVERY_DAYS == 0 or simulation.day == config.days:
            interests.append(interests_frame(simulation, ids))
    tell("days", config.days, config.days)
    rows = joined_rows(days)
    frames = _tables(simulation, rows, ids, lists) | _truth(simulation, rows, ids, pl.concat(interests))
    for i, (name, frame) in enumerate(frames.items()):
        tell("tables", i, len(frames))
        frame.write_parquet(path / f"{name}.parquet")
    save_state(simulation, path / TRUTH / "state.npz")
    tell("tables", len(frames), len(frames))
    partial = path / (MARKER + ".part")
    partial.write_text(json.dumps(_marker(config), indent=1, sort_keys=True), encoding="utf-8")
    partial.replace(path / MARKER)


def _clear(path: Path) -> None:
    """Make room; the marker goes first, so that what is being written never looks whole."""
    if path.exists() and not path.is_dir():
        raise InvalidInput(f"{path}: expected a folder for the world, found a file")
    path.mkdir(parents=True, exist_ok=True)
    strange = [p for p in path.iterdir() if p.name not in {MARKER, MARKER + ".part", TRUTH} and p.suffix != ".parquet"]
    if strange:
        raise InvalidInput(f"{path}: expected an empty folder or a world, found {strange[0].name}")
    (path / MARKER).unlink(missing_ok=True)
    for old in path.glob("*.parquet"):
        old.unlink()
    shutil.rmtree(path / TRUTH, ignore_errors=True)
    (path / TRUTH).mkdir()


def ids_of(simulation: Simulation) -> Ids:
    """The ids of a world's nodes."""
    names = tables.artist_names(simulation.config, len(simulation.catalogue.artist_fame))
    return Ids.of(simulation.config.users, simulation.config.songs, names)


def _tables(simulation: Simulation, rows: Rows, ids: Ids, lists: pl.DataFrame) -> dict[str, pl.DataFrame]:
    config, c, p = simulation.config, simulation.catalogue, simulation.people
    e = rows.events
    follow = np.flatnonzero(e["action"] == FOLLOW)
    follows = pl.DataFrame({name: e[name][follow] for name in ("user", "artist", "at")})
    return {
        **tables.node_tables(config, c, p, ids),
        **tables.relation_tables(config, c, p, ids, follows),
        **playlists.playlist_tables(lists, rows, ids),
        "events": events_frame(rows, ids, c, p, first=0, seed=config.seed),
        "exposures": exposures_frame(rows, ids),
        "audio_segments": audio_segments(config, c, ids.songs),
    }


def _truth(simulation: Simulation, rows: Rows, ids: Ids, interests: pl.DataFrame) -> dict[str, pl.DataFrame]:
    c, p, e, x = simulation.catalogue, simulation.people, rows.events, rows.shown
    frames = {
        "interests": interests,
        "songs": pl.DataFrame(
            {
                "song_id": ids.songs,
                "quality": c.song_quality,
                "prior": c.song_prior,
                "mood": c.song_mood,
                "vector": c.song_vec,
            }
        ),
        "artists": pl.DataFrame(
            {
                "artist_id": ids.artists,
                "fame": c.artist_fame,
                "place_id": [f"p{i:03d}" for i in c.artist_place.tolist()],
                "vector": c.artist_vec,
            }
        ),
        "users": pl.DataFrame({"user_id": ids.users, "curiosity": p.curiosity, "activity": p.activity}),
        "events": pl.DataFrame(
            {"event_id": numbered("e", np.arange(len(e["fit"]))), "fit": e["fit"], "interest": e["interest"]}
        ),
        "exposures": pl.DataFrame(
            {"request_id": numbered("r", x["request"]), "position": x["position"], "fit": x["fit"]}
        ),
    }
    if len(simulation.bursts):
        frames["bursts"] = simulation.bursts.frame(ids.songs)
    return {f"{TRUTH}/{name}": frame for name, frame in frames.items()}


def save_state(simulation: Simulation, path: Path) -> None:
    """Everything that is needed to go on from here."""
    arrays = {f"catalogue.{k}": v for k, v in simulation.catalogue.arrays().items()}
    arrays |= {f"people.{k}": v for k, v in simulation.people.arrays().items()}
    arrays |= {f"memory.{k}": v for k, v in simulation.memory._asdict().items()}
    if len(simulation.bursts):
        arrays |= {f"bursts.{k}": v for k, v in simulation.bursts.arrays().items()}
    counts = {k: getattr(simulation, k) for k in ("day", "events", "sessions", "requests")}
    extra = json.dumps({"rng": simulation.rng.bit_generator.state, "counts": counts})
    np.savez(path, __extra__=np.array(extra), **arrays)  # type: ignore[arg-type]


def load_state(config: WorldConfig, path: Path) -> Simulation:
    """The inverse of `save_state`."""
    with np.load(path, allow_pickle=False) as stored:
        parts: dict[str, dict[str, Any]] = {"catalogue": {}, "people": {}, "memory": {}, "bursts": {}}
        for name in stored.files:
            if name != "__extra__":
                part, field = name.split(".", 1)
                parts[part][field] = stored[name]
        extra = json.loads(str(stored["__extra__"]))
    rng = np.random.default_rng()
    rng.bit_generator.state = extra["rng"]
    catalogue = Catalogue(**parts["catalogue"])
    memory = Memory(**parts["memory"])
    bursts = Bursts(**parts["bursts"]) if parts["bursts"] else Bursts.planned(config)
    return Simulation(
        config, catalogue, People(**parts["people"]), make_songs(catalogue), memory, bursts, rng, **extra["counts"]
    )
