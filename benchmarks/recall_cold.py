"""Cold start on both sides: listeners and songs whose whole history is hidden, and what is found for them.

**Listeners.** In the world a third of the listeners, drawn by the seed, lose all events and exposures, and are left
with one thing each, a third of them apiece: a home, three artists they follow (those they love most), or the people
they follow. Everything is learned as a refresh learns it from what is left, and the scene answers; the truth is what
the hidden history says they loved. The cold-start fusion is learned by that refresh too, from other listeners
(`ranking.training.cold_start`; its settings were chosen on seeds 20 to 27). The channels that know most of them stand
beside the scene. On `lastfm-lightgcnpp`, friends joined, a sixth of the listeners lose their training items and keep
their friends; `social` answers, and the truth is those items (neither `valid` nor `test` is looked at). Recall@50,
beside popularity and the expectation of 50 songs drawn at random.

**Songs.** In the same world a twentieth of the songs lose all events and every relation but their artist. For the
listeners who loved some of them, the hidden songs alone are ranked by each channel: recall@10 among them, against songs
drawn at random and against the order of their artists' popularity.

+- is the standard deviation over the seeds.
"""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from api.commands.evaluate import read_data
from benchmarks._plots import needed, plotted
from benchmarks.channels import WORLD
from benchmarks.recall_social import LASTFM_SOCIAL, made
from graph.batch import Batch
from graph.errors import InvalidInput
from graph.importers.base import open_importer
from graph.release import Release
from graph.schema import Relationship, relationship
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from ranking.cascade import Cascade
from ranking.evaluation import prepare
from ranking.learning import Learner, LearningConfig
from ranking.metrics import recall_at
from ranking.scene import ChannelUse, SceneConfig, default_channels
from ranking.training import loved
from recall.base import Query
from recall.listeners.listener import Listener
from recall.listeners.preferences import artist_of, listeners

SEEDS: Final = (10, 11, 12)
K: Final = 50
AMONG: Final = 10
SHARE: Final = 1 / 3
SONGS: Final = 1 / 20
CHOSEN: Final = 3
LEFT: Final = ("a home", "three artists", "friends")
FOLLOWS: Final = relationship("FOLLOWS", "User", "User")
FOLLOWS_ARTIST: Final = relationship("FOLLOWS_ARTIST", "User", "Artist")
LIVES_IN: Final = relationship("LIVES_IN", "User", "Place")
PERFORMED_BY: Final = relationship("PERFORMED_BY", "Song", "Artist")
KEPT: Final = {"a home": LIVES_IN, "three artists": FOLLOWS_ARTIST, "friends": FOLLOWS}
BESIDE: Final = {"a home": ("lbs", "fallback"), "three artists": ("social",), "friends": ("social",)}
BY: Final = ("song2vec", "attributes", "listener_kernel", "relation_gamma_gcn", "social")
SCENE: Final = SceneConfig(
    budget_ms=float("inf"),
    here=0.0,
    channels=default_channels() | {name: ChannelUse() for name in ("lbs", "listener_kernel", "relation_gamma_gcn")},
)
Found = Mapping[tuple[str, str], float]
"""(what is known, who answers) -> mean recall."""


def run(seeds: Sequence[int] = SEEDS) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them, and the plot.

    Raises: InvalidInput if the data or matplotlib are missing.
    """
    needed()
    found = [{**in_a_world(seed), **on_lastfm(seed)} for seed in seeds]
    summary = {key: (np.mean([f[key] for f in found]), np.std([f[key] for f in found])) for key in found[0]}
    _plot(summary)
    return [_row(what, by, peer, summary) for what, by in summary for peer in ("popularity", "random") if by != peer]


def in_a_world(seed: int, size: Mapping[str, int] | None = None) -> dict[tuple[str, str], float]:
    """Mean recall of the listeners' side and of the songs' side in the world of a seed."""
    with tempfile.TemporaryDirectory() as folder:
        options = {**(size or WORLD), "seed": seed}
        batch = open_importer("world", Path(folder) / "world", options).read(lambda *_: None)
        whole = _snapshot(batch, batch.relationships, batch.events, batch.exposures)
        rng = np.random.default_rng(seed)
        cold = rng.permutation(whole.users)[: int(whole.users * SHARE)]
        groups = dict(zip(LEFT, np.array_split(cold, len(LEFT)), strict=True))
        songs = np.sort(rng.permutation(whole.songs)[: int(whole.songs * SONGS)])
        seen = bereft(whole, batch, groups, songs)
        build = Path(folder) / "build"
        seen.write(build / "snapshot")
        learner = Learner({"radio": SCENE}, LearningConfig(seed=seed, measure_share=0.0))
        learner.learn(build)
        cascade = Cascade(Release.open(build).measured(), SCENE)
        truth = dict(loved(whole.histories, np.ones(len(whole.histories), dtype=bool)))
        return {**_of_listeners(cascade, groups, truth, songs), **_of_songs(cascade, cold, truth, songs)}


def bereft(whole: Snapshot, batch: Batch, groups: Mapping[str, Array], songs: Array) -> Snapshot:
    """The world without the histories of the listeners and songs, each listener left with what the group keeps."""
    users, ids = whole.ids["User"], whole.ids["Song"]
    gone = [users[int(u)] for group in groups.values() for u in group]
    lost = [ids[int(s)] for s in songs]

    def without(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter(~pl.col("user_id").is_in(gone) & ~pl.col("song_id").is_in(lost))

    def told(rel: Relationship, frame: pl.DataFrame) -> pl.DataFrame:
        kept = [users[int(u)] for what, group in groups.items() if KEPT[what] == rel for u in group]
        for label, end in ((rel.source, "source"), (rel.target, "target")):
            if label == "User":
                mine = pl.col(end).is_in(kept) if end == "source" else pl.lit(value=False)
                frame = frame.filter(~pl.col(end).is_in(gone) | mine)
            elif label == "Song" and rel != PERFORMED_BY:
                frame = frame.filter(~pl.col(end).is_in(lost))
        return frame

    edges = {rel: told(rel, frame) for rel, frame in batch.relationships.items()}
    edges[FOLLOWS_ARTIST] = _chosen(whole, edges[FOLLOWS_ARTIST], groups["three artists"])
    return _snapshot(batch, edges, without(batch.events), without(batch.exposures))


def _chosen(whole: Snapshot, follows: pl.DataFrame, group: Array) -> pl.DataFrame:
    """Who follows which artist, the group's own follows replaced by the artists that their histories love most."""
    users, artists, of = whole.ids["User"], whole.ids["Artist"], artist_of(whole)
    rows: dict[str, list[str]] = {"source": [], "target": []}
    for user in group.tolist():
        songs, weights = Listener.of(whole, users[user]).top_songs(whole.as_of, 1000)
        songs, weights = songs[of[songs] >= 0], weights[of[songs] >= 0]
        total = np.bincount(of[songs], weights, minlength=len(artists))
        for artist in np.argsort(-total, kind="stable")[:CHOSEN]:
            rows["source"].append(users[user])
            rows["target"].append(artists[int(artist)])
    others = follows.filter(~pl.col("source").is_in([users[int(u)] for u in group]))
    return pl.concat([others, pl.DataFrame(rows)], how="diagonal")


def _snapshot(
    batch: Batch, edges: Mapping[Relationship, pl.DataFrame], events: pl.DataFrame, exposures: pl.DataFrame
) -> Snapshot:
    numbered = (frame.with_row_index("offset", offset=1) for frame in (events, exposures))
    return Snapshot.of_frames(batch.nodes, edges, *numbered)


def _of_listeners(
    cascade: Cascade, groups: Mapping[str, Array], truth: Mapping[int, Array], hidden: Array
) -> dict[tuple[str, str], float]:
    snapshot, found = cascade.snapshot, defaultdict[tuple[str, str], list[float]](list)
    for left, group in groups.items():
        for user in group.tolist():
            relevant = np.setdiff1d(truth.get(user, np.empty(0, dtype=np.int32)), hidden)
            if not len(relevant):
                continue
            query = cascade.ask(Listener.of(snapshot, snapshot.ids["User"][user]), snapshot.as_of)
            answers = {"scene": cascade.slate(query, K).songs}
            answers |= {name: cascade.channels[name].recall(query, K).songs for name in (*BESIDE[left], "popularity")}
            for name, songs in answers.items():
                found[f"listeners with {left}", name].append(recall_at(np.isin(songs, relevant), len(relevant), K))
            found[f"listeners with {left}", "random"].append(K / snapshot.songs)
    return {key: float(np.mean(values)) for key, values in found.items()}


def _of_songs(cascade: Cascade, cold: Array, truth: Mapping[int, Array], hidden: Array) -> dict[tuple[str, str], float]:
    """Recall@10 among the hidden songs for the listeners who have a history."""
    snapshot, found = cascade.snapshot, defaultdict[tuple[str, str], list[float]](list)
    of = artist_of(snapshot)
    known = np.bincount(of[of >= 0], listeners(snapshot)[of >= 0], minlength=len(snapshot.ids["Artist"]))
    popular = hidden[np.argsort(-known[of[hidden]], kind="stable")]
    for user in np.setdiff1d(list(truth), cold).tolist():
        relevant = np.intersect1d(truth[user], hidden)
        if not len(relevant):
            continue
        query = cascade.ask(Listener.of(snapshot, snapshot.ids["User"][user]), snapshot.as_of)
        ranked = {"popularity": popular}
        for name in BY:
            if name in cascade.channels:
                songs = cascade.channels[name].recall(query, snapshot.songs).songs
                ranked[name] = songs[np.isin(songs, hidden)]
        for name, songs in ranked.items():
            found["songs with an artist", name].append(recall_at(np.isin(songs, relevant), len(relevant), AMONG))
        found["songs with an artist", "random"].append(AMONG / len(hidden))
    return {key: float(np.mean(values)) for key, values in found.items()}


def on_lastfm(seed: int) -> dict[tuple[str, str], float]:
    """Mean recall@50 of listeners who keep their friends and nothing else.

    Raises: InvalidInput if the data are missing.
    """
    root = Path(os.environ.get("SEGUE_DATA", "../shared/data"))
    data, friends = root / "lastfm-lightgcnpp", root / "lastfm-2k"
    for path in (data, friends):
        if not path.exists():
            raise InvalidInput(f"{path}: expected a data set (set SEGUE_DATA)")
    batch = read_data(f"lightgcn:{data}", "given", lambda *_: None)
    train = prepare(batch, "given", 0, sides=[f"lastfm:{friends}"], maps=data).train
    followed = np.diff(train.relation("FOLLOWS").indptr) > 0
    cold = followed & (np.random.default_rng(seed).random(train.users) < SHARE / 2)
    view = train.view(~cold[train.histories.user])
    found = defaultdict[tuple[str, str], list[float]](list)
    with tempfile.TemporaryDirectory() as folder:
        channels = made(train, view, {"popularity": {}, "social": LASTFM_SOCIAL}, Path(folder))
        for user, relevant in loved(train.histories, cold[train.histories.user]):
            query = Query(Listener.of(view, view.ids["User"][user]), max(train.as_of, 0), np.empty(0, dtype=np.int32))
            for name, channel in channels.items():
                hits = np.isin(channel.recall(query, K).songs, relevant)
                found["lastfm: listeners with friends", name].append(recall_at(hits, len(relevant), K))
            found["lastfm: listeners with friends", "random"].append(K / train.songs)
    return {key: float(np.mean(values)) for key, values in found.items()}


def _row(what: str, by: str, peer: str, summary: Mapping[tuple[str, str], tuple[Any, Any]]) -> dict[str, Any]:
    (ours, spread), (theirs, other) = summary[what, by], summary[what, peer]
    return {
        "what": f"{what}: {by}",
        "ours": round(float(ours), 4),
        "peer": round(float(theirs), 4),
        "peer_name": peer,
        "ratio": round(float(ours / max(theirs, 1e-9)), 2),
        "unit": f"recall@{AMONG} among them" if what.startswith("songs") else f"recall@{K}",
        "ours_quality": f"+- {spread:.4f}",
        "peer_quality": f"+- {other:.4f}",
    }


def _plot(summary: Mapping[tuple[str, str], tuple[Any, Any]]) -> None:
    whats = list(dict.fromkeys(what for what, _ in summary))
    with plotted("recall-cold", len(whats), size=(13, 3)) as panels:
        for panel, what in zip(panels, whats, strict=True):
            mine = {by: value for (of, by), value in summary.items() if of == what}
            panel.barh(list(mine), [mean for mean, _ in mine.values()], xerr=[spread for _, spread in mine.values()])
            panel.set_title(what, fontsize="medium")
