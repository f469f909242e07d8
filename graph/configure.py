"""Frozen configs from the options that a person wrote."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from graph.errors import SettingsError

C = TypeVar("C")


def configure(config: type[C], options: Mapping[str, Any], what: str) -> C:
    """The frozen dataclass `config` with `options` over its defaults.

    A table of numbers (a gamma for each relation, say) is laid over the default table; a config within a config is
    configured in turn; a number must be of its default's type.

    Raises: SettingsError naming the option and what was expected.
    """
    default = config()
    known = {f.name for f in dataclasses.fields(config)}  # type: ignore[arg-type]
    values = {}
    for key, value in options.items():
        if key not in known:
            names = ", ".join(sorted(known)) or "none"
            raise SettingsError(f"{what}: unknown option {key!r} (known: {names})")
        values[key] = _value(getattr(default, key), value, f"{what}: {key}")
    try:
        return dataclasses.replace(default, **values)  # type: ignore[type-var]
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{what}: {error}") from error


def _value(default: Any, given: Any, where: str) -> Any:
    if dataclasses.is_dataclass(default) and isinstance(given, Mapping):
        return configure(type(default), given, where)
    if isinstance(default, Mapping) and isinstance(given, Mapping):
        wrong = [k for k, v in given.items() if not _is_number(v)]
        if wrong:
            raise SettingsError(f"{where}.{wrong[0]} must be a number (got {given[wrong[0]]!r})")
        return {**default, **{k: float(v) for k, v in given.items()}}
    if isinstance(default, float) and _is_number(given):
        return float(given)
    if default is not None and (type(given) is not type(default) or isinstance(given, float)):
        raise SettingsError(f"{where} must be {type(default).__name__} (got {given!r})")
    return given


def _is_number(value: Any) -> bool:
    """Whether it is a finite number; TOML has `true`, `nan` and `inf` too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check_positive(config: Any, *names: str) -> None:
    """For a config's `__post_init__`.

    Raises: ValueError if one of the named fields is not more than 0.
    """
    for name in names:
        if not getattr(config, name) > 0:
            raise ValueError(f"{name} must be more than 0 (got {getattr(config, name)})")
