"""What one worker of the service holds, and how routes reach it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import orjson
import structlog
from fastapi import Request
from fastapi.responses import Response

from api import metrics
from api.exposures import ExposureWriter
from api.jobs.queue import Jobs
from api.problems import NotReady, TooManyQueries
from api.recommender import Recommender
from api.settings import Settings
from api.turns import Turns
from graph.catalogue import Catalogue
from graph.errors import CorruptRelease, ReleaseNotFound
from graph.log.events import EventLog
from graph.release import Releases
from graph.store.store import GraphStore, Table

_log = structlog.get_logger(__name__)
_POLL_S = 1.0
_QUERIES = 16  # from outside at once: each holds one of the 40 threads that answer everything
_FOLD_S = 0.2  # a new play or song is known well within a second
# What callers are told: no path of this machine; the program's log has the details.
_NO_RELEASE = "there is no release to serve yet: run `segue refresh`"
_DAMAGED = "the release is damaged: run `segue release rollback` or `segue refresh`"


class Service:
    """The log, the recommender once there is a release, the jobs, and the graph store, opened beside."""

    def __init__(self, settings: Settings, command: list[str]) -> None:
        self.settings = settings
        # a folder that is read-only, or full, is served from: events are refused, and the log is joined once it can be
        self.log = EventLog(settings.events.url, h3_resolution=settings.privacy.h3_resolution, writable_later=True)
        self.releases = Releases(settings.releases.dir)
        self.jobs = Jobs(settings, command)
        self.turns = Turns()
        self._exposures = ExposureWriter(self.log)
        self._recommender: Recommender | None = None
        self._not_ready = _NO_RELEASE
        self._store: GraphStore | None = None
        self._store_state = "starting"
        self._catalogue: Catalogue | None = None
        self._store_lock = threading.Lock()
        self._queries = threading.BoundedSemaphore(_QUERIES)
        self._stop = threading.Event()
        self._load()
        self._threads = [
            threading.Thread(target=self._repeat, args=(self.follow, _POLL_S), name="releases", daemon=True),
            threading.Thread(target=self._repeat, args=(self._fold, _FOLD_S), name="live", daemon=True),
            threading.Thread(target=self.jobs.nightly, args=(self._stop,), name="schedule", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        # An embedded engine takes seconds to start; not waited for, neither by the first answer nor by the end.
        threading.Thread(target=self._warm_store, name="graph", daemon=True).start()

    @property
    def recommender(self) -> Recommender:
        """The recommender.

        Raises: NotReady before the first release.
        """
        if self._recommender is None:
            raise NotReady(self._not_ready)
        return self._recommender

    @property
    def graph(self) -> str:
        """The graph store as requests find it: "starting", "ready", or "unavailable" when it last did not open."""
        return self._store_state

    def store(self) -> GraphStore:
        """The graph store, for queries and edits from outside: serving itself never asks it. Opened at the start.

        Raises: StoreUnavailable.
        """
        with self._store_lock:
            if self._store is None:
                try:
                    self._store = GraphStore.open(self.settings.graph_config())
                except Exception:
                    self._store_state = "unavailable"
                    raise
                self._store_state = "ready"
            return self._store

    def query(self, query: str, parameters: dict[str, Any] | None, *, limit: int, timeout_s: float | None) -> Table:
        """A query from outside, as `GraphStore.query`.

        Raises: as that, and TooManyQueries while `_QUERIES` run.
        """
        if not self._queries.acquire(blocking=False):
            raise TooManyQueries(f"{_QUERIES} queries run already: try again later")
        try:
            return self.store().query(query, parameters, limit=limit, timeout_s=timeout_s)
        finally:
            self._queries.release()

    def catalogue(self) -> Catalogue:
        """Single edits of the graph.

        Raises: StoreUnavailable.
        """
        store = self.store()
        with self._store_lock:
            if self._catalogue is None:
                self._catalogue = Catalogue(store, self.log)
            return self._catalogue

    def follow(self) -> None:
        """Take up a newly activated release now."""
        if self._recommender is None:
            self._load()
        elif self._recommender.reload():
            _settle()
            metrics.RELEASE_AT.set(self._recommender.served.release.snapshot.as_of)

    def close(self) -> None:
        """Stop the threads, the jobs and the connections."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)
        self.jobs.close()
        self._exposures.close()
        if self._store is not None:
            self._store.close()
        self.log.close()

    def _warm_store(self) -> None:
        try:
            self.store().query(
                "MATCH (n) RETURN n LIMIT 1"
            )  # what the engine loads at its first query takes a second, too
        except Exception as error:  # noqa: BLE001  the next request tries again and tells its caller
            _log.warning("graph not opened", reason=str(error))
        gc.freeze()
        if self._stop.is_set() and self._store is not None:
            self._store.close()

    def _load(self) -> None:
        try:
            recommender = Recommender(self.settings, self.log, self._exposures.write)
        except ReleaseNotFound:
            self._not_ready = _NO_RELEASE
        except CorruptRelease as error:
            self._not_ready = _DAMAGED
            _log.error("release not served", reason=str(error))
        else:
            recommender.warm()
            _settle()
            self._recommender = recommender
            metrics.RELEASE_AT.set(recommender.served.release.snapshot.as_of)

    def _fold(self) -> None:
        """Fold in what the log has since, and join it again if it was lost."""
        if self._recommender is not None:
            behind = self._recommender.served.live.check().behind
            metrics.LIVE_BEHIND.set(behind or 0)

    def _repeat(self, work: Callable[[], None], every_s: float) -> None:
        while not self._stop.wait(every_s):
            try:
                work()
            except Exception as error:  # noqa: BLE001  the thread outlives whatever happens to a release
                _log.exception("not followed", reason=f"{type(error).__name__}: {error}")


def _settle() -> None:
    """Have the garbage collector pass over what stays: a release, its channels and all modules are some million
    objects, and looking through them again and again would hold up every answer for some .3 s each time."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def service(request: Request) -> Service:
    """The service of the worker that answers."""
    found: Service = request.app.state.service
    return found


def reply(value: Any, status: int = 200) -> Response:
    """JSON, written fast; NaN and infinity become null."""
    return Response(orjson.dumps(value), status, media_type="application/json")
