"""A state folder of its own, a real `segue serve` on it, and clients that load it over HTTP."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from api.settings import load
from graph.log.events import EventLog
from graph.release import Releases
from graph.store import embedded

CLIENTS: Final = 4
PAUSE_S: Final = 0.05
"""Between two requests of a client: four of them ask some 60 times a second, half of what the machine answers."""
EVENTS: Final = 3
"""Events of each post; a client posts after every second slate."""


@dataclass(frozen=True)
class State:
    """A state folder with its settings file, `segue.toml`."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "segue.toml"

    @property
    def graph(self) -> Path:
        return self.folder / "graph"

    def users(self) -> list[str]:
        """The listeners of the release that is served."""
        return Releases(self.folder / "releases").open().snapshot.ids["User"].to_list()

    def events(self) -> dict[str, int]:
        """Offset of every event of the log."""
        with EventLog(load(self.config).events.url) as log:
            frame = log.frame()
        return dict(zip(frame["event_id"].to_list(), frame["offset"].to_list(), strict=True))

    def copy(self, folder: Path) -> State:
        """Another state that holds the same; no server runs on its graph."""
        embedded.stop(self.graph)
        shutil.copytree(self.folder, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("world", "*.lock"))
        return State(folder)

    def size(self) -> int:
        """Bytes of its files."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


@contextmanager
def made_state() -> Iterator[State]:
    """A copy of the state in the folder of the settings file that SEGUE_CONFIG names, else a demo world's."""
    with tempfile.TemporaryDirectory(prefix="segue-state-") as there:
        folder = Path(there)
        if config := os.environ.pop("SEGUE_CONFIG", None):
            State(Path(config).resolve().parent).copy(folder)
        else:
            subprocess.run([*segue(), "demo", "--dir", there, "--json"], check=True, stdout=subprocess.DEVNULL)
        try:
            yield State(folder)
        finally:
            embedded.stop(folder / "graph")


def segue() -> list[str]:
    """The command line of this program."""
    return [sys.executable, "-P", "-m", "api"]


@dataclass(frozen=True)
class Answer:
    """An answer over HTTP; `status` is 0 for a connection that broke."""

    status: int
    body: Any = None
    kind: str = ""
    seconds: float = 0.0

    @property
    def is_documented(self) -> bool:
        """A success, or a 503 with problem details."""
        return 200 <= self.status < 300 or (self.status == 503 and self.kind == "application/problem+json")


class Client:
    """One connection, opened anew when it broke."""

    def __init__(self, port: int, timeout_s: float = 60.0) -> None:
        self._line = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)

    def __call__(self, method: str, path: str, body: Any = None) -> Answer:
        started = time.perf_counter()
        content = None if body is None else json.dumps(body).encode()
        try:
            self._line.request(method, path, content, {"content-type": "application/json"})
            answer = self._line.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._line.close()
            return Answer(0, type(error).__name__, "", time.perf_counter() - started)
        kind = answer.getheader("content-type") or ""
        seconds = time.perf_counter() - started
        return Answer(answer.status, json.loads(data) if "json" in kind else data, kind, seconds)

    def close(self) -> None:
        self._line.close()


@dataclass
class Service:
    """A running `segue serve`."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """One request on a connection of its own."""
        client = Client(self.port)
        try:
            return client(method, path, body)
        finally:
            client.close()

    def workers(self) -> list[int]:
        """Process ids of its workers, where it has several."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
        return [int(child) for child in children if b"spawn_main" in _command_line(child)]

    def faults(self) -> list[str]:
        """What its log calls errors."""
        found = []
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                told = json.loads(line)
                if told.get("level") in ("error", "critical"):
                    found.append(f"{told.get('event')}: {told.get('reason', '')}"[:200])
                continue
            if line.startswith("Traceback"):
                found.append(line)
        return found


def _command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@contextmanager
def serving(state: State, *args: str, environment: Mapping[str, str] | None = None) -> Iterator[Service]:
    """The service of a state, ready, until the block ends.

    Raises: TimeoutError if it is not ready within a minute.
    """
    command = [*segue(), "--config", str(state.config), "serve", "--host", "127.0.0.1", "--port", "0", "--json", *args]
    with tempfile.TemporaryDirectory(prefix="segue-log-") as there:
        log = Path(there) / "serve.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=os.environ | (environment or {})
            )
        with process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                if not line:
                    raise TimeoutError(f"the service did not start: {log.read_text(encoding='utf-8')[-2000:]}")
                service = Service(process, int(json.loads(line)["address"].rpartition(":")[2]), log)
                until(lambda: service.ask("GET", "/readyz").status == 200, 60.0)
                yield service
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()


def until(holds: Callable[[], bool], limit_s: float, pause_s: float = 0.05) -> float:
    """Wait until something holds. Returns: after how many seconds it did.

    Raises: TimeoutError after `limit_s`.
    """
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > limit_s:
            raise TimeoutError(f"did not come about in {limit_s:g} s")
        time.sleep(pause_s)
    return time.monotonic() - started


@dataclass
class Load:
    """What clients of a service asked, and how it answered: slates of ten songs, and posts of events."""

    answers: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    undocumented: list[str] = field(default_factory=list)
    broken: int = 0
    empty: int = 0
    acknowledged: list[list[str]] = field(default_factory=list)
    """Event ids of each client, in the order of their acknowledgement."""
    _over: threading.Event = field(default_factory=threading.Event)

    def p99_ms(self, since: int = 0) -> float:
        """Of the requests from number `since` on."""
        times = sorted(self.seconds[since:])
        return times[min(int(len(times) * 0.99), len(times) - 1)] * 1000 if times else 0.0

    def lost(self, log: Mapping[str, int]) -> int:
        """Acknowledged events that the log does not have."""
        return sum(event not in log for mine in self.acknowledged for event in mine)

    def disordered(self, log: Mapping[str, int]) -> int:
        """Acknowledged events that stand before one that the same client had acknowledged earlier."""
        wrong = 0
        for mine in self.acknowledged:
            offsets = [log[event] for event in mine if event in log]
            wrong += sum(later < earlier for earlier, later in itertools.pairwise(offsets))
        return wrong

    def told(self) -> str:
        """The answers by route and status."""
        counts = ", ".join(f"{n} x {name}" for name, n in sorted(self.answers.items()))
        return f"{counts}; {self.broken} broken connections" if self.broken else counts

    def client(self, service: Service, users: list[str], songs: list[str], number: int) -> None:
        """Ask and tell until it is over."""
        line, mine, turn = Client(service.port), self.acknowledged[number], 0
        try:
            while not self._over.wait(PAUSE_S):
                turn += 1
                user = users[(number * 97 + turn) % len(users)]
                slate = self._asked(line, "POST", "/v1/recommend", {"user_id": user})
                if slate.status == 200:
                    self.empty += not slate.body["items"]
                if turn % 2:
                    continue
                ids = [f"load-{os.getpid()}-{id(self):x}-{number}-{turn}-{i}" for i in range(EVENTS)]
                events = [
                    {"event_id": e, "user_id": user, "action": "full_play", "song_id": songs[(turn + i) % len(songs)]}
                    for i, e in enumerate(ids)
                ]
                told = self._asked(line, "POST", "/v1/events", events)
                if told.status == 202 and told.body["accepted"] + told.body["duplicates"] == EVENTS:
                    mine.extend(ids)
        finally:
            line.close()

    def _asked(self, line: Client, method: str, path: str, body: Any) -> Answer:
        answer = line(method, path, body)
        if not answer.status:
            self.broken += 1
            return answer
        self.seconds.append(answer.seconds)
        self.answers[f"{path.rpartition('/')[2]} {answer.status}"] += 1
        if not answer.is_documented:
            self.undocumented.append(f"{path} {answer.status} {answer.body}"[:300])
        return answer


@contextmanager
def loaded(service: Service, state: State, clients: int = CLIENTS) -> Iterator[Load]:
    """Clients of the service, until the block ends."""
    snapshot = Releases(state.folder / "releases").open().snapshot
    users, songs = snapshot.ids["User"].to_list(), snapshot.ids["Song"].to_list()
    made = Load(acknowledged=[[] for _ in range(clients)])
    threads = [threading.Thread(target=made.client, args=(service, users, songs, n)) for n in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        made._over.set()
        for thread in threads:
            thread.join()
