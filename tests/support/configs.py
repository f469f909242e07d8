"""What contract tests ask of every field of a config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from graph.errors import SettingsError
from graph.units import Unit

IMPOSSIBLE = (-1, float("nan"), float("inf"))
"""Values that no number of a ranker's or re-ranker's config may take."""


def variations(value: Any) -> Iterator[Any]:
    """Other values that a field may take."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (v for v in (1, 2, value + 1, value * 3, max(value // 10, 1)) if v != value)
    elif isinstance(value, float):
        yield from (v for v in (value / 4, value * 4, value + 1.0, 0.5, 0.05) if v != value)
    elif isinstance(value, str):  # so far only whose vectors are asked
        yield from (v for v in ("song2vec", "relation_gamma_gcn") if v != value)
    elif isinstance(value, Mapping):
        yield from ({**value, key: weight * 5 + 1} for key, weight in value.items())
    else:
        pytest.fail(f"this test knows no other value than {value!r}: teach it one")


def refused(unit: Unit, field: str, value: float) -> None:
    """The settings, and the config itself where the type is right, refuse the value and name the field."""
    usual = getattr(unit.config(), field)
    given = type(usual)(value) if np.isfinite(value) else value
    with pytest.raises(SettingsError, match=field):
        unit.configure({field: given})
    if isinstance(given, type(usual)):
        with pytest.raises(ValueError, match=field):
            unit.config(**{field: given})
