"""What one worker of the service holds, and how routes reach it."""

from __future__ import annotations

import threading
from typing import Any

import orjson
import structlog
from fastapi import Request
from fastapi.responses import Response

from api.exposures import ExposureWriter
from api.jobs.queue import Jobs
from api.problems import NotReady
from api.recommender import Recommender
from api.settings import Settings
from graph.errors import CorruptRelease, ReleaseNotFound, SegueError
from graph.events import EventLog
from graph.release import Releases
from graph.store import GraphStore

_log = structlog.get_logger(__name__)
_POLL_S = 1.0


class Service:
    """The log, the recommender once there is a release, the jobs, and the graph store from its first query on."""

    def __init__(self, settings: Settings, command: list[str]) -> None:
        self.settings = settings
        self.log = EventLog(settings.events.url, h3_resolution=settings.privacy.h3_resolution)
        self.releases = Releases(settings.releases.dir)
        self.jobs = Jobs(settings, command)
        self._exposures = ExposureWriter(self.log)
        self._recommender: Recommender | None = None
        self._not_ready = "no release yet: run `segue refresh`"
        self._store: GraphStore | None = None
        self._store_lock = threading.Lock()
        self._stop = threading.Event()
        self._load()
        self._threads = [
            threading.Thread(target=self._follow, name="releases", daemon=True),
            threading.Thread(target=self.jobs.nightly, args=(self._stop,), name="schedule", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def recommender(self) -> Recommender:
        """The recommender.

        Raises: NotReady before the first release.
        """
        if self._recommender is None:
            raise NotReady(self._not_ready)
        return self._recommender

    def store(self) -> GraphStore:
        """The graph store, opened at the first query from outside: serving itself never asks it.

        Raises: StoreUnavailable.
        """
        with self._store_lock:
            if self._store is None:
                self._store = GraphStore.open(self.settings.graph_config())
            return self._store

    def follow(self) -> None:
        """Take up a newly activated release now."""
        if self._recommender is None:
            self._load()
        else:
            self._recommender.reload()

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

    def _load(self) -> None:
        try:
            self._recommender = Recommender(self.settings, self.log, self._exposures.write)
        except ReleaseNotFound as error:
            self._not_ready = str(error)
        except CorruptRelease as error:
            self._not_ready = str(error)
            _log.error("release not served", reason=str(error))

    def _follow(self) -> None:
        while not self._stop.wait(_POLL_S):
            try:
                self.follow()
            except (SegueError, OSError) as error:
                _log.error("release not followed", reason=str(error))


def service(request: Request) -> Service:
    """The service of the worker that answers."""
    found: Service = request.app.state.service
    return found


def reply(value: Any, status: int = 200) -> Response:
    """JSON, written fast; NaN and infinity become null."""
    return Response(orjson.dumps(value), status, media_type="application/json")
