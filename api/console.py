"""What every command shares: settings, output as a table or JSON, progress bars, exit statuses."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from api.progress import Progress
    from api.settings import Settings
    from graph.log.events import EventLog
    from graph.store.store import GraphStore

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


@dataclass
class State:
    """Options given before the command."""

    config: Path | None = None
    debug: bool = False


state = State()


def settings() -> Settings:
    """The effective settings.

    Raises: SettingsError.
    """
    from api.settings import load

    return load(state.config)


@contextmanager
def event_log(settings: Settings) -> Iterator[EventLog]:
    """The event log of the settings, closed at the end."""
    from graph.log.events import EventLog

    with EventLog(settings.events.url, h3_resolution=settings.privacy.h3_resolution) as log:
        yield log


def graph_store(settings: Settings) -> GraphStore:
    """The graph store of the settings; use it as a context manager."""
    from graph.store.store import GraphStore

    return GraphStore.open(settings.graph_config())


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON value on one line; what JSON cannot say (NaN, infinity) as text."""
    sys.stdout.write(json.dumps(_plain(value), ensure_ascii=False) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None) -> None:
    """A table for people."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    out.print(table)


def say(text: str) -> None:
    """One line for people, taken literally."""
    out.print(text, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """One line on stderr."""
    err.print(text, markup=False, style="yellow", soft_wrap=True)


def progress() -> AbstractContextManager[Progress]:
    """Takes (name, done, total) of each part of a long job and shows it on stderr."""
    from api.progress import bars, lines

    return bars(err) if err.is_terminal else lines(_line_to_stderr)


def _line_to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def log_to_stderr() -> None:
    """Send the log to stderr: stdout is for answers, and with `--json` for one object alone."""
    import structlog

    # looked up at each line, since stderr may be another one by then
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(_plain(value), ensure_ascii=False).replace("[", r"\[")
    return "" if value is None else str(value).replace("[", r"\[")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
