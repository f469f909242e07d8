"""Single edits of the catalogue and of who follows whom: the journal first, then the graph.

Every worker hears of an edit from the journal, so a new song is recommended within a second or so, by the vector that
its artists, genres and tags compose. Changed properties and relations of a song that the release knows count from the
next refresh on, but for its `tier` and its deletion, which count at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field, WithJsonSchema, create_model

from api.openapi import Responses, problems
from api.problems import problem
from api.roles import routes_for
from api.schemas import BOTH_OR_NONE, WHOLE, Body, Id, Time, text_schema
from api.service import reply, service
from graph import schema
from graph.schema import MAX_ID_BYTES, MAX_TEXT_BYTES

reads = APIRouter(prefix="/v1", tags=["catalogue"], route_class=routes_for("read"))
writes = APIRouter(prefix="/v1", tags=["catalogue"], route_class=routes_for("catalogue"))
LABELS: Final = ("Song", "Artist", "Album", "Genre", "Tag", "User", "Place", "Playlist")
KINDS: Final = ("artists", "albums", "genres", "tags", "cover_of")
_FOLLOWS = problems(400, 404, 409)
Node = dict[str, Any]
Handler = Callable[..., Response]
Ends = Annotated[list[Id], Field(max_length=1000)]
_TEXT: Final = Annotated[str, Field(max_length=10_000), WithJsonSchema(text_schema(MAX_TEXT_BYTES))]
_MOST: Final = 1000
_HIGHEST: Final = 1e300
# pydantic would say of the keys what they may look like, and not that others are refused
_WEIGHTS_SCHEMA: Final = {
    "type": "object",
    "maxProperties": _MOST,
    "propertyNames": text_schema(MAX_ID_BYTES),
    "additionalProperties": {"anyOf": [{"type": "number", "minimum": 0, "maximum": _HIGHEST}, {"type": "null"}]},
}
_WEIGHTS: Final = Annotated[
    dict[Id, Annotated[float, Field(ge=0, le=_HIGHEST)] | None],
    Field(max_length=_MOST),
    WithJsonSchema(_WEIGHTS_SCHEMA),
]


class Since(Body):
    """When a follow began; now where nothing is said."""

    since: Time | None = None


def _kind(declared: schema.Property) -> Any:
    bounds = Field(ge=declared.low, le=declared.high)
    return {"string": _TEXT, "integer": Annotated[int, bounds, WHOLE], "float": Annotated[float, bounds]}[declared.kind]


def _body(label: schema.Label) -> type[Body]:
    """The properties of a label, each of which may be left out, and the relations of a song."""
    fields: dict[str, Any] = {}
    for p in label.properties:
        if not p.derived:
            fields[p.name] = (_kind(p) | None, None)
    if label.name == "Song":
        fields |= dict.fromkeys(("artists", "albums", "genres", "cover_of"), (Ends | None, None))
        fields["tags"] = (_WEIGHTS | None, None)
    if label.name == "User":
        config = ConfigDict(extra="forbid", strict=True, json_schema_extra=BOTH_OR_NONE)
        body: type[Body] = create_model("UserBody", __config__=config, **fields)
        return body
    made: type[Body] = create_model(f"{label.name}Body", __base__=Body, **fields)
    return made


def _edit(request: Request, label: str, id_: str, body: Any) -> dict[str, Any]:
    """Write what the body names, and the node as it is then."""
    catalogue = service(request).catalogue()
    given = body.model_dump(exclude_unset=True)
    relations = {kind: given.pop(kind) for kind in KINDS if kind in given}
    if label == "Song":
        catalogue.upsert_song(id_, given, relations)
    else:
        catalogue.upsert_node(label, id_, given)
    return catalogue.node(label, id_) or {"id": id_}


def _unknown(label: str, id_: str) -> Response:
    return problem(404, f"Unknown {label.lower()}", f"unknown {label.lower()} {id_!r}")


def _handlers(name: str, body: type[Body]) -> tuple[Handler, Handler, Handler, Handler]:
    """What answers PUT, GET, PATCH and DELETE for one label; bodies differ, so each label has its own."""

    def put(request: Request, id: Id, body: Any) -> Response:
        known = service(request).catalogue().node(name, id) is not None
        return reply(_edit(request, name, id, body), 200 if known else 201)

    def get(request: Request, id: Id) -> Response:
        found = service(request).catalogue().node(name, id)
        return _unknown(name, id) if found is None else reply(found)

    def patch(request: Request, id: Id, body: Any) -> Response:
        if service(request).catalogue().node(name, id) is None:
            return _unknown(name, id)
        return reply(_edit(request, name, id, body))

    def delete(request: Request, id: Id) -> Response:
        catalogue = service(request).catalogue()
        if catalogue.node(name, id) is None:
            return _unknown(name, id)
        catalogue.delete_node(name, id)
        return Response(status_code=204)

    for handler in (put, patch):
        # as FastAPI sees it; a name of this function is out of its sight
        handler.__annotations__["body"] = body
    return put, get, patch, delete


def _add(label: schema.Label) -> None:
    """The routes of one label."""
    name, plural = label.name, str(label.table)
    put, get, patch, delete = _handlers(name, _body(label))
    path, one = f"/{plural}/{{id}}", f"{'an' if name[0] == 'A' else 'a'} {name.lower()}"
    said = "relations kind by kind; what the body does not name stays as it is."
    made: Responses = {201: {"description": "It was not there before", "model": Node}}
    writes.put(
        path,
        name=f"put_{plural}",
        summary=f"Make or change {one}",
        description=f"Make the node or change it: {said}",
        response_model=Node,
        responses=made | problems(404, 409),
    )(put)
    reads.get(
        path,
        name=f"get_{plural}",
        summary=f"Look at {one}",
        description="The node as the graph holds it.",
        response_model=Node,
        responses=problems(404),
    )(get)
    writes.patch(
        path,
        name=f"patch_{plural}",
        summary=f"Change {one}",
        description=f"Change a node that is there: {said}",
        response_model=Node,
        responses=problems(404, 409),
    )(patch)
    if name == "User":
        return  # to delete a listener is to erase all that is held: see `api.routes.users`
    writes.delete(
        path,
        name=f"delete_{plural}",
        summary=f"Delete {one}",
        description="Delete the node and its relationships.",
        status_code=204,
        responses=problems(404, 409),
    )(delete)


for _label in LABELS:
    _add(schema.label(_label))


@writes.put("/users/{id}/follows/{other}", status_code=204, summary="Follow a listener", responses=_FOLLOWS)
def follow(request: Request, id: Id, other: Id, body: Since | None = None) -> Response:
    """Make a listener follow another; once is enough."""
    service(request).catalogue().follow(id, other, since=body.since if body else None)
    return Response(status_code=204)


@writes.delete(
    "/users/{id}/follows/{other}",
    status_code=204,
    summary="Unfollow a listener",
    responses=_FOLLOWS,
)
def unfollow(request: Request, id: Id, other: Id) -> Response:
    """Undo a follow; one that is not there is no error."""
    service(request).catalogue().unfollow(id, other)
    return Response(status_code=204)


@writes.put(
    "/users/{id}/follows-artist/{artist}",
    status_code=204,
    summary="Follow an artist",
    responses=_FOLLOWS,
)
def follow_artist(request: Request, id: Id, artist: Id, body: Since | None = None) -> Response:
    """Make a listener follow an artist."""
    service(request).catalogue().follow(id, artist, "Artist", since=body.since if body else None)
    return Response(status_code=204)


@writes.delete(
    "/users/{id}/follows-artist/{artist}",
    status_code=204,
    summary="Unfollow an artist",
    responses=_FOLLOWS,
)
def unfollow_artist(request: Request, id: Id, artist: Id) -> Response:
    """Undo the follow of an artist; one that is not there is no error."""
    service(request).catalogue().unfollow(id, artist, "Artist")
    return Response(status_code=204)
