"""Questions to the graph in Cypher."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.schemas import QueryBody, TableAnswer
from api.service import reply, service

router = APIRouter(prefix="/v1/graph", tags=["graph"])


@router.post("/query", response_model=TableAnswer)
def query(request: Request, body: QueryBody) -> Response:
    """Read-only Cypher, with a row limit and a time limit."""
    table = service(request).query(body.query, body.parameters, limit=body.limit, timeout_s=body.timeout_s)
    return reply({"columns": table.columns, "rows": table.rows, "truncated": table.truncated})
