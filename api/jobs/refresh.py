"""`segue refresh`: snapshot -> embed -> recall -> rank -> evaluate -> publish -> project."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import structlog

from api.jobs.project import project
from api.jobs.steps import Build, Step, chain
from api.settings import Settings
from api.version import VERSION
from graph.errors import CorruptRelease, FitError, ReleaseNotFound, SettingsError, StaleStep
from graph.files import fingerprint
from graph.log.events import EventLog
from graph.mark import adopt, projected_key
from graph.release import MEASURED, Release, Releases, read_manifest, release_digest
from graph.snapshot.export import export
from graph.snapshot.snapshot import Snapshot
from graph.store.store import GraphStore
from ranking.gate import Paired, Verdict, compared_with_parent, decide, first_release, without_comparison
from ranking.learning import Learner
from ranking.parent import compare
from recall.listeners.interests import NEAR, SONGS

_log = structlog.get_logger(__name__)
STEPS: Final = ("snapshot", "embed", "recall", "rank", "evaluate", "publish", "project")
SHIPPED: Final = "publish.models"
"""The step that brings models and what channels look up to the log's end."""
Progress = Callable[[str, int, int], None]
StoreFactory = Callable[[], AbstractContextManager[GraphStore]]


@dataclass
class StepReport:
    """One line of the report."""

    name: str
    status: Literal["ran", "skipped", "failed"]
    seconds: float
    fingerprint: str

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "seconds": round(self.seconds, 3)}


@dataclass
class RefreshReport:
    """What a refresh did; the object that `--json` prints."""

    release: str | None = None
    parent: str | None = None
    published: bool = False
    projected: bool = False
    reason: str | None = None
    steps: list[StepReport] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    kept_back: bool = False
    warnings: list[str] = field(default_factory=list)
    """What of the graph was left out."""

    def as_json(self) -> dict[str, Any]:
        """With the keys of the contract."""
        return {
            "release": self.release,
            "parent": self.parent,
            "published": self.published,
            "projected": self.projected,
            "reason": self.reason,
            "steps": [step.as_json() for step in self.steps],
            "metrics": self.metrics,
            **({"warnings": self.warnings} if self.warnings else {}),
        }


class Refresh:
    """One refresh of a state folder.

    Raises (from `run`): Busy while another one runs; StaleStep for `only` a step whose inputs are not there; FitError;
    StoreUnavailable. `report` says also then what was done.
    """

    def __init__(
        self,
        settings: Settings,
        log: EventLog,
        open_store: StoreFactory,
        progress: Progress = lambda what, done, total: None,  # noqa: ARG005
    ) -> None:
        self._settings, self._log, self._open_store = settings, log, open_store
        self._progress = progress
        self._releases = Releases(settings.releases.dir)
        self._scenes = settings.scene_configs()
        self._learner = Learner(self._scenes, settings.learning(), progress)
        self.report = RefreshReport()

    def run(self, *, full: bool = False, only: str | None = None, resume: bool = False) -> RefreshReport:
        """Run the line, or only one step of it; see `Refresh`.

        `full` discards what was built before; `resume` goes on with the inputs of the run that was interrupted.
        """
        if only is not None and only not in STEPS:
            raise SettingsError(f"unknown step {only!r} (expected one of {', '.join(STEPS)})")
        with self._releases.lock():
            self._complete_interrupted()
            self.report.parent = self._releases.current()
            if full:
                shutil.rmtree(self._releases.building, ignore_errors=True)
            build = Build(self._releases.building)
            if only == "project":
                self._project()
                return self.report
            self._plan(build, resume=resume, full=full)
            if self._build(build, only=only, full=full) and only is None:
                self._project()
        return self.report

    # ---- the line

    def _complete_interrupted(self) -> None:
        """Activate a release that was sealed whole when its refresh was killed; a damaged one is set aside."""
        self._releases.complete()
        while (waiting := self._releases.interrupted()) is not None:
            try:
                self._releases.activate(waiting)
            except CorruptRelease as error:
                aside = self._releases.set_aside(waiting)
                _log.warning("release set aside", release=waiting, folder=str(aside), reason=str(error))
                continue
            self.report.release, self.report.published = waiting, True
            self.report.metrics = read_manifest(self._releases.path(waiting)).get("metrics", {})
            return

    def _plan(self, build: Build, *, resume: bool, full: bool) -> None:
        plan = {
            "log_id": self._log.log_id,
            "offset": self._log.last_offset(),
            "journal": self._log.last_journal_offset(),
            **_generation(self._log.generation),
            "wall_clock": int(time.time() * 1000),
        }
        same = _where(build.plan) == _where(plan)
        # nothing that was taken out of the log may be learned from again
        known = all(build.plan.get(k) == plan.get(k) for k in ("log_id", "generation"))
        goes_on = build.plan and (same or (resume and known))
        if goes_on and build.plan.get("base", "") in self._bases():
            build.begin(build.plan)
            return
        build.begin({**plan, "base": self._chosen_base(plan, full=full)})

    def _bases(self) -> list[dict[str, Any] | None]:
        """What a build that goes on may have been begun from: the current release, or what that one was made from."""
        _, manifest = self._sealed(self._releases.current())
        if not manifest:
            return [None]
        return [manifest.get("base"), *({**_named(manifest), "full": full} for full in (False, True))]

    def _chosen_base(self, plan: Mapping[str, Any], *, full: bool) -> dict[str, Any] | None:
        """The release whose vectors those of this plan go on from, or are turned to; None for the first.

        The current one, unless the current one was itself made from just this: then what it was made from, so that a
        run in which nothing is new finds it done.
        """
        _, manifest = self._sealed(self._releases.current())
        events = manifest.get("events", {})
        if events.get("log_id") != plan["log_id"] or events["offset"] > plan["offset"]:
            return None
        made = manifest.get("base")
        if not full or (made or {"full": True})["full"]:
            prints = self._fingerprints({**plan, "base": made})
            models = [name for name in prints if _stage(name) == "embed"]
            if all(manifest["steps"].get(name, {}).get("fingerprint") == prints[name] for name in models):
                return made
        # vectors that go on from the release would keep what was taken out of the log since
        return {**_named(manifest), "full": full or events.get("generation") != plan.get("generation")}

    def _base_release(self, build: Build) -> Release | None:
        """That release if it is still there, else the current one, which has its frame; None if it cannot be opened."""
        base = build.plan["base"]
        if base is None:
            return None
        known = self._releases.ids()
        wanted = base["id"] if base["id"] in known else self._releases.current()
        try:
            return self._releases.open(wanted) if wanted in known else None
        except CorruptRelease as error:
            _log.warning("vectors are trained anew", release=wanted, reason=str(error))
            return None

    def _build(self, build: Build, *, only: str | None, full: bool) -> bool:
        """Run or skip every step up to publishing; whether the graph should be projected to afterwards."""
        parent, kept_back = self._sealed(self._releases.current()), self._sealed(self._releases.kept_back())
        ran, prints = False, self._fingerprints(build.plan)
        for step in self._steps(build.plan):
            step_fingerprint, stage = prints[step.name], _stage(step.name)
            started = time.perf_counter()
            wanted = only in (None, stage)
            known = build.fresh(step.name, step_fingerprint) or (
                not full and any(build.adopt(step, step_fingerprint, *sealed) for sealed in (parent, kept_back))
            )
            if known or not wanted:
                if not known and only != stage and STEPS.index(stage) < STEPS.index(only or ""):
                    raise StaleStep(f"step {stage} has to run before {only}: run `segue refresh`")
                if known:
                    self._report(step.name, "skipped", started, step_fingerprint)
                    continue
                break
            build.clear(step)
            self._progress(step.name, 0, 1)
            try:
                notes = step.run(build)
            except BaseException:
                self._report(step.name, "failed", started, step_fingerprint)
                raise
            build.finish(step.name, step_fingerprint, notes)
            self._progress(step.name, 1, 1)
            self._report(step.name, "ran", started, step_fingerprint)
            ran = True
        if only not in (None, "publish"):
            return False
        self.report.metrics = build.notes("evaluate").get("metrics", {})
        started = time.perf_counter()
        sealed = self._publish(build, parent[1], kept_back[1], ran=ran)
        self._report("publish", "ran" if sealed else "skipped", started, prints[SHIPPED])
        return not self.report.kept_back and self._releases.current() is not None

    def _report(
        self, name: str, status: Literal["ran", "skipped", "failed"], started: float, step_fingerprint: str
    ) -> None:
        """A line for each stage: the models of `embed` have one together, and so have those of `publish`."""
        line = StepReport(_stage(name), status, time.perf_counter() - started, step_fingerprint[:16])
        if self.report.steps and (last := self.report.steps[-1]).name == line.name:
            line.seconds += last.seconds
            if name != "publish" and last.status != "skipped" and status == "skipped":
                line.status = last.status
            line.fingerprint = fingerprint([last.fingerprint, line.fingerprint])[:16]
            self.report.steps.pop()
        self.report.steps.append(line)

    def _sealed(self, id_: str | None) -> tuple[Path | None, dict[str, Any]]:
        """Folder and manifest of a sealed release; None and {} if it is not there."""
        if id_ not in self._releases.ids():
            return None, {}
        folder = self._releases.path(id_)
        return folder, read_manifest(folder)

    def _steps(self, plan: Mapping[str, Any]) -> list[Step]:
        """The steps of a build that is made from what `plan` says."""
        trained = {name: scene.training_settings() for name, scene in self._scenes.items()}
        measured = {name: scene.reranking_settings() for name, scene in self._scenes.items()}
        prepared = {name: options for name, options, _ in self._learner.prepared()}
        recalled = {"channels": prepared, "interests": [SONGS, NEAR]}
        learned = asdict(replace(self._learner.config, models={}))
        bound = learned.pop("neighbours_kept")  # which trains nothing
        where = _where(plan)
        base = plan["base"] and {k: plan["base"][k] for k in ("digest", "full")}
        return [
            Step("snapshot", ["snapshot"], where, self._snapshot),
            *(self._model_step(name, {**learned, "base": base}) for name in self._learner.config.models),
            Step("recall", [f"{MEASURED}/recall", f"{MEASURED}/interests"], recalled, self._recall),
            Step("rank", ["ranking"], trained, self._rank),
            Step("evaluate", [], [self._settings.refresh.metric, measured], self._evaluate),
            Step(SHIPPED, ["vectors", "similar", "index", "recall", "interests"], bound, self._bring_to_end),
        ]

    def _model_step(self, model: str, depends: Mapping[str, Any]) -> Step:
        """A step for each model, so that changing one trains one."""
        folders = [f"{MEASURED}/{kind}/{model}" for kind in ("vectors", "similar", "index")]
        config = asdict(self._learner.config.models[model])
        return Step(f"embed.{model}", folders, {**depends, "config": config}, partial(self._embed, model))

    def _fingerprints(self, plan: Mapping[str, Any]) -> dict[str, str]:
        """Of every step: models hang on the snapshot alone, and what is brought to the log's end on `recall`."""
        prints: dict[str, str] = {}
        for step in self._steps(plan):
            stage = _stage(step.name)
            if stage == "embed":
                before = prints["snapshot"]
            elif stage == "recall":
                before = fingerprint([prints["snapshot"], *(p for n, p in prints.items() if _stage(n) == "embed")])
            elif stage == "publish":
                before = prints["recall"]
            else:
                before = next(reversed(prints.values()), "")
            prints[step.name] = chain(before, step, self._settings.seed, VERSION)
        return prints

    # ---- the steps: each writes into the build, and tells what it found out

    def _snapshot(self, build: Build) -> dict[str, Any]:
        with self._open_store() as store:
            warnings = [*store.migrate(), *adopt(store, self._log)]
            snapshot = export(
                store,
                self._log,
                upto=build.plan["offset"],
                wall_clock=build.plan["wall_clock"],
                progress=self._progress,
                warnings=warnings,
            )
        for line in warnings:
            _log.warning(line)
        self.report.warnings = warnings
        if not snapshot.songs:
            raise FitError("there is no song yet: `segue import` one of the formats first")
        snapshot.write(build.folder / "snapshot")
        return {}

    def _embed(self, model: str, build: Build) -> dict[str, Any]:
        base, release = build.plan["base"], self._base_release(build)
        full = base is not None and base["full"]
        parent = None if release is None else release.measured()
        return self._learner.embed(build.folder, model, parent, full=full)

    def _recall(self, build: Build) -> dict[str, Any]:
        self._learner.recall(build.folder)
        return {}

    def _rank(self, build: Build) -> dict[str, Any]:
        return self._learner.rank(build.folder)

    def _bring_to_end(self, build: Build) -> dict[str, Any]:
        base = build.plan["base"]
        full = base is not None and base["full"]
        return {"drift": self._learner.bring_to_end(build.folder, self._base_release(build), full=full)}

    def _evaluate(self, build: Build) -> dict[str, Any]:
        boards = self._learner.evaluate(build.folder)
        metrics = {name: round(value, 6) for name, value in boards["cascade"].means().items()}
        popularity = boards["popularity"].means()
        metrics |= {f"popularity:{name}": round(value, 6) for name, value in popularity.items()}
        name = self._settings.refresh.metric
        paired = Paired.of(name, boards["cascade"].values(name), boards["popularity"].values(name))
        return {
            "metrics": metrics,
            "listeners": len(boards["cascade"].rows),
            "popularity": None if paired is None else asdict(paired),
        }

    # ---- the end of the line

    def _publish(self, build: Build, parent: Mapping[str, Any], kept_back: Mapping[str, Any], *, ran: bool) -> bool:
        """Seal the build unless it was sealed before, and activate it unless the gate keeps it back; whether it sealed.

        `parent` and `kept_back` are the manifests of the current release and of the newest that was kept back.
        """
        steps: dict[str, Any] = {name: build.state[name] for name in build.state if _stage(name) in STEPS}
        if not ran and parent.get("steps") == steps:
            return self._discard(build, self.report.release or self._releases.current(), "nothing has changed")
        known = not ran and kept_back.get("steps") == steps
        # the gate's settings may let it through by now
        if known and (verdict := self._verdict(build, parent, kept_back)).kept_back:
            return self._discard(
                build, kept_back["id"], f"nothing has changed since {kept_back['id']} was kept back: {verdict.reason}"
            )
        files = self._releases.contents()
        digest = release_digest(files, self._sealed_settings())
        if digest == parent.get("digest"):
            return self._discard(build, self._releases.current(), "the same release as before")
        known = digest == kept_back.get("digest")
        verdict = self._verdict(build, parent, kept_back if known else {})
        if known and verdict.kept_back:
            return self._discard(
                build, kept_back["id"], f"the same as {kept_back['id']}, which was kept back: {verdict.reason}"
            )
        self.report.release = self._releases.seal(self._manifest(build, steps, verdict), files)
        self.report.reason = verdict.reason
        self.report.kept_back = verdict.kept_back
        if not verdict.kept_back:
            self._releases.activate(self.report.release)
            self.report.published = True
        return True

    def _discard(self, build: Build, release: str | None, reason: str) -> bool:
        """Leave it at a release that is there already."""
        self.report.release, self.report.reason = release, reason
        shutil.rmtree(build.folder)
        return False

    def _manifest(self, build: Build, steps: Mapping[str, Any], verdict: Verdict) -> dict[str, Any]:
        """What the release says of itself, its files apart."""
        snapshot = Snapshot.open(build.folder / "snapshot")
        return {
            "settings": self._sealed_settings(),
            "seed": self._settings.seed,
            "as_of": snapshot.as_of,
            "graph": {"version": build.plan["journal"], "digest": snapshot.digest(), "counts": snapshot.counts()},
            "events": {k: build.plan[k] for k in ("log_id", "offset", "generation") if k in build.plan},
            "bare": snapshot.meta["bare"],
            "metrics": self.report.metrics,
            "parent": self.report.parent,
            "base": build.plan["base"],
            "steps": dict(steps),
            "publish": not verdict.kept_back,
            "reason": verdict.reason,
            "gate": verdict.as_json(),
        }

    def _sealed_settings(self) -> dict[str, Any]:
        """The settings that shape a release: neither addresses nor passwords, which change nothing in it."""
        return {
            "seed": self._settings.seed,
            "learning": asdict(self._learner.config),
            "scenes": {name: asdict(scene) for name, scene in self._scenes.items()},
            "version": VERSION,
        }

    def _verdict(self, build: Build, parent: Mapping[str, Any], kept_back: Mapping[str, Any]) -> Verdict:
        """Whether the build is published; `kept_back` is the manifest of the same release, if it was kept back before.

        What was compared then is not measured again, as long as the parent is still the one that is served.
        """
        gate = self._settings.refresh
        if not parent:
            popularity = build.notes("evaluate").get("popularity")
            return first_release(None if popularity is None else Paired(**popularity), gate.margin)
        compared = compared_with_parent(kept_back.get("gate", {}))
        if compared is None or compared.metric != gate.metric or kept_back["parent"] != parent["id"]:
            if parent["events"]["log_id"] != build.plan["log_id"]:
                return without_comparison("its parent was made from another event log", gate.margin)
            try:
                compared = compare(self._learner, build.folder, self._releases.open(parent["id"]), gate.metric)
            except (CorruptRelease, SettingsError) as error:
                return without_comparison(f"its parent {parent['id']} cannot be measured: {error}", gate.margin)
        return decide(compared, gate.margin, gate.min_listeners)

    def _project(self) -> None:
        current = self._releases.current()
        if current is None:
            raise ReleaseNotFound("no release to project: run `segue refresh`")
        key = projected_key(self._settings.graph.url)
        known = self._log.get_meta(key)
        started = time.perf_counter()
        self.report.release = self.report.release or current
        if known == current:
            self.report.projected = True
            self._report("project", "skipped", started, current)
            return
        try:
            with self._open_store() as store:
                adopt(store, self._log)
                known = self._log.get_meta(key)
                # unknown until it is done: a projection that is cut short compares with the graph itself the next time
                self._log.set_meta(key, "")
                project(store, self._releases.open(current), self._projected_before(known), self._progress)
        except BaseException:
            self._report("project", "failed", started, current)
            raise
        self._log.set_meta(key, current)
        self.report.projected = True
        self._report("project", "ran", started, current)

    def _projected_before(self, known: str | None) -> Release | None:
        if not known or known not in self._releases.ids():
            return None
        try:
            return self._releases.open(known)
        except CorruptRelease:
            return None


def _where(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What a plan says of the data that it reads."""
    return {k: plan[k] for k in ("log_id", "offset", "journal", "generation") if k in plan}


def _generation(number: int) -> dict[str, int]:
    """That of a log that something was taken out of; one of which nothing was is named as before there were any."""
    return {"generation": number} if number else {}


def _named(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": manifest["id"], "digest": manifest["digest"]}


def _stage(step: str) -> str:
    """`embed` of `embed.song2vec`."""
    return step.partition(".")[0]
