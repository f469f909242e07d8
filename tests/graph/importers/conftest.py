"""A small example of every format, copied so that a test may break it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graph.batch import Batch
from graph.catalogue import no_progress
from graph.importers.base import open_importer

EXAMPLES = Path(__file__).with_name("examples")
TINY_WORLD = {"users": 5, "songs": 40, "days": 2, "seed": 1, "events": 50}


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "world"
    open_importer("world", folder, TINY_WORLD).read(no_progress)
    return folder


@pytest.fixture
def example(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """The path to import for a format: the folder of its example, or the only file in it."""

    def copy(name: str) -> Path:
        source = request.getfixturevalue("tiny_world") if name == "world" else EXAMPLES / name
        folder = Path(shutil.copytree(source, tmp_path / name))
        files = list(folder.iterdir())
        return files[0] if len(files) == 1 and files[0].is_file() else folder

    return copy


@pytest.fixture
def read(example: Callable[[str], Path]) -> Callable[..., Batch]:
    """What an importer makes of its example, or of a path."""

    def run(name: str, path: Path | None = None, **options: Any) -> Batch:
        return open_importer(name, example(name) if path is None else path, options).read(no_progress)

    return run
