"""`segue serve`."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from typing import TYPE_CHECKING, Annotated

import typer

from api import console

if TYPE_CHECKING:
    import uvicorn


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(serve)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = None,
    workers: Annotated[int, typer.Option(help="Processes that answer.", min=1, max=64)] = 1,
    json_: console.Json = False,
) -> None:
    """Answer over REST until stopped; docs at /docs."""
    # one thread a worker for dense arithmetic: workers are how this scales, and threads of both would fight
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    import uvicorn

    from api.security import check_exposure

    settings = console.settings()
    host, port = host or settings.api.host, settings.api.port if port is None else port
    check_exposure(host, [key.get_secret_value() for key in settings.api.keys])
    if console.state.config is not None:
        os.environ["SEGUE_CONFIG"] = str(console.state.config.resolve())
    # bound before uvicorn, so that a port in use is the caller's mistake and port 0 can be told
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise ValueError(f"cannot listen on {host}:{port} ({error.strerror})") from error
    address = f"http://{host}:{listener.getsockname()[1]}"
    if json_:
        console.print_json({"address": address, "workers": workers})
    else:
        console.say(f"segue serves on {address} (docs at {address}/docs); Ctrl-C stops it")
    with tempfile.TemporaryDirectory(prefix="segue-metrics-") as folder:
        if workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        config = uvicorn.Config(
            "api.app:from_environment", factory=True, workers=workers, log_level="warning", access_log=False
        )
        _run(config, listener, workers)


def _run(config: uvicorn.Config, listener: socket.socket, workers: int) -> None:
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    sys.stdout.flush()
    if workers > 1:
        Multiprocess(config, [listener]).run()
    else:
        uvicorn.Server(config).run(sockets=[listener])
