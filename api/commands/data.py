"""`segue import`, `segue sources`, `segue forget`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from api import console


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("import")(import_)
    app.command("sources")(list_sources)
    app.command()(forget)


def import_(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="[FORMAT] PATH",
            help="tables, world, lastfm, recbole, …: a file of graph/importers, found out if not said; what to read.",
        ),
    ],
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check everything, write nothing, show the first rows as they would be stored."),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="One bad row is fatal.")] = False,
    merge: Annotated[bool, typer.Option("--merge", help="Join another source to what is there.")] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Take out what the earlier version of this source had and it has no longer."),
    ] = False,
    users: Annotated[int | None, typer.Option(help="world: listeners.")] = None,
    songs: Annotated[int | None, typer.Option(help="world: songs.")] = None,
    days: Annotated[int | None, typer.Option(help="world: days.")] = None,
    seed: Annotated[int | None, typer.Option(help="world: seed.")] = None,
    events: Annotated[int | None, typer.Option(help="world: events to aim at.")] = None,
    bursts: Annotated[int | None, typer.Option(help="world: songs that are suddenly sought.")] = None,
    header: Annotated[
        bool | None, typer.Option(help="edgelist: whether the first line names columns; found out if not said.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="cypher: where the graph is that is read, bolt://… or embedded:DIR.")
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="histories of one person: who listened (default: whom the files name, else me).")
    ] = None,
    origin: Annotated[
        str | None, typer.Option(help="yambda: the day from which its times count, such as 2024-01-31.")
    ] = None,
    incognito: Annotated[bool, typer.Option("--incognito", help="spotify: plays of private sessions too.")] = False,
    json_: console.Json = False,
) -> None:
    """Read a data source into the graph and the event log."""
    if len(source) > 2:
        raise typer.BadParameter(f"expected [FORMAT] PATH, got {len(source)} arguments")
    path = Path(source[-1])
    format_ = source[0] if len(source) == 2 else _found(path)
    given = {
        "users": users, "songs": songs, "days": days, "seed": seed, "events": events, "bursts": bursts,
        "header": header, "from": from_, "user": user, "origin": origin, "incognito": incognito or None,
    }  # fmt: skip
    options = {name: value for name, value in given.items() if value is not None}
    report = import_source(format_, path, dry_run=dry_run, strict=strict, merge=merge, replace=replace, options=options)
    if json_:
        console.print_json(report)
        return
    for warning in report["warnings"]:
        console.warn(warning)
    for name, rows in report.get("preview", {}).items():
        if rows:
            fields = list(dict.fromkeys(field for row in rows for field in row if field != "event_id"))
            console.print_table(
                fields, [[row.get(field, "") for field in fields] for row in rows], title=f"{name}, the first"
            )
    console.say(
        f"{report['format']}: {report['read']} rows read, {report['written']} written, "
        f"{report['rejected']} rejected, {report['seconds']} s"
    )
    if report["rejects_file"]:
        console.say(f"what was lost, with reasons: {report['rejects_file']}")


def _found(path: Path) -> str:
    from graph.importers.base import recognised

    found = recognised(path)
    console.warn(f"{path} is read as {found}")
    return found


def import_source(
    format: str,  # noqa: A002
    path: Path,
    *,
    dry_run: bool = False,
    strict: bool = False,
    merge: bool = False,
    replace: bool = False,
    options: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Import with the effective settings; see `graph.importers.base.run_import`."""
    from graph.importers.base import run_import

    settings = console.settings()
    with console.progress() as progress:
        if dry_run:
            return run_import(
                format,
                path,
                None,
                None,
                settings.state.dir,
                dry_run=True,
                strict=strict,
                options=options,
                progress=progress,
            )
        with console.graph_store(settings) as store, console.event_log(settings) as log:
            return run_import(
                format,
                path,
                store,
                log,
                settings.state.dir,
                strict=strict,
                merge=merge,
                replace=replace,
                options=options,
                progress=progress,
            )


def list_sources(json_: console.Json = False) -> None:
    """Tell what was imported, when, and how many rows it had."""
    from graph.sources.registry import sources

    with console.event_log(console.settings()) as log:
        found = [source.as_json() for source in sources(log).values()]
    if json_:
        console.print_json(found)
        return
    if not found:
        console.say("nothing was imported yet")
    for one in found:
        when = "before sources were kept" if one["imported_at"] is None else time_of(one["imported_at"])
        rows = ", ".join(f"{count} {name}" for name, count in {"events": one["events"], **one["rows"]}.items())
        state = "" if one["state"] == "done" else f" ({_STATES[one['state']]})"
        console.say(f"{one['number'] or '-'}  {one['source']}  {when}{state}: {rows}")
        for warning in one["warnings"]:
            console.say(f"   {warning}")


_STATES = {
    "started": "interrupted: import it again",
    "mixed": "with rows of an earlier version: --replace takes them out",
    "forgetting": "taken back in part: forget it again",
}


def time_of(at: int) -> str:
    """Epoch milliseconds as text, in UTC."""
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M}"


def forget(
    source: Annotated[str, typer.Argument(help="Its number, name or path, as `segue sources` tells.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, change nothing.")] = False,
    json_: console.Json = False,
) -> None:
    """Take a source back: its events, and what nobody else said of the catalogue."""
    from graph.sources.registry import find
    from graph.sources.withdraw import forget as take_back

    settings = console.settings()
    with console.event_log(settings) as log:
        found = find(log, source)
        with console.progress() as progress, console.graph_store(settings) as store:
            report = take_back(store, log, found, settings.state.dir, dry_run=dry_run, progress=progress)
    if json_:
        console.print_json(report)
        return
    counted = {"events": report["events"], "exposures": report["exposures"], **report["rows"]}
    rows = ", ".join(f"{count} {name}" for name, count in counted.items() if count) or "nothing"
    console.say(
        f"{report['source']}: {rows} {'would go' if dry_run else 'taken back; `segue refresh` learns from the rest'}"
    )
