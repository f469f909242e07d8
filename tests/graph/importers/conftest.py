"""A small example of every format, copied or made so that a test may break it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from openpyxl import Workbook

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


def make_yambda(folder: Path) -> None:
    listen = {"uid": [100, 101], "item_id": [7, 8], "timestamp": [5, 305], "is_organic": [1, 0]}
    pl.DataFrame({**listen, "played_ratio_pct": [100, 10], "track_length_seconds": [187, 200]}).write_parquet(
        folder / "listens.parquet"
    )
    pl.DataFrame({name: values[:1] for name, values in listen.items()}).write_parquet(folder / "likes.parquet")
    pl.DataFrame({"artist_id": [70], "item_id": [7]}).write_parquet(folder / "artist_item_mapping.parquet")


def make_deezer(folder: Path) -> None:
    book = Workbook()
    sheet = book.create_sheet("10_listeningHistory")
    sheet.append(["Song Title", "Artist", "ISRC", "Album Title", "IP Address", "Listening Time", "Date"])
    sheet.append(["Harbour Lights", "The Paper Boats", "XX0000000001", "Tides", "-", 187, "2023-05-06 07:08:19"])
    sheet.append(["Río", "Ana Sol", "XX0000000002", "Agua", "-", 200, "2023-05-06 07:11:19"])
    book.save(folder / "deezer-data_1.xlsx")


MADE = {"yambda": make_yambda, "deezer": make_deezer}


@pytest.fixture
def example(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """The path to import for a format: the folder of its example, or the only file in it."""

    def copy(name: str) -> Path:
        folder = tmp_path / name
        if name in MADE:
            folder.mkdir()
            MADE[name](folder)
        else:
            shutil.copytree(request.getfixturevalue("tiny_world") if name == "world" else EXAMPLES / name, folder)
        files = list(folder.iterdir())
        return files[0] if len(files) == 1 and files[0].is_file() else folder

    return copy


@pytest.fixture
def read(example: Callable[[str], Path]) -> Callable[..., Batch]:
    """What an importer makes of its example, or of a path."""

    def run(name: str, path: Path | None = None, **options: Any) -> Batch:
        return open_importer(name, example(name) if path is None else path, options).read(no_progress)

    return run
