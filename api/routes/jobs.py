"""Refresh jobs."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from api.openapi import problems
from api.roles import routes_for
from api.schemas import Id, JobAnswer, JobsAnswer, RefreshBody
from api.service import reply, service

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=routes_for("operate"))


@router.post("/refresh", status_code=202, response_model=JobAnswer, summary="Start a refresh", responses=problems(409))
def start(request: Request, body: RefreshBody | None = None) -> Response:
    """Start a refresh; 409 while one is under way."""
    return reply(service(request).jobs.start(full=body is not None and body.full), 202)


@router.get("", response_model=JobsAnswer, summary="List the latest jobs")
def all_(request: Request) -> Response:
    """The latest jobs, the newest first."""
    return reply({"jobs": service(request).jobs.all()})


@router.get("/{id}", response_model=JobAnswer, summary="Look at a job", responses=problems(404))
def get(request: Request, id: Id) -> Response:
    """One job."""
    job = service(request).jobs.get(id)
    if job is None:
        raise HTTPException(404, f"no job {id!r}")
    return reply(job)


@router.delete("/{id}", response_model=JobAnswer, summary="Cancel a job", responses=problems(404))
def cancel(request: Request, id: Id) -> Response:
    """Cancel a job; what it had built stays for the next refresh."""
    job = service(request).jobs.cancel(id)
    if job is None:
        raise HTTPException(404, f"no job {id!r}")
    return reply(job)
