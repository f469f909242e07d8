"""`segue refresh`."""

from __future__ import annotations

from typing import Annotated

import typer

from api import console


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("refresh")(refresh)


def refresh(
    full: Annotated[bool, typer.Option("--full", help="Build everything anew.")] = False,
    only: Annotated[str | None, typer.Option("--only", help="Run one step.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the inputs of an interrupted run.")] = False,
    json_: console.Json = False,
) -> None:
    """Read the graph and the log, learn, measure, and publish a release."""
    from api.jobs.refresh import Refresh
    from graph.errors import SegueError

    settings = console.settings()
    with console.event_log(settings) as log, console.progress() as progress:
        job = Refresh(settings, log, lambda: console.graph_store(settings), progress)
        try:
            report = job.run(full=full, only=only, resume=resume)
        except SegueError as error:
            if json_:
                job.report.reason = str(error)
                console.print_json(job.report.as_json())
            raise
    if json_:
        console.print_json(report.as_json())
    else:
        rows = [(s.name, s.status, f"{s.seconds:.1f} s") for s in report.steps]
        console.print_table(["step", "status", "time"], rows)
        metric = settings.refresh.metric
        if metric in report.metrics:
            popular = report.metrics.get(f"popularity:{metric}", 0.0)
            console.say(f"{metric} {report.metrics[metric]:.4f} (popularity {popular:.4f})")
        verdict = "published" if report.published else "not published"
        console.say(f"release {report.release or '-'}: {verdict}{f' ({report.reason})' if report.reason else ''}")
    if report.kept_back:
        raise typer.Exit(1)
