"""The examples of CONTRIBUTING.md work as they stand there: one new file is a channel, or a re-ranker."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from segue_test_worlds import NOW, World

from api.settings import load
from ranking.cascade import Cascade

ROOT = Path(__file__).resolve().parent.parent
HOUSE = {"graph", "embeddings", "recall", "ranking", "api", "tests", "conftest.py", "pyproject.toml"}
OWN = [ROOT / name for name in ("recall/channels", "ranking/rerank", "tests/recall/channels", "tests/ranking")]


def blocks(language: str) -> list[str]:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.fixture
def example() -> str:
    return blocks("python")[0]


@pytest.fixture
def scene() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(blocks("toml")[0])["scenes"]["radio"]
    return found


def test_it_is_used_from_a_package_of_one_s_own(
    example: str, scene: dict[str, Any], lopsided: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "contributed"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "versions.py").write_text(example, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    scene["channels"]["covers"]["use"] = "contributed.versions:Covers"
    settings = load(overrides={"scenes": {"radio": scene}})
    cascade = Cascade(lopsided.release, settings.scene_configs()["radio"])
    query = cascade.query("ana", NOW)
    proposals, _ = cascade.propose(query)
    assert lopsided.ids(proposals["covers"].songs) == ["s4"]
    slate = cascade.slate(query)
    provenance = {
        lopsided.ids([s])[0]: slate.pool.provenance(int(r)) for s, r in zip(slate.songs, slate.rows, strict=True)
    }
    assert "covers" in [channel["channel"] for channel in provenance["s4"]]


def test_the_reranker_orders_the_scene_that_names_it(
    lopsided: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "contributed_order.py").write_text(blocks("python")[2], encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    scene = tomllib.loads(blocks("toml")[1])["scenes"]["radio"]
    scene["rerankers"]["assorted"]["use"] = "contributed_order:Assorted"
    cascade = Cascade(lopsided.release, load(overrides={"scenes": {"radio": scene}}).scene_configs()["radio"])
    rows = cascade._reranker.order(np.array([0.1, 0.9, 0.8, 0.7]), np.zeros((4, 1)), np.array([-1, 5, 5, 6]), 3)
    assert rows.tolist() == [1, 3, 0]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A house like this one, to put files into: folders beside those are links, so that what is compiled in them need
    not be compiled anew."""
    _put(ROOT, tmp_path, [name for name in os.listdir(ROOT) if name in HOUSE])
    return tmp_path


def _put(source: Path, target: Path, names: Iterable[str]) -> None:
    target.mkdir(exist_ok=True)
    for name in names:
        here = source / name
        if here.is_dir() and any(own.is_relative_to(here) for own in OWN):
            _put(here, target / name, [inner for inner in os.listdir(here) if inner != "__pycache__"])
        elif here.is_dir():
            (target / name).symlink_to(here)
        else:
            shutil.copy(here, target)


def passed(house: Path, unit: str, tests: str) -> int:
    """How many tests of the copy that name the unit pass; none may fail."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", unit, tests]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"PYTHONPATH": str(house)}
    ran = subprocess.run(command, capture_output=True, text=True, cwd=house, env=environment, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = re.search(r"(\d+) passed", ran.stdout)
    assert found is not None
    return int(found[1])


def test_one_new_file_in_the_house_is_a_channel(example: str, house: Path) -> None:
    (house / "recall" / "channels" / "covers.py").write_text(example, encoding="utf-8")
    own = house / "tests" / "recall" / "channels" / "test_covers.py"
    own.write_text(blocks("python")[1], encoding="utf-8")
    assert passed(house, "covers", "tests/recall/channels") > 10  # the contract, field by field, and its own


def test_one_new_file_in_the_house_is_a_reranker(house: Path) -> None:
    (house / "ranking" / "rerank" / "assorted.py").write_text(blocks("python")[2], encoding="utf-8")
    assert passed(house, "assorted", "tests/ranking") > 20  # the contract, song by song and field by field
