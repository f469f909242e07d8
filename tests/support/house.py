"""Houses for system tests: a tiny world imported, refreshed and served by the real command line in real processes.

One world is made for the whole run; a test gets a copy of its state folder, which costs milliseconds. The copies share
one graph server, because they hold the same graph: a test that changes it fails. Such a test asks for `own_house`,
whose graph the tests of one file share, or for `lone_house`, whose graph is its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from graph.log.events import EventLog
from graph.release import Release, Releases
from graph.store import embedded
from graph.store.config import GraphConfig
from graph.store.store import GraphStore

WORLD = {"users": 60, "songs": 200, "days": 20, "events": 4000, "seed": 3}
HALT = Path(__file__).with_name("halt.py")
SETTINGS = """
clock = "data"
{more}

[state]
dir = "."

[graph]
url = "embedded:{graph}"
heap = "512m"
query_heap = "128m"
linger_s = 0

[embed.song2vec]
epochs = 2
embedding_dim = 16

{sections}
"""


@dataclass(frozen=True)
class Ran:
    """A command line that has ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What `--json` printed: exactly one line."""
        assert self.status == 0, self.err or self.out
        return json.loads(self.out)


@dataclass
class Server:
    """A running `segue serve` and a client of it."""

    process: subprocess.Popen[str]
    address: str
    client: httpx.Client

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.client.get(path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.client.post(path, json=body, **more)

    def kill(self) -> None:
        """As a power cut would end it."""
        self.process.kill()
        self.process.wait(30)


@dataclass
class House:
    """A state folder with its settings file."""

    folder: Path
    graph: Path
    made: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.folder / "segue.toml"

    @property
    def releases(self) -> Releases:
        return Releases(self.folder / "releases")

    @property
    def release(self) -> Release:
        """The release that is served."""
        return self.releases.open()

    @property
    def digest(self) -> str:
        return str(self.release.manifest["digest"])

    def log(self) -> EventLog:
        return EventLog(f"sqlite:///{self.folder}/events.db")

    def settle(self, *, more: str = "", sections: str = "") -> House:
        """Write the settings: `more` at the top, `sections` at the end."""
        text = SETTINGS.format(graph=self.graph, more=more, sections=sections)
        self.config.write_text(text, encoding="utf-8")
        return self

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-P", "-m", "api", "--config", str(self.config), *args]

    def segue(self, *args: str, env: dict[str, str] | None = None, timeout: float = 120) -> Ran:
        """Run a command to its end."""
        done = subprocess.run(
            self.command(*args), capture_output=True, text=True, timeout=timeout, cwd=self.folder,
            env=clean_environment(env), check=False,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start a command; whatever still runs at the test's end is killed."""
        return self._started(self.command(*args))

    def halted(self, *args: str, where: str, call: int = 1) -> subprocess.Popen[str]:
        """A command that has stopped for good just before the `call`th call of `where` ("package.module:Name.name"),
        or after it with a `+` at the end; returned once it stands there."""
        marker = self.folder / f"halted-{time.monotonic_ns()}"
        command = self.command(*args)
        process = self._started([command[0], str(HALT), where, str(call), str(marker), *command[4:]])
        until(lambda: marker.exists() or process.poll() is not None, 60)
        assert marker.exists(), f"never came to {where}: {process.communicate()[1]}"
        marker.unlink()
        return process

    def killed(self, *args: str, where: str, call: int = 1) -> None:
        """Run a command as far as `halted` does, kill it as a power cut would, and see it gone."""
        process = self.halted(*args, where=where, call=call)
        process.kill()
        process.wait(30)

    @contextmanager
    def serve(self, *args: str, ready: bool = True, headers: dict[str, str] | None = None) -> Iterator[Server]:
        """The service on a free port, until the block ends."""
        with (self.folder / "serve.log").open("w", encoding="utf-8") as stderr:
            process = self._started(self.command("serve", "--port", "0", "--json", *args), stderr=stderr)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (self.folder / "serve.log").read_text(encoding="utf-8")
        address = json.loads(line)["address"]
        # warnings are errors here, and a client that is not closed warns
        with httpx.Client(base_url=address, timeout=60, headers=headers) as client:
            server = Server(process, address, client)
            until(lambda: _answers(client, ready), 60, self.folder / "serve.log")
            try:
                yield server
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    try:
                        process.wait(20)
                    except subprocess.TimeoutExpired:
                        process.kill()
                process.wait(20)
                process.stdout.close()

    def copy(self, folder: Path, graph: Path | None = None) -> House:
        """Another house with the same state; nobody may write to this one meanwhile."""
        shutil.copytree(
            self.folder, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("graph", "world", "halted-*")
        )
        other = House(folder, graph or self.graph)
        text = self.config.read_text(encoding="utf-8").replace(f"embedded:{self.graph}", f"embedded:{other.graph}")
        other.config.write_text(text, encoding="utf-8")
        return other

    def close(self) -> None:
        for process in self.made:
            if process.poll() is None:
                process.kill()
            process.wait(20)
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def _started(self, command: list[str], stderr: Any = subprocess.PIPE) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=self.folder, env=clean_environment()
        )
        self.made.append(process)
        return process


def clean_environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """This process's variables without settings of Segue, and `more`."""
    return {k: v for k, v in os.environ.items() if not k.startswith("SEGUE_")} | (more or {})


def until(holds: Callable[[], bool], limit_s: float, told: Path | None = None) -> None:
    """Wait until something holds."""
    end = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > end:
            words = told.read_text(encoding="utf-8") if told is not None else ""
            raise AssertionError(f"did not come about in {limit_s} s {words}")
        time.sleep(0.01)


def _answers(client: httpx.Client, ready: bool) -> bool:
    try:
        return client.get("/readyz" if ready else "/healthz").status_code == 200
    except httpx.TransportError:
        return False


class Poll(threading.Thread):
    """Asks something again and again on a thread of its own, and keeps the answers."""

    def __init__(self, ask: Callable[[], Any], pause_s: float = 0.05) -> None:
        super().__init__(daemon=True)
        self._ask, self._pause, self._over = ask, pause_s, threading.Event()
        self.answers: list[Any] = []

    def run(self) -> None:
        while not self._over.wait(self._pause):
            try:
                self.answers.append(self._ask())
            except Exception as error:  # noqa: BLE001  the test looks at it
                self.answers.append(error)

    def __enter__(self) -> Poll:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join(30)


# ---- fixtures


@pytest.fixture(scope="session")
def poll() -> type[Poll]:
    return Poll


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    return until


@pytest.fixture
def run_cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., Ran]]:
    """Runs a command in this process, which spares its start; the working folder is an empty one."""
    from api.cli import app, main

    for name in clean_environment().keys() ^ os.environ.keys():
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    before, environment = signal.getsignal(signal.SIGTERM), dict(os.environ)

    def run(*args: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["segue", *args])
        # a process registers its commands once
        app.registered_commands, app.registered_groups = [], []
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Ran(int(ended.value.code or 0), out, err)

    yield run
    signal.signal(signal.SIGTERM, before)
    # `serve` limits the threads of its process; left behind, later refreshes would not give the bytes of earlier ones
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> House:
    """The world imported, with no release yet; its graph is closed and may be copied."""
    folder = tmp_path_factory.mktemp("pristine")
    house = House(folder, folder / "graph").settle()
    options = [word for name, value in WORLD.items() for word in (f"--{name}", str(value))]
    report = house.segue("import", "world", str(folder / "world"), *options, "--json")
    assert report.status == 0, report.err
    embedded.stop(house.graph)
    return house


@pytest.fixture(scope="session")
def graph_folder(pristine: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The graph that houses share; one server of it runs for the whole test run."""
    with _open_graph(pristine, tmp_path_factory.mktemp("graph")) as folder:
        yield folder


@pytest.fixture(scope="module")
def own_graph(pristine: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A graph that the tests of one file may change."""
    with _open_graph(pristine, tmp_path_factory.mktemp("own-graph")) as folder:
        yield folder


@pytest.fixture
def lone_graph(pristine: House, tmp_path: Path) -> Iterator[Path]:
    """A graph as it was imported, for one test alone."""
    with _open_graph(pristine, tmp_path / "lone-graph") as folder:
        yield folder


@contextmanager
def _open_graph(pristine: House, folder: Path) -> Iterator[Path]:
    shutil.copytree(pristine.graph, folder, dirs_exist_ok=True)
    with GraphStore.open(GraphConfig(url=f"embedded:{folder}", heap="512m", query_heap="128m", linger_s=0)):
        yield folder
    embedded.stop(folder)


@pytest.fixture(scope="session")
def refreshed(pristine: House, graph_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> House:
    """A house with a release, projected to the shared graph. Read it or copy it, never write to it."""
    house = pristine.copy(tmp_path_factory.mktemp("refreshed"), graph_folder)
    report = house.segue("refresh", "--json", timeout=280)  # on a fresh machine it compiles
    assert report.status == 0, report.err
    assert report.json["published"], report.out
    return house


@pytest.fixture
def house(refreshed: House, tmp_path: Path) -> Iterator[House]:
    """A house with a release, for one test to do with as it likes, but for the graph."""
    before = _nodes(refreshed.graph)
    mine = refreshed.copy(tmp_path / "house")
    yield mine
    mine.close()
    assert _nodes(refreshed.graph) == before, "the graph that all houses share has changed: ask for `lone_house`"


def _nodes(graph: Path) -> dict[str, int]:
    with GraphStore.open(GraphConfig(url=f"embedded:{graph}", heap="512m", linger_s=0)) as store:
        rows = store.read("MATCH (n) RETURN labels(n)[0] AS label, count(*) AS n")
    return {row["label"]: row["n"] for row in rows}


@pytest.fixture
def lone_house(refreshed: House, lone_graph: Path, tmp_path: Path) -> Iterator[House]:
    """A house with a release and a graph of its own, as it was imported and never projected to."""
    mine = refreshed.copy(tmp_path / "house", lone_graph)
    yield mine
    mine.close()


@pytest.fixture(scope="module")
def own_house(
    refreshed: House, own_graph: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], House]]:
    """Makes houses with a release and a graph that the tests of one file share and may change."""
    made: list[House] = []

    def make(*, empty: bool = False, source: House | None = None) -> House:
        made.append((source or refreshed).copy(tmp_path_factory.mktemp("house"), own_graph))
        if empty:
            shutil.rmtree(made[-1].folder / "releases")
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def served_house(refreshed: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The house whose service `server` is."""
    mine = refreshed.copy(tmp_path_factory.mktemp("served"))
    yield mine
    mine.close()


@pytest.fixture(scope="module")
def server(served_house: House) -> Iterator[Server]:
    """`segue serve` as a process of its own, for the tests of one file."""
    with served_house.serve() as running:
        yield running
