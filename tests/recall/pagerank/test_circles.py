import subprocess
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from segue_test_worlds import lopsided_snapshot

from graph.release import Release
from graph.snapshot.relations import Relation
from recall.pagerank.circles import Circles, nearest


def follows(pairs: list[tuple[int, int]], people: int) -> Relation:
    source, target = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Relation.of_edges("FOLLOWS:User:User", source, target, {}, people, people)


def random_follows(people: int, seed: int) -> Relation:
    """A directed graph with hubs and people who follow nobody."""
    rng = np.random.default_rng(seed)
    source, target = rng.integers(5, people, 6 * people), (people * rng.random(6 * people) ** 2).astype(int)
    return follows(sorted({(a, b) for a, b in np.stack([source, target], 1).tolist() if a != b}), people)


def oracle(graph: Relation, source: int) -> np.ndarray:
    """networkx, where dead ends lead back to the source; the source itself left out."""
    made = nx.DiGraph(zip(graph.edge_sources.tolist(), graph.indices.tolist(), strict=True))
    made.add_nodes_from(range(graph.sources))
    found = nx.pagerank(made, alpha=0.85, personalization={source: 1}, tol=1e-13, max_iter=1000)
    mass = np.array([found[v] for v in range(graph.sources)])
    mass[source] = 0
    return mass


def dense(circles: Circles, row: int, people: int) -> np.ndarray:
    found = np.zeros(people)
    known = circles.people[row] >= 0
    found[circles.people[row][known]] = circles.mass[row][known]
    return found


def test_of_a_line_of_three() -> None:
    # 0 -> 1 -> 2: the walk stops at 1 with (1 - r) r and reaches 2 with (1 - r)^2, where it stops with r or ends
    circles = nearest(follows([(0, 1), (1, 2)], 3), np.arange(3), 2, restart=0.2, tolerance=1e-9)
    assert circles.people.tolist() == [[1, 2], [2, -1], [-1, -1]]
    assert circles.mass == pytest.approx(np.array([[0.16, 0.128], [0.16, 0], [0, 0]]))


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_networkx(seed: int) -> None:
    graph = random_follows(120, seed)
    sources = np.array([119, 8, 50])
    circles = nearest(graph, sources, 119, tolerance=1e-12)
    for row, source in enumerate(sources.tolist()):
        ours, theirs = dense(circles, row, 120), oracle(graph, source)
        np.testing.assert_allclose(ours / max(ours.sum(), 1e-12), theirs / max(theirs.sum(), 1e-12), atol=1e-7)


def test_keeps_the_highest_and_equal_ones_by_position() -> None:
    circles = nearest(follows([(9, 4), (9, 2), (9, 7), (9, 3), (3, 2)], 10), np.array([9]), 3)
    assert circles.people.tolist() == [[2, 3, 4]]
    assert circles.mass[0, 1] == circles.mass[0, 2]


def test_one_source_leaves_nothing_behind_for_the_next() -> None:
    graph = random_follows(80, 4)
    together, alone = nearest(graph, np.arange(80), 10), [nearest(graph, np.array([i]), 10) for i in range(80)]
    assert np.array_equal(together.people, np.concatenate([one.people for one in alone]))
    assert np.array_equal(together.mass, np.concatenate([one.mass for one in alone]))


def test_the_same_for_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recall.pagerank.circles._BLOCK", 7)
    seen: list[tuple[str, int, int]] = []
    graph = random_follows(80, 5)
    one = nearest(graph, np.arange(80), 10, threads=1)
    two = nearest(graph, np.arange(80), 10, threads=2, progress=lambda *step: seen.append(step))
    assert np.array_equal(one.people, two.people)
    assert seen[-1] == ("people nearby", 80, 80)


def test_around_followees_is_the_pagerank_of_who_follows_them() -> None:
    """A listener without a row of its own, as one who came after the release."""
    graph = random_follows(60, 6)
    followees = np.array([7, 20, 33], dtype=np.int32)
    people, mass, _ = nearest(graph, np.arange(60), 59, tolerance=1e-12).around(followees)
    edges = [*zip(graph.edge_sources.tolist(), graph.indices.tolist(), strict=True), *((60, f) for f in (7, 20, 33))]
    late = follows(edges, 61)
    exact = nearest(late, np.array([60]), 60, tolerance=1e-12)
    expected = dense(exact, 0, 61)
    expected[followees] = 0
    found = np.zeros(61)
    found[people] = mass
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert (np.diff(mass) <= 0).all()


def test_via_is_the_followee_who_brings_most() -> None:
    # both of 1 and 2 lead to 3, and 2 to nobody else
    circles = nearest(follows([(1, 3), (1, 4), (1, 0), (2, 3)], 5), np.arange(5), 4)
    people, _, via = circles.around(np.array([1, 2], dtype=np.int32), but=0)
    assert dict(zip(people.tolist(), via.tolist(), strict=True)) == {3: 2, 4: 1}


def test_who_follows_nobody_has_nobody_around() -> None:
    circles = nearest(follows([(0, 1)], 2), np.arange(2), 4)
    assert [len(part) for part in circles.around(np.empty(0, dtype=np.int32))] == [0, 0, 0]
    assert [len(part) for part in circles.around(np.array([1], dtype=np.int32))] == [0, 0, 0]


def test_is_stored_and_read(tmp_path: Path) -> None:
    circles = nearest(random_follows(30, 1), np.arange(30), 5, restart=0.3)
    lopsided_snapshot().write(tmp_path / "snapshot")
    circles.save(tmp_path / "recall" / "social" / "circles")
    again = Circles.load(Release.open(tmp_path), "recall/social/circles")
    assert np.array_equal(again.mass, circles.mass)
    assert again.restart == 0.3


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("restart", 1.0, r"restart must be between 0 and 1 \(got 1.0\)"),
        ("tolerance", 0.0, r"tolerance must be more than 0 \(got 0.0\)"),
        ("threads", 0, r"threads must be more than 0 \(got 0\)"),
    ],
)
def test_impossible_options_are_refused(option: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nearest(follows([(0, 1)], 2), np.arange(2), 4, **{option: value})  # type: ignore[arg-type]


def test_a_command_that_computes_nothing_does_not_import_the_compiler() -> None:
    code = "import sys, api.cli; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
