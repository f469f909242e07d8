"""`segue serve`."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from typing import TYPE_CHECKING, Annotated

import typer

from api import console
from api.threads import use_one_thread
from graph.errors import NotWritable, SegueError

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
    use_one_thread()
    signal.signal(signal.SIGTERM, _leave)
    from api.jobs.queue import Jobs
    from api.log_lines import UVICORN
    from api.protocol import Config
    from api.security import check_exposure

    settings = console.settings()
    host, port = host or settings.api.host, settings.api.port if port is None else port
    check_exposure(host, settings.api.known_keys())
    for place in settings.api.plain_keys():
        console.warn(
            f"api.keys: key {place} is plain text and may do everything; the next release refuses it. "
            "`segue keys new` makes one that is hashed and has roles"
        )
    if console.state.config is not None:
        os.environ["SEGUE_CONFIG"] = str(console.state.config.resolve())
    # opened once here, so that a database that does not answer is one line and not a traceback of each worker
    try:
        with console.event_log(settings):
            Jobs(settings, []).close()
    except NotWritable as error:
        console.warn(f"serves from the release alone, takes no events and writes down no slate: {error}")
    # bound before uvicorn, so that a port in use is the caller's mistake and port 0 can be told
    # its protocol is named, since asyncio sends small answers at once (TCP_NODELAY) on sockets that name theirs alone
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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
        config = Config(
            "api.app:from_environment",
            receive_timeout_s=settings.api.receive_timeout_s,
            factory=True,
            # uvloop takes one new connection a turn: a flood of them would wait unseen, and nothing would refuse it
            loop="asyncio",
            workers=workers,
            log_config=UVICORN,
            access_log=False,
        )
        _run(config, listener, workers)


def _run(config: uvicorn.Config, listener: socket.socket, workers: int) -> None:
    """Serve until stopped: SIGTERM is a quiet end, Ctrl-C a KeyboardInterrupt.

    Raises: SegueError if the service could not start.
    """
    sys.stdout.flush()
    started = _run_workers(config, listener) if workers > 1 else _run_here(config, listener)
    if not started:
        raise SegueError("the service could not start; what is above says why")


def _run_here(config: uvicorn.Config, listener: socket.socket) -> bool:
    """Serve in this process; whether the service had started."""
    import uvicorn

    server = uvicorn.Server(config)

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn raises the signal once more after it has shut down, for whoever listened before
    signal.signal(signal.SIGTERM, stop)
    try:
        server.run(sockets=[listener])
    except SystemExit:  # uvicorn's way to say that the application could not start
        return False
    return server.started


def _run_workers(config: uvicorn.Config, listener: socket.socket) -> bool:
    """Serve in several processes; whether all of them could start."""
    from uvicorn.config import STARTUP_FAILURE
    from uvicorn.supervisors import Multiprocess

    class Workers(Multiprocess):
        interrupted = False

        def handle_int(self) -> None:
            self.interrupted = True
            super().handle_int()

    supervisor = Workers(config, [listener])
    supervisor.run()
    if supervisor.interrupted:
        raise KeyboardInterrupt
    return all(worker.exitcode != STARTUP_FAILURE for worker in supervisor.processes)


def _leave(*_: object) -> None:
    raise SystemExit(0)
