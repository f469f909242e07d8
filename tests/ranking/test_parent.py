import dataclasses
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from segue_test_worlds import DAY, edges, events, nodes

from graph.errors import CorruptRelease
from graph.release import MEASURED, Release
from graph.snapshot.snapshot import Snapshot
from graph.units import UnitUse
from ranking.learning import Learner, LearningConfig
from ranking.parent import Parent, compare, default_scene
from ranking.scene import ChannelUse, SceneConfig
from ranking.training import TEST

METRIC = "ndcg@10"
PEOPLE, SONGS, DAYS = 12, 30, 20
CONFIG = LearningConfig(rank_share=0.2, measure_share=0.2, models={}, seed=3)
TOGETHER = SceneConfig(ranker="fused", channels={"item_knn": ChannelUse()})
ALIKE_FOR_ALL = SceneConfig(ranker="fused", channels={"popularity": ChannelUse()})


def log(days: int = DAYS) -> pl.DataFrame:
    """Two crowds; each listener goes once round the crowd's 15 songs, one step a day, everybody from another one."""
    rows = []
    for day in range(days):
        for person in range(PEOPLE):
            song = 15 * (person % 2) + (person + day) % 15
            rows.append((f"u{person:02}", "full_play", f"s{song:02}", (day + 1) * DAY + person))
    return events(rows)


def made(folder: Path, scene: SceneConfig = TOGETHER, *, extra: tuple[str, ...] = (), days: int = 12) -> Release:
    """A release as the refresh would seal it, with `extra` songs that nobody plays."""
    songs = nodes([*(f"s{i:02}" for i in range(SONGS)), *extra])
    Snapshot.of_frames({"Song": songs}, edges({}), log(days)).write(folder / "snapshot")
    learner = Learner({"radio": scene}, CONFIG)
    learner.learn(folder)
    learner.bring_to_end(folder)
    told = {"scenes": {"radio": dataclasses.asdict(scene)}, "learning": dataclasses.asdict(CONFIG)}
    manifest = {"settings": json.loads(json.dumps(told))}
    return dataclasses.replace(Release.open(folder), manifest=manifest)


def over(parent: Release, snapshot: Snapshot) -> Parent:
    return Parent(parent, snapshot, Learner({}, CONFIG).split(snapshot))


def test_a_release_is_as_good_as_itself(tmp_path):
    parent = made(tmp_path)
    found = compare(Learner({"radio": TOGETHER}, CONFIG), tmp_path, parent, METRIC)
    assert found.listeners == PEOPLE
    assert found.candidate == found.other > 0
    assert (found.difference, found.low, found.high) == (0, 0, 0)


def test_the_parent_is_measured_with_its_own_scene(tmp_path):
    parent = made(tmp_path / "parent")
    made(tmp_path / "child", ALIKE_FOR_ALL)
    found = compare(Learner({"radio": ALIKE_FOR_ALL}, CONFIG), tmp_path / "child", parent, METRIC)
    alone = Learner({"radio": TOGETHER}, CONFIG).evaluate(tmp_path / "parent")["cascade"]
    assert found.other == pytest.approx(alone.means()[METRIC])
    assert found.high < 0


def test_another_numbering_of_songs_changes_nothing_for_the_parent(tmp_path):
    parent = made(tmp_path / "parent")
    made(tmp_path / "child", extra=("a-first", "s05-between", "z-last"))
    found = compare(Learner({"radio": TOGETHER}, CONFIG), tmp_path / "child", parent, METRIC)
    assert found.candidate == pytest.approx(found.other)
    assert found.difference == pytest.approx(0)


def test_a_listener_asks_the_parent_with_what_is_known_when_the_measurement_begins(tmp_path):
    parent = made(tmp_path / "parent")
    child = made(tmp_path / "child", extra=("a-first",), days=13)
    learner = Learner({"radio": TOGETHER}, CONFIG)
    known, truth, at = learner.measured(child.measured())
    ids, others = child.snapshot.ids["Song"], parent.snapshot.ids["Song"]
    user, _ = truth[0]
    query = learner.candidate(known).query(child.snapshot.ids["User"][user], at)
    asked = over(parent, child.snapshot).query(query)
    assert [others[i] for i in asked.listener.song] == [ids[i] for i in query.listener.song]
    assert sorted(others[i] for i in asked.exclude) == sorted(ids[i] for i in query.exclude)
    assert asked.listener.at.max() < at


def test_held_out_events_are_hidden_from_the_parent(tmp_path):
    parent = made(tmp_path)
    split = Learner({}, CONFIG).split(parent.snapshot)
    seen = over(parent, parent.snapshot)._cascade.snapshot.histories.offset
    held_out = parent.snapshot.histories.offset[split.subset == TEST]
    assert np.isin(held_out, parent.snapshot.histories.offset).all()
    assert not np.isin(held_out, seen).any()


def test_a_parent_that_shipped_with_held_out_events_is_taken_as_it_was_measured(tmp_path):
    parent = made(tmp_path / "parent", days=12)
    same, later = made(tmp_path / "same", days=12), made(tmp_path / "later", days=20)
    assert over(parent, same.snapshot)._cascade.release.part == MEASURED
    assert over(parent, later.snapshot)._cascade.release.part == ""  # it ends before they begin


def test_what_the_parent_has_learned_from_is_no_truth(tmp_path):
    parent = made(tmp_path)
    heard = parent.snapshot.histories
    learned, held_out = int(heard.song[0]), int(heard.song[heard.of(0)][-1])
    truth = [(0, np.array([learned, held_out])), (1, heard.song[heard.of(1)][:2])]
    (kept,) = over(parent, parent.snapshot).unlearned(truth)
    assert (kept[0], kept[1].tolist()) == (0, [held_out])


@pytest.mark.parametrize("manifest", [{}, {"settings": {"scenes": {}}}, {"settings": {"scenes": {"radio": {}}}}])
def test_a_manifest_without_its_scene_cannot_be_measured(manifest):
    with pytest.raises(CorruptRelease, match="does not say what the scene radio was"):
        default_scene(manifest)


def test_the_scene_comes_back_from_the_manifest_without_heard_songs_and_without_haste():
    units = {"rankers": {"linear": UnitUse({"l2": 0.5})}, "rerankers": {"mine": UnitUse(use="ranking.rerank.mmr:Mmr")}}
    scene = dataclasses.replace(TOGETHER, heard="after 14d", budget_ms=50.0, pool=70, **units)
    told = json.loads(json.dumps({"settings": {"scenes": {"radio": dataclasses.asdict(scene) | {"gone": 1}}}}))
    assert default_scene(told) == dataclasses.replace(scene, heard="never", budget_ms=float("inf"))
