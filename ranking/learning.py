"""What a refresh learns, step by step, in the folder of a release under construction.

The nightly refresh, `segue evaluate cascade` and the benchmarks all run these same steps, so what is measured anywhere
is what ships.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from embeddings.skipgram.song2vec import Song2Vec, Song2VecConfig
from embeddings.vectors.incremental import LastTraining, UpdateConfig, aligned, update
from embeddings.vectors.vectors import SongVectors
from graph.errors import SettingsError
from graph.paths import SIMILAR_KEPT
from graph.release import Release
from graph.snapshot.arrays import Array, write_arrays
from graph.snapshot.snapshot import Snapshot
from ranking.cascade import Cascade
from ranking.fine.linear import LinearConfig
from ranking.metrics import Scoreboard
from ranking.scene import FUSED, SceneConfig
from ranking.training import (
    MEASURE,
    RANK,
    Cuts,
    best_first,
    cut,
    fit_fusion,
    fit_ranker,
    loved,
    measure,
    newcomers,
    sampled,
    without_memory,
)
from recall.base import channel_type
from recall.channels.popularity import Popularity
from recall.item_lists.neighbours import Neighbours

DEFAULT_SCENE: Final = "radio"
_DRAWS: Final = {"embed": 1, "recall": 2, "rank": 3, "evaluate": 4, "newcomers": 5}
Progress = Callable[[str, int, int], None]


def _silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class LearningConfig:
    """How the log is cut, how many listeners rank and measure at most, the models, and the seed of everything.

    The newest `measure_share` of the events measures, the `rank_share` before it trains the ranker.
    """

    rank_share: float = 0.1
    measure_share: float = 0.1
    listeners: int = 1000
    song2vec: Song2VecConfig = field(default_factory=Song2VecConfig)
    update: UpdateConfig = field(default_factory=UpdateConfig)
    linear: LinearConfig = field(default_factory=LinearConfig)
    seed: int = 0


def unhurried(scene: SceneConfig) -> SceneConfig:
    """The scene without its time budget: what is learned must not depend on how busy the machine was."""
    return replace(scene, budget_ms=float("inf"))


class Learner:
    """The steps embed, recall, rank and evaluate for a set of scenes; each reads what the ones before it wrote."""

    def __init__(self, scenes: Mapping[str, SceneConfig], config: LearningConfig, progress: Progress = _silent) -> None:
        self.scenes, self.config, self._progress = scenes, config, progress

    def cuts(self, snapshot: Snapshot) -> Cuts:
        """Which event is for what."""
        config = self.config
        return cut(
            snapshot.histories, rank_share=config.rank_share, measure_share=config.measure_share, seed=config.seed
        )

    def embed(self, folder: Path, parent: Release | None = None, *, full: bool = False) -> dict[str, Any]:
        """Vectors, from the events that neither rank nor measure, and each song's nearest; says how they were learned.

        Where little is new since the `parent` release they are taken on from its vectors (see `UpdateConfig`), else, or
        if `full`, learned anew and turned into its frame.
        Raises: FitError if there is nothing to learn from.
        """
        config, rng = self.config, self._rng("embed")
        snapshot = Snapshot.open(folder / "snapshot")
        learned = self.cuts(snapshot).learning(snapshot)
        cuts = {"rank_share": config.rank_share, "measure_share": config.measure_share, "seed": config.seed}
        last = None
        if parent is not None and parent.has("vectors/song2vec"):
            before = parent.arrays("vectors/song2vec")[1].get("cuts", cuts)
            full = full or before != cuts
            known = cut(parent.snapshot.histories, **before).learning(parent.snapshot)
            last = LastTraining.of(parent, known, learned)
        updates = 0
        if last is not None and not full and last.leads_to(config.song2vec, config.update):
            updates = last.updates + 1
            vectors = update(learned, last, config.song2vec, config.update, rng=rng, progress=self._progress)
        else:
            vectors = Song2Vec.fit(learned, config.song2vec, rng=rng, progress=self._progress)
            vectors = vectors if last is None else aligned(vectors, last.vectors)
        meta = {"config": asdict(config.song2vec), "updates": updates, "cuts": cuts}
        vectors.save(folder / "vectors" / "song2vec", meta)
        near = Neighbours.of_vectors(vectors.unit, SIMILAR_KEPT)
        write_arrays(folder / "similar" / "song2vec", {"songs": near.songs, "weights": near.weights})
        return {"training": "update" if updates else "full", "updates": updates}

    def prepared(self) -> list[tuple[str, dict[str, Any], str | None]]:
        """Channels that compute something at refresh time: (name, options, use), each once for all scenes.

        Raises: SettingsError if two scenes want one prepared differently.
        """
        found: dict[str, tuple[str, dict[str, Any], str | None]] = {}
        for scene in self.scenes.values():
            for name, use in scene.channels.items():
                if not hasattr(channel_type(name, use.use).channel, "prepare"):
                    continue
                entry = (name, dict(use.options), use.use)
                if found.setdefault(name, entry) != entry:
                    raise SettingsError(f"channel {name} is prepared once, but two scenes give it different options")
        return [found[name] for name in sorted(found)]

    def recall(self, folder: Path) -> None:
        """What channels look up."""
        release = Release.open(folder)
        learned = self.cuts(release.snapshot).learning(release.snapshot)
        vectors = {"song2vec": SongVectors.load(release, "song2vec")}
        todo = self.prepared()
        for done, (name, options, use) in enumerate(todo):
            self._progress("recall", done, len(todo))
            kind = channel_type(name, use)
            mine = folder / "recall" / name
            mine.mkdir(parents=True)
            kind.channel.prepare(learned, vectors, kind.configure(options), mine, rng=self._rng("recall", done))
        self._progress("recall", len(todo), len(todo))

    def rank(self, folder: Path) -> None:
        """Each scene's fusion and ranker, from what was loved between the two cuts, and its fusion for newcomers.

        A log too young to train on leaves a scene without: it ranks by the fused score until there is more. A scene
        whose ranker is "fused" learns neither.
        Raises: FitError if the weights are not finite.
        """
        release = Release.open(folder)
        cuts = self.cuts(release.snapshot)
        known = release.seeing(cuts.learning(release.snapshot))
        rng = self._rng("rank")
        truth = sampled(loved(release.snapshot.histories, cuts.fold == RANK), self.config.listeners, rng)
        unknowing, new = newcomers(release, cuts, truth, self._rng("newcomers"))
        for name, scene in self.scenes.items():
            if scene.ranker == FUSED:
                continue

            def tick(done: int, total: int, name: str = name) -> None:
                self._progress(f"rank {name}", done, total)

            cascade = Cascade(known, unhurried(scene), name)
            fusion = fit_fusion(cascade, truth, cuts.rank_at)
            if fusion is not None:
                fusion.save(folder / "ranking" / name / "fusion")
                cascade.fusion = fusion
            ranker = fit_ranker(cascade, truth, cuts.rank_at, self.config.linear, rng=rng, tick=tick)
            if ranker is not None:
                ranker.save(folder / "ranking" / name / scene.ranker)
            if (bare := without_memory(unhurried(scene))) is not None:
                fusion = fit_fusion(Cascade(unknowing, bare, name), new, cuts.rank_at)
                if fusion is not None:
                    fusion.save(folder / "ranking" / name / "newcomers")

    def evaluate(self, folder: Path, *, channels: bool = False) -> dict[str, Scoreboard]:
        """The default scene as it ships, and popularity, on what was loved after the last cut.

        Songs heard before are left out of lists and truth: they would be easy to guess. With `channels` every channel
        of the scene is measured alone too (recall@50 among the metrics).
        """
        known, truth, at = self.measured(Release.open(folder))
        cascade = Cascade(known, replace(unhurried(self.scenes[DEFAULT_SCENE]), heard="never"), DEFAULT_SCENE)
        alone = dict(cascade.channels) if channels else {}
        alone.setdefault("popularity", Popularity(known))
        rankings = {
            name: (lambda query, channel=channel: best_first(channel.recall(query, 50), known.snapshot))
            for name, channel in alone.items()
        }
        return measure(
            known.snapshot,
            truth,
            at,
            {"cascade": lambda query: cascade.slate(query, 50).songs, **rankings},
            cascade.ask,
            ks=(10, 50) if channels else (10,),
            tick=lambda done, total: self._progress("evaluate", done, total),
        )

    def measured(self, release: Release) -> tuple[Release, list[tuple[int, Array]], int]:
        """The release as it was when its measurement began, (listener, loved songs) of what came after, and the time
        (epoch milliseconds) of the cut."""
        cuts = self.cuts(release.snapshot)
        wanted = loved(release.snapshot.histories, cuts.fold == MEASURE)
        truth = sampled(wanted, self.config.listeners, self._rng("evaluate"))
        return release.seeing(cuts.known(release.snapshot)), truth, cuts.measure_at

    def _rng(self, step: str, part: int = 0) -> np.random.Generator:
        """Each step draws from a generator of its own, so that skipping one changes nothing in the others."""
        return np.random.default_rng([self.config.seed, _DRAWS[step], part])
