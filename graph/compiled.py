"""Machine code out of plain functions: numba's decorator, with the types of what it compiles kept."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile at the first call, and keep the code on disk for later processes; other threads may run beside a call."""
    _forget_older_once(Path(function.__code__.co_filename).parent)
    made: F = njit(cache=True, nogil=True)(function)
    return made


@cache
def _forget_older_once(folder: Path) -> None:
    forget_older(folder)


def forget_older(folder: Path) -> None:
    """Drop kept machine code that is older than any source of `folder`.

    numba compares a function with its own file only, and would go on with an old copy of what it calls in another.
    """
    newest = max(source.stat().st_mtime for source in folder.glob("*.py"))
    for index in (folder / "__pycache__").glob("*.nbi"):
        with suppress(OSError):  # another process was first, or the folder is read-only
            if index.stat().st_mtime < newest:
                index.unlink()
