"""Gammas as users write them, on the command line and in a query string."""

from __future__ import annotations

import math
from collections.abc import Iterable

from graph.errors import InvalidInput


def parse_gammas(given: Iterable[str], *, least: float = -math.inf) -> dict[str, float]:
    """`RELATION=VALUE` texts as a dictionary; a relation's name may hold `=`.

    Raises: InvalidInput for one that is not, or whose value is no finite number of at least `least`.
    """
    gammas: dict[str, float] = {}
    bound = "" if least == -math.inf else f" with a value of at least {least:g}"
    for text in given:
        name, _, value = text.rpartition("=")
        number = _number(value)
        if not name or number is None or number < least:
            raise InvalidInput(f"--gamma: expected RELATION=VALUE{bound}, got {text!r}")
        gammas[name] = number
    return gammas


def parse_gamma(parameter: str, value: str) -> float:
    """The value of one query parameter.

    Raises: InvalidInput if it is no finite number.
    """
    number = _number(value)
    if number is None:
        raise InvalidInput(f"{parameter}: expected a finite number, got {value!r}")
    return number


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
