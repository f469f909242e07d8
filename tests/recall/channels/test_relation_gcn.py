from pathlib import Path

import numpy as np
import pytest
from segue_test_worlds import ANSWER, NOW, World

from embeddings.vectors.graph_vectors import GraphVectors
from graph.errors import SettingsError
from graph.release import Release
from recall.base import Query, channel_type
from recall.channels.relation_gcn import RelationGcn, RelationGcnConfig
from recall.listeners.listener import Listener


def test_somebody_known_is_answered_from_the_stored_list(planted: World) -> None:
    lists, _ = planted.release.arrays("recall/relation_gcn/lists")
    user = planted.snapshot.ids["User"].index("you")
    assert planted.ids(lists["songs"][user][:1]) == [ANSWER]


def test_songs_that_were_heard_are_not_in_the_list(planted: World) -> None:
    lists, _ = planted.release.arrays("recall/relation_gcn/lists")
    for user in range(planted.snapshot.users):
        heard = planted.listener(planted.snapshot.ids["User"][user]).heard
        assert not np.isin(lists["songs"][user], heard).any()


def of_vectors(world: World, folder: Path, config: RelationGcnConfig) -> dict[str, float]:
    """What the first listener is answered by vectors of one dimension: 1 for each song, 2 for the song `b-3`."""
    snapshot = world.snapshot
    songs = np.ones((snapshot.songs, 1), dtype=np.float32)
    songs[snapshot.ids["Song"].index("b-3")] = 2
    snapshot.write(folder / "snapshot")
    (folder / "recall" / "relation_gcn").mkdir(parents=True)
    vectors = GraphVectors(np.ones((snapshot.users, 1), dtype=np.float32), songs)
    RelationGcn.keep(snapshot, vectors, config, folder / "recall" / "relation_gcn")
    listener = Listener.of(snapshot, "you")
    query = Query(listener, NOW, listener.heard.astype(np.int32))
    found = RelationGcn(Release.open(folder), config).recall(query, snapshot.songs)
    return dict(zip(world.ids(found.songs), found.scores.tolist(), strict=True))


def test_the_score_is_the_product_of_vectors_over_the_listeners_to_the_tilt(planted: World, tmp_path: Path) -> None:
    plain = of_vectors(planted, tmp_path / "plain", RelationGcnConfig(smooth=0.0, tilt=0.0))
    assert plain["b-3"] == pytest.approx(2)
    tilted = of_vectors(planted, tmp_path / "tilted", RelationGcnConfig(smooth=0.0, tilt=1.0))
    song = planted.snapshot.ids["Song"].index("b-3")
    heard = len(np.unique(planted.snapshot.histories.user[planted.snapshot.histories.song == song]))
    assert tilted["b-3"] == pytest.approx(2 / max(heard, 1))


@pytest.mark.parametrize("smooth", [0.01, 0.1])
def test_a_song_that_nobody_has_heard_is_what_its_artist_says(lopsided: World, tmp_path: Path, smooth: float) -> None:
    snapshot = lopsided.snapshot  # s1 and s2 are by Alba, and so is s5, which nobody has heard
    vectors = np.array([[1], [1], [0], [0], [0]], dtype=np.float32)
    snapshot.write(tmp_path / "snapshot")
    (tmp_path / "recall" / "relation_gcn").mkdir(parents=True)
    RelationGcn.keep(
        snapshot,
        GraphVectors(np.ones((snapshot.users, 1), dtype=np.float32), vectors),
        RelationGcnConfig(smooth=smooth),
        tmp_path / "recall" / "relation_gcn",
    )
    listener = lopsided.listener("ben")
    query = Query(listener, NOW, listener.heard.astype(np.int32))
    found = RelationGcn(Release.open(tmp_path)).recall(query, 5)
    scores = dict(zip(lopsided.ids(found.songs), found.scores.tolist(), strict=True))
    assert 0.2 < scores["s5"] < scores["s1"]  # a tenth of it, as of other songs, would be less than 0.1


def test_a_negative_gamma_is_named() -> None:
    with pytest.raises(SettingsError, match="gamma of HAS_TAG must be 0 or more"):
        channel_type("relation_gcn").configure({"gamma": {"HAS_TAG": -1.0}})
