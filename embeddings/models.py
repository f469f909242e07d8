"""The models that ship: files of the folders of `embeddings/`, each with one model and its frozen config.

A file NAME.py is a model if it defines a class of that name (`relation_gamma_gcn` -> `RelationGammaGCN`: case and `_`
aside) and its `…Config`; other files help. Names are read off the source: listing them imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from graph.configure import configure
from graph.units import unit_at, unknown

_FOLDER = Path(__file__).parent
# Lines of the source; a syntax tree of every file would take longer than most commands.
_CLASS: Final = re.compile(r"^class (\w+)", re.MULTILINE)
_ENABLED: Final = re.compile(r"^    enabled: [^=\n]+ = True\b", re.MULTILINE)


@dataclass(frozen=True)
class ModelType:
    """A model's class, whose `fit(snapshot, config, *, rng, …)` gives `ModelVectors`, and the class of its config."""

    name: str
    model: type[Any]
    config: type[Any]

    @property
    def enabled(self) -> bool:
        """Whether a refresh trains it without being told to: its class says so by `enabled`."""
        return bool(getattr(self.model, "enabled", False))

    def configure(self, options: Mapping[str, Any] | None = None) -> Any:
        """Its config with `options` over the defaults.

        Raises: SettingsError if an option is unknown or of the wrong type.
        """
        return configure(self.config, options or {}, f"model {self.name}")


def model_names() -> list[str]:
    """Names of the models that ship."""
    return sorted(_files())


def enabled_by_default() -> list[str]:
    """Names of the models whose class sets `enabled = True`, read off the source as well."""
    return [name for name in model_names() if _enabled(_files()[name][0])]


def model_type(name: str) -> ModelType:
    """The model of that name.

    Raises: SettingsError if there is none.
    """
    if name not in _files():
        raise unknown("model", name, model_names())
    file, class_name = _files()[name]
    found = unit_at("model", name, f"embeddings.{file.parent.name}.{name}:{class_name}", ("fit",))
    return ModelType(name, found.class_, found.config)


@cache
def _files() -> Mapping[str, tuple[Path, str]]:
    named = ((file, _class_name(file)) for file in _FOLDER.glob("*/*.py"))
    return {file.stem: (file, name) for file, name in named if name is not None}


def _class_name(file: Path) -> str | None:
    """The class that the file is named for, if it has a config beside it."""
    classes = set(_CLASS.findall(file.read_text(encoding="utf-8")))
    wanted = file.stem.replace("_", "")
    return next((c for c in sorted(classes) if c.lower() == wanted and f"{c}Config" in classes), None)


@cache
def _enabled(file: Path) -> bool:
    name, text = _files()[file.stem][1], file.read_text(encoding="utf-8")
    body = re.search(rf"^class {name}\b.*\n((?:[ \t].*\n|\n)*)", text, re.MULTILINE)
    return body is not None and _ENABLED.search(body[1]) is not None
