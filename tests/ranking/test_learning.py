from pathlib import Path

import pytest
from segue_test_worlds import SHORT, World, planted_snapshot

from graph.errors import SettingsError
from graph.release import Release
from ranking.learning import Learner, LearningConfig
from ranking.scene import ChannelUse, SceneConfig, default_channels
from ranking.training import LEARN, MEASURE


@pytest.fixture(scope="module")
def config() -> LearningConfig:
    return LearningConfig(rank_share=0.2, measure_share=0.2, song2vec=SHORT, seed=3)


def learn(folder: Path, config: LearningConfig) -> Learner:
    planted_snapshot().write(folder / "snapshot")
    learner = Learner({"radio": SceneConfig(heard="always")}, config)
    learner.embed(folder)
    learner.recall(folder)
    learner.rank(folder)
    return learner


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, config: LearningConfig) -> Path:
    made = tmp_path_factory.mktemp("learned")
    learn(made, config)
    return made


def test_the_steps_leave_vectors_neighbours_and_a_ranker(folder: Path) -> None:
    release = Release.open(folder)
    for name in ("vectors/song2vec", "similar/song2vec", "recall/item_knn/neighbours", "ranking/radio/linear"):
        assert release.has(name), name


def test_the_same_seed_learns_the_same_bytes(folder: Path, tmp_path: Path, config: LearningConfig) -> None:
    learn(tmp_path, config)
    for file in sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file()):
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes(), file


def test_channels_learn_only_from_the_events_before_the_first_cut(folder: Path, config: LearningConfig) -> None:
    snapshot = planted_snapshot()
    fold = Learner({}, config).cuts(snapshot).fold
    assert (fold == LEARN).mean() == pytest.approx(0.6, abs=0.05)
    assert (fold == MEASURE).mean() == pytest.approx(0.2, abs=0.05)


def test_evaluation_measures_the_cascade_beside_popularity(folder: Path, config: LearningConfig) -> None:
    # everybody but `you` knows everything of their scene by now, and `you` never met the answer: no truth is left
    boards = Learner({"radio": SceneConfig()}, config).evaluate(folder, channels=True)
    assert {"cascade", "popularity", "item_knn"} <= set(boards)
    assert len({len(board.rows) for board in boards.values()}) == 1


def test_channels_are_prepared_once_for_all_scenes(config: LearningConfig) -> None:
    scenes = {"a": SceneConfig(), "b": SceneConfig(n=3)}
    assert [name for name, *_ in Learner(scenes, config).prepared()] == ["item_knn", "song_to_song"]
    other = default_channels() | {"item_knn": ChannelUse(options={"shrink": 1.0})}
    with pytest.raises(SettingsError, match="item_knn is prepared once, but two scenes give it different options"):
        Learner({"a": SceneConfig(), "b": SceneConfig(channels=other)}, config).prepared()


def test_a_log_too_young_to_rank_leaves_the_scene_without_a_ranker(tmp_path: Path, lopsided: World) -> None:
    lopsided.snapshot.write(tmp_path / "snapshot")
    learner = Learner({"radio": SceneConfig()}, LearningConfig(rank_share=0.01, measure_share=0.01, song2vec=SHORT))
    learner.embed(tmp_path)
    learner.recall(tmp_path)
    learner.rank(tmp_path)
    assert not Release.open(tmp_path).has("ranking/radio/linear")
