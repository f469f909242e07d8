"""Processes for queries from outside whose values may grow: each runs one query at a time, on a copy of the graph.

The server that owns the graph's folder starts them when they are first needed and lends one to a client for one query.
A process that runs out of memory, or whose query does not end in time, ends alone: nobody else's query runs in it, and
its copy of the graph is only read. Between two queries the copy is brought up to date with the graph.

`python -m graph.store.isolated ROOT HEAP` is such a process. It speaks with its owner over its standard streams, a line
of JSON each way, and ends when its input does, so that none outlives its owner.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final

from graph.store import engine
from graph.store.mirror import Mirror

PROCESSES: Final = 2
IDLE_S: Final = 300.0  # a process that nobody asked for so long ends
_CLEAR_S: Final = 1.0  # within which a process has to be free of its last query
_POLL_S: Final = 0.02
_OUT_OF_MEMORY: Final = (3, -9)  # exit statuses: of the JVM itself, and of a kernel that kills for memory


class Late(Exception):
    """No process was free or ready in time."""


class Ended(Exception):
    """The process has ended."""


class Pool:
    """The processes of one graph. Safe to share between threads."""

    def __init__(self, folder: Path, heap: str, server: Any) -> None:
        # the one used last comes first: it is the one that runs already
        self._free: queue.LifoQueue[_Place] = queue.LifoQueue()
        self._places = [_Place(folder / str(number), heap, server) for number in range(PROCESSES)]
        for place in reversed(self._places):
            self._free.put(place)

    def lend(self, line: Connection, seconds: float) -> None:
        """Give whoever is at the other end of `line` a process for one query of at most `seconds`.

        It is sent the port and the password, or `{"late": true}`. It says "end" where it wants no more of the result,
        which is answered, and "done" at last. Then, or when its process has ended or its time is up, it is sent how the
        query `ended`: "memory", "time", "failure" or null.
        """
        end = time.monotonic() + seconds
        try:
            place = self._free.get(timeout=max(seconds, 0.0))
        except queue.Empty:
            _send(line, {"late": True})
            return
        try:
            address = place.ready(end)
            _send(line, address)
            _send(line, {"ended": place.watch(line, end)})
        except Late:
            _send(line, {"late": True})
        except BaseException:
            place.kill()
            raise
        finally:
            place.used_at = time.monotonic()
            try:
                place.start()  # if it has ended: the next query need not wait as long
            finally:
                self._free.put(place)

    def tidy(self) -> None:
        """End the processes that nobody has asked for `IDLE_S` seconds."""
        idle = []
        while not self._free.empty():
            try:
                idle.append(self._free.get_nowait())
            except queue.Empty:
                break
        for place in reversed(idle):
            if time.monotonic() - place.used_at > IDLE_S:
                place.leave()
            self._free.put(place)

    def close(self) -> None:
        """End all of them, also those that work."""
        for place in self._places:
            place.leave()


class _Place:
    """Where one process runs, now or when it is next needed."""

    def __init__(self, root: Path, heap: str, server: Any) -> None:
        self.used_at = time.monotonic()
        self._root, self._heap, self._server = root, heap, server
        self._mirror = Mirror(_files(server), _files_of(root))
        self._process: _Process | None = None

    def ready(self, end: float) -> dict[str, Any]:
        """The address of a process with the graph as it is now.

        Raises: Late if that takes longer than until `end`; a process that is starting goes on with it.
        """
        process = self.start()
        address = process.address(end)
        engine.flush(self._server)
        if self._mirror.is_stale():
            self._renew(process, end)
        return address

    def start(self) -> _Process:
        """Have a process, which may not be ready yet."""
        if self._process is not None and not self._process.is_alive():
            self.kill()
        if self._process is None:
            engine.while_files_stand_still(self._server, self._mirror.update)
            self._process = _Process(self._root, self._heap)
        return self._process

    def _renew(self, process: _Process, end: float) -> None:
        try:
            process.ask("close", end)
            engine.while_files_stand_still(self._server, self._mirror.update)
            process.ask("open", end)
        except Late:
            self.kill()  # its answer would be taken for that of the next question
            raise

    def watch(self, line: Connection, end: float) -> str | None:
        """Wait until the client says that it is done, its process has ended, or `end` has come; how the query ended."""
        process = self._process
        assert process is not None
        try:
            said = _heard(line, process.words, end)
            if said == "end":  # more of its result is not wanted; its transaction is still to be closed
                process.end_queries()
                _send(line, {})
                said = _heard(line, process.words, end)
            # a client that went without a word may have left a query that nobody can stop
            keep = said == "done" and process.end_queries()
        except Ended:
            status = process.status()
            print(f"a process for queries ended with status {status}", file=sys.stderr, flush=True)  # noqa: T201 - log
            self.kill()
            return "memory" if status in _OUT_OF_MEMORY else "failure"
        except Late:
            self.kill()
            return "time"
        if not keep:
            self.kill()
        return None

    def kill(self) -> None:
        """End the process, whatever it does; the next query starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    def leave(self) -> None:
        """End the process and delete its copy."""
        self.kill()
        self._mirror.remove()


class _Process:
    """A running process, seen from its owner."""

    def __init__(self, root: Path, heap: str) -> None:
        passwords = {name: secrets.token_hex(24) for name in (engine.WRITER, engine.READER)}
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "graph.store.isolated", str(root), heap],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        # what it says; readable too when it has ended
        self._ears, self._words = self._child.stdin, self._child.stdout
        self.words = self._words.fileno()
        self._said = b""
        self._address: dict[str, Any] | None = None
        self._password = passwords[engine.READER]
        self._say(passwords)

    def address(self, end: float) -> dict[str, Any]:
        """Where it answers, once it does.

        Raises: Late after `end`, Ended.
        """
        if self._address is None:
            self._address = {**self._hear(end), "password": self._password}
        return self._address

    def ask(self, what: str, end: float) -> dict[str, Any]:
        """Have it do something between two queries.

        Raises: Ended; Late if it does not answer by `end`, and then it is of no use any more.
        """
        self._say({"do": what})
        return self._hear(end)

    def is_alive(self) -> bool:
        return self._child.poll() is None

    def end_queries(self) -> bool:
        """End what is left of its query; whether nothing is.

        Raises: Ended.
        """
        try:
            return bool(self.ask("end", time.monotonic() + _CLEAR_S)["clear"])
        except Late:
            return False

    def status(self) -> int | None:
        """Its exit status, or None while it runs on."""
        try:
            return self._child.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()
        self._ears.close()
        self._words.close()

    def _say(self, message: dict[str, Any]) -> None:
        try:
            self._ears.write(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise Ended("a process for queries has ended") from error

    def _hear(self, end: float) -> dict[str, Any]:
        while b"\n" not in self._said:
            if not wait([self.words], timeout=max(end - time.monotonic(), 0.0)):
                raise Late
            part = os.read(self.words, 65536)
            if not part:
                raise Ended("a process for queries has ended")
            self._said += part
        first, _, self._said = self._said.partition(b"\n")
        answer: dict[str, Any] = json.loads(first)
        return answer


def _heard(line: Connection, words: int, end: float) -> str:
    """What the client says, "" if it has gone.

    Raises: Ended if the process has, Late after `end`.
    """
    ready = wait([line, words], timeout=max(end - time.monotonic(), 0.0))
    if not ready:
        raise Late
    if words in ready:
        raise Ended
    try:
        return str(json.loads(line.recv_bytes())["do"])
    except (OSError, EOFError):
        return ""


def _files(server: Any) -> Path:
    return Path(str(server.get_database(engine.DATABASE)._java_db.getDatabasePath()))


def _files_of(root: Path) -> Path:
    return root / "databases" / engine.DATABASE


def _send(line: Connection, message: dict[str, Any]) -> None:
    line.send_bytes(json.dumps(message).encode())


# ---------------------------------------------------------------------------------------------------------------------
# What follows runs in the process.


def _answer(server: Any, what: str) -> dict[str, Any]:
    java = server._java_server
    if what == "close":
        java.getDatabase(engine.DATABASE).getEmbedded().close()
        java.removeDatabase(engine.DATABASE)
    elif what == "open":
        java.getDatabase(engine.DATABASE)
    elif what == "end":
        return {"clear": _ended(server)}
    return {}


def _ended(server: Any) -> bool:
    """End the queries that run; whether none runs any more soon after."""
    end = time.monotonic() + _CLEAR_S / 2
    while found := engine.running(server):
        for query in found:
            query.terminate("its client")
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


def _main(arguments: Sequence[str]) -> None:
    root, heap = arguments
    os.nice(10)  # the service comes first
    words = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # whatever else this process prints is for the log
    passwords = json.loads(sys.stdin.readline())
    # One thread that collects garbage leaves the others' cores alone. The compiler for what runs long takes a third of
    # the CPU of a process that lives for one query.
    server, port = engine.serve(Path(root), heap, passwords, ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
    words.write(json.dumps({"port": port}) + "\n")
    for line in sys.stdin:
        words.write(json.dumps(_answer(server, json.loads(line)["do"])) + "\n")


if __name__ == "__main__":
    try:
        _main(sys.argv[1:])
        _status = 0
    except BaseException as error:  # noqa: BLE001 - goes to the owner's log
        print(f"{type(error).__name__}: {' '.join(str(error).split())[:500]}", file=sys.stderr, flush=True)  # noqa: T201
        _status = 1
    os._exit(_status)  # the JVM's own threads would keep the process
