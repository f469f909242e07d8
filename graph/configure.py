"""Frozen configs from the options that a person wrote."""

from __future__ import annotations

import dataclasses
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
        wrong = [k for k, v in given.items() if isinstance(v, bool) or not isinstance(v, int | float)]
        if wrong:
            raise SettingsError(f"{where}.{wrong[0]} must be a number (got {given[wrong[0]]!r})")
        return {**default, **{k: float(v) for k, v in given.items()}}
    if isinstance(default, float) and isinstance(given, int) and not isinstance(given, bool):
        return float(given)
    if default is not None and type(given) is not type(default):
        raise SettingsError(f"{where} must be {type(default).__name__} (got {given!r})")
    return given
