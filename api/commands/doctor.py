"""`segue doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import typer

from api import console
from graph.errors import ReleaseNotFound, SegueError

_PACKAGES = ("numpy", "scipy", "polars", "gensim", "torch", "neo4j", "arcadedb-embedded", "fastapi")
# An answer: what was found, and what to do if it is not as it should be.
Finding = tuple[str, str | None]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(doctor)


def doctor(json_: console.Json = False) -> None:
    """Check the engine, the event log, the release, its lag and the versions. Exits 1 if something is wrong."""
    settings = console.settings()
    looks: dict[str, Callable[[Any], Finding]] = {
        "engine": _engine,
        "log": _log,
        "release": _release,
        "gate": _gate,
        "lag": _lag,
        "versions": _versions,
    }
    checks = []
    for name, look in looks.items():
        try:
            detail, advice = look(settings)
        except SegueError as error:
            detail, advice = str(error), _ADVICE[name]
        checks.append({"name": name, "ok": advice is None, "detail": detail, "advice": advice})
    healthy = all(check["ok"] for check in checks)
    if json_:
        console.print_json({"ok": healthy, "checks": checks})
    else:
        rows = [("ok" if c["ok"] else "WRONG", c["name"], c["detail"], c["advice"]) for c in checks]
        console.print_table(["", "check", "found", "what to do"], rows)
    if not healthy:
        raise typer.Exit(1)


_ADVICE = {
    "engine": "check graph.url, the login, and that the server runs (`make neo4j` starts one here)",
    "log": "check events.url and that its database answers",
    "release": "run `segue refresh`, or `segue release rollback` to an undamaged one",
    "gate": "run `segue refresh`",
    "lag": "run `segue refresh`",
    "versions": "run `make setup`",
}


def _engine(settings: Any) -> Finding:
    with console.graph_store(settings) as store:
        nodes = sum(store.counts()["labels"].values())
        return f"{store.engine} {store.version}, {nodes} nodes", None if nodes else "run `segue import`"


def _log(settings: Any) -> Finding:
    from graph.sources.registry import unfinished_forgets, unfinished_imports

    with console.event_log(settings) as log:
        if unfinished := unfinished_imports(log):
            return f"import not finished: {', '.join(unfinished)}", "run the same `segue import` again"
        if unfinished := unfinished_forgets(log):
            return f"not taken back whole: {', '.join(unfinished)}", "run the same `segue forget` again"
        return f"{log.last_offset()} events, {log.last_journal_offset()} journal lines", None


def _release(settings: Any) -> Finding:
    from graph.release import Releases

    releases = Releases(settings.releases.dir)
    current = releases.current()
    if current is None:
        raise ReleaseNotFound(f"no release in {releases.root} yet")
    wrong = releases.verify(current)
    return (f"{current}: {wrong[0]}", _ADVICE["release"]) if wrong else (f"{current}, all files verified", None)


def _gate(settings: Any) -> Finding:
    from graph.release import Releases

    found = Releases(settings.releases.dir).newer_kept_back()
    if found is None:
        return "no newer release is kept back", None
    advice = f"look at it with `segue release show {found[0]}`; a wider refresh.margin lets `segue refresh` publish it"
    return f"{found[0]} is kept back: {found[1]}", advice


def _lag(settings: Any) -> Finding:
    from graph.release import Releases

    release = Releases(settings.releases.dir).open()
    with console.event_log(settings) as log:
        if log.log_id != release.log_id:
            return "the release was made from another event log: it is served alone", _ADVICE["lag"]
        events = log.last_offset() - release.offset
        edits = log.last_journal_offset() - int(release.manifest["graph"]["version"])
        if events < 0:
            return "the release is ahead of the event log: it is served alone", "restore the log, or refresh --full"
        if log.generation != release.manifest["events"].get("generation", 0):
            return "events that the release was made from were taken out of the log", "run `segue refresh`"
        return f"{events} events and {edits} edits since the release", None


def _versions(settings: Any) -> Finding:  # noqa: ARG001
    found = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return f"python {platform.python_version()}, {found}", None
