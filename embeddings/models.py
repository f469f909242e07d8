"""The graph networks that ship: files of `embeddings/gnn/`, each with one model and its frozen config.

A file NAME.py is a model if it defines a class of that name (`relation_gamma_gcn` -> `RelationGammaGCN`: case and `_`
aside) and its `…Config`; other files of the folder help. Names are read off the source: listing them imports no torch.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graph.configure import configure
from graph.errors import SettingsError

_FOLDER = Path(__file__).parent / "gnn"


@dataclass(frozen=True)
class ModelType:
    """A model's class, whose `fit(snapshot, config, *, rng, …)` gives `GraphVectors`, and the class of its config."""

    name: str
    model: type[Any]
    config: type[Any]

    def configure(self, options: Mapping[str, Any] | None = None) -> Any:
        """Its config with `options` over the defaults.

        Raises: SettingsError if an option is unknown or of the wrong type.
        """
        return configure(self.config, options or {}, f"model {self.name}")


def model_names() -> list[str]:
    """Names of the graph networks that ship."""
    return sorted(file.stem for file in _FOLDER.glob("*.py") if _class_name(file) is not None)


def model_type(name: str) -> ModelType:
    """The graph network of that name.

    Raises: SettingsError if there is none.
    """
    class_name = _class_name(_FOLDER / f"{name}.py") if name in model_names() else None
    if class_name is None:
        raise SettingsError(f"unknown model {name!r} (known: {', '.join(model_names())})")
    module = importlib.import_module(f"embeddings.gnn.{name}")
    return ModelType(name, getattr(module, class_name), getattr(module, f"{class_name}Config"))


def _class_name(file: Path) -> str | None:
    """The class that the file is named for, if it has a config beside it."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    wanted = file.stem.replace("_", "")
    return next((c for c in sorted(classes) if c.lower() == wanted and f"{c}Config" in classes), None)
