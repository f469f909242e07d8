"""A Neo4j Community server out of Maven Central: `python tools/neo4j/neo4j.py start|stop|status`.

The jars come by `mvn dependency:copy-dependencies` on the `pom.xml` beside this file, once. The server listens on
loopback only, without HTTP; its data, its log and its password (a random one, made at the first start) are in the home.
Needs Java 17 or 21 and Maven. A Neo4j that runs already needs none of this: its URL in the settings is enough.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
JARS = HERE.parent.parent / ".neo4j" / "lib"
HOME = HERE.parent.parent / ".neo4j" / "home"
START_LIMIT_S = 120.0
STOP_LIMIT_S = 60.0

# What Neo4j's own start script opens to its libraries.
OPENS = (
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
)
CONFIG = """\
server.default_listen_address=127.0.0.1
server.bolt.listen_address=127.0.0.1:{port}
server.bolt.advertised_address=127.0.0.1:{port}
server.http.enabled=false
server.https.enabled=false
server.memory.pagecache.size={pagecache}
db.tx_log.rotation.retention_policy=2 files
dbms.usage_report.enabled=false
# LOAD CSV reads neither files of this machine nor addresses of the network.
dbms.security.allow_csv_import_from_file_urls=false
internal.dbms.cypher_ip_blocklist=0.0.0.0/0,::/0
"""


# A server outlives this process; the handles are kept so that nobody takes it for forgotten.
_STARTED: dict[int, subprocess.Popen[bytes]] = {}


class Failure(Exception):
    """One line on what is missing or did not work."""


@dataclass(frozen=True)
class Running:
    """A server: where it listens, and its login."""

    pid: int
    port: int
    password: str
    user: str = "neo4j"

    @property
    def url(self) -> str:
        return f"bolt://127.0.0.1:{self.port}"


def missing() -> str | None:
    """What this machine lacks for a server, or None."""
    for program in ("java", "mvn"):
        if program == "mvn" and _complete(JARS):
            continue
        if shutil.which(program) is None:
            return f"{program} is not on this machine"
    words = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr.split('"')
    version = words[1].split(".")[0] if len(words) > 1 else "unknown"
    return None if version.isdigit() and int(version) >= 17 else f"java 17 or newer is needed, this is {version}"


def jars() -> Path:
    """The folder of the server's jars, fetched if need be."""
    JARS.parent.mkdir(parents=True, exist_ok=True)
    with (JARS.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _complete(JARS):
            shutil.rmtree(JARS, ignore_errors=True)
            goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={JARS}"]
            done = subprocess.run(
                ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), *goal], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise Failure(f"mvn could not fetch Neo4j: {_last_line(done.stdout + done.stderr)}")
            _stamp(JARS).write_text(_digest())
    return JARS


def start(home: Path = HOME, *, port: int = 7687, heap: str = "1g", pagecache: str = "512m") -> Running:
    """Start the server of `home` and wait until it answers; the one that runs already, if there is one."""
    if found := status(home):
        return found
    library = jars()
    (home / "conf").mkdir(parents=True, exist_ok=True)
    (home / "conf" / "neo4j.conf").write_text(CONFIG.format(port=port, pagecache=pagecache))
    password = _password(home, library)
    if _answers(port):
        raise Failure(f"port {port} is taken by another server")
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "java",
                f"-Xmx{heap}",
                f"-Xms{heap}",
                "-XX:+UseG1GC",
                "-Dfile.encoding=UTF-8",
                *OPENS,
                "-cp",
                f"{library}/*",
                "org.neo4j.server.CommunityEntryPoint",
                f"--home-dir={home}",
                f"--config-dir={home / 'conf'}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    end = time.monotonic() + START_LIMIT_S
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            process.wait()
            raise Failure(f"Neo4j did not start: {_last_line((home / 'server.log').read_text(errors='replace'))}")
        time.sleep(0.1)
    _STARTED[process.pid] = process
    running = Running(process.pid, port, password)
    (home / "running.json").write_text(json.dumps({"pid": running.pid, "port": port}))
    return running


def status(home: Path = HOME) -> Running | None:
    """The server of `home`, if it runs."""
    try:
        said = json.loads((home / "running.json").read_text())
        password = (home / "password").read_text()
    except (OSError, ValueError):
        return None
    return Running(said["pid"], said["port"], password) if _alive(said["pid"]) else None


def stop(home: Path = HOME) -> bool:
    """Stop the server of `home`, by kill after a minute; false if none runs."""
    found = status(home)
    if found is None:
        return False
    os.kill(found.pid, signal.SIGTERM)
    end = time.monotonic() + STOP_LIMIT_S
    while _alive(found.pid):
        if time.monotonic() > end:
            os.kill(found.pid, signal.SIGKILL)
        time.sleep(0.1)
    if (child := _STARTED.pop(found.pid, None)) is not None:
        child.wait()
    (home / "running.json").unlink(missing_ok=True)
    return True


def free_port() -> int:
    """A port of loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _password(home: Path, library: Path) -> str:
    file = home / "password"
    if not file.exists():
        password = secrets.token_hex(16)
        done = subprocess.run(
            ["java", "-cp", f"{library}/*", "org.neo4j.cli.AdminTool", "dbms", "set-initial-password", password],
            env=os.environ | {"NEO4J_HOME": str(home), "NEO4J_CONF": str(home / "conf")},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Failure(f"Neo4j took no password: {_last_line(done.stdout + done.stderr)}")
        file.touch(mode=0o600)
        file.write_text(password)
    return file.read_text()


def _answers(port: int) -> bool:
    """Whether somebody on that port shakes hands over Bolt."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as line:
            line.sendall(bytes.fromhex("6060b017 00000005 00000004 00000000 00000000"))
            return len(line.recv(4)) == 4
    except OSError:
        return False


def _alive(pid: int) -> bool:
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:  # a child of ours that has ended
            return False
    except ChildProcessError:
        pass
    try:
        # Not just any process that has the number now: the one that runs Neo4j.
        return b"CommunityEntryPoint" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        pass
    if Path("/proc/self").exists():
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _digest() -> str:
    return hashlib.sha256((HERE / "pom.xml").read_bytes()).hexdigest()


def _stamp(folder: Path) -> Path:
    return folder / "complete"


def _complete(folder: Path) -> bool:
    stamp = _stamp(folder)
    return stamp.exists() and stamp.read_text() == _digest()


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "without a word"


def main() -> int:
    """Do what the command line says; 0 if it worked and, for `status`, if the server runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["fetch", "start", "stop", "status"])
    parser.add_argument("--home", type=Path, default=HOME)
    parser.add_argument("--port", type=int, default=7687)
    parser.add_argument("--heap", default="1g")
    arguments = parser.parse_args()
    home = arguments.home.resolve()
    try:
        if lack := missing():
            raise Failure(lack)
        if arguments.action == "fetch":
            print(jars())
            return 0
        if arguments.action == "stop":
            print("stopped" if stop(home) else "not running")
            return 0
        found = start(home, port=arguments.port, heap=arguments.heap) if arguments.action == "start" else status(home)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    if found is None:
        print("not running")
        return 1
    print(f"export SEGUE_GRAPH__URL={found.url} SEGUE_GRAPH__PASSWORD={found.password}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
