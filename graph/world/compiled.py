"""The one place where this package meets numba: a decorator that keeps the types of what it compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile to machine code at the first call and keep the code on disk for later processes."""
    made: F = njit(cache=True)(function)
    return made
