"""A ranker from outside is fitted by the refresh's rank step, stored, loaded, and decides the order of a slate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from segue_test_worlds import DAY, NOW, planted_snapshot

from graph.errors import SettingsError
from graph.release import Release
from graph.snapshot.arrays import write_arrays
from graph.units import UnitUse
from ranking.cascade import Cascade
from ranking.learning import Learner, LearningConfig
from ranking.scene import ChannelUse, SceneConfig


@dataclass(frozen=True)
class NearestConfig:
    feature: str = "listeners"


class Nearest:
    """Songs are the better the nearer one feature is to its mean over the songs that were loved."""

    def __init__(self, names, column, wanted):
        self.names, self.column, self.wanted = tuple(names), column, wanted

    @classmethod
    def fit(cls, names, features, labels, groups, config, *, rng):
        column = names.index(config.feature)
        return cls(names, column, features[labels > 0, column].mean())

    def score(self, features):
        return -np.abs(features[:, self.column] - self.wanted)

    def save(self, path):
        write_arrays(path, {"wanted": np.array([self.wanted])}, {"names": list(self.names), "column": self.column})

    @classmethod
    def load(cls, release, name):
        arrays, meta = release.arrays(name)
        return cls(meta["names"], meta["column"], float(arrays["wanted"][0]))


@dataclass(frozen=True)
class BackwardsConfig:
    kept: int = 3


class Backwards:
    """The last of the pool first, `kept` of them."""

    def __init__(self, config):
        self.config = config

    def order(self, relevance, likeness, artist, n):
        return np.argsort(relevance, kind="stable")[: min(n, self.config.kept)]


USES = {"popularity": ChannelUse(), "item_knn": ChannelUse()}
PLAIN = {"channels": USES, "heard": "always", "interests": False, "reserve": 0.0, "budget_ms": 60_000}
BY_RELEVANCE = {"mmr": UnitUse({"balance": 1.0})}
MINE = SceneConfig(**PLAIN, ranker="mine", rankers={"mine": UnitUse(use=f"{__name__}:Nearest")}, rerankers=BY_RELEVANCE)


def learned(folder: Path, scene: SceneConfig) -> Release:
    planted_snapshot().write(folder / "snapshot")
    Learner({"radio": scene}, LearningConfig(rank_share=0.2, measure_share=0.2, models={}, seed=3)).learn(folder)
    return Release.open(folder).measured()


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return learned(tmp_path_factory.mktemp("ranked"), MINE)


def test_a_second_ranker_is_fitted_stored_and_loaded(release: Release) -> None:
    assert release.has("ranking/radio/mine")
    assert not release.has("ranking/radio/linear")
    ranker = Cascade(release, MINE).ranker
    assert type(ranker) is Nearest
    assert ranker.names[ranker.column] == "listeners"
    assert ranker.wanted == release.arrays("ranking/radio/mine")[0]["wanted"][0]


def test_a_second_ranker_decides_the_order_of_a_slate(release: Release) -> None:
    cascade = Cascade(release, MINE)
    query = cascade.query("ann0", NOW + DAY)
    slate = cascade.slate(query, 12)
    feature = cascade.features.matrix(query, slate.pool)[:, cascade.features.names.index("listeners")]
    away = np.abs(feature - cascade.ranker.wanted)
    assert away[slate.rows].tolist() == sorted(away.tolist())[:12]
    assert slate.rows.tolist() != np.argsort(-slate.pool.fused, kind="stable")[:12].tolist()


def test_an_option_of_the_ranker_decides_what_it_learns(tmp_path: Path) -> None:
    other = replace(MINE, rankers={"mine": UnitUse({"feature": "momentum"}, f"{__name__}:Nearest")})
    ranker = Cascade(learned(tmp_path, other), other).ranker
    assert ranker.names[ranker.column] == "momentum"


def test_a_second_reranker_picks_the_slate(release: Release) -> None:
    uses = {"mine": UnitUse({"kept": 2}, f"{__name__}:Backwards")}
    cascade = Cascade(release, SceneConfig(**PLAIN, ranker="fused", reranker="mine", rerankers=uses))
    slate = cascade.slate(cascade.query("ann0", NOW + DAY), 12)
    assert slate.rows.tolist() == np.argsort(slate.pool.fused, kind="stable")[:2].tolist()


def test_an_option_of_the_reranker_decides_the_slate(release: Release) -> None:
    slates = []
    for balance in (1.0, 0.0):
        scene = SceneConfig(**PLAIN, ranker="fused", rerankers={"mmr": UnitUse({"balance": balance})})
        cascade = Cascade(release, scene)
        slates.append(cascade.slate(cascade.query("ann0", NOW + DAY), 12).songs.tolist())
    assert slates[0] != slates[1]


def test_a_class_that_cannot_be_stored_is_no_ranker() -> None:
    with pytest.raises(SettingsError, match="must hold one class Backwards with `fit`, `score`, `save` and `load`"):
        SceneConfig(ranker="mine", rankers={"mine": UnitUse(use=f"{__name__}:Backwards")})
