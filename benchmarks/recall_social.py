"""What the people around a listener love, for listeners with under 10 plays, against popularity and item-kNN.

On the world (seeds 10 to 12; social's defaults were chosen on seeds 20 and 21) a third of the listeners, drawn by the
seed, keep the last 9 plays, or none, of what all channels learn from; the newest tenth of the log is what they should
find. On `lastfm-lightgcnpp`, friends and play counts joined, nearly all listeners have 35 training items: there too a
third, drawn by the seed, keep 9, and below stand the few who have fewer than 34 to begin with. Settings for it were
chosen on `valid`, with the draw of seed 100; test was scored with those alone. recall@10, what a listener has heard
left out, means over listeners. +- is the standard deviation over the seeds; for those few, where nothing is drawn, the
standard error over listeners.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from api.commands.evaluate import read_data
from benchmarks._plots import bars, needed
from benchmarks.channels import WORLD, world_snapshot
from graph.errors import InvalidInput
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.histories import Histories
from graph.snapshot.snapshot import Snapshot
from ranking.evaluation import prepare
from ranking.metrics import recall_at
from ranking.training import CHANNEL_TRAIN, TEST, cut, loved
from recall.base import Channel, Query
from recall.discovery import channel_type
from recall.listeners.listener import Listener

K: Final = 10
SEEDS: Final = (10, 11, 12)
SHARE: Final = 1 / 3
FEW: Final = 10
FEWEST: Final = 34
PEERS: Final = ("popularity", "item_knn")
WORLD_SOCIAL: Final[Mapping[str, Any]] = {}
LASTFM_SOCIAL: Final[Mapping[str, Any]] = {"circle": 1.0, "fame": 0.15, "kept": 100, "alike": 0.7}
Found = Mapping[str, Array]


def run(seeds: Sequence[int] = SEEDS) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them, and the plot.

    Raises: InvalidInput if the data or matplotlib are missing.
    """
    needed()
    summaries: dict[str, Mapping[str, tuple[float, float]]] = {}
    for left in (FEW - 1, 0):
        worlds = [in_a_world(seed, left, WORLD_SOCIAL) for seed in seeds]
        summaries[f"world: under {FEW} plays" if left else "world: no play"] = _over(worlds)
    drawn = [on_lastfm(LASTFM_SOCIAL, "test", seed) for seed in seeds]
    summaries[f"lastfm-lightgcnpp: under {FEW} items"] = _over(drawn)
    few = on_lastfm(LASTFM_SOCIAL, "test", None)
    size = len(few["social"])
    summaries[f"lastfm-lightgcnpp: the {size} with the fewest"] = {
        name: (float(v.mean()), float(v.std() / np.sqrt(size))) for name, v in few.items()
    }
    _plot(summaries)
    return [_row(what, peer, found) for what, found in summaries.items() for peer in PEERS]


def _over(found: Sequence[Found]) -> Mapping[str, tuple[float, float]]:
    """Mean and standard deviation of the seeds' means."""
    means = {name: np.array([one[name].mean() for one in found]) for name in found[0]}
    return {name: (float(values.mean()), float(values.std())) for name, values in means.items()}


def in_a_world(seed: int, left: int, options: Mapping[str, Any]) -> Found:
    """recall@10 (N,) by channel for listeners who keep `left` plays each, in the world of a seed."""
    with tempfile.TemporaryDirectory() as folder:
        snapshot = world_snapshot(Path(folder) / "world", {**WORLD, "seed": seed})
        split = cut(snapshot, rank_share=0.0, measure_share=0.1, seed=seed)
        young = np.random.default_rng(seed).random(snapshot.users) < SHARE
        view = snapshot.view(
            (split.subset == CHANNEL_TRAIN) & ~hidden(snapshot.histories, split.subset == CHANNEL_TRAIN, young, left),
            split.measure_at,
        )
        truth = [(user, songs) for user, songs in loved(snapshot.histories, split.subset == TEST) if young[user]]
        return measured(snapshot, view, truth, split.measure_at, options, Path(folder) / "build")


def hidden(histories: Histories, seen: Array, young: Array, left: int) -> Array:
    """(E,) whether an event is hidden: of the young listeners all `seen` ones but the last `left` plays."""
    plays = histories.playbacks & seen
    after = np.cumsum(plays[::-1])[::-1]  # plays of this event and all after it
    ends = np.append(after, 0)[histories.indptr[1:]]
    return np.asarray(young[histories.user] & (~plays | (after - ends[histories.user] > left)))


def on_lastfm(options: Mapping[str, Any], part: str, seed: int | None) -> Found:
    """recall@10 (N,) by channel on `valid` or `test`: for the listeners whom the seed draws, who keep 9 items each,
    else for those with the fewest.

    Raises: InvalidInput if the data are missing.
    """
    root = Path(os.environ.get("SEGUE_DATA", "../shared/data"))
    data, friends = root / "lastfm-lightgcnpp", root / "lastfm-2k"
    for path in (data, friends):
        if not path.exists():
            raise InvalidInput(f"{path}: expected a data set (set SEGUE_DATA)")
    batch = read_data(f"lightgcn:{data}", "given", lambda *_: None)
    split = prepare(batch, "given", 0, sides=[f"lastfm:{friends}"], maps=data)
    train = split.train
    chosen, view = np.diff(train.relation("LISTENED").indptr) < FEWEST, train
    if seed is not None:
        chosen = np.random.default_rng(seed).random(train.users) < SHARE
        everything = np.ones(len(train.histories), dtype=bool)
        view = train.view(~hidden(train.histories, everything, chosen, FEW - 1))
    truth = [(user, songs) for user, songs in (split.truth if part == "test" else split.valid) if chosen[user]]
    with tempfile.TemporaryDirectory() as folder:
        return measured(train, view, truth, max(train.as_of, 0), options, Path(folder))


def measured(
    whole: Snapshot,
    view: Snapshot,
    truth: Sequence[tuple[int, Array]],
    at: int,
    options: Mapping[str, Any],
    folder: Path,
) -> Found:
    """recall@10 (N,) by channel of what learns from `view`, a view of the `whole`."""
    found: dict[str, list[float]] = {}
    channels = made(whole, view, {**{name: {} for name in PEERS}, "social": options}, folder)
    for user, songs in truth:
        listener = Listener.of(view, view.ids["User"][user])
        query = Query(listener, at, listener.heard.astype(np.int32))
        relevant = songs[query.allowed[songs]]
        if not len(relevant):
            continue
        for name, channel in channels.items():
            hits = np.isin(channel.recall(query, K).songs, relevant)
            found.setdefault(name, []).append(recall_at(hits, len(relevant), K))
    return {name: np.array(values) for name, values in found.items()}


def made(
    whole: Snapshot, view: Snapshot, settings: Mapping[str, Mapping[str, Any]], folder: Path
) -> dict[str, Channel]:
    """Channels that see the view, prepared in `folder`."""
    whole.write(folder / "snapshot")
    for name, options in settings.items():
        kind = channel_type(name)
        if hasattr(kind.channel, "prepare"):
            mine = folder / "recall" / name
            mine.mkdir(parents=True)
            kind.channel.prepare(view, {}, kind.configure(options), mine, rng=np.random.default_rng(0))
    release = Release.open(folder)
    release = release if view is whole else release.seeing(view)
    return {name: channel_type(name).build(release, options) for name, options in settings.items()}


def _row(what: str, peer: str, found: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    (ours, spread), (theirs, other) = found["social"], found[peer]
    return {
        "what": f"{what}: social",
        "ours": round(ours, 4),
        "peer": round(theirs, 4),
        "peer_name": peer,
        "ratio": round(ours / theirs, 2) if theirs else None,
        "unit": f"recall@{K}",
        "ours_quality": f"+- {spread:.4f}",
        "peer_quality": f"+- {other:.4f}",
    }


def _plot(summaries: Mapping[str, Mapping[str, tuple[float, float]]]) -> None:
    bars("recall-social", {f"{what}: recall@{K}": found for what, found in summaries.items()})
