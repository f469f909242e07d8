"""What a refresh learns, step by step, in the folder of a release under construction.

The nightly refresh, `segue evaluate cascade` and the benchmarks all run these same steps, so what is measured anywhere
is what ships.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from embeddings.models import enabled_by_default, model_type
from embeddings.vectors.alignment import drift_of_releases
from embeddings.vectors.incremental import LastTraining, UpdateConfig, aligned
from embeddings.vectors.model_vectors import ModelVectors, models_in, song_space
from graph.errors import NothingToLearn, SettingsError
from graph.release import MEASURED, Release
from graph.snapshot.arrays import Array, write_arrays
from graph.snapshot.snapshot import Snapshot
from ranking.breadth import Breadth
from ranking.cascade import NOTHING, Cascade
from ranking.metrics import Scoreboard
from ranking.scene import LEARNED, SceneConfig, unhurried
from ranking.training import (
    CHANNEL_TRAIN,
    RANKER_TRAIN,
    TEST,
    RankerLists,
    Split,
    best_first,
    cold_start,
    cut,
    fit_fusion,
    fit_ranker,
    fit_reserve,
    loved,
    measure,
    sampled,
    without_memory,
)
from recall.channels.popularity import Popularity
from recall.discovery import channel_type
from recall.index.vector_index import VectorIndex
from recall.item_lists.neighbours import Neighbours
from recall.listeners.interests import Leaders

DEFAULT_SCENE: Final = "radio"
_DRAWS: Final = {"embed": 1, "recall": 2, "rank": 3, "evaluate": 4, "cold_start": 5, "ranker": 6, "reserve": 7}
Progress = Callable[[str, int, int], None]
Truth = Sequence[tuple[int, Array]]
NEAREST: Final = 50
"""Nearest songs that are kept of every song, by each model."""
SLATE: Final = 50
"""Songs of the slates that are measured."""


def _silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


def default_models() -> dict[str, Any]:
    """The configs of the models that are trained unless the settings say otherwise, by name."""
    return {name: model_type(name).config() for name in enabled_by_default()}


@dataclass(frozen=True)
class LearningConfig:
    """How the log is cut, and what is learned from it."""

    rank_share: float = 0.1
    """Share of the events, before the measured ones, that trains the ranker."""
    measure_share: float = 0.1
    """Newest share of the events, which measures."""
    listeners: int = 1000
    """Listeners that rank, and that measure, at most."""
    models: Mapping[str, Any] = field(default_factory=default_models)
    """Config of each model that is trained, by its name."""
    update: UpdateConfig = field(default_factory=UpdateConfig)
    """When Song2Vec is updated instead of trained."""
    neighbours_kept: float = 0.1
    """Share of a song's 20 nearest that a model must keep, on average, when it is brought to the log's end, 0 to 1; one
    that does not ships as it was measured."""
    seed: int = 0
    """Seed of all that is drawn, 0 or more."""


class Learner:
    """The steps embed, recall, rank and evaluate for a set of scenes; each reads what the ones before it wrote."""

    def __init__(self, scenes: Mapping[str, SceneConfig], config: LearningConfig, progress: Progress = _silent) -> None:
        self.scenes, self.config, self._progress = scenes, config, progress
        self._ranker_train: Array | None = None

    def with_ranker_train(self, events: Array) -> Learner:
        """One whose fusion and ranker learn from the `events` (E,) that are True instead of from the newest ones; all
        others train channels and models, and none is left to measure."""
        other = Learner(self.scenes, replace(self.config, measure_share=0.0), self._progress)
        other._ranker_train = events
        return other

    def learn(self, folder: Path, truth: Truth | None = None) -> None:
        """`embed` of every model, `recall` and `rank`."""
        for model in self.config.models:
            self.embed(folder, model)
        self.recall(folder)
        self.rank(folder, truth)

    def split(self, snapshot: Snapshot) -> Split:
        """What each event is used for."""
        config = self.config
        if self._ranker_train is not None:
            newest = max(snapshot.histories.newest, 0)
            return Split(np.where(self._ranker_train, RANKER_TRAIN, CHANNEL_TRAIN).astype(np.int8), newest, newest)
        return cut(snapshot, rank_share=config.rank_share, measure_share=config.measure_share, seed=config.seed)

    def embed(
        self, folder: Path, model: str, parent: Release | None = None, *, full: bool = False, part: str = MEASURED
    ) -> dict[str, Any]:
        """Vectors of a model, each song's nearest and their index, in the `part` of the release; says how it was done.

        As MEASURED they are learned from the events that neither rank nor measure, else from the whole log. Where
        little is new since the `parent` release they are taken on from its vectors (see `UpdateConfig`) if the model
        can, else, or if `full`, learned anew and rotated into its frame. From the whole log a model is learned with the
        settings that its search found for what was measured. A model with nothing to learn from is left out of the
        release, and said.
        Raises: FitError if a vector is not finite.
        """
        config, settings = self.config, self.config.models[model]
        kind, rng = model_type(model), self._rng("embed", _number(model))
        snapshot = Snapshot.open(folder / "snapshot")
        learned = self.split(snapshot).learning(snapshot) if part == MEASURED else snapshot
        cuts = {"rank_share": config.rank_share, "measure_share": config.measure_share, "seed": config.seed}
        cuts = cuts if part == MEASURED else {"seed": config.seed}
        last = None
        if parent is not None and parent.has(f"vectors/{model}"):
            before = parent.arrays(f"vectors/{model}")[1].get("cuts", cuts)
            full = full or before != cuts
            known = cut(parent.snapshot, **before).learning(parent.snapshot) if part == MEASURED else parent.snapshot
            last = LastTraining.of(parent, model, known, learned)
        frame, found = last, dict[str, Any]()
        if part != MEASURED and (measured := Release.open(folder).measured()).has(f"vectors/{model}"):
            frame = LastTraining.of(measured, model, snapshot, snapshot)
            found = dict(frame.found)
        updates, may_update = 0, not full and hasattr(kind.model, "update")
        try:
            if last is not None and may_update and last.leads_to(settings, config.update):
                updates = last.updates + 1
                vectors = kind.model.update(learned, last, settings, config.update, rng=rng, progress=self._progress)
            else:
                vectors = kind.model.fit(learned, replace(settings, **found), rng=rng, progress=self._progress)
                vectors = vectors if frame is None else aligned(vectors, frame.vectors)
        except NothingToLearn as error:
            return {"training": "none", "reason": str(error)}
        meta = {"config": asdict(settings), "updates": updates, "cuts": cuts}
        meta |= {"found": found} if found else {}
        vectors.save(folder / part / "vectors" / model, meta)
        near = Neighbours.of_vectors(vectors.unit, NEAREST)
        write_arrays(folder / part / "similar" / model, {"songs": near.songs, "weights": near.weights})
        index = VectorIndex.build(vectors.unit, seed=int(rng.integers(2**31)))
        if index.kind != "exact":  # which needs nothing but the vectors
            index.save(folder / part / "index" / model)
        return {"training": "update" if updates else "full", "updates": updates}

    def prepared(self) -> list[tuple[str, dict[str, Any], str | None]]:
        """Channels that compute something at refresh time: (name, options, use), each once for all scenes.

        Raises: SettingsError if two scenes want one prepared differently.
        """
        found: dict[str, tuple[str, dict[str, Any], str | None]] = {}
        for scene in self.scenes.values():
            for name, use in scene.channels.items():
                kind = channel_type(name, use.use)
                if not kind.prepares:
                    continue
                entry = (name, kind.prepared_options(use.options), use.use)
                if found.setdefault(name, entry) != entry:
                    raise SettingsError(f"channel {name} is prepared once, but two scenes give it different options")
        return [found[name] for name in sorted(found)]

    def recall(self, folder: Path, part: str = MEASURED) -> None:
        """Listeners' interests and what channels look up, in the `part` of the release; a channel without its model's
        vectors is left out."""
        release = Release.open(folder)
        release = release.measured() if part == MEASURED else release
        split = self.split(release.snapshot)
        learned = split.learning(release.snapshot) if part == MEASURED else release.snapshot
        vectors = {name: ModelVectors.load(release, name) for name in models_in(release)}
        if (space := song_space(release)) is not None:
            Leaders.fit(learned, space.unit).save(folder / part)
        todo = self.prepared()
        for done, (name, options, use) in enumerate(todo):
            self._progress("recall", done, len(todo))
            kind = channel_type(name, use)
            if not vectors.keys() >= set(kind.vectors):
                continue
            mine = folder / part / "recall" / name
            mine.mkdir(parents=True)
            try:
                kind.channel.prepare(learned, vectors, kind.configure(options), mine, rng=self._rng("recall", done))
            except NothingToLearn as error:
                shutil.rmtree(mine)
                write_arrays(mine / NOTHING, {}, {"reason": str(error)})
        self._progress("recall", len(todo), len(todo))

    def bring_to_end(self, folder: Path, parent: Release | None = None, *, full: bool = False) -> dict[str, Any]:
        """Models and what channels look up once more, from the whole log with the same settings; how far the vectors
        moved from those that were measured, by model (see `embeddings.vectors.alignment.drift`).

        An update goes on from the vectors of the `parent`, else they are trained anew, rotated into the frame of those
        that were measured. A model that moved too far from what was measured (`neighbours_kept`) ships as it was
        measured: its drift, of the training that is not used, says `"shipped": "as measured"`.
        """
        for model in self.config.models:
            self.embed(folder, model, parent, full=full, part="")
        shipped = Release.open(folder)
        drift: dict[str, dict[str, Any]] = {**drift_of_releases(shipped.measured(), shipped)}
        for model, found in drift.items():
            if found["neighbours_kept"] < self.config.neighbours_kept:
                _ship_as_measured(folder, model)
                found["shipped"] = "as measured"
        self.recall(folder, part="")
        return drift

    def rank(self, folder: Path, truth: Truth | None = None) -> dict[str, Any]:
        """Each scene's fusion, cold-start fusion and ranker, from the songs liked between the two cuts, and how much of
        its slates answers to what was just done; says how the last was found.

        A log too young to train on leaves a scene without: it ranks by the fused score until there is more. A scene
        whose ranker is "fused" learns no ranker, and a fusion only if it says so. `truth` (listener, songs) that is
        given takes the place of what the log says between the cuts.
        Raises: FitError if the weights are not finite.
        """
        release = Release.open(folder).measured()
        split = self.split(release.snapshot)
        known = release.seeing(split.learning(release.snapshot))
        heard = loved(release.snapshot.histories, split.subset == RANKER_TRAIN) if truth is None else iter(truth)
        truth = sampled(heard, self.config.listeners, self._rng("rank"))
        release_without_them, new = cold_start(release, split, truth, self._rng("cold_start"))
        reserves: dict[str, Any] = {}
        for name, scene in self.scenes.items():
            if not scene.learns:
                if scene.reserve == LEARNED:
                    reserves[name] = self._reserve(folder, Cascade(known, unhurried(scene), name), split, release)
                continue

            def tick(done: int, total: int, name: str = name) -> None:
                self._progress(f"rank {name}", done, total)

            cascade = Cascade(known, unhurried(scene), name)
            fusion = fit_fusion(cascade, truth, split.rank_at)
            if fusion is not None:
                fusion.save(folder / "ranking" / name / "fusion")
                cascade = cascade.with_fusion(fusion)
            if scene.ranker_of() is not None:
                lists = RankerLists.of(cascade, truth, split.rank_at, tick)
                cascade = self._rank(folder, cascade, lists)
            if scene.reserve == LEARNED:
                reserves[name] = self._reserve(folder, cascade, split, release)
            if (bare := without_memory(unhurried(scene))) is not None:
                fusion = fit_fusion(Cascade(release_without_them, bare, name), new, split.rank_at)
                if fusion is not None:
                    fusion.save(folder / "ranking" / name / "cold_start")
        return {"reserve": reserves}

    def _reserve(self, folder: Path, cascade: Cascade, split: Split, release: Release) -> dict[str, Any]:
        """Learn and write how much of a scene's slates answers to what was just done, and say what was found."""
        reserve = fit_reserve(cascade, split, release.snapshot, self._rng("reserve", _number(cascade.name)))
        reserve.save(folder / "ranking" / cascade.name / "reserve")
        return asdict(reserve)

    def _rank(self, folder: Path, cascade: Cascade, lists: RankerLists) -> Cascade:
        """The cascade with the scene's ranker and how far its slates spread over the catalogue, from its own lists."""
        name, scene = cascade.name, cascade.scene
        ranker = fit_ranker(cascade, lists, rng=self._rng("ranker", _number(name)))
        if ranker is None:
            return cascade
        ranker.save(folder / "ranking" / name / scene.ranker)
        breadth = Breadth.fit(lists.scored(ranker), cascade.snapshot.songs, scene.breadth)
        if breadth is not None:
            breadth.save(folder / "ranking" / name / "breadth")
        return cascade.with_ranker(ranker, breadth)

    def evaluate(self, folder: Path, *, channels: bool = False) -> dict[str, Scoreboard]:
        """The default scene as it ships, and popularity, on the songs liked after the last cut.

        Songs heard before are left out of lists and truth: they would be easy to guess. With `channels` every channel
        of the scene is measured alone too (recall@50 among the metrics).
        """
        known, truth, at = self.measured(Release.open(folder).measured())
        cascade = self.candidate(known)
        alone = dict(cascade.channels) if channels else {}
        alone.setdefault("popularity", Popularity(known))
        rankings = {
            name: (lambda query, channel=channel: best_first(channel.recall(query, SLATE), known.snapshot))
            for name, channel in alone.items()
        }
        return measure(
            known.snapshot,
            truth,
            at,
            {"cascade": lambda query: cascade.slate(query, SLATE).songs, **rankings},
            cascade.ask,
            ks=(10, 50) if channels else (10,),
            tick=self.tick("evaluate"),
        )

    def candidate(self, known: Release) -> Cascade:
        """What is measured of a release: its default scene without time budget and without heard songs."""
        return Cascade(known, replace(unhurried(self.scenes[DEFAULT_SCENE]), heard="never"), DEFAULT_SCENE)

    def tick(self, what: str) -> Callable[[int, int], None]:
        """Reports the progress of `what`: (done, total)."""
        return lambda done, total: self._progress(what, done, total)

    def measured(self, release: Release) -> tuple[Release, list[tuple[int, Array]], int]:
        """The release as it was when its measurement began, (listener, loved songs) of what came after, and the time
        (epoch milliseconds) of the cut."""
        split = self.split(release.snapshot)
        wanted = loved(release.snapshot.histories, split.subset == TEST)
        truth = sampled(wanted, self.config.listeners, self._rng("evaluate"))
        return release.seeing(split.known(release.snapshot)), truth, split.measure_at

    def _rng(self, step: str, part: int = 0) -> np.random.Generator:
        """Each step draws from a generator of its own, so that skipping one changes nothing in the others."""
        return np.random.default_rng([self.config.seed, _DRAWS[step], part])


def _ship_as_measured(folder: Path, model: str) -> None:
    """Put a model's vectors, their index and each song's nearest as they were measured in place of the later ones."""
    for kind in ("vectors", "similar", "index"):
        (folder / kind).mkdir(exist_ok=True)
        for old in folder.glob(f"{kind}/{model}.*"):
            old.unlink()
        for measured in folder.glob(f"{MEASURED}/{kind}/{model}.*"):
            shutil.copy2(measured, folder / kind / measured.name)


def _number(name: str) -> int:
    """The part of a step that a model or a scene of that name is."""
    return zlib.crc32(name.encode())
