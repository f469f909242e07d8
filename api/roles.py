"""Which role a route needs: said next to the route, enforced here, and told by OpenAPI."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.params import Security as SecurityParameter
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer, SecurityScopes
from starlette.routing import BaseRoute

from api.keys import Key, Role
from api.problems import RoleMissing
from api.security import OPEN_PATHS

_BEARER = HTTPBearer(scheme_name="bearer", description="`Authorization: Bearer KEY`", auto_error=False)
_HEADER = APIKeyHeader(name="X-API-Key", scheme_name="header", description="`X-API-Key: KEY`", auto_error=False)


def needs(role: Role) -> SecurityParameter:
    """The dependency of a route, or of a router, that only keys with this role may use."""
    found: SecurityParameter = Security(_allowed, scopes=[role])
    return found


async def _allowed(
    request: Request,
    scopes: SecurityScopes,
    _bearer: Annotated[object, Depends(_BEARER)],
    _header: Annotated[object, Depends(_HEADER)],
) -> None:
    """Refuse a key without the role; the two schemes are there for OpenAPI, `Guard` has read the key.

    Raises: RoleMissing.
    """
    key: Key = request.scope["key"]
    for role in scopes.scopes:
        if role not in key.roles:
            raise RoleMissing(role, key.roles)


def role_of(route: APIRoute) -> str | None:
    """The role that a route says it needs; None if it says none.

    Raises: ValueError if it names several.
    """
    given = [dependency for dependency in route.dependencies if isinstance(dependency, SecurityParameter)]
    roles = [role for dependency in given for role in dependency.scopes or ()]
    if len(roles) > 1:
        raise ValueError(f"{route.path} needs several roles: {', '.join(roles)}")
    return roles[0] if roles else None


def check(routes: Iterable[BaseRoute]) -> None:
    """Refuse a route that anybody with a key could use because it names no role.

    Raises: ValueError.
    """
    for route in routes:
        if isinstance(route, APIRoute) and role_of(route) is None and route.path not in OPEN_PATHS:
            raise ValueError(f"{route.path} names no role: add dependencies=[needs(ROLE)] to it")
