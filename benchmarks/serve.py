"""`POST /v1/recommend` of a running `segue serve`: requests a second, median and 99th percentile, with 1 and 8 clients.

The release is that of the settings file that SEGUE_CONFIG names, else one of a small world made in a temporary folder.
The load comes from a process of its own over connections that stay open, to loopback only, and ends after so many
requests or seconds. Every request asks for another listener of the release, ten songs each, and is logged as exposures
as every slate is. No peer runs here, so there is no ratio.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CLIENTS = (1, 8)
REQUESTS = 3000
SECONDS = 15.0
WARM_UP = 100
RUNS = 2  # the better one counts


def run() -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them."""
    with _release() as (config, users), _service(config) as port:
        _load(port, 1, users, WARM_UP)
        rows = []
        for clients in CLIENTS:
            runs = [_load(port, clients, users, REQUESTS) for _ in range(RUNS)]
            best = max(runs, key=lambda found: found["per_second"])
            quality = f"{best['requests']} requests, {best['errors']} errors, {best['songs']} songs each"
            what = f"recommend, {clients} client{'s' if clients > 1 else ''}"
            rows += [
                _row(f"{what}: requests/s", best["per_second"], "1/s", quality),
                _row(f"{what}: p50", best["p50_ms"], "ms", quality),
                _row(f"{what}: p99", best["p99_ms"], "ms", quality),
            ]
    return rows


def _row(what: str, ours: float, unit: str, quality: str) -> dict[str, Any]:
    row = {"what": what, "ours": round(ours, 2), "peer": None, "peer_name": "", "ratio": None, "unit": unit}
    return row | {"ours_quality": quality, "peer_quality": ""}


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


@contextmanager
def _service(config: Path) -> Iterator[int]:
    """The port of a service with one worker."""
    command = [*_segue(), "--config", str(config), "serve", "--host", "127.0.0.1", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(json.loads(process.stdout.readline())["address"].rpartition(":")[2])
            _wait(port)
            yield port
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


def _load(port: int, clients: int, users: list[str], requests: int) -> dict[str, Any]:
    """What a load process measures."""
    order = {"port": port, "clients": clients, "requests": requests, "seconds": SECONDS, "users": users}
    command = [sys.executable, __file__]
    done = subprocess.run(command, input=json.dumps(order), capture_output=True, text=True, timeout=120, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# ---- the load process


def _main() -> None:
    order = json.load(sys.stdin)
    bodies = [json.dumps({"user_id": user}).encode() for user in order["users"]]
    random.Random(0).shuffle(bodies)
    each = order["requests"] // order["clients"]
    times: list[list[float]] = [[] for _ in range(order["clients"])]
    songs: list[int] = []
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
                songs.append(len(json.loads(data)["items"]))
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
        "per_second": len(all_) / took,
        "p50_ms": all_[len(all_) // 2] * 1000,
        "p99_ms": all_[min(int(len(all_) * 0.99), len(all_) - 1)] * 1000,
    }
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    _main()
