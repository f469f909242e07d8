"""What callers read of an error: never a path or an address of the server."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api import problems
from graph import errors

PATH = "/srv/secret/releases"


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (errors.ReleaseNotFound(f"no release 'r1' in {PATH} (known: r0)"), 404, "no release 'r1'"),
        (errors.CorruptRelease(f"{PATH}/r1/manifest.json: missing"), 503, "the release is damaged"),
        (errors.StoreUnavailable(f"event log sqlite:///{PATH}/events.db does not answer"), 503, "does not answer"),
        (errors.Busy(f"another process works on {PATH}"), 409, "another process"),
        (errors.FitError(f"{PATH}: not finite"), 500, "the server's log"),
        (problems.JobBusy("job j1 is running"), 409, "job j1 is running"),
        (errors.InvalidInput("unknown scene 'x'"), 400, "unknown scene 'x'"),
    ],
)
def test_paths_stay_in_the_log(error: Exception, status: int, detail: str, capsys: pytest.CaptureFixture[str]) -> None:
    app = FastAPI()
    problems.install(app)

    @app.get("/v1/releases/{id}")
    def fail(id: str) -> Any:  # noqa: A002
        raise error

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://segue") as client:
            return await client.get("/v1/releases/r1")

    answer = asyncio.run(ask())
    assert answer.status_code == status
    assert detail in answer.json()["detail"]
    assert PATH not in answer.text
    assert (PATH in "".join(capsys.readouterr())) == (PATH in str(error))
