"""Walks against probabilities counted edge by edge on a networkx graph."""

from itertools import product

import networkx as nx
import numpy as np
import pytest
from segue_test_worlds import World, planted_snapshot

from graph.snapshot.snapshot import Snapshot
from recall.linear.walks import arrivals, walked


def counted(snapshot: Snapshot, middle: str, relation: str, alpha: float) -> np.ndarray:
    """(songs, songs) sum over the middles of (probability out)^alpha x (probability back)^alpha."""
    walk = nx.Graph()
    songs = [("Song", s) for s in snapshot.ids["Song"].to_list()]
    walk.add_nodes_from(songs)
    for one, other in snapshot.to_networkx(relation).edges():
        if {one[0], other[0]} == {"Song", middle}:
            walk.add_edge(one, other)
    found = np.zeros((len(songs), len(songs)))
    for (i, start), (j, end) in product(enumerate(songs), repeat=2):
        for via in nx.common_neighbors(walk, start, end) if start != end else walk[start]:
            found[i, j] += (1 / walk.degree(start)) ** alpha * (1 / walk.degree(via)) ** alpha
    return found


@pytest.mark.parametrize("alpha", [1.0, 1.7])
def test_over_listeners(alpha: float) -> None:
    snapshot = planted_snapshot()
    found = arrivals(snapshot, alpha, {})(slice(0, snapshot.songs)).toarray()
    assert found == pytest.approx(counted(snapshot, "User", "LISTENED", alpha), abs=1e-6)


def test_over_artists_with_their_gamma() -> None:
    snapshot = planted_snapshot()
    whole = arrivals(snapshot, 1.0, {"PERFORMED_BY": 0.5})(slice(0, snapshot.songs)).toarray()
    plain = arrivals(snapshot, 1.0, {"PERFORMED_BY": 0.0})(slice(0, snapshot.songs)).toarray()
    told = 0.5 * counted(snapshot, "Artist", "PERFORMED_BY", 1.0)
    assert whole - plain == pytest.approx(told, abs=1e-6)


def test_every_walk_ends_somewhere() -> None:
    snapshot = planted_snapshot()
    sums = arrivals(snapshot, 1.0, {})(slice(0, snapshot.songs)).sum(axis=1)
    assert sums == pytest.approx(np.ones(snapshot.songs))


def test_over_a_listener_and_on_to_a_followee(lopsided: World) -> None:
    # s1 {ana}, who follows ben {s3, s4} and cy {s2, s4; s3 is blocked}: each half of 1/2
    found = arrivals(lopsided.snapshot, 1.0, {"FOLLOWS": 2.0})(slice(0, 5)).toarray()
    alone = arrivals(lopsided.snapshot, 1.0, {})(slice(0, 5)).toarray()
    assert (found - alone)[lopsided.song("s1")] == pytest.approx(2.0 * np.array([0, 0.25, 0.25, 0.5, 0]))


def test_beta_takes_popular_songs_down(lopsided: World) -> None:
    # from s3 {ben} to s4 {ben, cy}: 1/2, over 2 listeners
    song, other = lopsided.songs("s3", "s4")
    near = walked(lopsided.snapshot, 1.0, 1.0, {}, 2)
    assert near.songs[song].tolist() == [other, -1]
    assert near.weights[song, 0] == pytest.approx(0.25)
