import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from segue_test_worlds import DAY, SHORT, World, events, nodes, planted_snapshot

from embeddings.gnn.relation_gamma_gcn import RelationGammaGCNConfig
from embeddings.towers.als import ALS, ALSConfig
from embeddings.vectors.model_vectors import ModelVectors
from graph.errors import SettingsError
from graph.release import MEASURED, Release
from graph.snapshot.snapshot import Snapshot
from ranking.cascade import Cascade
from ranking.learning import Learner, LearningConfig
from ranking.reserve import LEAST_SESSIONS, Reserve
from ranking.scene import ChannelUse, SceneConfig, default_channels
from ranking.training import CHANNEL_TRAIN, TEST

MODELS = {"song2vec": SHORT, "relation_gamma_gcn": RelationGammaGCNConfig(embedding_dim=8)}


@pytest.fixture(scope="module")
def config() -> LearningConfig:
    return LearningConfig(rank_share=0.2, measure_share=0.2, models=MODELS, seed=3)


def learn(folder: Path, config: LearningConfig) -> Learner:
    planted_snapshot().write(folder / "snapshot")
    learner = Learner({"radio": SceneConfig(heard="always")}, config)
    learner.learn(folder)
    return learner


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, config: LearningConfig) -> Path:
    made = tmp_path_factory.mktemp("learned")
    learn(made, config)
    return made


def test_the_steps_leave_vectors_neighbours_and_a_ranker(folder: Path) -> None:
    release = Release.open(folder).measured()
    ranking = ("ranking/radio/linear", "ranking/radio/fusion", "ranking/radio/cold_start")
    for name in (
        "vectors/song2vec",
        "vectors/relation_gamma_gcn",
        "similar/song2vec",
        "recall/item_knn/neighbours",
        *ranking,
    ):
        assert release.has(name), name


def test_the_same_seed_learns_the_same_bytes(folder: Path, tmp_path: Path, config: LearningConfig) -> None:
    learn(tmp_path, config)
    for file in sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file()):
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes(), file


def test_a_release_that_learned_what_is_measured_now_is_not_gone_on_from(
    tmp_path: Path, config: LearningConfig
) -> None:
    folders = tmp_path / "parent", tmp_path / "child", tmp_path / "same", tmp_path / "seed"
    for made in folders:
        planted_snapshot().write(made / "snapshot")
    Learner({}, dataclasses.replace(config, rank_share=0.05, measure_share=0.05)).embed(folders[0], "song2vec")
    parent = Release.open(folders[0]).measured()
    assert Learner({}, config).embed(folders[1], "song2vec", parent) == {"training": "full", "updates": 0}
    narrow = dataclasses.replace(config, rank_share=0.05, measure_share=0.05)
    assert Learner({}, narrow).embed(folders[2], "song2vec", parent) == {"training": "update", "updates": 1}
    reseeded = Learner({}, dataclasses.replace(narrow, seed=narrow.seed + 1))
    assert reseeded.embed(folders[3], "song2vec", parent) == {"training": "full", "updates": 0}


def test_the_cuts_have_the_shares_of_the_config(config: LearningConfig) -> None:
    subset = Learner({}, config).split(planted_snapshot()).subset
    assert (subset == CHANNEL_TRAIN).mean() == pytest.approx(0.6, abs=0.05)
    assert (subset == TEST).mean() == pytest.approx(0.2, abs=0.05)


SONGS, PEOPLE = 15, 30


def discovering(*, other_from: int) -> Snapshot:
    """People who meet the songs of their scene one a day; from the day `other_from` on in another order.

    So two of them agree on everything before that day and on nobody's next song after it.
    """
    rng = np.random.default_rng(2)
    rows = []
    for person in range(PEOPLE):
        songs = rng.permutation(SONGS)
        songs[other_from:] = songs[other_from:][::-1]
        rows += [(f"u{person:02}", f"{'ab'[person % 2]}{song:02}", DAY * (day + 1)) for day, song in enumerate(songs)]
    rows.sort(key=lambda row: row[2])
    frame = pl.DataFrame(rows, schema={"user_id": pl.String, "song_id": pl.String, "at": pl.Int64}, orient="row")
    unknown = dict.fromkeys(("played_ms", "rating", "latitude", "longitude"), pl.lit(None, dtype=pl.Float64))
    events = frame.with_row_index("offset", offset=1).with_columns(action=pl.lit("full_play"), count=1, **unknown)
    return Snapshot.of_frames({}, {}, events)


def learned(folder: Path, config: LearningConfig, *, other_from: int = SONGS, budget_ms: float = 60_000) -> Path:
    discovering(other_from=other_from).write(folder / "snapshot")
    learner = Learner({"radio": SceneConfig(budget_ms=budget_ms)}, config)
    learner.learn(folder)
    return folder


def same(one: Path, other: Path, *folders: str) -> bool:
    parts = [part for name in folders for part in (one / name, one / MEASURED / name)]
    files = [p.relative_to(one) for part in parts for p in sorted(part.rglob("*.bin"))]
    assert files
    return all((one / file).read_bytes() == (other / file).read_bytes() for file in files)


# of 15 days the ranker learns from days 9 to 11 and days 12 to 14 measure
FIRST_RANKED, FIRST_MEASURED = 9, 12


def test_vectors_and_channels_do_not_see_what_ranks_or_measures(tmp_path: Path, config: LearningConfig) -> None:
    mine = learned(tmp_path / "mine", config)
    future = learned(tmp_path / "future", config, other_from=FIRST_RANKED)
    past = learned(tmp_path / "past", config, other_from=FIRST_RANKED - 2)
    assert same(mine, future, "vectors", "similar", "recall")
    assert not same(mine, past, "vectors")
    assert not same(mine, past, "recall")


def test_the_ranker_does_not_see_what_measures(tmp_path: Path, config: LearningConfig) -> None:
    mine = learned(tmp_path / "mine", config)
    assert same(mine, learned(tmp_path / "future", config, other_from=FIRST_MEASURED), "ranking")
    assert not same(mine, learned(tmp_path / "past", config, other_from=FIRST_MEASURED - 3), "ranking")


def test_what_is_measured_was_not_known_when_it_was_recommended(tmp_path: Path, config: LearningConfig) -> None:
    folder = learned(tmp_path, config)
    boards = Learner({"radio": SceneConfig(budget_ms=60_000)}, config).evaluate(folder)
    # seen, the three songs that each of them meets in the end would be heard ones, and no truth would be left
    assert len(boards["cascade"].rows) == PEOPLE
    assert boards["cascade"].means()["recall@10"] > 0.9


def test_a_busy_machine_learns_and_measures_the_same(tmp_path: Path, config: LearningConfig) -> None:
    patient = learned(tmp_path / "patient", config)
    hurried = learned(tmp_path / "hurried", config, budget_ms=1e-6)
    assert same(patient, hurried, "ranking")
    measured = [
        Learner({"radio": SceneConfig(budget_ms=ms)}, config).evaluate(patient)["cascade"].means()
        for ms in (60_000, 1e-6)
    ]
    assert measured[0] == measured[1]


def test_evaluation_measures_the_cascade_beside_popularity(folder: Path, config: LearningConfig) -> None:
    # everybody but `you` knows everything of their scene by now, and `you` never met the answer: no truth is left
    boards = Learner({"radio": SceneConfig()}, config).evaluate(folder, channels=True)
    assert {"cascade", "popularity", "item_knn"} <= set(boards)
    assert len({len(board.rows) for board in boards.values()}) == 1


def test_channels_are_prepared_once_for_all_scenes(config: LearningConfig) -> None:
    scenes = {"a": SceneConfig(), "b": SceneConfig(n=3)}
    found = [name for name, *_ in Learner(scenes, config).prepared()]
    assert found == sorted(set(found))
    assert {"item_knn", "listener_kernel", "attributes"} <= set(found) <= set(default_channels())
    other = default_channels() | {"item_knn": ChannelUse(options={"shrink": 1.0})}
    with pytest.raises(SettingsError, match="item_knn is prepared once, but two scenes give it different options"):
        Learner({"a": SceneConfig(), "b": SceneConfig(channels=other)}, config).prepared()


def test_scenes_may_differ_in_options_that_are_not_prepared(config: LearningConfig) -> None:
    scenes = {
        "a": SceneConfig(channels={"social": ChannelUse()}),
        "b": SceneConfig(channels={"social": ChannelUse(options={"circle": 0.0})}),
    }
    assert Learner(scenes, config).prepared() == [("social", {}, None)]
    scenes["b"] = SceneConfig(channels={"social": ChannelUse(options={"kept": 9})})
    with pytest.raises(SettingsError, match="social is prepared once"):
        Learner(scenes, config).prepared()


def test_a_log_too_young_to_rank_leaves_the_scene_without_a_ranker(tmp_path: Path, lopsided: World) -> None:
    lopsided.snapshot.write(tmp_path / "snapshot")
    learner = Learner({"radio": SceneConfig()}, LearningConfig(rank_share=0.01, measure_share=0.01, models=MODELS))
    learner.learn(tmp_path)
    assert not Release.open(tmp_path).has("ranking/radio/linear")


def test_models_are_brought_to_the_log_s_end(folder: Path, config: LearningConfig, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    drift = Learner({"radio": SceneConfig(heard="always")}, config).bring_to_end(tmp_path)
    shipped = Release.open(tmp_path)
    for model in MODELS:
        assert shipped.arrays(f"vectors/{model}")[1]["cuts"].keys() == {"seed"}
        assert shipped.measured().arrays(f"vectors/{model}")[1]["cuts"].keys() == {
            "seed",
            "rank_share",
            "measure_share",
        }
        assert 0.3 < drift[model]["mean_cosine"] < 1
    assert shipped.has("recall/item_knn/neighbours")


def test_a_scene_without_a_ranker_learns_weights_if_it_says_so(
    folder: Path, config: LearningConfig, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "build")
    shutil.rmtree(tmp_path / "build" / "ranking")
    uses = {"popularity": ChannelUse(), "item_knn": ChannelUse()}
    fixed = SceneConfig(ranker="fused", quotas="fixed", heard="always", channels=uses)
    scenes = {"fixed": fixed, "learned": dataclasses.replace(fixed, fusion="learned")}
    Learner(scenes, config).rank(tmp_path / "build")
    release = Release.open(tmp_path / "build")
    assert release.has("ranking/learned/fusion")
    assert not release.has("ranking/learned/linear")
    assert not release.has("ranking/fixed/fusion")


def test_at_the_log_s_end_a_model_takes_the_regularization_that_its_search_found(
    folder: Path, config: LearningConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    scenes = {"radio": SceneConfig(heard="always")}
    searching = Learner(scenes, dataclasses.replace(config, models={"als": ALSConfig(embedding_dim=4, sweeps=2)}))
    searching.embed(tmp_path, "als")
    found = Release.open(tmp_path).measured().arrays("vectors/als")[1]["found"]
    fitted: list[ALSConfig] = []
    fit = ALS.fit

    def seen(snapshot: Snapshot, config: ALSConfig, **others: Any) -> ModelVectors:
        fitted.append(config)
        return fit(snapshot, config, **others)

    monkeypatch.setattr(ALS, "fit", seen)
    searching.embed(tmp_path, "als", part="")
    assert fitted == [ALSConfig(embedding_dim=4, sweeps=2, regularization=found["regularization"], tuned=False)]
    meta = Release.open(tmp_path).arrays("vectors/als")[1]
    assert meta["found"] == found
    assert meta["config"]["tuned"]  # as it is set: the next refresh knows that nothing has changed


def test_a_model_without_anything_to_learn_from_is_left_out(tmp_path: Path, config: LearningConfig) -> None:
    Snapshot.of_frames({"Song": nodes(["s1", "s2"])}, {}, events([])).write(tmp_path / "snapshot")
    found = Learner({"radio": SceneConfig()}, config).embed(tmp_path, "relation_gamma_gcn")
    assert found["training"] == "none"
    assert "no listener likes a song" in found["reason"]
    assert not list(tmp_path.rglob("relation_gamma_gcn*"))


def test_how_much_of_a_slate_is_reserved_is_learned_and_used(folder: Path, config: LearningConfig) -> None:
    release = Release.open(folder).measured()
    stored = Reserve.load(release, "ranking/radio/reserve")
    assert stored.reason is None
    assert stored.sessions >= LEAST_SESSIONS
    assert 0.1 <= stored.share <= 0.3
    Reserve(0.2, 77).save(folder / "ranking" / "other" / "reserve")
    scenes = {"radio": SceneConfig(heard="always")}
    assert Cascade(release, scenes["radio"], "radio").reserve == stored
    assert Cascade(Release.open(folder).measured(), scenes["radio"], "other").reserve == Reserve(0.2, 77)


def test_a_reserve_that_is_set_is_not_learned_and_without_times_it_is_the_default(
    tmp_path: Path, config: LearningConfig
) -> None:
    people, songs = range(12), range(9)
    log = [(f"p{u}", "full_play", f"s{(u + i) % 9}", None) for u in people for i in range(6)]
    Snapshot.of_frames({"Song": nodes([f"s{i}" for i in songs])}, {}, events(log)).write(tmp_path / "snapshot")
    uses = {"latest": ChannelUse(), "popularity": ChannelUse()}
    scenes = {"radio": SceneConfig(channels=uses), "mine": SceneConfig(channels=uses, reserve=0.2)}
    scenes["plain"] = SceneConfig(channels={"popularity": ChannelUse()})
    learner = Learner(scenes, dataclasses.replace(config, models={"song2vec": SHORT}))
    learner.embed(tmp_path, "song2vec")
    learner.recall(tmp_path)
    told = learner.rank(tmp_path)["reserve"]
    assert told["radio"] == {"share": 0.1, "sessions": 0, "reason": "no session with a time between the cuts"}
    assert told["plain"]["reason"] == "no channel answers to what was just done"
    assert told.keys() == {"radio", "plain"}


def test_a_model_that_moved_too_far_ships_as_it_was_measured(
    folder: Path, config: LearningConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embeddings.vectors.alignment.NEIGHBOURS", 1)  # of so few songs all are among the 20 nearest
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    strict = dataclasses.replace(config, neighbours_kept=1.0)
    drift = Learner({"radio": SceneConfig(heard="always")}, strict).bring_to_end(tmp_path)
    shipped = Release.open(tmp_path)
    late = {model for model, found in drift.items() if found["neighbours_kept"] < 1}
    assert late
    for model in MODELS:
        for kind in ("vectors", "similar"):
            arrays, measured = (release.arrays(f"{kind}/{model}")[0] for release in (shipped, shipped.measured()))
            same = all(np.array_equal(arrays[name], measured[name]) for name in arrays)
            assert same == (model in late)
        assert (drift[model].get("shipped") == "as measured") == (model in late)
