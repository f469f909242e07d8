"""Faults of all kinds beside a loaded `segue serve`: what is lost, what is refused, and who waits.

The state is a copy of that of the settings file which SEGUE_CONFIG names, else of a demo world; each fault gets its own
copy and its own service, which four clients load over HTTP with slates and posts of events. `ours` is the figure,
`peer` the bar that it has to stay within. An answer is documented if it is a success or a 503 with problem details.
Disks that are full or read-only are mounts, which need root.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from benchmarks._service import Client, Load, Service, State, loaded, made_state, serving, until
from graph.errors import InvalidInput
from graph.store import embedded

KILLER: Final = "RETURN reduce(s='', x IN range(1,30) | s+s+'aaaaaaaa') AS s"
OTHER: Final = "MATCH (s:Song)-[:PERFORMED_BY]->(a:Artist) RETURN a.name AS artist, count(*) AS songs LIMIT 5"
KILLERS: Final = 100
SLATES: Final = 1000
HALF_OPEN: Final = 200
CALM_S: Final = 10.0
KILLS: Final = 3
SLACK: Final = 24 << 20
"""Bytes that the small disk has beside the state."""
DAY_S: Final = 86_400
CLOCK: Final = """
import os, time
_file, _real, _real_ns = os.environ["BENCH_CLOCK"], time.time, time.time_ns
def _ahead():
    with open(_file) as file:
        return int(file.read() or 0)
time.time = lambda: _real() + _ahead()
time.time_ns = lambda: _real_ns() + _ahead() * 10**9
"""
Row = dict[str, Any]


def run(only: Sequence[str] = ()) -> list[Row]:
    """Rows as `segue bench` prints them, of all faults or some.

    Raises: InvalidInput for an unknown fault.
    """
    if unknown := sorted(set(only) - set(FAULTS)):
        raise InvalidInput(f"unknown fault {unknown[0]!r} (known: {', '.join(FAULTS)})")
    rows: list[Row] = []
    with made_state() as state:
        for name in only or FAULTS:
            rows += FAULTS[name](state)
    return rows


def _row(what: str, figure: float, bar: float | None, unit: str, told: str = "") -> Row:
    """A figure and the most that it may be; no bar where it is told only."""
    met = "" if bar is None else "met" if figure <= bar else "MISSED"
    row = {"what": what, "ours": round(figure, 3), "peer": bar, "peer_name": "at most", "ratio": None, "unit": unit}
    return row | {"ours_quality": told, "peer_quality": met}


def _of_load(name: str, load: Load, state: State) -> list[Row]:
    """What a fault did to the others."""
    log = state.events()
    events = sum(map(len, load.acknowledged))
    said = "; ".join(load.undocumented[:2]) or load.told()
    return [
        _row(f"{name}: answers beyond success and 503", len(load.undocumented), 0, "answers", said),
        _row(f"{name}: acknowledged events lost", load.lost(log), 0, "events", f"of {events}"),
        _row(f"{name}: acknowledged events out of order", load.disordered(log), 0, "events", f"of {events}"),
    ]


@contextmanager
def _copied(state: State) -> Iterator[State]:
    with tempfile.TemporaryDirectory(prefix="segue-fault-") as there:
        mine = state.copy(Path(there))
        try:
            yield mine
        finally:
            embedded.stop(mine.graph)


class _Poll(threading.Thread):
    """Does something again and again until the block ends, and keeps the answers."""

    def __init__(self, do: Callable[[], Any], pause_s: float) -> None:
        super().__init__(daemon=True)
        self._do, self._pause_s, self._over = do, pause_s, threading.Event()
        self.answers: list[Any] = []

    def run(self) -> None:
        while not self._over.wait(self._pause_s):
            self.answers.append(self._do())

    def __enter__(self) -> _Poll:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def _ready(service: Service) -> None:
    """Wait until the graph store answers, and a process for growing queries has started."""
    until(lambda: bool(service.ask("GET", "/readyz").body["graph"] == "ready"), 120.0)


def _query(service: Service, text: str) -> Any:
    return service.ask("POST", "/v1/graph/query", {"query": text})


# ---- a query


def _killing_query(state: State) -> list[Row]:
    name = "a query that takes all memory"
    with _copied(state) as mine, serving(mine) as service:
        _ready(service)
        _query(service, KILLER)
        engine = embedded.Server.read(mine.graph).pid
        client = Client(service.port)
        with (
            loaded(service, mine) as load,
            _Poll(lambda: client("POST", "/v1/graph/query", {"query": OTHER}), 0.1) as other,
        ):
            answers = Counter(_query(service, KILLER).status for _ in range(KILLERS))
        client.close()
        alive = embedded.Server.read(mine.graph).pid == engine and _lives(engine)
        seconds = sorted(answer.seconds for answer in other.answers)
        wrong = [answer.status for answer in other.answers if answer.status != 200]
        told = f"{KILLERS} times, answered {dict(answers)}"
        return [
            _row(f"{name}: engine ended", 0 if alive else 1, 0, "engines", told),
            _row(
                f"{name}: slowest other query", seconds[-1], 1.0, "s", f"of {len(seconds)}, p99 {_p99(seconds):.2f} s"
            ),
            _row(f"{name}: other queries refused", len(wrong), 0, "queries", str(wrong[:3])),
            _row(f"{name}: p99 of the load", load.p99_ms(), None, "ms", load.told()),
            *_of_load(name, load, mine),
        ]


def _lives(pid: int) -> bool:
    with suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return False


# ---- budget, slow clients, large answers


def _budget(state: State) -> list[Row]:
    name = "a budget of .3 ms"
    scene = {"SEGUE_SCENES__RADIO__BUDGET_MS": "0.3"}
    with _copied(state) as mine, serving(mine, environment=scene) as service:
        users, client, late = mine.users(), Client(service.port), 0
        with loaded(service, mine) as load:
            empty = 0
            for turn in range(SLATES):
                answer = client("POST", "/v1/recommend", {"user_id": users[turn % len(users)]})
                empty += not (answer.status == 200 and len(answer.body["items"]) == 10)
                late += answer.status == 200 and any(stage["dropped"] for stage in answer.body["trace"])
        client.close()
        return [
            _row(
                f"{name}: slates of less than ten songs", empty, 0, "slates", f"of {SLATES}, {late} with late channels"
            ),
            *_of_load(name, load, mine),
        ]


def _half_open(state: State) -> list[Row]:
    name = f"{HALF_OPEN} half-open clients"
    with _copied(state) as mine, serving(mine) as service:
        with loaded(service, mine) as load:
            time.sleep(CALM_S)
            before, first = load.p99_ms(), len(load.seconds)
            lines = [_half_asked(service, whole_head=number % 2 == 0) for number in range(HALF_OPEN)]
            end = time.monotonic() + 2 * CALM_S
            while time.monotonic() < end:
                for line in lines:  # a byte a second keeps them busy
                    with suppress(OSError):
                        line.sendall(b"x")
                time.sleep(1.0)
            p99, seen = load.p99_ms(first), len(load.seconds) - first
        for line in lines:
            line.close()
        return [
            _row(f"{name}: p99 of the others", p99, None, "ms", f"of {seen}; {before:.1f} ms before they came"),
            _row(f"{name}: broken connections of the others", load.broken, 0, "connections", ""),
            *_of_load(name, load, mine),
        ]


def _half_asked(service: Service, *, whole_head: bool) -> socket.socket:
    """A connection with half a head, or a head and half a body."""
    line = socket.create_connection(("127.0.0.1", service.port), timeout=10)
    line.sendall(b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n")
    if whole_head:
        line.sendall(b'content-length: 1000\r\n\r\n{"user_id": "')
    return line


def _explain(state: State) -> list[Row]:
    name = '{"n": 500, "explain": true} in a loop'
    with _copied(state) as mine, serving(mine) as service:
        users, turn, health, asking = mine.users(), [0], Client(service.port), Client(service.port)

        def large() -> Any:
            turn[0] += 1
            body = {"user_id": users[turn[0] % len(users)], "n": 500, "explain": True}
            return asking("POST", "/v1/recommend", body)

        def healthz() -> Any:
            return health("GET", "/healthz")

        _ready(service)
        with loaded(service, mine) as load:
            with _Poll(healthz, 0.01) as calm:
                time.sleep(2 * CALM_S)
            with _Poll(large, 0.0) as slates, _Poll(healthz, 0.01) as polled:
                time.sleep(3 * CALM_S)
        before = sorted(answer.seconds for answer in calm.answers)
        times = sorted(answer.seconds for answer in polled.answers)
        wrong = sum(answer.status != 200 for answer in (*polled.answers, *slates.answers))
        slow = sorted(answer.seconds for answer in slates.answers)
        told = (
            f"of {len(times)}, p50 {_middle(times) * 1000:.1f} ms; p99 {_p99(before) * 1000:.1f} ms before; "
            f"{len(slow)} slates, p50 {_middle(slow):.2f} s"
        )
        return [
            _row(f"{name}: p99 of /healthz", _p99(times) * 1000, 50, "ms", told),
            _row(f"{name}: answers but 200", wrong, 0, "answers", ""),
            _row(f"{name}: p99 of the load", load.p99_ms(), None, "ms", load.told()),
            *_of_load(name, load, mine),
        ]


def _middle(values: Sequence[float]) -> float:
    return values[len(values) // 2]


def _p99(values: Sequence[float]) -> float:
    return values[min(int(len(values) * 0.99), len(values) - 1)]


# ---- processes that are killed


def _worker_killed(state: State) -> list[Row]:
    name = "a worker of two is killed"
    with _copied(state) as mine, serving(mine, "--workers", "2") as service:
        until(lambda: len(service.workers()) == 2, 60.0)
        back = []
        with loaded(service, mine) as load:
            for _ in range(KILLS):
                victim = service.workers()[0]
                os.kill(victim, signal.SIGKILL)
                until(lambda gone=victim: gone not in service.workers(), 30.0)
                back.append(until(lambda: len(service.workers()) == 2, 60.0))
                time.sleep(2 * CALM_S)  # until the other one answers
        told = f"killed {KILLS} times, another one started within {max(back):.1f} s"
        return [
            _row(f"{name}: connections that broke with it", load.broken, None, "connections", told),
            _row(f"{name}: slowest answer of the others", max(load.seconds), None, "s", load.told()),
            *_of_load(name, load, mine),
        ]


def _engine_killed(state: State) -> list[Row]:
    name = "the graph engine is killed"
    edits: list[str] = []
    with _copied(state) as mine, serving(mine) as service:
        _ready(service)
        client, asking = Client(service.port), Client(service.port)

        def edit() -> Any:
            id_ = f"killed-{len(edits)}-{time.monotonic_ns()}"
            answer = client("PUT", f"/v1/artists/{id_}", {"name": "Ana"})
            if answer.status == 201:
                edits.append(id_)
            return answer

        back = []
        with (
            loaded(service, mine) as load,
            _Poll(edit, 0.1) as edited,
            _Poll(lambda: asking("POST", "/v1/graph/query", {"query": OTHER}), 0.1) as asked,
        ):
            for _ in range(KILLS):
                time.sleep(CALM_S / 2)
                os.kill(embedded.Server.read(mine.graph).pid, signal.SIGKILL)
                time.sleep(0.5)
                back.append(until(lambda: _query(service, OTHER).status == 200, 60.0))
            time.sleep(CALM_S / 2)
        answers = [*edited.answers, *asked.answers]
        wrong = [f"{a.status} {a.body}"[:200] for a in answers if not a.is_documented]
        lost = sum(service.ask("GET", f"/v1/artists/{id_}").status != 200 for id_ in edits)
        refused = load.answers["recommend 503"]
        unavailable = sum(a.status == 503 for a in answers)
        told = f"{len(answers)} asked, {unavailable} answered 503; it answers again within {max(back):.1f} s"
        return [
            _row(f"{name}: slates refused", refused, 0, "slates", load.told()),
            _row(
                f"{name}: answers of the graph beyond success and 503",
                len(wrong),
                0,
                "answers",
                wrong[0] if wrong else told,
            ),
            _row(f"{name}: acknowledged edits lost", lost, 0, "edits", f"of {len(edits)}"),
            *_of_load(name, load, mine),
        ]


# ---- disks


def _disk_full(state: State) -> list[Row]:
    name = "the disk is full"
    size = state.size() + SLACK
    with _mounted("tmpfs", "-t", "tmpfs", "-o", f"size={size}", "segue-small") as folder:
        if folder is None:
            return [_unmounted(name)]
        mine = state.copy(folder)
        try:
            with serving(mine) as service, loaded(service, mine) as load:
                _ready(service)
                time.sleep(CALM_S / 2)
                _fill(folder / "ballast")
                full = {key: load.answers[key] for key in load.answers}
                edits = Counter(service.ask("PUT", f"/v1/artists/full-{n}", {"name": "Ana"}).status for n in range(20))
                asked = Counter(_query(service, OTHER).status for _ in range(20))
                time.sleep(2 * CALM_S)
                refused = load.answers["events 503"]
                while_full = load.answers - Counter(full)
                (folder / "ballast").unlink()
                free = Counter(service.ask("PUT", f"/v1/artists/free-{n}", {"name": "Ana"}).status for n in range(20))
                back = until(lambda: service.ask("POST", "/v1/events", [_event("space")]).status == 202, 30.0)
                time.sleep(CALM_S / 2)
            told = f"while it was full: {dict(while_full)}, edits {dict(edits)}, queries {dict(asked)}"
            wrong = sum(n for status, n in (edits + asked).items() if status not in (200, 201, 503))
            return [
                _row(f"{name}: slates refused", load.answers["recommend 503"], 0, "slates", told),
                _row(f"{name}: events accepted again after", back, 2.0, "s", f"{refused} posts were answered 503"),
                _row(f"{name}: answers of the graph beyond success and 503", wrong, 0, "answers", ""),
                _row(f"{name}: edits refused once it has room again", 20 - free[201], 0, "edits", ""),
                *_of_load(name, load, mine),
            ]
        finally:
            embedded.stop(mine.graph)


def _read_only(state: State) -> list[Row]:
    name = "the state folder is read-only"
    with _copied(state) as mine, _mounted("bind", "--bind", str(mine.folder)) as folder:
        if folder is None or not _remount(folder, "ro"):
            return [_unmounted(name)]
        shown = State(folder)
        # the service is started there
        with serving(shown) as service:
            ready = service.ask("GET", "/readyz").body
            with loaded(service, shown) as load:
                statuses = Counter(
                    service.ask(method, path, body).status
                    for method, path, body in (
                        ("PUT", "/v1/artists/a", {"name": "Ana"}),
                        ("POST", "/v1/graph/query", {"query": OTHER}),
                        ("POST", "/v1/jobs/refresh", None),
                        ("GET", "/v1/jobs", None),
                        ("POST", f"/v1/releases/{ready['release']}/activate", None),
                    )
                )
                time.sleep(CALM_S)
                refused, taken = load.answers["events 503"], load.answers["events 202"]
                slates = load.answers["recommend 200"]
                _remount(folder, "rw")
                back = until(lambda: service.ask("POST", "/v1/events", [_event("space")]).status == 202, 30.0)
                attached = until(lambda: bool(service.ask("GET", "/readyz").body["live"] == "attached"), 30.0)
                time.sleep(CALM_S / 2)
        told = f"served {ready['live']}: {slates} slates, {refused} posts of events answered 503"
        wrong = sum(n for status, n in statuses.items() if status not in (200, 503))
        return [
            _row(f"{name}: slates refused", load.answers["recommend 503"], 0, "slates", told),
            _row(f"{name}: posts of events not refused", taken, 0, "posts", ""),
            _row(f"{name}: other writes answered but 503", wrong, 0, "answers", str(dict(statuses))),
            _row(f"{name}: writable again, events accepted and attached after", back + attached, 2.0, "s", ""),
            *_of_load(name, load, mine),
        ]


def _event(id_: str) -> Row:
    return {"event_id": id_, "user_id": "2", "action": "search", "query": "space"}


def _unmounted(name: str) -> Row:
    return _row(f"{name}: not measured", 0, None, "", "mounting needs root")


@contextmanager
def _mounted(kind: str, *options: str) -> Iterator[Path | None]:
    """A folder where something is mounted, or None where that is not allowed."""
    with tempfile.TemporaryDirectory(prefix=f"segue-{kind}-") as there:
        if subprocess.run(["mount", *options, there], capture_output=True, check=False).returncode:
            yield None
            return
        try:
            yield Path(there)
        finally:
            subprocess.run(["umount", "--lazy", there], check=True)


def _remount(folder: Path, how: str) -> bool:
    command = ["mount", "-o", f"remount,bind,{how}", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _fill(file: Path) -> None:
    """Write until the disk takes no more."""
    with file.open("wb", buffering=0) as out:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    out.write(b"\0" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


# ---- the clock


def _clock(state: State) -> list[Row]:
    name = "the clock jumps 30 days back, then 60 ahead"
    with tempfile.TemporaryDirectory(prefix="segue-clock-") as there, _copied(state) as mine:
        ahead = Path(there) / "ahead"
        ahead.write_text("0", encoding="utf-8")
        (Path(there) / "sitecustomize.py").write_text(CLOCK, encoding="utf-8")
        path = os.pathsep.join(p for p in (there, os.environ.get("PYTHONPATH", "")) if p)
        environment = {"PYTHONPATH": path, "BENCH_CLOCK": str(ahead), "SEGUE_CLOCK": "wall"}
        with serving(mine, environment=environment) as service:
            users, reached, refused, wrong = mine.users(), [], 0, 0
            with loaded(service, mine) as load:
                for number, days in enumerate((0, -30, 30)):
                    partial = ahead.with_suffix(".new")
                    partial.write_text(str(days * DAY_S), encoding="utf-8")
                    partial.replace(ahead)
                    time.sleep(CALM_S / 2)
                    told = service.ask(
                        "POST", "/v1/events", [_event(f"clock-{days}") | {"at": int(time.time() * 1000)}]
                    )
                    assert told.body["accepted"] == (days >= 0), "the service does not see the clock jump"
                    for user in users[number * 10 : number * 10 + 10]:
                        found, taken = _reach(service, user, int((time.time() + days * DAY_S) * 1000))
                        reached.append(found)
                        refused += not taken
                    wrong += sum(not _is_sane(service, user) for user in users[:50])
            faults = service.faults()
        return [
            _row(
                f"{name}: a new event is in the answer after", max(reached), 1.0, "s", f"the slowest of {len(reached)}"
            ),
            _row(f"{name}: events of now refused", refused, 0, "events", f"of {len(reached)}"),
            _row(f"{name}: slates without songs or finite scores", wrong, 0, "slates", "of 150"),
            _row(f"{name}: faults in the log", len(faults), 0, "lines", "; ".join(faults[:2])),
            *_of_load(name, load, mine),
        ]


def _reach(service: Service, user: str, now: int) -> tuple[float, bool]:
    """Seconds until a song that was just played is in the listener's slate no more, and whether the play was taken."""
    first = service.ask("POST", "/v1/recommend", {"user_id": user}).body["items"][0]["song_id"]
    event = {"user_id": user, "action": "full_play", "song_id": first, "at": now}
    taken = service.ask("POST", "/v1/events", [event]).body["accepted"] == 1

    def gone() -> bool:
        items = service.ask("POST", "/v1/recommend", {"user_id": user}).body["items"]
        return first not in {item["song_id"] for item in items}

    return until(gone, 10.0, 0.02), taken


def _is_sane(service: Service, user: str) -> bool:
    answer = service.ask("POST", "/v1/recommend", {"user_id": user})
    text = json.dumps(answer.body)
    return (
        answer.status == 200 and len(answer.body["items"]) == 10 and "NaN" not in text and '"score": null' not in text
    )


FAULTS: Final[dict[str, Callable[[State], list[Row]]]] = {
    "query": _killing_query,
    "budget": _budget,
    "half-open": _half_open,
    "explain": _explain,
    "worker": _worker_killed,
    "engine": _engine_killed,
    "disk-full": _disk_full,
    "read-only": _read_only,
    "clock": _clock,
}
