"""Attribute recall with a half-life for each dimension: against popularity, and against the same without decay.

Half-lives, that of popularity among them, are fitted (`ranking/half_lives.py`) to what listeners came to later, from a
grid, beginning with infinite ones. The world, of half a year, so that tastes have the time to change: fitted on the
last tenth of seeds 20 and 21, reported on that of seeds 10 to 12. MovieLens-100K with its graph, cut by time for all
listeners alike: fitted on the third to the seventh tenth of the log, reported on the ninth and the last, each predicted
from all before it; weights and exponents were chosen on its first three quarters, so the eighth is left out. Listeners
count who have 5 songs before a cut and new ones in the tenth after it; what they have heard is left out of the lists.
recall@50; +- is the standard deviation over seeds, on MovieLens the standard error of the difference, listeners with
several cuts taken together. `popularity alone decays`: the same with infinite half-lives of all preferences. `recent
popularity`: signs of liking with the same half-life as ours.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from api.commands.evaluate import read_data
from benchmarks._plots import needed, plotted
from benchmarks.channels import world_snapshot
from embeddings.skipgram.song2vec import Song2Vec, Song2VecConfig
from graph.errors import InvalidInput
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from ranking.half_lives import POPULARITY, Case, Fitted, decaying, fit_half_lives, recalls
from ranking.training import CHANNEL_TRAIN, TEST, cut, loved
from recall.base import Channel
from recall.channels.attributes import Attributes, AttributesConfig
from recall.channels.popularity import Popularity
from recall.channels.trending import Trending, TrendingConfig

SEEDS: Final = (10, 11, 12)
FITTING: Final = (20, 21)
K: Final = 50
WORLD: Final = {"users": 500, "songs": 2000, "days": 180, "events": 180_000}
GRID: Final = (3.0, 7.0, 14.0, 30.0, 60.0, math.inf)
MOVIES: Final = AttributesConfig(
    weights={
        "HAS_GENRE": 1.0,
        "RELATED:film.film.genre": 1.0,
        "RELATED:film.film.directed_by": 3.0,
        "RELATED:film.film.written_by": 1.0,
        "RELATED:film.film.produced_by": 3.0,
        "RELATED:film.film.country": 0.3,
        "RELATED:film.film.language": 0.3,
    },
    popularity=1.5,
    widen=0.0,
)
VALID_TENTHS: Final = (2, 3, 4, 5, 6)
TEST_TENTHS: Final = (8, 9)
PEERS: Final = ("without decay", "popularity alone decays", "popularity", "recent popularity")
Cut = tuple[Release, Sequence[Case]]


def run(seeds: Sequence[int] = SEEDS) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them, and the plot.

    Raises: InvalidInput if the data or matplotlib are missing.
    """
    needed()
    movies = _movies()
    with tempfile.TemporaryDirectory() as folder:
        fitting = [a_world(seed, Path(folder) / str(seed)) for seed in FITTING]
        world = fit_half_lives(fitting, undecayed(AttributesConfig()), k=K, grid=GRID, passes=1)
        worlds = [compared([a_world(seed, Path(folder) / str(seed))], world) for seed in seeds]
        valid, test = (
            [a_tenth(movies, n, Path(folder) / f"movies{n}") for n in part] for part in (VALID_TENTHS, TEST_TENTHS)
        )
        film = fit_half_lives(valid, undecayed(MOVIES), k=K, grid=GRID, passes=1)
        found = compared(test, film)
    _plot({"world": world, "ml-100k": film})
    listeners = np.array([case.listener.user for _, cases in test for case in cases])
    rows = [_row("world", p, _over(worlds, "ours"), _over(worlds, p), world, "+-") for p in PEERS]
    ours = (float(found["ours"].mean()), None)
    return rows + [_row("ml-100k", p, ours, _paired(found, p, listeners), film, "difference +-") for p in PEERS]


def undecayed(config: AttributesConfig) -> AttributesConfig:
    """The same with infinite half-lives."""
    return decaying(config, dict.fromkeys((*config.weights, POPULARITY), math.inf))


def compared(sets: Sequence[Cut], fitted: Fitted) -> dict[str, Array]:
    """recall@50 (N,) of the channel with the half-lives fitted, and of what it is compared with."""
    config = fitted.config
    alone = decaying(config, dict.fromkeys(config.weights, math.inf) | {POPULARITY: config.popular_days})
    lately = TrendingConfig(config.popular_days, place=0.0, genre=0.0, burst=0.0, correction=0.0)
    makers: dict[str, Callable[[Release], Channel]] = {
        "ours": lambda release: Attributes(release, config),
        "without decay": lambda release: Attributes(release, undecayed(config)),
        "popularity alone decays": lambda release: Attributes(release, alone),
        "popularity": Popularity,
        "recent popularity": lambda release: Trending(release, lately),
    }
    return {
        name: np.concatenate([recalls(make(release), cases, K) for release, cases in sets])
        for name, make in makers.items()
    }


def a_world(seed: int, folder: Path) -> Cut:
    """A release of a world's first nine tenths, and what was loved in the last."""
    whole = world_snapshot(folder / "world", {**WORLD, "seed": seed})
    split = cut(whole, rank_share=0.0, measure_share=0.1, seed=seed)
    view = whole.view(split.subset == CHANNEL_TRAIN, split.measure_at)
    truth = list(loved(whole.histories, split.subset == TEST))
    return _made(whole, view, truth, split.measure_at, AttributesConfig(), folder / "build")


def a_tenth(whole: Snapshot, n: int, folder: Path) -> Cut:
    """A release of the first `n` tenths of a log, and what was heard in the next."""
    h, times = whole.histories, np.sort(whole.histories.at)
    begin, end = (int(np.append(times, times[-1] + 1)[len(times) * tenth // 10]) for tenth in (n, n + 1))
    later = (h.at >= begin) & (h.at < end)
    truth = [(u, np.unique(h.song[h.of(u)][later[h.of(u)]])) for u in np.unique(h.user[later]).tolist()]
    return _made(whole, whole.view(h.at < begin, begin), truth, begin, MOVIES, folder)


def _made(
    whole: Snapshot,
    view: Snapshot,
    truth: Sequence[tuple[int, Array]],
    at: int,
    config: AttributesConfig,
    folder: Path,
) -> Cut:
    whole.write(folder / "snapshot")
    vectors = {}
    if config.widen:
        vectors["song2vec"] = Song2Vec.fit(view, Song2VecConfig(), rng=np.random.default_rng(0), workers=1)
    mine = folder / "recall" / "attributes"
    mine.mkdir(parents=True)
    Attributes.prepare(view, vectors, config, mine, rng=np.random.default_rng(0))
    release = Release.open(folder).seeing(view)
    return release, Case.of(release, truth, np.full(len(truth), at))


def _movies() -> Snapshot:
    path = Path(os.environ.get("SEGUE_DATA", "../shared/data")) / "ml-100k"
    if not path.exists():
        raise InvalidInput(f"{path}: expected a data set (set SEGUE_DATA)")
    batch = read_data(f"recbole:{path}", "temporal", lambda *_: None)
    return Snapshot.of_frames(batch.nodes, batch.relationships, batch.events.with_row_index("offset", offset=1))


def _over(worlds: Sequence[Mapping[str, Array]], name: str) -> tuple[float, float]:
    """Mean and standard deviation over worlds."""
    means = np.array([one[name].mean() for one in worlds])
    return float(means.mean()), float(means.std())


def _paired(found: Mapping[str, Array], peer: str, listeners: Array) -> tuple[float, float]:
    """Mean of a peer, and the standard error of the difference to it, over listeners."""
    difference = found["ours"] - found[peer]
    by_listener = np.bincount(listeners, difference - difference.mean())
    return float(found[peer].mean()), float(np.sqrt((by_listener**2).sum()) / len(difference))


def _row(
    what: str, peer: str, ours: tuple[float, float | None], theirs: tuple[float, float], fitted: Fitted, sign: str
) -> dict[str, Any]:
    spread = "" if ours[1] is None else f"+- {ours[1]:.4f}, "
    days = ", ".join(f"{_short(name)} {value:g}" for name, value in _days(fitted.config).items())
    return {
        "what": f"{what}: attributes",
        "ours": round(ours[0], 4),
        "peer": round(theirs[0], 4),
        "peer_name": peer,
        "ratio": round(ours[0] / max(theirs[0], 1e-9), 3),
        "unit": f"recall@{K}",
        "ours_quality": f"{spread}days: {days}",
        "peer_quality": f"{sign} {theirs[1]:.4f}",
    }


def _days(config: AttributesConfig) -> dict[str, float]:
    return {**config.half_life_days, POPULARITY: config.popular_days}


def _short(name: str) -> str:
    return name.rpartition(".")[2] if name.startswith("RELATED") else name


def _plot(fitted: Mapping[str, Fitted]) -> None:
    with plotted("recall-attributes", len(fitted), size=(12, 3.8)) as panels:
        for panel, (what, one) in zip(panels, fitted.items(), strict=True):
            days = sorted({*GRID, *(d for sweep in one.sweeps.values() for d in sweep)})
            for name, sweep in one.sweeps.items():
                panel.plot([days.index(d) for d in sweep], list(sweep.values()), marker="o", label=_short(name))
                if name not in _days(one.config):
                    continue
                chosen = _days(one.config)[name]
                panel.plot(days.index(chosen), sweep.get(chosen, one.recall), marker="*", markersize=12, color="black")
            panel.set_xticks(range(len(days)), [f"{d:g}" for d in days])
            panel.set_xlabel("half-life in days; a star is what was chosen")
            panel.set_ylabel(f"recall@{K}, what is fitted on")
            panel.set_title(what)
            panel.legend(fontsize="small")
