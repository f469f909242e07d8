"""What every re-ranker keeps to: each file of `ranking/rerank/`, a new one from the moment it exists."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from segue_test_configs import IMPOSSIBLE, refused, variations

from graph.errors import SettingsError
from graph.snapshot.arrays import Array
from graph.units import Unit
from ranking.base import RERANKERS, Reranker
from ranking.scene import SceneConfig


@pytest.fixture(scope="module", params=RERANKERS.names())
def unit(request: pytest.FixtureRequest) -> Unit:
    return RERANKERS.unit(request.param)


@pytest.fixture
def reranker(unit: Unit) -> Reranker:
    made: Reranker = unit.class_(unit.config())
    return made


def pool(songs: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """(relevance, likeness, artist) of a pool in which some songs have no vector, and some no artist."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(songs, 4))
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    unit[::5] = 0
    return rng.normal(size=songs), unit, rng.integers(-1, max(songs // 3, 1), size=songs)


def test_has_a_config_that_needs_nothing_and_a_name_that_a_scene_may_say(unit: Unit) -> None:
    assert unit.configure() == unit.config()
    assert SceneConfig(reranker=unit.name).reranker_of() == (unit.class_, unit.config())


@pytest.mark.parametrize("n", [0, 1, 7, 39, 40, 1000])
@pytest.mark.parametrize("songs", [0, 1, 2, 40])
def test_at_most_n_rows_of_the_pool_each_once(reranker: Reranker, songs: int, n: int) -> None:
    rows = reranker.order(*pool(songs), n)
    assert len(rows) <= min(n, songs)
    assert np.issubdtype(rows.dtype, np.integer)
    assert len(set(rows.tolist())) == len(rows)
    assert ((rows >= 0) & (rows < songs)).all()


def test_a_pool_without_vectors_artists_or_differences_is_ordered_too(reranker: Reranker) -> None:
    rows = reranker.order(np.zeros(3), np.zeros((3, 1)), np.full(3, -1), 3)
    assert sorted(set(rows.tolist())) == sorted(rows.tolist())
    assert len(rows)


def test_the_most_relevant_song_is_shown(reranker: Reranker) -> None:
    for best in range(5):
        relevance = np.where(np.arange(5) == best, 1.0, 0.1)
        assert best in reranker.order(relevance, np.zeros((5, 1)), np.full(5, -1), 2)


def test_same_pool_same_order_and_nothing_of_it_is_changed(unit: Unit) -> None:
    given, again = pool(40), pool(40)
    rows = [unit.class_(unit.config()).order(*given, 20).tolist() for _ in range(2)]
    assert rows[0] == rows[1]
    assert all((one == other).all() for one, other in zip(given, again, strict=True))


# ---- each field of a config does something


FIELDS = [(name, field.name) for name in RERANKERS.names() for field in dataclasses.fields(RERANKERS.unit(name).config)]


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_each_field_of_the_config_changes_an_order(name: str, field: str) -> None:
    unit = RERANKERS.unit(name)
    usual = [unit.class_(unit.config()).order(*pool(40, seed), 20).tolist() for seed in range(5)]
    for value in variations(getattr(unit.config(), field)):
        try:
            config = unit.configure({field: value})
        except SettingsError:
            continue  # out of its range
        if [unit.class_(config).order(*pool(40, seed), 20).tolist() for seed in range(5)] != usual:
            return
    pytest.fail(f"no value of {name}.{field} changes anything")


@pytest.mark.parametrize("value", IMPOSSIBLE, ids=str)
@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_values_out_of_range_are_refused_by_name(name: str, field: str, value: float) -> None:
    refused(RERANKERS.unit(name), field, value)
