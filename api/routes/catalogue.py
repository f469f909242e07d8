"""Single edits of the catalogue and of who follows whom: the journal first, then the graph.

Every worker hears of an edit from the journal, so a new song is recommended within a second or so, by the vector that
its artists, genres and tags compose. Changed properties and relations of a song that the release knows count from the
next refresh on, but for its `tier` and its deletion, which count at once.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field, create_model

from api.problems import problem
from api.roles import needs
from api.schemas import Body, Id, Time
from api.service import reply, service
from graph import schema

router = APIRouter(prefix="/v1", tags=["catalogue"])
LABELS: Final = ("Song", "Artist", "Album", "Genre", "Tag", "User", "Place", "Playlist")
KINDS: Final = ("artists", "albums", "genres", "tags", "cover_of")
_TYPES: Final[dict[str, type]] = {"string": str, "integer": int, "float": float}
_READ, _WRITE = [needs("read")], [needs("catalogue")]
Ends = Annotated[list[Id], Field(max_length=1000)]


class Since(Body):
    """When a follow began; now where nothing is said."""

    since: Time | None = None


def _body(label: schema.Label) -> type[Body]:
    """The properties of a label, each of which may be left out, and the relations of a song."""
    fields: dict[str, Any] = {}
    for p in label.properties:
        if not p.derived:
            longest = 10_000 if p.kind == "string" else None
            fields[p.name] = (Annotated[_TYPES[p.kind], Field(ge=p.low, le=p.high, max_length=longest)] | None, None)
    if label.name == "Song":
        fields |= dict.fromkeys(("artists", "albums", "genres", "cover_of"), (Ends | None, None))
        weights = Annotated[dict[Id, Annotated[float, Field(ge=0)] | None], Field(max_length=1000)]
        fields["tags"] = (weights | None, None)
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


def _add(label: schema.Label) -> None:
    """The four routes of one label; bodies differ, so each label has its own."""
    name, plural, body = label.name, str(label.table), _body(label)

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
        handler.__annotations__["body"] = body
    path = f"/{plural}/{{id}}"
    said = "relations kind by kind; what the body does not name stays as it is."
    router.put(path, dependencies=_WRITE, name=f"put_{plural}", description=f"Make the node or change it: {said}")(put)
    router.get(path, dependencies=_READ, name=f"get_{plural}", description="The node as the graph holds it.")(get)
    router.patch(path, dependencies=_WRITE, name=f"patch_{plural}", description=f"Change a node that is there: {said}")(
        patch
    )
    described = "Delete the node and its relationships."
    router.delete(path, dependencies=_WRITE, name=f"delete_{plural}", description=described, status_code=204)(delete)


for _label in LABELS:
    _add(schema.label(_label))


@router.put("/users/{id}/follows/{other}", status_code=204, dependencies=_WRITE)
def follow(request: Request, id: Id, other: Id, body: Since | None = None) -> Response:
    """Make a listener follow another; once is enough."""
    service(request).catalogue().follow(id, other, since=body.since if body else None)
    return Response(status_code=204)


@router.delete("/users/{id}/follows/{other}", status_code=204, dependencies=_WRITE)
def unfollow(request: Request, id: Id, other: Id) -> Response:
    """Undo a follow; one that is not there is no error."""
    service(request).catalogue().unfollow(id, other)
    return Response(status_code=204)


@router.put("/users/{id}/follows-artist/{artist}", status_code=204, dependencies=_WRITE)
def follow_artist(request: Request, id: Id, artist: Id, body: Since | None = None) -> Response:
    """Make a listener follow an artist."""
    service(request).catalogue().follow(id, artist, "Artist", since=body.since if body else None)
    return Response(status_code=204)


@router.delete("/users/{id}/follows-artist/{artist}", status_code=204, dependencies=_WRITE)
def unfollow_artist(request: Request, id: Id, artist: Id) -> Response:
    """Undo the follow of an artist; one that is not there is no error."""
    service(request).catalogue().unfollow(id, artist, "Artist")
    return Response(status_code=204)
