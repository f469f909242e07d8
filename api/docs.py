"""`/docs` and `/redoc`: the schema as pages, whose scripts and styles come from here: they open without internet.

The files of Swagger UI and ReDoc are those of the distribution `fastapi-offline`, and nothing else of it is used.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from fastapi.responses import HTMLResponse

ASSETS: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "redoc.standalone.js": "text/javascript",
    "favicon.png": "image/png",
}
"""What the pages load, with the media type of each."""
_SCHEMA: Final = "/openapi.json"


def install(app: FastAPI) -> None:
    """Add the pages and their files; `app` has no `docs_url` and no `redoc_url` of FastAPI's, which load from a CDN."""

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        root = _root(request)
        return get_swagger_ui_html(
            openapi_url=root + _SCHEMA,
            title=app.title,
            oauth2_redirect_url=f"{root}/docs/oauth2-redirect",
            swagger_js_url=f"{root}/docs/swagger-ui-bundle.js",
            swagger_css_url=f"{root}/docs/swagger-ui.css",
            swagger_favicon_url=f"{root}/docs/favicon.png",
        )

    @app.get("/docs/oauth2-redirect", include_in_schema=False)
    async def oauth2_redirect() -> HTMLResponse:
        return get_swagger_ui_oauth2_redirect_html()

    @app.get("/redoc", include_in_schema=False)
    async def redoc(request: Request) -> HTMLResponse:
        root = _root(request)
        return get_redoc_html(
            openapi_url=root + _SCHEMA,
            title=app.title,
            redoc_js_url=f"{root}/docs/redoc.standalone.js",
            redoc_favicon_url=f"{root}/docs/favicon.png",
            with_google_fonts=False,
        )

    for name, media_type in ASSETS.items():
        _add(app, name, media_type)


def _add(app: FastAPI, name: str, media_type: str) -> None:
    @app.get(f"/docs/{name}", include_in_schema=False)
    def asset() -> Response:  # not `async`: it reads a file, in a thread
        content = files("fastapi_offline").joinpath("static", name).read_bytes()
        return Response(content, media_type=media_type, headers={"Cache-Control": "max-age=86400"})


def _root(request: Request) -> str:
    """What stands before every path behind a proxy that cuts it off."""
    return str(request.scope.get("root_path", "")).rstrip("/")
