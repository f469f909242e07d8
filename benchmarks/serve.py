"""`POST /v1/recommend` of a running `segue serve` beside an empty FastAPI route: requests a second, CPU a request.

The release is that of the settings file that SEGUE_CONFIG names, else one of a small world made in a temporary folder.
The load comes from a process of its own over connections that stay open, to loopback only, and ends after so many
requests or seconds. Every request asks for another listener of the release, ten songs each, and is logged as exposures
as every slate is. Listeners ask several times each, so most of what their channels answer is kept: what the first slate
of each costs has a row of its own. The peer is a FastAPI route that reads the same body into a model and answers with
bytes of the same size: what no recommender on this framework can beat. Runs of both alternate; CPU is that of the whole
server process, folding and writing of exposures included, read from `/proc`.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLIENTS = (1, 8)
REQUESTS = 3000
SECONDS = 15.0
WARM_UP = 100
RUNS = 2  # the better one counts


def run() -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them."""
    with _release() as (config, users), _service(config) as ours:
        size = _load(ours, 1, users[:WARM_UP], WARM_UP)["bytes"]
        others = users[WARM_UP:] or users
        first = _load(ours, 1, others, len(others))
        with _empty(size) as empty:
            _load(empty, 1, users, WARM_UP)
            peer = _load(empty, 1, users, first["requests"])
            rows = [_row("each listener's first slate, 1 client: CPU a request", first, peer, "cpu_ms", "ms")]
            for clients in CLIENTS:
                runs = [[_load(one, clients, users, REQUESTS) for one in (ours, empty)] for _ in range(RUNS)]
                mine, peer = (max((run[i] for run in runs), key=lambda found: found["per_second"]) for i in (0, 1))
                what = f"recommend, {clients} client{'s' if clients > 1 else ''}"
                rows += [
                    _row(f"{what}: {name}", mine, peer, key, unit)
                    for name, key, unit in (
                        ("requests/s", "per_second", "1/s"),
                        ("p50", "p50_ms", "ms"),
                        ("p99", "p99_ms", "ms"),
                        ("CPU a request", "cpu_ms", "ms"),
                    )
                ]
    return rows


def _row(what: str, mine: dict[str, Any], peer: dict[str, Any], key: str, unit: str) -> dict[str, Any]:
    row = {"what": what, "ours": round(mine[key], 2), "peer": round(peer[key], 2), "peer_name": "empty FastAPI route"}
    told = [f"{found['requests']} requests, {found['errors']} errors" for found in (mine, peer)]
    quality = {"ours_quality": f"{told[0]}, {mine['songs']} songs each", "peer_quality": told[1]}
    return row | {"ratio": round(mine[key] / peer[key], 2), "unit": unit} | quality


@contextmanager
def _release() -> Iterator[tuple[Path, list[str]]]:
    """The settings file, and the listeners of its release."""
    if os.environ.get("SEGUE_CONFIG"):
        config = Path(os.environ["SEGUE_CONFIG"]).resolve()
        yield config, _users(config)
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*_segue(), "demo", "--dir", folder, "--json"], check=True, stdout=subprocess.DEVNULL)
        config = Path(folder) / "segue.toml"
        yield config, _users(config)


def _users(config: Path) -> list[str]:
    from api.settings import load
    from graph.release import Releases

    return Releases(load(config).releases.dir).open().snapshot.ids["User"].to_list()


def _segue() -> list[str]:
    return [sys.executable, "-P", "-m", "api"]


@dataclass(frozen=True)
class Server:
    """A server process with one worker, and its port."""

    pid: int
    port: int

    def cpu_s(self) -> float:
        """Seconds of CPU that the process has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _empty(size: int) -> Iterator[Server]:
    """A server whose one route reads the same body and answers with `size` bytes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, __file__, "empty", str(port), str(size)]) as process:
        try:
            _wait(port)
            yield Server(process.pid, port)
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def _service(config: Path) -> Iterator[Server]:
    """A service with one worker."""
    command = [*_segue(), "--config", str(config), "serve", "--host", "127.0.0.1", "--port", "0", "--json"]
    # its log is a line for each request
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(json.loads(process.stdout.readline())["address"].rpartition(":")[2])
            _wait(port)
            yield Server(process.pid, port)
        finally:
            process.terminate()
            process.wait(60)


def _wait(port: int) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        if time.monotonic() > end:
            raise TimeoutError("the service was not ready within a minute")
        time.sleep(0.05)


def _load(server: Server, clients: int, users: list[str], requests: int) -> dict[str, Any]:
    """What a load process measures, and the server's CPU meanwhile."""
    before = server.cpu_s()
    order = {"port": server.port, "clients": clients, "requests": requests, "seconds": SECONDS, "users": users}
    command = [sys.executable, __file__]
    done = subprocess.run(command, input=json.dumps(order), capture_output=True, text=True, timeout=120, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"cpu_ms": (server.cpu_s() - before) * 1000 / max(found["requests"], 1)}


# ---- the load process


def _main() -> None:
    order = json.load(sys.stdin)
    bodies = [json.dumps({"user_id": user}).encode() for user in order["users"]]
    random.Random(0).shuffle(bodies)
    each = order["requests"] // order["clients"]
    times: list[list[float]] = [[] for _ in range(order["clients"])]
    songs: list[int] = []
    sizes: list[int] = []
    errors: list[int] = []
    end = time.perf_counter() + order["seconds"]

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", order["port"], timeout=30)
        mine, first = times[number], number * each
        for i in range(each):
            started = time.perf_counter()
            if started > end:
                break
            body = bodies[(first + i) % len(bodies)]
            connection.request("POST", "/v1/recommend", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            data = answer.read()
            mine.append(time.perf_counter() - started)
            if answer.status != 200:
                errors.append(answer.status)
            elif not i % 50:  # parsing every answer would be measured too
                songs.append(len(json.loads(data).get("items", ())))
                sizes.append(len(data))
        connection.close()

    threads = [threading.Thread(target=client, args=(n,)) for n in range(order["clients"])]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - started
    all_ = sorted(t for mine in times for t in mine)
    report = {
        "requests": len(all_),
        "errors": len(errors),
        "songs": min(songs, default=0),
        "bytes": sum(sizes) // max(len(sizes), 1),
        "per_second": len(all_) / took,
        "p50_ms": all_[len(all_) // 2] * 1000,
        "p99_ms": all_[min(int(len(all_) * 0.99), len(all_) - 1)] * 1000,
    }
    sys.stdout.write(json.dumps(report))


# ---- the empty route


def _serve_empty(port: int, size: int) -> None:
    import uvicorn
    from fastapi import FastAPI, Response
    from pydantic import BaseModel

    class Body(BaseModel):
        user_id: str

    app = FastAPI()
    answer = json.dumps({"items": [], "filled": "x" * max(size - 26, 0)}).encode()

    def recommend(body: Any) -> Response:  # noqa: ARG001  it is read into the model
        return Response(answer, media_type="application/json")

    # the class is made here, where annotations are only names
    recommend.__annotations__ = {"body": Body, "return": Response}
    app.post("/v1/recommend")(recommend)

    @app.get("/readyz")
    def ready() -> dict[str, bool]:
        return {"ready": True}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


if __name__ == "__main__":
    if sys.argv[1:2] == ["empty"]:
        _serve_empty(int(sys.argv[2]), int(sys.argv[3]))
    else:
        _main()
