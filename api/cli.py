"""`segue`: the command line. Commands live in `api/commands/`, one file a group, and are found there."""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from api import console
from api.version import VERSION

EXIT_OURS, EXIT_CALLERS, EXIT_INTERRUPTED = 1, 2, 130
# ClickException: of Click itself, or of the copy that newer versions of Typer bring along
_Misuse: Final[Any] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="segue",
    help="A graph-centric music recommender: graph in, ranked and explained songs out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        console.say(f"segue {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    config: Annotated[Path | None, typer.Option("--config", help="Settings file (TOML).")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    console.state.config, console.state.debug = config, debug
    console.log_to_stderr()


def _register() -> None:
    package = importlib.import_module("api.commands")
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        importlib.import_module(f"api.commands.{module.name}").register(app)


def main() -> None:
    """Run a command. Exits 0, 1 for a failure of ours, 2 for the caller's mistake, 130 for Ctrl-C."""
    from graph.errors import SegueError, UserError

    signal.signal(signal.SIGTERM, _interrupt)
    # what is imported stays: looking through it for garbage every 700 objects takes a quarter of a short command
    gc.set_threshold(50_000, 20, 20)
    _register()
    try:
        status = app(standalone_mode=False)
        if status == EXIT_INTERRUPTED:  # Typer took Ctrl-C and said nothing
            _failed("interrupted", EXIT_INTERRUPTED)
    except typer.Abort:
        status = _failed("interrupted", EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        status = _failed("interrupted", EXIT_INTERRUPTED)
    except _Misuse as error:
        status = _failed(error.format_message(), EXIT_CALLERS)
    except UserError as error:
        status = _failed(str(error), EXIT_CALLERS)
    except SegueError as error:
        status = _failed(str(error), EXIT_OURS)
    except ValueError as error:
        status = _failed(str(error), EXIT_CALLERS)
    except BrokenPipeError:
        # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = EXIT_OURS
    except Exception as error:  # noqa: BLE001  the last resort: one line instead of a traceback
        status = _failed(f"{type(error).__name__}: {error} (--debug shows where)", EXIT_OURS)
    sys.exit(status if isinstance(status, int) else 0)


def _failed(reason: str, status: int) -> int:
    if console.state.debug:
        import traceback

        traceback.print_exc()
    one_line = " ".join(reason.split())
    console.err.print(f"segue: {one_line}", markup=False, soft_wrap=True)
    return status


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
