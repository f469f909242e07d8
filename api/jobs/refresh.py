"""`segue refresh`: snapshot -> embed -> recall -> rank -> evaluate -> publish -> project."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from api.jobs.project import project
from api.jobs.steps import Build, Step, chain
from api.settings import Settings
from api.version import VERSION
from graph.arrays import fingerprint
from graph.errors import FitError, ReleaseNotFound, SegueError, SettingsError, StaleStep
from graph.events import EventLog
from graph.export import export
from graph.release import Release, Releases, read_manifest, release_digest
from graph.snapshot import Snapshot
from graph.store import GraphStore
from ranking.learning import Learner

STEPS: Final = ("snapshot", "embed", "recall", "rank", "evaluate", "publish", "project")
PROJECTED: Final = "projected"  # meta: the release whose derived data the graph holds
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
        }


class Refresh:
    """One refresh of a state folder.

    Raises (from `run`): Busy while another one runs; StaleStep for `only` a step whose inputs are not there; FitError;
    StoreUnavailable.
    """

    def __init__(
        self,
        settings: Settings,
        log: EventLog,
        open_store: StoreFactory,
        progress: Progress = lambda what, done, total: None,  # noqa: ARG005
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings, self._log, self._open_store = settings, log, open_store
        self._progress, self._cancelled = progress, cancelled
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
            self._plan(build, resume=resume)
            if self._build(build, only=only, full=full) and only is None:
                self._project()
        return self.report

    # ---- the line

    def _complete_interrupted(self) -> None:
        """Activate a release that was sealed whole when its refresh was killed."""
        waiting = self._releases.interrupted()
        if waiting is not None:
            self._releases.activate(waiting)
            self.report.release, self.report.published = waiting, True
            self.report.metrics = read_manifest(self._releases.path(waiting)).get("metrics", {})

    def _plan(self, build: Build, *, resume: bool) -> None:
        plan = {
            "log_id": self._log.log_id,
            "offset": self._log.last_offset(),
            "journal": self._log.last_journal_offset(),
            "wall_clock": int(time.time() * 1000),
        }
        same = {k: build.plan.get(k) for k in ("log_id", "offset", "journal")} == {
            k: plan[k] for k in ("log_id", "offset", "journal")
        }
        if build.plan and (same or (resume and build.plan["log_id"] == plan["log_id"])):
            return
        build.begin(plan)

    def _build(self, build: Build, *, only: str | None, full: bool) -> bool:
        """Run or skip every step up to publishing; whether the graph should be projected to afterwards."""
        parent = self._parent()
        manifest = read_manifest(parent) if parent is not None else {}
        before, ran = "", False
        for step in self._steps(build):
            print_ = chain(before, step, self._settings.seed, VERSION)
            before = print_
            started = time.perf_counter()
            if self._cancelled():
                raise KeyboardInterrupt
            wanted = only in (None, step.name)
            known = build.fresh(step.name, print_) or (not full and build.adopt(step, print_, parent, manifest))
            if known or not wanted:
                if not known and only != step.name and STEPS.index(step.name) < STEPS.index(only or ""):
                    raise StaleStep(f"step {step.name} has to run before {only}: run `segue refresh`")
                if known:
                    self._report(step.name, "skipped", started, print_)
                    continue
                break
            build.clear(step)
            try:
                step.run()
            except BaseException:
                self._report(step.name, "failed", started, print_)
                raise
            build.finish(step.name, print_, self._notes.pop(step.name, {}))
            self._report(step.name, "ran", started, print_)
            ran = True
        if only not in (None, "publish"):
            return False
        self.report.metrics = build.notes("evaluate").get("metrics", {})
        started = time.perf_counter()
        published = self._publish(build, manifest, ran=ran)
        self._report("publish", "ran" if published or self.report.kept_back else "skipped", started, before)
        return not self.report.kept_back

    def _report(self, name: str, status: Literal["ran", "skipped", "failed"], started: float, print_: str) -> None:
        self.report.steps.append(StepReport(name, status, time.perf_counter() - started, print_[:16]))

    def _parent(self) -> Any:
        current = self._releases.current()
        if current is None:
            return None
        try:
            return self._releases.path(current)
        except ReleaseNotFound:
            return None

    def _steps(self, build: Build) -> list[Step]:
        self._notes: dict[str, dict[str, Any]] = {}
        scenes = {name: asdict(scene) for name, scene in self._scenes.items()}
        prepared = {name: options for name, options, _ in self._learner.prepared()}
        learned = asdict(self._learner.config)
        where = {k: build.plan[k] for k in ("log_id", "offset", "journal")}
        return [
            Step("snapshot", ["snapshot"], where, lambda: self._snapshot(build)),
            Step("embed", ["vectors", "similar"], learned, lambda: self._learner.embed(build.folder)),
            Step("recall", ["recall"], prepared, lambda: self._learner.recall(build.folder)),
            Step("rank", ["ranking"], scenes, lambda: self._learner.rank(build.folder)),
            Step("evaluate", [], self._settings.refresh.metric, lambda: self._evaluate(build)),
        ]

    # ---- the steps

    def _snapshot(self, build: Build) -> None:
        with self._open_store() as store:
            store.migrate()
            snapshot = export(
                store,
                self._log,
                upto=build.plan["offset"],
                wall_clock=build.plan["wall_clock"],
                progress=self._progress,
            )
        if not snapshot.songs:
            raise FitError("there is no song yet: `segue import` one of the formats first")
        snapshot.write(build.folder / "snapshot")

    def _evaluate(self, build: Build) -> None:
        boards = self._learner.evaluate(build.folder)
        metrics = {name: round(value, 6) for name, value in boards["cascade"].means().items()}
        popularity = boards["popularity"].means()
        metrics |= {f"popularity:{name}": round(value, 6) for name, value in popularity.items()}
        self._notes["evaluate"] = {"metrics": metrics, "listeners": len(boards["cascade"].rows)}

    # ---- the end of the line

    def _publish(self, build: Build, parent: Mapping[str, Any], *, ran: bool) -> bool:
        """Seal and activate the build unless nothing has changed or it measures too low."""
        steps = {name: build.state[name] for name in STEPS if name in build.state}
        if not ran and parent.get("steps") == steps:
            self.report.release = self.report.release or self._releases.current()
            self.report.reason = self.report.reason or "nothing has changed"
            shutil.rmtree(build.folder)
            return False
        snapshot = Snapshot.open(build.folder / "snapshot")
        reason = self._gate(self.report.metrics, parent.get("metrics", {}), first=not parent)
        manifest = {
            "settings": self._sealed_settings(),
            "seed": self._settings.seed,
            "as_of": snapshot.as_of,
            "graph": {"version": build.plan["journal"], "digest": snapshot.digest(), "counts": snapshot.counts()},
            "events": {"log_id": build.plan["log_id"], "offset": build.plan["offset"]},
            "bare": snapshot.meta["bare"],
            "metrics": self.report.metrics,
            "parent": self.report.parent,
            "steps": steps,
            "publish": reason is None,
            "reason": reason,
        }
        build.seal()
        if parent and reason is None and self._digest(build) == parent.get("digest"):
            self.report.release, self.report.reason = self._releases.current(), "the same release as before"
            shutil.rmtree(build.folder)
            return False
        self.report.release = self._releases.seal(manifest)
        self.report.reason = reason
        self.report.kept_back = reason is not None
        if reason is None:
            self._releases.activate(self.report.release)
            self.report.published = True
        return reason is None

    def _digest(self, build: Build) -> str:
        from graph.arrays import checksum

        files = {
            p.relative_to(build.folder).as_posix(): {"sha256": checksum(p)}
            for p in build.folder.rglob("*")
            if p.is_file()
        }
        return release_digest(files, self._sealed_settings())

    def _sealed_settings(self) -> dict[str, Any]:
        """The settings that shape a release: neither addresses nor passwords, which change nothing in it."""
        return {
            "seed": self._settings.seed,
            "learning": asdict(self._learner.config),
            "scenes": {name: asdict(scene) for name, scene in self._scenes.items()},
            "version": VERSION,
        }

    def _gate(self, metrics: Mapping[str, float], parent: Mapping[str, float], *, first: bool) -> str | None:
        """Why the candidate is kept back, or None."""
        name = self._settings.refresh.metric
        value = metrics.get(name)
        if value is None:
            # nothing to measure with (no listener loved a new song): nothing speaks against it either
            return None
        if first or name not in parent:
            floor = metrics.get(f"popularity:{name}", 0.0)
            return f"{name} {value:.4f} does not beat popularity's {floor:.4f}" if value < floor else None
        floor = parent[name] * (1 - self._settings.refresh.margin)
        if value < floor:
            return f"{name} {value:.4f} is below the parent's {parent[name]:.4f} by more than the margin"
        return None

    def _project(self) -> None:
        current = self._releases.current()
        if current is None:
            raise ReleaseNotFound("no release to project: run `segue refresh`")
        key = f"{PROJECTED}:{fingerprint(self._settings.graph.url)[:12]}"
        known = self._log.get_meta(key)
        started = time.perf_counter()
        self.report.projected = True
        self.report.release = self.report.release or current
        if known == current:
            self._report("project", "skipped", started, current)
            return
        before = self._projected_before(known)
        # unknown until it is done: a projection that is cut short compares with the graph itself the next time
        self._log.set_meta(key, "")
        try:
            with self._open_store() as store:
                project(store, self._releases.open(current), before, self._progress)
        except SegueError:
            self.report.projected = False
            self._report("project", "failed", started, current)
            raise
        self._log.set_meta(key, current)
        self._report("project", "ran", started, current)

    def _projected_before(self, known: str | None) -> Release | None:
        if not known or known not in self._releases.ids():
            return None
        return self._releases.open(known)
