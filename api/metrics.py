"""What Prometheus reads at `/metrics`."""

from __future__ import annotations

import os
import time
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30)
REQUESTS: Final = Counter("segue_requests", "Requests by route and status", ["method", "route", "status"])
LATENCY: Final = Histogram("segue_request_seconds", "Seconds a request by route", ["route"], buckets=_BUCKETS)
STAGES: Final = Histogram("segue_stage_seconds", "Seconds a stage of the cascade", ["stage"], buckets=_BUCKETS)
DROPPED: Final = Counter("segue_channel_dropped", "Times a channel was left out of an answer", ["channel"])
EXPOSURES_LOST: Final = Counter("segue_exposures_lost", "Slates whose exposures could not be written")
EVENTS: Final = Counter("segue_events", "Events posted, by what became of them", ["outcome"])
LIVE_BEHIND: Final = Gauge("segue_live_behind", "Events a worker has not folded in yet", multiprocess_mode="livemax")
RELEASE_AT: Final = Gauge("segue_release_as_of_ms", "Newest event of the served release", multiprocess_mode="max")


class Measured:
    """Counts and times every request; plain ASGI, because this stands in the way of each of them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 499  # the client left before it was answered

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            # the route's pattern, not the path: a label for each listener would fill the memory
            route = getattr(scope.get("route"), "path", "unknown")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            REQUESTS.labels(method, route, status).inc()
            LATENCY.labels(route).observe(time.perf_counter() - started)


def exposition() -> tuple[bytes, str]:
    """All metrics of all workers, and their content type."""
    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST
