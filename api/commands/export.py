"""`segue export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api import console


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(export)


def export(
    folder: Annotated[Path, typer.Argument(help="Where events.parquet and exposures.parquet go.")],
    after: Annotated[int, typer.Option(help="Only what has a higher offset.", min=0)] = 0,
    json_: console.Json = False,
) -> None:
    """Write events and exposures as Parquet, for a data warehouse."""
    from graph.log.events import export_parquet

    with console.event_log(console.settings()) as log:
        written = export_parquet(log, folder, after=after)
    if json_:
        console.print_json({"folder": str(folder), "written": written})
    else:
        console.say(f"{folder}: {written['events']} events, {written['exposures']} exposures")
