"""What every ranker keeps to: each file of `ranking/fine/`, a new one from the moment it exists."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from segue_test_configs import IMPOSSIBLE, refused, variations
from segue_test_worlds import lopsided_snapshot

from graph.errors import CorruptRelease, FitError
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.units import Unit
from ranking.base import RANKERS, Ranker
from ranking.scene import SceneConfig

NAMES = ("tells", "tells against", "noise", "flat")
NAMED = Path("ranking") / "radio" / "mine"


@pytest.fixture(scope="module", params=RANKERS.names())
def unit(request: pytest.FixtureRequest) -> Unit:
    return RANKERS.unit(request.param)


def planted(seed: int = 3, lists: int = 80) -> tuple[Array, Array, Array]:
    """(features, labels, groups) of lists of 2 to 5 songs, the second of each loved.

    The first feature is high and the second low where a song was loved; the last never changes.
    """
    rng = np.random.default_rng(seed)
    groups = np.concatenate([[0], np.cumsum(rng.integers(2, 6, size=lists))])
    labels = np.zeros(groups[-1])
    labels[groups[:-1] + 1] = 1.0
    told = np.stack([labels, -labels], axis=1) + 0.2 * rng.normal(size=(len(labels), 2))
    return np.column_stack([told, rng.normal(size=len(labels)), np.full(len(labels), 7.0)]), labels, groups


def fitted(unit: Unit, options: dict[str, Any] | None = None, seed: int = 0) -> Ranker:
    config = unit.configure(options)
    ranker: Ranker = unit.class_.fit(NAMES, *planted(), config, rng=np.random.default_rng(seed))
    return ranker


def saved(ranker: Ranker, folder: Path) -> dict[str, bytes]:
    ranker.save(folder / NAMED)
    files = sorted(p for p in (folder / NAMED.parent).rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def test_has_a_config_that_needs_nothing_and_a_name_that_a_scene_may_say(unit: Unit) -> None:
    assert unit.configure() == unit.config()
    assert SceneConfig(ranker=unit.name).ranker_of() == (unit.class_, unit.config())
    assert unit.name not in {"fused", "fusion", "cold_start"}


def test_what_was_loved_stands_above_the_rest(unit: Unit) -> None:
    features, labels, groups = planted(seed=9)  # lists that it has not seen
    scores = fitted(unit).score(features)
    assert scores.shape == labels.shape
    assert np.isfinite(scores).all()
    first = [begin + scores[begin:end].argmax() for begin, end in pairwise(groups)]
    assert labels[first].mean() > 0.9


def test_it_names_the_features_that_it_was_fitted_on(unit: Unit) -> None:
    assert tuple(fitted(unit).names) == NAMES


def test_an_empty_pool_has_no_scores(unit: Unit) -> None:
    assert fitted(unit).score(np.empty((0, len(NAMES)))).shape == (0,)


def test_loaded_it_scores_as_it_did_before(unit: Unit, tmp_path: Path) -> None:
    lopsided_snapshot().write(tmp_path / "snapshot")
    ranker = fitted(unit)
    ranker.save(tmp_path / NAMED)
    loaded = unit.class_.load(Release.open(tmp_path), str(NAMED))
    features, _, _ = planted(seed=9)
    assert tuple(loaded.names) == NAMES
    assert loaded.score(features).tolist() == ranker.score(features).tolist()
    with pytest.raises(CorruptRelease):
        unit.class_.load(Release.open(tmp_path), "ranking/daily/mine")


def test_the_same_seed_learns_the_same_bytes(unit: Unit, tmp_path: Path) -> None:
    one, other = (saved(fitted(unit, seed=5), tmp_path / name) for name in ("one", "other"))
    assert one == other
    assert one


def test_without_a_list_there_is_nothing_to_learn(unit: Unit) -> None:
    empty = np.empty((0, len(NAMES))), np.empty(0), np.array([0])
    with pytest.raises(FitError):
        unit.class_.fit(NAMES, *empty, unit.config(), rng=np.random.default_rng(0))


# ---- each field of a config does something


FIELDS = [(name, field.name) for name in RANKERS.names() for field in dataclasses.fields(RANKERS.unit(name).config)]


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_each_field_of_the_config_changes_what_is_learned(name: str, field: str, tmp_path: Path) -> None:
    unit = RANKERS.unit(name)
    usual = saved(fitted(unit), tmp_path / "usual")
    for i, value in enumerate(variations(getattr(unit.config(), field))):
        if saved(fitted(unit, {field: value}), tmp_path / str(i)) != usual:
            return
    pytest.fail(f"no value of {name}.{field} changes anything")


@pytest.mark.parametrize("value", IMPOSSIBLE, ids=str)
@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_values_out_of_range_are_refused_by_name(name: str, field: str, value: float) -> None:
    refused(RANKERS.unit(name), field, value)
