"""Questions to the graph in Cypher."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.openapi import problems
from api.roles import routes_for
from api.schemas import QueryBody, TableAnswer
from api.service import reply, service

router = APIRouter(prefix="/v1/graph", tags=["graph"], route_class=routes_for("operate"))


@router.post("/query", response_model=TableAnswer, summary="Ask the graph in Cypher", responses=problems(400, 503, 504))
def query(request: Request, body: QueryBody) -> Response:
    """Read-only Cypher, with a row limit and a time limit."""
    table = service(request).query(body.query, body.parameters, limit=body.limit, timeout_s=body.timeout_s)
    return reply({"columns": table.columns, "rows": table.rows, "truncated": table.truncated})
