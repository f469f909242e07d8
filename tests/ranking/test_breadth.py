from pathlib import Path

import numpy as np
import pytest
from segue_test_worlds import planted_snapshot

from graph.release import Release
from ranking.breadth import Breadth, ScoredList, last_places
from ranking.cascade import Cascade
from ranking.learning import Learner, LearningConfig
from ranking.scene import SceneConfig


def crowd(listeners: int, songs: int = 40, liked: int = 0) -> list[ScoredList]:
    """Everybody's scores fall from song 0 on, each song by a hundredth; everybody loves song `liked`, and every second
    listener two songs of their own among the last."""
    found = []
    for listener in range(listeners):
        hits = np.zeros(songs, dtype=bool)
        hits[liked] = True
        if listener % 2:
            hits[[songs - 1 - listener % 10, songs - 2 - listener % 10]] = True
        found.append(ScoredList(np.arange(songs, dtype=np.int32), -0.01 * np.arange(songs), hits))
    return found


def test_a_song_is_lowered_by_the_logarithm_of_its_share() -> None:
    breadth = Breadth(np.array([0.9, 0.0], dtype=np.float32), floor=0.1, strength=2.0)
    lowered = breadth.lowered(np.array([0, 1]), np.array([5.0, 5.0]))
    assert lowered.tolist() == pytest.approx([5 - 2 * np.log(1.0), 5 - 2 * np.log(0.1)])


def test_a_song_since_the_refresh_is_one_that_nobody_is_shown() -> None:
    breadth = Breadth(np.array([0.9, 0.0], dtype=np.float32), floor=0.1, strength=2.0)
    assert breadth.lowered(np.array([7]), np.zeros(1)) == pytest.approx(breadth.lowered(np.array([1]), np.zeros(1)))


@pytest.mark.parametrize(
    ("rows", "others", "expected"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [20, 3, 21, 22, 23], [0, 1, 2, 3, 4, 5, 6, 20, 21, 22]),
        ([0, 1], [5, 6], [0, 1]),  # too short for a last place
        ([], [], []),
    ],
)
def test_the_first_seven_of_ten_stay(rows: list[int], others: list[int], expected: list[int]) -> None:
    assert last_places(np.array(rows, dtype=int), np.array(others, dtype=int)).tolist() == expected


def test_the_share_is_counted_over_the_first_fifty_places() -> None:
    lists = crowd(4, songs=60)
    breadth = Breadth.fit(lists, 61, 0.5)
    assert breadth is not None
    assert breadth.share.tolist() == [1.0] * 50 + [0.0] * 11
    assert breadth.floor == 1 / 4


def test_a_strength_that_costs_too_much_is_lowered() -> None:
    # song 8 is loved and shown to all; 50, the first that nobody is shown, lies 4.2 below it and ln 21 x strength above
    hits = np.zeros(80, dtype=bool)
    hits[[0, 8]] = True
    lists = [ScoredList(np.arange(80, dtype=np.int32), -0.1 * np.arange(80), hits) for _ in range(20)]
    harmless, dear = Breadth.fit(lists, 80, 0.5), Breadth.fit(lists, 80, 3.0)
    assert harmless is not None
    assert dear is not None
    assert harmless.strength == 0.5
    # the two that replace 8 and 9 are 50 and 51 at the least: 51 passes 8 at 4.3 / ln 21 = 1.41
    assert dear.strength == pytest.approx(1.4)


def test_where_every_strength_costs_too_much_there_is_none() -> None:
    hits = np.zeros(80, dtype=bool)
    hits[9] = True
    scores = np.where(np.arange(80) < 10, 1.0, 1.0 - 1e-9)
    lists = [ScoredList(np.arange(80, dtype=np.int32), scores, hits) for _ in range(20)]
    assert Breadth.fit(lists, 80, 0.5) is None


def test_without_a_loved_song_or_a_strength_there_is_none() -> None:
    lists = [ScoredList(np.arange(3, dtype=np.int32), np.arange(3.0), np.zeros(3, dtype=bool))]
    assert Breadth.fit(lists, 3, 0.1) is None
    assert Breadth.fit(crowd(4), 40, 0.0) is None


def test_it_is_stored_and_loaded(tmp_path: Path) -> None:
    planted_snapshot().write(tmp_path / "snapshot")
    breadth = Breadth.fit(crowd(6), 40, 0.5)
    assert breadth is not None
    breadth.save(tmp_path / "ranking" / "radio" / "breadth")
    found = Breadth.load(Release.open(tmp_path), "ranking/radio/breadth")
    assert found.share.tolist() == breadth.share.tolist()
    assert (found.floor, found.strength) == (breadth.floor, breadth.strength)


def test_a_scene_shows_more_of_the_catalogue_with_it(tmp_path: Path) -> None:
    snapshot = planted_snapshot()
    snapshot.write(tmp_path / "snapshot")
    scene = SceneConfig(breadth=0.9, heard="always", interests=False)
    learner = Learner({"radio": scene}, LearningConfig(rank_share=0.2, measure_share=0.0, models={}, seed=3))
    learner.learn(tmp_path)
    release = Release.open(tmp_path).measured()
    assert release.has("ranking/radio/breadth")
    shown = []
    for breadth in (0.0, 0.9):
        cascade = Cascade(release, SceneConfig(breadth=breadth, heard="always", interests=False, budget_ms=60_000))
        users = snapshot.ids["User"].to_list()
        slates = [cascade.slate(cascade.query(user, snapshot.as_of), 10).songs for user in users]
        shown.append(slates)
    assert all((few[:7] == many[:7]).all() for few, many in zip(*shown, strict=True))
    assert len(np.unique(np.concatenate(shown[1]))) >= len(np.unique(np.concatenate(shown[0])))
    assert any((few != many).any() for few, many in zip(*shown, strict=True))
