"""What is near and whom one knows, on check-ins: LBS, social and both, against popularity and item-kNN.

Gowalla (the split of CAPRI): places are songs, a check-in is an event at the place's coordinates with its count and
without a time, friends follow each other. Channels learn from `train` and are measured on `tune`: recall@10, the
places a listener has been to left out, means over listeners. The channels' settings (the cell, the distance) were
chosen on the last tenth of each listener's pairs of `train` as the file has them, which `run(part="held")` measures. A
fused score is the weighted sum of the channels' scores, each over the listener's best; the weights come from where
others went: half of the listeners, drawn by the seed, choose those of the other half, and the other way round. +- of a
fusion is the standard deviation over the seeds; of a channel, which nothing random enters, the standard error over
listeners; of a difference, that of the paired one.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks._plots import bars, needed
from graph.batch import Batch
from graph.errors import InvalidInput
from graph.importers.base import open_importer
from graph.release import Release
from graph.snapshot.arrays import Array
from ranking.evaluation import Data, prepare
from ranking.metrics import recall_at
from recall.base import Candidates, Channel, Query
from recall.discovery import channel_type
from recall.listeners.listener import Listener

K: Final = 10
DEPTH: Final = 300
SEEDS: Final = (0, 1, 2)
HELD: Final = 0.1
WEIGHTS: Final = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
SETTINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "popularity": {},
    "item_knn": {},
    "lbs": {"resolution": 9, "half_km": 0.6, "enough": 150, "centres": 80},
    "social": {"trust": 0.05, "circle": 0.1, "alike": 1.0, "loves": 100},
}
FUSIONS: Final = {"lbs + social": ("lbs", "social"), "lbs + social + item_knn": ("lbs", "social", "item_knn")}


def run(seeds: Sequence[int] = SEEDS, part: str = "tune") -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them, and the plot; `part` is tune or, for choosing settings, held.

    Raises: InvalidInput if the data or matplotlib are missing.
    """
    needed()
    with tempfile.TemporaryDirectory() as folder:
        batch = gowalla(Path(folder) / "tables")
        data = cut(batch, batch.events) if part == "tune" else held_out(batch)
        lists = Lists.of(data, Path(folder) / "release")
    found: dict[str, list[Array]] = {name: [lists.alone(name)] for name in SETTINGS}
    for label, names in FUSIONS.items():
        found[label] = [lists.crossed(names, seed) for seed in seeds]
    _plot(found)
    return [
        _row(ours, peer, found)
        for ours, peers in (
            ("lbs", ("popularity",)),
            ("social", ("popularity",)),
            ("lbs + social", ("popularity", "lbs", "social", "item_knn")),
            ("lbs + social + item_knn", ("item_knn", "lbs + social")),
        )
        for peer in peers
    ]


def gowalla(folder: Path) -> Batch:
    """The data set, written to `folder` in the form of `tables` and read again; its events with a column `split`.

    Raises: InvalidInput if it is missing.
    """
    source = Path(os.environ.get("SEGUE_DATA", "../shared/data")) / "gowalla-capri"
    if not source.exists():
        raise InvalidInput(f"{source}: expected a data set (set SEGUE_DATA)")
    folder.mkdir(parents=True)

    def read(name: str, columns: Sequence[str]) -> pl.DataFrame:
        return pl.read_csv(source / name, separator="\t", has_header=False, new_columns=list(columns))

    places = read("poiCoos.txt", ("song", "latitude", "longitude"))
    parts = {part: read(f"{part}.txt", ("user", "song", "count")) for part in ("train", "tune")}
    friends = read("socialRelations.txt", ("a", "b"))
    visits = pl.concat(list(parts.values())).join(places, on="song", how="left", maintain_order="left")
    user, song = pl.format("u{}", "user").alias("user_id"), pl.format("p{}", "song").alias("song_id")
    columns = (user, song, pl.lit("play").alias("action"), "count", "latitude", "longitude")
    visits.select(columns).write_parquet(folder / "events.parquet")
    both = pl.concat([friends, friends.select(a="b", b="a")]).unique(maintain_order=True)
    follows = both.select(user_id=pl.format("u{}", "a"), followed_id=pl.format("u{}", "b"))
    follows.write_parquet(folder / "follows.parquet")
    batch = open_importer("tables", folder, {}).read(lambda *_: None)
    sizes = [len(parts["train"]), len(parts["tune"])]
    batch.events = batch.events.with_columns(split=pl.Series(np.repeat(["train", "test"], sizes).tolist()))
    return batch


def held_out(batch: Batch) -> Data:
    """The last tenth of each listener's pairs in `train`, as they stand in the file, in place of the test."""
    train = batch.events.filter(pl.col("split") == "train")
    place = (pl.int_range(pl.len()).over("user_id") + 0.5) / pl.len().over("user_id")
    late = pl.when(place > 1 - HELD).then(pl.lit("test")).otherwise(pl.lit("train"))
    return cut(batch, train.with_columns(split=late))


def cut(batch: Batch, events: pl.DataFrame) -> Data:
    """The batch with these events as its split has it."""
    return prepare(
        Batch("gowalla", nodes=dict(batch.nodes), relationships=dict(batch.relationships), events=events), "given", 0
    )


@dataclass(frozen=True)
class Lists:
    """What each channel answers to each of N listeners, and what was held out of each."""

    found: Mapping[str, Sequence[Candidates]]
    truth: Sequence[Array]

    @classmethod
    def of(
        cls,
        data: Data,
        folder: Path,
        settings: Mapping[str, Mapping[str, Any]] = SETTINGS,
    ) -> Lists:
        """Channels with their settings, learned from the training part."""
        snapshot, channels = data.train, dict(made(data, folder, settings))
        found: dict[str, list[Candidates]] = {name: [] for name in channels}
        for user, _ in data.truth:
            listener = Listener.of(snapshot, snapshot.ids["User"][user])
            query = Query(listener, max(snapshot.as_of, 0), listener.heard.astype(np.int32))
            for name, channel in channels.items():
                found[name].append(channel.recall(query, DEPTH))
        return cls(found, [songs for _, songs in data.truth])

    def crossed(self, names: Sequence[str], seed: int) -> Array:
        """(N,) recall@10 of a fusion: each half of the listeners with the weights that are best for the other."""
        tried = ([1.0, *rest] for rest in itertools.product(WEIGHTS, repeat=len(names) - 1))
        hits = np.array([self.fused(dict(zip(names, weights, strict=True))) for weights in tried])
        half = np.random.default_rng(seed).permutation(hits.shape[1]) % 2 == 0
        best = [hits[hits[:, ~mine].mean(axis=1).argmax()] for mine in (half, ~half)]
        return np.where(half, *best)

    def alone(self, name: str) -> Array:
        """(N,) recall@10 of one channel."""
        return self.fused({name: 1.0})

    def fused(self, weights: Mapping[str, float]) -> Array:
        """(N,) recall@10 by the weighted sum of the channels' scores."""
        hits = []
        for i, truth in enumerate(self.truth):
            parts = [(self.found[name][i], weight) for name, weight in weights.items() if weight]
            songs = np.concatenate([found.songs for found, _ in parts])
            scores = [weight * found.scores / max(found.scores.max(initial=0.0), 1e-12) for found, weight in parts]
            known, place = np.unique(songs, return_inverse=True)
            best = Candidates.best(known, np.bincount(place, np.concatenate(scores), len(known)), K)
            hits.append(recall_at(np.isin(best.songs, truth), len(truth), K))
        return np.array(hits)


def made(data: Data, folder: Path, settings: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Channel]]:
    """Channels over the training part, prepared in `folder`."""
    data.train.write(folder / "snapshot")
    for name, options in settings.items():
        kind = channel_type(name)
        if hasattr(kind.channel, "prepare"):
            mine = folder / "recall" / name
            mine.mkdir(parents=True)
            kind.channel.prepare(data.train, {}, kind.configure(options), mine, rng=np.random.default_rng(0))
    release = Release.open(folder)
    for name, options in settings.items():
        yield name, channel_type(name).build(release, options)


def _row(ours: str, peer: str, found: Mapping[str, Sequence[Array]]) -> dict[str, Any]:
    (mine, spread), (theirs, other) = (_summary(found[name]) for name in (ours, peer))
    gained = np.mean(found[ours], axis=0) - np.mean(found[peer], axis=0)  # of each listener
    error = gained.std() / np.sqrt(len(gained))
    return {
        "what": f"gowalla-capri: {ours}",
        "ours": round(mine, 4),
        "peer": round(theirs, 4),
        "peer_name": peer,
        "ratio": round(mine / max(theirs, 1e-9), 2),
        "unit": f"recall@{K}",
        "ours_quality": f"+- {spread:.4f}, difference {gained.mean():+.4f} +- {error:.4f}",
        "peer_quality": f"+- {other:.4f}",
    }


def _summary(found: Sequence[Array]) -> tuple[float, float]:
    means = [float(one.mean()) for one in found]
    spread = np.std(means) if len(found) > 1 else found[0].std() / np.sqrt(len(found[0]))
    return float(np.mean(means)), float(spread)


def _plot(found: Mapping[str, Sequence[Array]]) -> None:
    bars("recall-lbs", {f"gowalla-capri: recall@{K}": {what: _summary(one) for what, one in found.items()}})
