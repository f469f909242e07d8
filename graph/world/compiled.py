"""The one place where this package meets numba: a decorator that keeps the types of what it compiles."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def forget_older(folder: Path) -> None:
    """Drop kept machine code that is older than any source of `folder`.

    numba compares a function with its own file only, and would go on with an old copy of what it calls in another.
    """
    newest = max(source.stat().st_mtime for source in folder.glob("*.py"))
    for index in (folder / "__pycache__").glob("*.nbi"):
        with suppress(OSError):  # another process was first, or the folder is read-only
            if index.stat().st_mtime < newest:
                index.unlink()


def compiled(function: F) -> F:
    """Compile to machine code at the first call and keep the code on disk for later processes."""
    made: F = njit(cache=True)(function)
    return made


forget_older(Path(__file__).parent)
