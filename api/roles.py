"""Which role a route needs: said next to the route, enforced before its body is read, and told by OpenAPI.

`APIRouter(route_class=routes_for("read"))`. No dependency of FastAPI's: those are solved after the body, and cost more.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ClassVar, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from api.keys import Key, Role
from api.problems import RoleMissing
from api.security import OPEN_PATHS

SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer KEY`"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "`X-API-Key: KEY`"},
}
"""How a key is sent, for OpenAPI; `Guard` reads it."""


class RoleRoute(APIRoute):
    """A route that only keys with one role may use."""

    role: ClassVar[Role]

    def __init__(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        security = {"security": [{scheme: [self.role]} for scheme in SCHEMES]}
        more["openapi_extra"] = {**(more.get("openapi_extra") or {}), **security}
        super().__init__(path, endpoint, **more)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, behind the check.

        Raises (when it answers): RoleMissing.
        """
        answer, role = super().get_route_handler(), self.role

        async def checked(request: Request) -> Response:
            key: Key = request.scope["key"]
            if role not in key.roles:
                raise RoleMissing(role, key.roles)
            return await answer(request)

        return checked


def routes_for(needed: Role) -> type[RoleRoute]:
    """The class of the routes that need this role."""
    return type(f"RouteFor{needed.title()}", (RoleRoute,), {"role": needed})


def role_of(route: BaseRoute) -> str | None:
    """The role that a route needs; None for none."""
    return route.role if isinstance(route, RoleRoute) else None


def check(routes: Iterable[BaseRoute]) -> None:
    """Refuse a route that anybody with a key could use because it names no role.

    Raises: ValueError.
    """
    for route in routes:
        path = getattr(route, "path", "")
        if role_of(route) is None and path not in OPEN_PATHS:
            raise ValueError(f"{path} names no role: give its router route_class=routes_for(ROLE)")
