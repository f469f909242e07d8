"""Starts ArcadeDB as a Bolt server inside this process; the only place that imports arcadedb_embedded."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

DATABASE: Final = "graph"
WRITER: Final = "root"
READER: Final = "reader"
# ArcadeDB keeps the time limit of a user's group, not that of a transaction: one user for each limit on offer.
TIME_LIMITS_S: Final = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


def guest(timeout_s: float) -> str:
    """The user whose queries the server ends after `timeout_s` seconds, rounded up to a limit on offer."""
    limit = next((known for known in TIME_LIMITS_S if known >= timeout_s), TIME_LIMITS_S[-1])
    return f"guest{round(limit * 1000)}"


def serve(root: Path, heap: str, passwords: Mapping[str, str], options: Sequence[str] = ()) -> tuple[Any, int]:
    """Start the server of the databases in `root`; the server and its port on loopback.

    `passwords` are those of WRITER and READER, `options` further ones of the JVM.
    """
    from arcadedb_embedded.server import ArcadeDBServer

    _prepare(root / "config")
    reader = passwords[READER]
    users = [f"{READER}:{reader}:{READER}", *(f"{guest(s)}:{reader}:{guest(s)}" for s in TIME_LIMITS_S)]
    port = _free_port()
    config = {
        "host": "127.0.0.1",
        "http_port": "0",
        "mode": "development",
        "server_plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
        "bolt_port": port,
        "bolt_defaultDatabase": DATABASE,
        "server_defaultDatabases": f"{DATABASE}[{','.join(users)}]",
    }
    jvm = {"heap_size": heap, "jvm_args": [*_jvm_settings(root), *options]}
    server = ArcadeDBServer(str(root), passwords[WRITER], config, jvm_kwargs=jvm)
    server.start()
    return server, port


def running(server: Any) -> list[Any]:
    """The queries that run now."""
    return list(server._java_server.getRunningQueries().getRunning())


def while_files_stand_still(server: Any, work: Callable[[], None]) -> None:
    """Do `work` while the database's files hold every commit so far and none of those to come, which wait in memory.

    Raises: whatever `work` raises.
    """
    import jpype  # type: ignore[import-untyped, unused-ignore]

    inner = server.get_database(DATABASE)._java_db.getEmbedded()
    raised: list[BaseException] = []

    def caught() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it would come back as a Java exception
            raised.append(error)

    still = jpype.JProxy("com.arcadedb.utility.CallableNoReturn", dict={"call": caught})
    pages = inner.getPageManager()
    # the read lock keeps the schema, and with it the list of files, as it is
    locked = jpype.JProxy(
        "java.util.concurrent.Callable", dict={"call": lambda: pages.suspendFlushAndExecute(inner, still)}
    )
    inner.executeInReadLock(locked)
    if raised:
        raise raised[0]


def flush(server: Any) -> None:
    """Wait until what is committed is in the files."""
    inner = server.get_database(DATABASE)._java_db.getEmbedded()
    inner.getPageManager().waitAllPagesOfDatabaseAreFlushed(inner)


def _prepare(config: Path) -> None:
    """Fresh passwords at every start: the user file of the last one goes."""
    config.mkdir(parents=True, exist_ok=True, mode=0o700)
    (config / "server-users.jsonl").unlink(missing_ok=True)
    (config / "server-groups.json").write_text(json.dumps(_groups()), "utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _jvm_settings(root: Path) -> list[str]:
    settings: dict[str, object] = {
        "txWalFlush": 2,  # a write is on the disk before it is acknowledged
        "opencypher.loadCsv.allowRemoteUrls": False,
        "opencypher.loadCsv.allowFileUrls": False,
        "queryMaxConcurrent": 0,  # or a few slow queries from outside would keep the service's own in a queue
        "server.saltIterations": 1000,  # the passwords are random and 192 bits long
        "server.httpWorkerThreads": 1,
        "server.logsDirectory": root / "log",
        "serverMetrics": False,
    }
    # A JVM out of memory is in no state to serve: it ends, its log is replayed, and its users join the next one.
    return [
        "-XX:+ExitOnOutOfMemoryError",
        f"-XX:ErrorFile={root / 'log' / 'jvm-error.log'}",
        *(
            f"-Darcadedb.{name}={str(value).lower() if isinstance(value, bool) else value}"
            for name, value in settings.items()
        ),
    ]


def _groups() -> dict[str, Any]:
    def group(types: Sequence[str], access: Sequence[str] = (), limit_ms: int = -1) -> dict[str, Any]:
        return {
            "resultSetLimit": -1,
            "readTimeout": limit_ms,
            "access": list(access),
            "types": {"*": {"access": list(types)}},
        }

    write = ("createRecord", "readRecord", "updateRecord", "deleteRecord")
    groups = {
        "admin": group(write, ("updateSecurity", "updateSchema", "updateDatabaseSettings")),
        "*": group(()),
        READER: group(("readRecord",)),
        **{guest(s): group(("readRecord",), limit_ms=round(s * 1000)) for s in TIME_LIMITS_S},
    }
    return {"databases": {"*": {"groups": groups}}, "version": 2}
