"""The example of CONTRIBUTING.md works as it stands there: one new file is a channel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from segue_test_worlds import NOW, World

from api.settings import load
from ranking.cascade import Cascade

ROOT = Path(__file__).resolve().parent.parent


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


def test_one_new_file_in_the_house_suffices(example: str, tmp_path: Path) -> None:
    copied = ("graph", "embeddings", "recall", "ranking", "api", "tests", "conftest.py", "pyproject.toml")
    for name in copied:
        source = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, tmp_path / name, ignore=ignored) if source.is_dir() else shutil.copy(source, tmp_path)
    own = "tests/recall/channels/test_covers.py"
    (tmp_path / "recall" / "channels" / "covers.py").write_text(example, encoding="utf-8")
    (tmp_path / own).write_text(blocks("python")[1], encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "covers", "tests/recall/channels"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{own}::" not in ran.stdout  # it names tests only when they fail
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None
    assert int(passed[1]) > 10  # the contract, field by field, and its own
