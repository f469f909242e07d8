"""What ratings with their sign are worth: MovieLens-100K as it is imported against all its ratings taken for plays.

The default scene over the same cut. Both answer the same listeners; a held-out song that was rated 1 or 2 is no hit.
`ours` with the sign, `peer` without.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from api.commands.evaluate import read_data
from benchmarks._product import Built, K, default_scene, interval, slates
from graph.batch import Batch
from graph.errors import InvalidInput
from graph.snapshot.arrays import Array
from ranking.evaluation import learned, prepare, split
from ranking.learning import Learner, LearningConfig
from ranking.metrics import ndcg_at
from recall.listeners.listener import Listener

PROTOCOLS: Final = ("temporal", "ratio")


def run(protocols: tuple[str, ...] = PROTOCOLS) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them.

    Raises: InvalidInput if the data are missing.
    """
    path = Path(os.environ.get("SEGUE_DATA", "../shared/data")) / "ml-100k"
    if not path.is_dir():
        raise InvalidInput(f"{path}: the data set is not there (SEGUE_DATA says where)")
    rows = []
    for protocol in protocols:
        signed, plays = (_measured(path, protocol, sign=sign) for sign in (True, False))
        for at, what in enumerate((f"NDCG@{K}", f"songs rated 1 or 2 in the first {K}")):
            ours, peer = signed[:, at], plays[:, at]
            unit = f"{len(ours)} listeners, difference {interval(ours, peer)}"
            one, other = float(ours.mean()), float(peer.mean())
            row = {"what": f"{protocol}: {what}", "ours": round(one, 4), "peer": round(other, 4)}
            quality = {"peer_name": "all ratings as plays", "ours_quality": "", "peer_quality": ""}
            rows.append({**row, **quality, "unit": unit, "ratio": round(one / other, 3) if other else None})
    return rows


def _measured(path: Path, protocol: str, *, sign: bool) -> Array:
    """(listeners, 2) NDCG and how many songs of the first ten were rated 1 or 2, of whom something good is held out."""
    batch = read_data(f"recbole:{path}", protocol, lambda *_: None)
    cut = batch.events.with_columns(split=split(batch.events, protocol, 0))
    batch.events = cut if sign else cut.with_columns(action=pl.lit("play"))
    with tempfile.TemporaryDirectory(prefix="segue-dislikes-") as there:
        made = _learned(batch, Path(there) / "build")
        seen = cut.filter(pl.col("split") == "train").select("user_id", "song_id").unique()
        held = cut.filter(pl.col("split") == "test").join(seen, on=["user_id", "song_id"], how="anti")
        return np.array(_scores(made, held))


def _learned(batch: Batch, folder: Path) -> Built:
    scene = default_scene()
    data = prepare(batch, "given", 0)
    data.train.write(folder / "snapshot")
    learner = Learner(
        {"radio": scene}, LearningConfig(measure_share=0.0, **({"rank_share": 0.0} if data.valid else {}))
    )
    release = learned(folder, learner, data)
    return Built(folder, learner, scene, release, data.truth, max(release.snapshot.as_of, 0), data)


def _scores(made: Built, held: pl.DataFrame) -> list[tuple[float, int]]:
    cascade, ids = made.cascade(), made.release.snapshot.ids
    answer, found = slates(cascade), []
    for (user,), mine in held.sort("user_id").group_by("user_id", maintain_order=True):
        bad = mine["action"] == "dislike"
        good, refused = (ids["Song"].indices(mine.filter(part)["song_id"].to_list()) for part in (~bad, bad))
        if len(good):
            query = cascade.ask(Listener.of(made.release.snapshot, str(user)), made.at)
            shown = answer(query)[:K]
            found.append((ndcg_at(np.isin(shown, good), len(good), K), int(np.isin(shown, refused).sum())))
    return found
