"""The embedded default engine: finds, starts, shares and stops a local ArcadeDB server that speaks Bolt.

One folder holds one store. Whoever opens it holds a shared lock on `users.lock`; the server is a child process in a
session of its own that holds `owner.lock` and leaves once nobody has held `users.lock` for a while, or its folder is
gone. All locks belong to the operating system, so a killed user or a killed server leaves nothing behind that has to be
cleaned by hand:

    open.lock     whoever opens, and a server that is about to leave: the two never cross
    users.lock    shared by every user
    owner.lock    the running server
    bulk.lock     shared by whoever writes over Bolt, exclusive for a bulk load
    server.log    what the servers of the folder said, and when they came and went; `server.log.1` is its older part
    server.json   port, passwords and process id of the running server, readable by this user alone

`python -m graph.store.embedded DIR HEAP QUERY_HEAP LINGER_S` is that child process.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any, Final

from graph import schema
from graph.errors import Busy, InvalidInput, QueryTimeout, QueryTooLarge, StoreUnavailable
from graph.store import engine
from graph.store.engine import DATABASE, READER, TIME_LIMITS_S, WRITER, guest
from graph.store.isolated import Pool

START_LIMIT_S: Final = 60.0
STOP_LIMIT_S: Final = 5.0
LOG_BYTES: Final = 1_000_000  # past it `server.log` begins anew
_NOTED: Final = "segue:"

_POLL_S: Final = 0.02
_WATCH_S: Final = 0.2
_OWNED_ELSEWHERE: Final = 75  # exit status of a server that finds another in its folder
_BACKLOG: Final = 128  # of callers; past it one may wait a minute for its connection
_EDGES_A_CALL: Final = 100_000
_OPENING: Final = re.compile(r"/\*[0-9a-f]{16} (\d+)\*/")


@dataclass(frozen=True)
class Server:
    """A running server, as its `server.json` says."""

    pid: int
    port: int
    control_port: int
    writer_password: str
    reader_password: str
    secret: str
    version: str
    options: list[str]
    """What it was started with."""

    @classmethod
    def read(cls, folder: Path) -> Server:
        """Of a folder's `server.json`, which another version of Segue may have written.

        Raises: FileNotFoundError.
        """
        told = json.loads((folder / "server.json").read_text("utf-8"))
        return cls(**{"options": []} | {field.name: told[field.name] for field in fields(cls) if field.name in told})

    @property
    def url(self) -> str:
        return f"bolt://127.0.0.1:{self.port}"


def opening(timeout_s: float) -> str:
    """What a guest's query begins with: the server knows a query by its text only, and its time limit by this."""
    return f"/*{secrets.token_hex(8)} {math.ceil(timeout_s * 1000)}*/"


@dataclass(frozen=True)
class Loan:
    """A process that runs one query for its borrower."""

    port: int
    password: str
    end: Callable[[], None]
    """Ends the query, whose result is wanted no more; before its transaction, or that would read it to its end."""


class Lock:
    """A lock of the operating system on one file; it ends with this object or with the process.

    Raises: StoreUnavailable if the file can be neither opened nor made.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, -1
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"{path.parent}: no folder for a graph store ({error.strerror})") from error

    def take(self, *, shared: bool = False) -> bool:
        """Take it without waiting; false if somebody else's lock is in the way."""
        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait(self, limit_s: float, *, shared: bool = False) -> None:
        """Take it within `limit_s` seconds.

        Raises: Busy after that.
        """
        end = time.monotonic() + limit_s
        while not self.take(shared=shared):
            if time.monotonic() > end:
                raise Busy(f"{self._path}: locked by another process for more than {limit_s:g} s")
            time.sleep(_POLL_S)

    def release(self) -> None:
        """Give it up; it may be taken again."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def is_there(self) -> bool:
        """Whether its file is still where it was made."""
        try:
            return os.path.samestat(os.fstat(self._file), os.stat(self._path))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Embedded:
    """One user's hold on the server of a folder: the server lives while anybody has one, and `linger_s` after.

    Raises: StoreUnavailable if the server does not start, or does not answer in time.
    """

    def __init__(
        self,
        folder: Path,
        *,
        heap: str = "1g",
        query_heap: str = "512m",
        linger_s: float = 0.0,
        start_limit_s: float = START_LIMIT_S,
    ) -> None:
        self.folder = folder.resolve()
        heaps = [_checked_heap("graph.heap", heap), _checked_heap("graph.query_heap", query_heap)]
        self._options = [*heaps, f"{linger_s:g}"]
        self._limit = start_limit_s
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._users = Lock(self.folder / "users.lock")
            self._bulk = Lock(self.folder / "bulk.lock")
        except OSError as error:
            raise StoreUnavailable(f"{self.folder}: no folder for a graph store ({error.strerror})") from None
        try:
            self.server = self.join()
        except BaseException:
            self.close()
            raise

    def join(self) -> Server:
        """The running server of the folder, started if there is none; also after the last one died."""
        gate = Lock(self.folder / "open.lock")
        try:
            gate.wait(self._limit)
            self._end_other_options()
            self._users.take(shared=True)
            self.server = self._running() or self._start()
        except Busy as error:
            raise StoreUnavailable(f"embedded graph store: {error}") from None
        finally:
            gate.close()
        return self.server

    def close(self) -> None:
        """Let go; the server leaves some time after its last user."""
        self._users.close()
        self._bulk.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold a place among the writers: a bulk load waits for them, and they for it."""
        lock = Lock(self.folder / "bulk.lock")
        try:
            lock.wait(600.0, shared=True)
            yield
        finally:
            lock.close()

    @contextmanager
    def alone(self, limit_s: float = 60.0) -> Iterator[None]:
        """Hold off every other writer of this store."""
        lock = Lock(self.folder / "bulk.lock")
        try:
            lock.wait(limit_s)
            yield
        finally:
            lock.close()

    def ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Send the server a message and wait for its answer.

        Raises: StoreUnavailable if it does not answer, or could not do it.
        """
        try:
            line = _dial(self.server)
        except (OSError, EOFError) as error:
            raise self._died(error) from None
        with line:
            return self._said(line, message)

    def is_alive(self) -> bool:
        """Whether the server that this user joined still owns the folder."""
        return self._owned()

    @contextmanager
    def isolated(self, seconds: float) -> Iterator[Loan]:
        """A process for one query, which ends with the block or after `seconds`.

        Raises: QueryTimeout if none is free in time or the query does not end in time; QueryTooLarge if the process
        ran out of memory; StoreUnavailable.
        """
        try:
            line = _dial(self.server)
        except (OSError, EOFError) as error:
            raise self._died(error) from None
        with line:
            place = self._said(line, {"do": "isolated", "seconds": seconds})
            if "late" in place:
                raise QueryTimeout("no process was free and ready for the query within its time limit: try again")
            ended: dict[str, Any] = {}
            loan = Loan(place["port"], place["password"], lambda: ended.update(self._said(line, {"do": "end"})))
            try:
                yield loan
            except Exception:
                _raise_ended((ended if "ended" in ended else self._said(line, {"do": "done"}))["ended"])
                raise
            if "ended" not in ended:
                self._said(line, {"do": "done"})

    def _said(self, line: Connection, message: Mapping[str, Any]) -> dict[str, Any]:
        with suppress(OSError):  # the answer to come may be there already, and its sender gone
            line.send_bytes(json.dumps(message).encode())
        try:
            answer: dict[str, Any] = json.loads(line.recv_bytes())
        except (OSError, EOFError) as error:
            raise self._died(error) from None
        if "error" in answer:
            raise StoreUnavailable(f"embedded graph store in {self.folder}: {answer['error']}")
        return answer

    def _died(self, error: BaseException) -> StoreUnavailable:
        return StoreUnavailable(f"embedded graph store in {self.folder}: died while it worked ({error})")

    def _end_other_options(self) -> None:
        """Stop a server that only lingers and was started with other options, or by another version of Segue.

        The gate is ours.
        """
        if not self._owned() or not self._users.take():
            return  # none runs, or somebody else uses it
        try:
            fits = self._wait(None).options == self._options
        except StoreUnavailable:
            return  # it has ended
        if not fits:
            stop(self.folder)

    def _running(self) -> Server | None:
        """The server that owns the folder and takes calls, waited for while it starts or ends; None if none owns it."""
        owner = Lock(self.folder / "owner.lock")
        end = time.monotonic() + self._limit
        try:
            while not owner.take():
                # a killed server's sockets are closed some time before its locks
                with suppress(FileNotFoundError):
                    server = Server.read(self.folder)
                    if _takes_calls(server):
                        return server
                if time.monotonic() > end:
                    raise StoreUnavailable(f"embedded graph store in {self.folder}: not ready after {self._limit:g} s")
                time.sleep(_POLL_S)
            return None
        finally:
            owner.close()

    def _start(self) -> Server:
        # Nobody owns the folder and the gate is ours, so what a dead server left behind cannot be taken for a live one.
        (self.folder / "server.json").unlink(missing_ok=True)
        package = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(p for p in (package, os.environ.get("PYTHONPATH", "")) if p)
        bound_log(self.folder)
        with (self.folder / "server.log").open("ab") as log:
            self._log_start = log.tell()
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "graph.store.embedded", str(self.folder), *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=os.environ | {"PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C in this terminal is not meant for a server that others may share
            )
        _reap(child, self.folder)
        return self._wait(child)

    def _wait(self, child: subprocess.Popen[bytes] | None) -> Server:
        end = time.monotonic() + self._limit
        while True:
            with suppress(FileNotFoundError):
                return Server.read(self.folder)
            status = None if child is None else child.poll()
            if status == _OWNED_ELSEWHERE:
                child = None
            elif status is not None:
                raise StoreUnavailable(f"embedded graph store in {self.folder}: {self._last_words(status)}")
            elif child is None and not self._owned():
                child = None
                raise StoreUnavailable(f"embedded graph store in {self.folder}: the server died while it started")
            if time.monotonic() > end:
                raise StoreUnavailable(f"embedded graph store in {self.folder}: not ready after {self._limit:g} s")
            time.sleep(_POLL_S)

    def _owned(self) -> bool:
        owner = Lock(self.folder / "owner.lock")
        try:
            return not owner.take()
        finally:
            owner.close()

    def _last_words(self, status: int) -> str:
        with (self.folder / "server.log").open("rb") as log:
            log.seek(self._log_start)
            lines = [line for line in log.read().decode("utf-8", "replace").splitlines() if _NOTED not in line]
        return f"the server ended with status {status}: {lines[-1].strip() if lines else 'without a word'}"


def bound_log(folder: Path) -> None:
    """Put a long `server.log` aside as `server.log.1`, over the last one; who has it open writes on at its start."""
    log = folder / "server.log"
    with suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES:
            shutil.copyfile(log, folder / "server.log.1")
            os.truncate(log, 0)


def _note(folder: Path, text: str) -> None:
    """Write a line of ours to `server.log`."""
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    with suppress(OSError), (folder / "server.log").open("a", encoding="utf-8") as log:
        log.write(f"{now} {_NOTED} {text}\n")


def stop(folder: Path, limit_s: float = STOP_LIMIT_S) -> bool:
    """Stop the server of `folder`, whoever uses it: by message, by kill after `limit_s` seconds; false if none ran.

    Raises: Busy if it neither starts nor ends.
    """
    owner = Lock(folder / "owner.lock")
    try:
        if owner.take():
            return False
        server = _announced(folder, owner)
        if server is None:
            return True
        # Aside, for a server that hangs takes the call and never answers.
        threading.Thread(target=_say_stop, args=(server,), daemon=True).start()
        try:
            owner.wait(limit_s)
        except Busy:
            os.kill(server.pid, signal.SIGKILL)
            owner.wait(limit_s)
        return True
    finally:
        owner.close()


def _raise_ended(how: str | None) -> None:
    if how == "memory":
        raise QueryTooLarge("the query needed more memory than graph.query_heap gives its process, which has ended")
    if how == "time":
        raise QueryTimeout("the query ran past its time limit")
    if how is not None:
        raise StoreUnavailable("the process of the query has ended; server.log of the graph's folder says why")


def _announced(folder: Path, owner: Lock) -> Server | None:
    """The server that owns the folder, waited for while it starts; None once it has ended, and then `owner` is ours.

    Raises: Busy if it neither starts nor ends.
    """
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end:
        with suppress(FileNotFoundError):
            return Server.read(folder)
        if owner.take():
            return None
        time.sleep(_POLL_S)
    raise Busy(f"{folder}: its server neither starts nor ends")


def _say_stop(server: Server) -> None:
    with suppress(OSError, EOFError), _dial(server) as line:
        line.send_bytes(b'{"do": "stop"}')
        line.recv_bytes()


def _dial(server: Server) -> Connection:
    line: Connection = Client(("127.0.0.1", server.control_port), authkey=server.secret.encode())
    with socket.socket(fileno=os.dup(line.fileno())) as tcp:
        tcp.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )  # or each message waits 40 ms for an answer to the last
    return line


def _takes_calls(server: Server) -> bool:
    try:
        socket.create_connection(("127.0.0.1", server.control_port), timeout=STOP_LIMIT_S).close()
    except TimeoutError:
        return True  # it hangs with all its places taken, and lives
    except OSError:
        return False
    return True


def _reap(child: subprocess.Popen[bytes], folder: Path) -> None:
    """Collect the exit status of a server that outlives this call, so that it never stays behind as a zombie."""

    def wait() -> None:
        if (status := child.wait()) not in (0, _OWNED_ELSEWHERE):
            _note(folder, f"server {child.pid} ended with status {status}")

    threading.Thread(target=wait, name="segue-embedded-reaper", daemon=True).start()


def _checked_heap(name: str, heap: str) -> str:
    if not (heap[:-1].isdigit() and heap[-1:] in "kKmMgG" and int(heap[:-1]) > 0):
        raise InvalidInput(f"{name}: expected a size such as 512m or 2g, got {heap!r}")
    return heap


# ---------------------------------------------------------------------------------------------------------------------
# What follows runs in the child process.


class _Owner:
    """The server process: owns the folder, serves Bolt, loads in bulk, leaves after its last user."""

    def __init__(self, folder: Path, heap: str, query_heap: str, linger_s: str) -> None:
        self._options = [heap, query_heap, linger_s]
        self._folder = folder
        self._root = folder / "arcadedb"
        self._mark = folder / "bulk.unfinished"
        self._stopping = threading.Event()
        self._passwords = {name: secrets.token_hex(24) for name in (WRITER, READER)}
        self._secret = secrets.token_hex(24)
        self._heap, self._query_heap, self._linger_s = heap, query_heap, float(linger_s)

    def run(self) -> int:
        owner = Lock(self._folder / "owner.lock")
        if not owner.take():
            return _OWNED_ELSEWHERE
        self._prepare()
        server, port = engine.serve(self._root, self._heap, self._passwords)
        # only now, as the JVM has just taken the signal for itself: whoever ends all processes need not kill this one
        signal.signal(signal.SIGTERM, lambda *_: self._stopping.set())
        self._recover(server)
        pool = Pool(self._folder / "isolated", self._query_heap, server)
        listener = Listener(("127.0.0.1", 0), backlog=_BACKLOG, authkey=self._secret.encode())
        threading.Thread(target=self._listen, args=(listener, server, pool), daemon=True).start()
        threading.Thread(target=self._end_late, args=(server,), daemon=True).start()
        self._announce(port, listener.address[1])
        _note(self._folder, f"server {os.getpid()} answers")
        gate = self._watch(pool)
        pool.close()
        if not owner.is_there():
            return 0  # the folder was deleted, and what stands in its place is another's
        _note(
            self._folder, f"server {os.getpid()} leaves: {'it was told to' if self._stopping.is_set() else 'no user'}"
        )
        self._stopping.set()
        threading.Timer(STOP_LIMIT_S - 1, os._exit, (1,)).start()  # a JVM that will not stop is left to recovery
        (self._folder / "server.json").unlink(missing_ok=True)
        server.stop()
        del gate  # held to the very end: whoever opens next must find the folder free
        return 0

    def _prepare(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in ("bulk", "isolated"):
            shutil.rmtree(self._folder / left, ignore_errors=True)
        if self._mark.exists():
            # A bulk load, which only ever goes into an empty store, was cut short: half a graph without a log is none.
            shutil.rmtree(self._root / "databases" / DATABASE, ignore_errors=True)

    def _recover(self, server: Any) -> None:
        database = server.create_database(DATABASE)
        if self._mark.exists():
            for statement in schema.statements():
                database.command("opencypher", statement)
            self._mark.unlink()

    def _announce(self, port: int, control_port: int) -> None:
        import jpype  # type: ignore[import-untyped, unused-ignore]

        version = str(jpype.JClass("com.arcadedb.Constants").getVersion()).split()[0]
        state = Server(
            pid=os.getpid(),
            port=port,
            control_port=control_port,
            writer_password=self._passwords[WRITER],
            reader_password=self._passwords[READER],
            secret=self._secret,
            version=version,
            options=self._options,
        )
        draft = self._folder / ".server.json"
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(state), file)
        draft.replace(self._folder / "server.json")

    def _watch(self, pool: Pool) -> Lock:
        """Wait until the last user has gone for long enough, for the message to stop, or until the folder is gone.

        Returns the gate, held so that no user can come in.
        """
        gate, users = Lock(self._folder / "open.lock"), Lock(self._folder / "users.lock")
        used_at = time.monotonic()
        while not self._stopping.wait(_WATCH_S) and users.is_there():
            if gate.take():
                if not users.take():
                    used_at = time.monotonic()
                elif time.monotonic() - used_at >= self._linger_s:
                    return gate
                users.release()
                gate.release()
            pool.tidy()
            bound_log(self._folder)
        return gate

    def _listen(self, listener: Listener, server: Any, pool: Pool) -> None:
        while True:
            try:
                line = listener.accept()
            except Exception:  # noqa: BLE001, S112 - a caller with a wrong secret or a lost connection ends nothing
                continue
            threading.Thread(target=self._answer, args=(line, server, pool), daemon=True).start()

    def _answer(self, line: Connection, server: Any, pool: Pool) -> None:
        with suppress(OSError, EOFError), line:
            message = json.loads(line.recv_bytes())
            try:
                if message["do"] == "isolated":
                    pool.lend(line, message["seconds"])
                    return
                answer = self._do(message, server)
            except Exception as error:  # noqa: BLE001 - goes to whoever asked
                answer = {"error": " ".join(str(error).split())[:500]}
            line.send_bytes(json.dumps(answer).encode())
            if "error" in answer and message["do"] == "bulk" and self._mark.exists():
                # Without its log a half-made load cannot be undone, only thrown away: the next server does so.
                os._exit(1)

    def _do(self, message: dict[str, Any], server: Any) -> dict[str, Any]:
        if message["do"] == "stop":
            self._stopping.set()
            return {}
        if message["do"] == "bulk":
            return self._bulk(server, Path(message["folder"]), message["nodes"], message["relationships"])
        if message["do"] == "end":
            self._end(server, message["opening"])
            return {}
        if message["do"] == "analyse":
            return self._analyse(server, message["query"])
        raise ValueError(f"unknown message {message['do']!r}")

    def _analyse(self, server: Any, query: str) -> dict[str, Any]:
        """Whether the engine takes the query for a reading one; it is not run."""
        import jpype  # type: ignore[import-untyped, unused-ignore]

        engine = server.get_database(DATABASE)._java_db.getQueryEngine("opencypher")
        try:
            plan = engine.analyze(query)
        except jpype.JException as error:
            return {"syntax": " ".join(str((error.getCause() or error).getMessage()).split())[:300]}
        return {"reads": bool(plan.isIdempotent()) and not bool(plan.isDDL())}

    def _end(self, server: Any, opening: str) -> None:
        """End the query whose text begins so: its client has read enough of it."""
        for query in engine.running(server):
            if str(query.getText()).startswith(opening):
                query.terminate("its client")

    def _end_late(self, server: Any) -> None:
        """End the queries of guests whose time is up: a group's own limit counts in scans of records only."""
        limits = {guest(s): round(s * 1000) for s in TIME_LIMITS_S}
        while not self._stopping.wait(_WATCH_S / 4):
            for query in engine.running(server):
                limit = limits.get(str(query.getUser()))
                if limit is None:
                    continue
                opening = _OPENING.match(str(query.getText()))
                if query.getElapsedMillis() > (int(opening[1]) if opening else limit):
                    query.terminate("the time limit")

    def _bulk(
        self, server: Any, folder: Path, nodes: dict[str, str], relationships: list[dict[str, str]]
    ) -> dict[str, Any]:
        """Load Arrow files into the empty database, without a log: marked before, on disk after."""
        database = server.get_database(DATABASE)
        if any(database.count_type(label) for label in nodes if database.schema.exists_type(label)):
            raise ValueError("a bulk load needs an empty store")
        _write_durably(self._mark, "a bulk load was under way\n")
        loaded = _load(database, folder, nodes, relationships)
        _flush(database, self._root / "databases" / DATABASE)
        self._mark.unlink()
        _sync(self._folder)
        return loaded


def _load(database: Any, folder: Path, nodes: dict[str, str], relationships: list[dict[str, str]]) -> dict[str, Any]:
    import polars as pl

    for entry in relationships:
        database.command("sql", f"CREATE EDGE TYPE `{entry['type']}` IF NOT EXISTS")
    records: dict[str, pl.DataFrame] = {}
    edges = 0
    with database.graph_batch(use_wal=False, bidirectional=True) as batch:
        for label, name in nodes.items():
            frame = pl.read_ipc(folder / name)
            rids = batch.create_vertices(label, _rows(frame))
            records[label] = pl.DataFrame({"id": frame["id"], "rid": pl.Series(rids, dtype=pl.String)})
        for entry in relationships:
            frame = pl.read_ipc(folder / entry["file"])
            frame = _resolved(frame, records[entry["source"]], records[entry["target"]])
            for part in frame.iter_slices(_EDGES_A_CALL):
                properties = part.drop("source", "target", "_source", "_target")
                batch.new_edges(
                    part["_source"].to_list(),
                    entry["type"],
                    part["_target"].to_list(),
                    _rows(properties) if properties.width else None,
                )
            edges += frame.height
    return {"nodes": sum(frame.height for frame in records.values()), "relationships": edges}


def _resolved(frame: Any, sources: Any, targets: Any) -> Any:
    """The frame with the record numbers of both ends; its writer has checked that both exist."""
    frame = frame.join(sources.rename({"id": "source", "rid": "_source"}), on="source", how="left")
    return frame.join(targets.rename({"id": "target", "rid": "_target"}), on="target", how="left")


def _rows(frame: Any) -> list[dict[str, Any]]:
    """One dictionary a row, without what it does not say: a null is an absent property."""
    if not any(frame.null_count().row(0)) if frame.width else True:
        return list(frame.to_dicts())
    return [{name: value for name, value in row.items() if value is not None} for row in frame.iter_rows(named=True)]


def _flush(database: Any, folder: Path) -> None:
    """Wait until every page is written, then until the disk has it."""
    inner = database._java_db.getEmbedded()
    inner.getPageManager().waitAllPagesOfDatabaseAreFlushed(inner)
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _sync(path: Path) -> None:
    with suppress(FileNotFoundError):
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def _write_durably(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    _sync(path)
    _sync(path.parent)


def _main(arguments: Sequence[str]) -> None:
    folder, *options = arguments
    try:
        status = _Owner(Path(folder), *options).run()
    except BaseException as error:  # noqa: BLE001 - the last line of the log is what the opener reads
        print(f"{type(error).__name__}: {' '.join(str(error).split())[:500]}", file=sys.stderr, flush=True)  # noqa: T201
        status = 1
    os._exit(status)  # the JVM's own threads would keep the process


if __name__ == "__main__":
    _main(sys.argv[1:])
