"""Units: channels, models, rankers and re-rankers, each one file of a package folder, found by its name.

The one public class of the file that has the members of its kind is the unit, and its settings are the frozen dataclass
`<Class>Config` beside it. A unit from outside is named by "package.module:Class".
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from graph.configure import configure
from graph.errors import SettingsError


@dataclass(frozen=True)
class Unit:
    """A class that was found by its name, and the class of its config; `kind` is what it is called in messages."""

    kind: str
    name: str
    class_: type[Any]
    config: type[Any]

    def configure(self, options: Mapping[str, Any] | None = None, where: str | None = None) -> Any:
        """Its config with `options` over the defaults.

        Raises: SettingsError if an option is unknown or unusable; it begins with `where`, else with kind and name.
        """
        return configure(self.config, options or {}, where or f"{self.kind} {self.name}")


@dataclass(frozen=True)
class UnitUse:
    """How settings use a unit."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """The unit's own options, by their names; they lie over the defaults."""
    use: str | None = None
    """Class "package.module:Class" of a unit from outside; None for the file of the unit's name."""

    @classmethod
    def of_table(cls, table: Any, where: str) -> UnitUse:
        """What a table of the settings, which stands at `where`, says.

        Raises: SettingsError if it is no table, or if its `use` names nothing.
        """
        if not isinstance(table, Mapping):
            raise SettingsError(f"{where} must be a table of options (got {table!r})")
        options = dict(table)
        use = options.pop("use", None)
        if use is not None and (not isinstance(use, str) or not use):
            raise SettingsError(f'{where}.use must be "package.module:Class" (got {use!r})')
        return cls(options, use)


@dataclass(frozen=True)
class Family:
    """All units of one kind: the files of `package`, and classes from outside, that have all of `members`."""

    kind: str
    package: str
    members: Sequence[str]

    def names(self) -> list[str]:
        """Names of the units that ship."""
        return file_names(self.package)

    def unit(self, name: str, use: str | None = None) -> Unit:
        """The unit of that name: a file of the package, or the class that `use` names.

        Raises: SettingsError for an unknown name, or one that no file could have; else as `unit_at`.
        """
        if use is None and name not in self.names():
            raise unknown(self.kind, name, self.names())
        if not re.fullmatch(r"[\w-]+", name):
            raise SettingsError(f"a {self.kind}'s name is of letters, digits, - and _ (got {name!r})")
        return unit_at(self.kind, name, use or f"{self.package}.{name}", self.members)

    def configured(self, name: str, uses: Mapping[str, UnitUse], where: str) -> tuple[type[Any], Any]:
        """The class of that name, and its config as `uses` sets it.

        Raises: SettingsError as `unit` and `Unit.configure`; it begins with `where`.NAME.
        """
        use, where = uses.get(name, UnitUse()), f"{where}.{name}"
        try:
            unit = self.unit(name, use.use)
        except SettingsError as error:
            raise SettingsError(f"{where}: {error}") from error
        return unit.class_, unit.configure(use.options, where)


def file_names(package: str) -> list[str]:
    """Names of the modules of a package, sorted, but for those that begin with `_`."""
    folders = tuple(importlib.import_module(package).__path__)
    return list(_file_names(folders, tuple(Path(folder).stat().st_mtime_ns for folder in folders)))


@lru_cache(maxsize=32)
def _file_names(folders: tuple[str, ...], changed: tuple[int, ...]) -> tuple[str, ...]:  # noqa: ARG001
    """Those of some folders, read again when a file came or went since; settings ask hundreds of times."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(folders) if not module.name.startswith("_")))


def unknown(kind: str, name: str, known: Iterable[str]) -> SettingsError:
    """What to raise for a name that no unit has."""
    return SettingsError(f"unknown {kind} {name!r} (known: {', '.join(known)})")


def unit_at(kind: str, name: str, where: str, members: Sequence[str]) -> Unit:
    """The unit in the module `where`, or the class `where` = "package.module:Class"; nothing else is imported.

    Raises: SettingsError if the module cannot be imported, if it does not hold exactly one public class that has all
    `members`, or if that class has no config.
    """
    module_name, _, class_name = where.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a file from outside does when it is imported
        raise SettingsError(f"{kind} {name!r}: cannot import {module_name} ({error})") from error
    found = [value for value in _classes(module, class_name) if all(hasattr(value, member) for member in members)]
    if len(found) != 1:
        wanted = f"one class {class_name}".rstrip() + f" with {_listed(members)}"
        raise SettingsError(f"{kind} {name!r}: {module_name} must hold {wanted} (found {len(found)})")
    return Unit(kind, name, found[0], _config_of(found[0], f"{kind} {name!r}"))


def _classes(module: ModuleType, name: str) -> list[type[Any]]:
    """The public classes that a module defines, or the one that it holds under `name`."""
    if name:
        named = getattr(module, name, None)
        return [named] if inspect.isclass(named) else []
    own = (value for key, value in vars(module).items() if not key.startswith("_"))
    return list({value: None for value in own if inspect.isclass(value) and value.__module__ == module.__name__})


def _config_of(unit: type[Any], what: str) -> type[Any]:
    """The frozen dataclass `<Class>Config` in the module that defines the class.

    Raises: SettingsError if there is none, or if a field has no default.
    """
    name = f"{unit.__name__}Config"
    config: Any = getattr(sys.modules[unit.__module__], name, None)
    if not getattr(getattr(config, "__dataclass_params__", None), "frozen", False):
        raise SettingsError(f"{what}: {unit.__module__} has no {name} that is a frozen dataclass")
    for given in dataclasses.fields(config):
        if given.default is given.default_factory is dataclasses.MISSING:
            raise SettingsError(f"{what}: {name}.{given.name} has no default")
    found: type[Any] = config
    return found


def _listed(members: Sequence[str]) -> str:
    """`a`, `b` and `c`."""
    quoted = [f"`{member}`" for member in members]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
