"""What listeners come back to, and what one new song changes: the channels `again` and `recent` on the world.

`again`: the songs that each listener heard before the last day and played again on it, against the listener's own most
played songs and own latest songs; recall@10 and NDCG@10 over the listeners who played any again. `recent`: each of 300
listeners plays a song in full that they had never heard, and asks again: how often an answer holds one of its 10
nearest songs that the answer before did not hold, beside how often the one before held any of the 10. Everything is
learned before the last day. Spread: standard deviation over the seeds, each with a world of its own.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks._plots import bars, needed
from benchmarks.channels import SEEDS, WORLD, world_snapshot
from embeddings.skipgram.song2vec import Song2Vec, Song2VecConfig
from graph.log.events import Event
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.histories import STRENGTH_BY_CODE
from graph.snapshot.snapshot import Snapshot
from ranking.learning import NEAREST
from ranking.metrics import ndcg_at, recall_at
from recall.base import Query
from recall.channels.again import Again, AgainConfig
from recall.channels.recent import Recent
from recall.item_lists.neighbours import Neighbours
from recall.listeners.listener import UNHEARD, Listener

DAY_MS: Final = 86_400_000
ASKED: Final = 300
K: Final = 10


def run(seeds: tuple[int, ...] = SEEDS) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them, and `docs/recall-again.svg`; `ours` and `peer` are qualities.

    Raises: InvalidInput if matplotlib is missing.
    """
    needed()
    found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            whole = world_snapshot(Path(folder) / "world", {**WORLD, "seed": seed})
            at = whole.as_of - DAY_MS
            release = _learned(whole.view(whole.histories.at < at, at), whole, Path(folder) / "build", seed)
            for key, pair in {**_again(whole, release, at), **_recent(release, at, seed)}.items():
                found[key].append(pair)
    panels: dict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
    for (what, peer), pairs in found.items():
        channel, _, asked = what.partition(": ")
        for name, values in zip((channel, peer), np.array(pairs).T, strict=True):
            panels[asked][name] = float(values.mean()), float(values.std())
    bars("recall-again", panels)
    return [_row(what, peer, np.array(pairs)) for (what, peer), pairs in found.items()]


def _learned(known: Snapshot, whole: Snapshot, folder: Path, seed: int) -> Release:
    whole.write(folder / "snapshot")
    vectors = Song2Vec.fit(known, Song2VecConfig(), rng=np.random.default_rng(seed), workers=2)
    vectors.save(folder / "vectors" / "song2vec", {})
    near = Neighbours.of_vectors(vectors.unit, NEAREST)
    near.save(folder / "similar" / "song2vec")
    mine = folder / "recall" / "again"
    mine.mkdir(parents=True)
    Again.prepare(known, {"song2vec": vectors}, AgainConfig(), mine, rng=np.random.default_rng(seed))
    return Release.open(folder).seeing(known)


def _again(whole: Snapshot, release: Release, at: int) -> dict[tuple[str, str], tuple[float, float]]:
    channel, h = Again(release), whole.histories
    later = (h.at >= at) & (STRENGTH_BY_CODE[h.action] > 0)
    ways: dict[str, Callable[[Query], Array]] = {
        "again": lambda query: channel.recall(query, K).songs,
        "most played": _most_played,
        "latest": lambda query: query.listener.recent(K),
    }
    scores: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for user in np.unique(h.user[later]).tolist():
        listener = Listener.of(release.snapshot, whole.ids["User"][user])
        wanted = np.intersect1d(h.song[h.of(user)][later[h.of(user)]], listener.heard)
        if len(wanted):
            query = Query(listener, at, UNHEARD)
            for name, rank in ways.items():
                hits, n = np.isin(rank(query), wanted), len(wanted)
                scores[name].append((recall_at(hits, n, K), ndcg_at(hits, n, K)))
    means = {name: np.mean(values, axis=0) for name, values in scores.items()}
    return {
        (f"again: {metric} of the last day's re-listens", peer): (float(means["again"][i]), float(means[peer][i]))
        for i, metric in enumerate(("recall@10", "NDCG@10"))
        for peer in ("most played", "latest")
    }


def _most_played(query: Query) -> Array:
    """The listener's own songs by plays that were not skipped, those that tie by the latest play."""
    listener = query.listener
    liked = (STRENGTH_BY_CODE[listener.action] > 0) * listener.count
    plays = np.bincount(np.searchsorted(listener.heard, listener.song), liked, len(listener.heard))
    return np.asarray(listener.heard[np.lexsort((-listener.last_heard, -plays))][:K])


def _recent(release: Release, at: int, seed: int) -> dict[tuple[str, str], tuple[float, float]]:
    channel, snapshot = Recent(release), release.snapshot
    rng = np.random.default_rng(seed)
    answered = before = 0
    users = rng.permutation(snapshot.users)[:ASKED].tolist()
    for user in users:
        name = snapshot.ids["User"][user]
        old = Listener.of(snapshot, name)
        song = int(rng.choice(np.setdiff1d(np.arange(snapshot.songs), old.heard)))
        played = Event("e", name, "full_play", song_id=snapshot.ids["Song"][song], at=at)
        new = Listener.of(snapshot, name, [played])
        near = channel._neighbours.songs[song][:K]
        asked = [
            channel.recall(Query(listener, at, np.union1d(new.heard, UNHEARD)), 100).songs for listener in (old, new)
        ]
        answered += bool(np.isin(np.setdiff1d(near, asked[0]), asked[1]).any())
        before += bool(np.isin(near, asked[0]).any())
    return {("recent: answers from a song after one full play of it", "before the play"): (
        answered / len(users), before / len(users)
    )}  # fmt: skip


def _row(what: str, peer: str, pairs: Array) -> dict[str, Any]:
    ours, theirs = pairs.mean(axis=0)
    spread = pairs.std(axis=0)
    return {
        "what": what,
        "ours": round(float(ours), 4),
        "peer": round(float(theirs), 4),
        "peer_name": peer,
        "ratio": round(float(ours / max(theirs, 1e-9)), 2),
        "unit": "share of requests" if what.startswith("recent") else what.split()[1],
        "ours_quality": f"+- {spread[0]:.4f}, ahead in {int((pairs[:, 0] > pairs[:, 1]).sum())} of {len(pairs)} worlds",
        "peer_quality": f"+- {spread[1]:.4f}",
    }
