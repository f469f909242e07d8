"""The REST service: `create_app` binds settings, middleware and the routes of `api/routes/`, one file a subject."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware

from api import docs, metrics, problems, roles
from api.jobs.queue import refresh_command
from api.limits import Limits
from api.log_lines import use_json, write_last
from api.openapi import TAGS, Described
from api.path_ids import PathIds
from api.request_log import RequestLog
from api.security import Guard
from api.service import Service
from api.settings import Settings, load
from api.turns import switch_often
from api.version import VERSION
from embeddings.models import model_names
from recall.discovery import channel_names
from recall.similarity.sources import ATTRIBUTES, FUSION, ITEM_KNN


def create_app(settings: Settings, command: list[str] | None = None) -> FastAPI:
    """The application; `command` starts the command line of the same settings for jobs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = Service(settings, command or refresh_command(None))
        try:
            yield
        finally:
            app.state.service.close()
            write_last()

    app = Described(
        title="Segue",
        version=VERSION,
        lifespan=lifespan,
        description="Graph in, ranked and explained songs out.",
        openapi_tags=TAGS,
        names=_names(settings),
        docs_url=None,
        redoc_url=None,
    )
    docs.install(app)
    problems.install(app)

    # the last one added is the first that a request comes to
    app.add_middleware(Limits, most=settings.api.concurrent_requests, receive_s=settings.api.receive_timeout_s)
    app.add_middleware(Guard, keys=settings.api.known_keys())
    if settings.api.cors_origins:
        # outside of what refuses: a page must be able to read why it was refused
        app.add_middleware(CORSMiddleware, **_cors(settings.api.cors_origins))
    app.add_middleware(metrics.Measured)
    app.add_middleware(RequestLog)
    app.add_middleware(PathIds)
    for router in _routers():
        roles.check(router.routes)
        app.include_router(router)
    return app


def _names(settings: Settings) -> dict[str, list[str]]:
    """What fields of requests may name."""
    scenes = settings.scene_configs()
    channels = sorted({*channel_names(), *(name for scene in scenes.values() for name in scene.channels)})
    by = [FUSION, ATTRIBUTES, ITEM_KNN, *model_names()]
    return {"scene": sorted(scenes), "channel": channels, "channels": channels, "by": by}


def _routers() -> Iterator[APIRouter]:
    """Every router of the files of `api/routes/`: first the one that is asked most, as paths are compared in turn."""
    package = importlib.import_module("api.routes")
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: (m.name != "recommend", m.name)):
        found = vars(importlib.import_module(f"api.routes.{module.name}")).values()
        yield from (router for router in found if isinstance(router, APIRouter))


def _cors(origins: list[str]) -> dict[str, Any]:
    """What pages of other origins may do: all that a key may, without cookies, which nothing here reads."""
    return {
        "allow_origins": origins,
        "allow_methods": ["GET", "POST", "PUT", "PATCH", "DELETE"],
        "allow_headers": ["Authorization", "Content-Type", "X-API-Key", "X-Request-Id"],
        "expose_headers": ["X-Request-Id", "Retry-After"],
    }


def from_environment() -> FastAPI:
    """The application of `SEGUE_CONFIG`, as each worker of `segue serve` makes it."""
    use_json()
    switch_often()
    config = os.environ.get("SEGUE_CONFIG")
    return create_app(load(Path(config) if config else None), refresh_command(config))
