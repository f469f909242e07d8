"""One small world, made once for all tests of the package."""

from pathlib import Path

import pytest

from graph.world import WorldConfig, generate

SMALL = WorldConfig(users=120, songs=400, days=14, seed=7, events=9000)


@pytest.fixture(scope="session")
def small() -> WorldConfig:
    return SMALL


@pytest.fixture(scope="session")
def world_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("world")
    generate(path, SMALL)
    return path
